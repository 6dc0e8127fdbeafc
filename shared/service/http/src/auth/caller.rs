//! The sender of a request, and its permissions.

use std::{net::IpAddr, sync::Arc};

use axum::extract::FromRequestParts;
use http::request::Parts;
use neap_catalog::{
    Actor, ChangeOrigin, DatabaseAction, Permissions, SessionId, SystemEndpoint, TablePermission,
    TokenAction, UserAction,
};
use neap_schema::DatabaseId;

use super::error_answers;
use crate::ApiError;

/// The sender of a request. [`with_common_layers`](crate::with_common_layers) adds it to the extensions of each admitted request; without it,
/// the extractor refuses the request.
#[derive(Clone, Debug)]
pub struct Caller(CallerIdentity);

#[derive(Clone, Debug)]
enum CallerIdentity {
    Unrestricted,
    Anonymous,
    Holder(Arc<TokenHolder>),
}

static NOTHING: Permissions = Permissions::Of(Vec::new());

/// The holder of a token, or a user with a session.
#[derive(Debug)]
pub(super) struct TokenHolder {
    pub(super) actor: Actor,
    /// The token or user at the start of the chain of creators that leads to the token.
    pub(super) authority: Actor,
    pub(super) name: String,
    pub(super) permissions: Permissions,
    /// The session of a user.
    pub(super) session: Option<SessionId>,
}

impl Caller {
    /// Creates the caller of a server without authentication, which has all permissions.
    pub fn unrestricted() -> Self {
        Self(CallerIdentity::Unrestricted)
    }

    /// Creates the caller of an endpoint that needs no token. It has no other permissions.
    pub(super) fn anonymous() -> Self {
        Self(CallerIdentity::Anonymous)
    }

    pub(super) fn is_anonymous(&self) -> bool {
        matches!(self.0, CallerIdentity::Anonymous)
    }

    pub(super) fn holder(holder: Arc<TokenHolder>) -> Self {
        Self(CallerIdentity::Holder(holder))
    }

    /// Returns the sender of a request.
    ///
    /// # Errors
    /// `Unauthenticated` if the request has no caller.
    pub fn from_head(head: &Parts) -> Result<Self, ApiError> {
        let caller = head.extensions.get::<Self>().cloned();
        caller.ok_or_else(error_answers::unauthenticated)
    }

    fn permissions(&self) -> &Permissions {
        match &self.0 {
            CallerIdentity::Unrestricted => &Permissions::Admin,
            CallerIdentity::Anonymous => &NOTHING,
            CallerIdentity::Holder(holder) => &holder.permissions,
        }
    }

    /// Returns whether the caller has all permissions.
    pub fn is_admin(&self) -> bool {
        self.permissions().is_admin()
    }

    /// Returns whether the caller may perform an action on a database; `None` is a database that does not exist, which
    /// requires a permission for all databases. On `_internal`, only administrators may perform actions; auditors may read.
    pub fn may(&self, action: DatabaseAction, database: Option<DatabaseId>) -> bool {
        self.permissions().allow(action, database)
    }

    /// Returns whether the caller may perform any of these actions on a database; `None` as for [`may`](Self::may).
    pub fn may_any(&self, actions: &[DatabaseAction], database: Option<DatabaseId>) -> bool {
        self.permissions().allow_any(actions, database)
    }

    /// Returns the permission by which the caller creates tables and columns in a database.
    pub fn table_permission(&self, database: DatabaseId) -> TablePermission {
        if self.may(DatabaseAction::Create, Some(database)) {
            TablePermission::Create
        } else {
            TablePermission::Write
        }
    }

    /// Refuses an action that [`may`](Self::may) does not allow.
    ///
    /// # Errors
    /// `Forbidden`, with the text of InfluxDB 3.
    pub fn require(
        &self,
        action: DatabaseAction,
        database: Option<DatabaseId>,
    ) -> Result<(), ApiError> {
        self.require_any(&[action], database)
    }

    /// Refuses a caller that may perform none of these actions on a database.
    ///
    /// # Errors
    /// Same as [`require`](Self::require).
    pub fn require_any(
        &self,
        actions: &[DatabaseAction],
        database: Option<DatabaseId>,
    ) -> Result<(), ApiError> {
        allowed(self.may_any(actions, database))
    }

    /// Refuses a caller that may not ship the rows of a site to a database.
    ///
    /// # Errors
    /// Same as [`require`](Self::require).
    pub fn require_site(&self, database: DatabaseId, site: &str) -> Result<(), ApiError> {
        allowed(self.permissions().allow_site(database, site))
    }

    /// Refuses a caller that is not an administrator.
    ///
    /// # Errors
    /// Same as [`require`](Self::require).
    pub fn require_admin(&self) -> Result<(), ApiError> {
        allowed(self.is_admin())
    }

    /// Refuses a caller that may not perform this action on tokens other than those of administrators.
    ///
    /// # Errors
    /// Same as [`require`](Self::require).
    pub fn require_tokens(&self, action: TokenAction) -> Result<(), ApiError> {
        allowed(self.permissions().allow_tokens(action))
    }

    /// Refuses a caller that may not read what is for administrators and auditors.
    ///
    /// # Errors
    /// Same as [`require`](Self::require).
    pub fn require_audit(&self) -> Result<(), ApiError> {
        allowed(self.permissions().allow_audit())
    }

    /// Refuses a caller that may not perform this action on users and roles.
    ///
    /// # Errors
    /// Same as [`require`](Self::require).
    pub fn require_users(&self, action: UserAction) -> Result<(), ApiError> {
        allowed(self.permissions().allow_users(action))
    }

    /// Returns whether the caller has any permission for a database, and therefore may know that it exists.
    pub fn can_see(&self, database: DatabaseId) -> bool {
        self.may_any(DatabaseAction::ALL, Some(database))
    }

    /// Returns whether the caller may perform any of these actions on some database, so that the handler can check
    /// which one.
    pub(super) fn may_on_some_database(&self, actions: &[DatabaseAction]) -> bool {
        self.permissions().allow_somewhere(actions)
    }

    /// Returns whether the caller may use a server endpoint.
    pub(super) fn may_use_endpoint(&self, endpoint: SystemEndpoint) -> bool {
        self.permissions().allow_endpoint(endpoint)
    }

    /// Returns the holder of the token or the user of the session; `None` if none was required.
    pub fn actor(&self) -> Option<Actor> {
        self.known_holder().map(|holder| holder.actor)
    }

    /// Returns the token or user at the start of the chain of creators that leads to the token; `None` as for
    /// [`actor`](Self::actor).
    fn authority(&self) -> Option<Actor> {
        self.known_holder().map(|holder| holder.authority)
    }

    /// Returns the session of a user; `None` for other callers.
    pub fn session(&self) -> Option<SessionId> {
        self.known_holder()?.session
    }

    /// Returns the name of the token or user of the request, for logs; `None` if none was required.
    pub fn token_name(&self) -> Option<&str> {
        self.known_holder().map(|holder| holder.name.as_str())
    }

    /// Returns the origin of the changes that a request of this caller makes. `request` is the id of the request.
    pub fn change_origin(&self, address: Option<IpAddr>, request: String) -> ChangeOrigin {
        let name = self.token_name().map(str::to_owned);
        let (token, user) = match (self.actor(), name) {
            (Some(Actor::Token(id)), Some(name)) => (Some((id, name)), None),
            (Some(Actor::User(id)), Some(name)) => (None, Some((id, name))),
            _ => (None, None),
        };
        ChangeOrigin {
            token,
            user,
            authority: self.authority(),
            address: address.map(|address| address.to_canonical().to_string()),
            request,
        }
    }

    fn known_holder(&self) -> Option<&TokenHolder> {
        match &self.0 {
            CallerIdentity::Unrestricted | CallerIdentity::Anonymous => None,
            CallerIdentity::Holder(holder) => Some(holder),
        }
    }
}

fn allowed(allowed: bool) -> Result<(), ApiError> {
    if allowed {
        Ok(())
    } else {
        Err(error_answers::forbidden())
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::from_head(parts)
    }
}
