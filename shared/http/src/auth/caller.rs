//! Who sent a request, and what they may do.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use neap_catalog::{DatabaseAction, Permissions, SystemEndpoint, TokenAction, TokenId};
use neap_schema::DatabaseId;

use super::answers;
use crate::ApiError;

/// Whoever sent a request. [`finish`](crate::finish) leaves it with each request that it lets through; where it
/// is missing, extracting it refuses the request.
#[derive(Clone, Debug)]
pub struct Caller(Who);

#[derive(Clone, Debug)]
enum Who {
    Anyone,
    Nobody,
    Holder(Arc<Holder>),
}

static NOTHING: Permissions = Permissions::Of(Vec::new());

/// The holder of a token.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) id: TokenId,
    pub(super) name: String,
    pub(super) permissions: Permissions,
}

impl Caller {
    /// Somebody whom nobody asks for a token: they may do everything.
    pub fn anyone() -> Self {
        Self(Who::Anyone)
    }

    /// Somebody who is let through without a token to where none is asked for: they may do nothing else.
    pub(super) fn nobody() -> Self {
        Self(Who::Nobody)
    }

    pub(super) fn is_nobody(&self) -> bool {
        matches!(self.0, Who::Nobody)
    }

    pub(super) fn holder(holder: Arc<Holder>) -> Self {
        Self(Who::Holder(holder))
    }

    /// Whoever sent a request.
    ///
    /// # Errors
    /// `Unauthenticated` when nobody has said who.
    pub fn of(head: &Parts) -> Result<Self, ApiError> {
        let caller = head.extensions.get::<Self>().cloned();
        caller.ok_or_else(answers::unauthenticated)
    }

    fn permissions(&self) -> &Permissions {
        match &self.0 {
            Who::Anyone => &Permissions::Admin,
            Who::Nobody => &NOTHING,
            Who::Holder(holder) => &holder.permissions,
        }
    }

    /// Whether they may do everything.
    pub fn is_admin(&self) -> bool {
        self.permissions().is_admin()
    }

    /// Whether they may do this with a database; `None`: one that does not exist, which takes a permission on
    /// all. With `_internal` an administrator alone may do anything.
    pub fn may(&self, action: DatabaseAction, database: Option<DatabaseId>) -> bool {
        self.permissions().allow(action, database)
    }

    /// Whether they may do any of these with a database; `None` as for [`may`](Self::may).
    pub fn may_any(&self, actions: &[DatabaseAction], database: Option<DatabaseId>) -> bool {
        self.permissions().allow_any(actions, database)
    }

    /// Refuses what [`may`](Self::may) does not allow.
    ///
    /// # Errors
    /// `Forbidden`, in the words of InfluxDB 3.
    pub fn require(
        &self,
        action: DatabaseAction,
        database: Option<DatabaseId>,
    ) -> Result<(), ApiError> {
        self.require_any(&[action], database)
    }

    /// Refuses who may do none of these with a database.
    ///
    /// # Errors
    /// As for [`require`](Self::require).
    pub fn require_any(
        &self,
        actions: &[DatabaseAction],
        database: Option<DatabaseId>,
    ) -> Result<(), ApiError> {
        allowed(self.may_any(actions, database))
    }

    /// Refuses who is no administrator.
    ///
    /// # Errors
    /// As for [`require`](Self::require).
    pub fn require_admin(&self) -> Result<(), ApiError> {
        allowed(self.is_admin())
    }

    /// Refuses who may not do this with the tokens of others than administrators.
    ///
    /// # Errors
    /// As for [`require`](Self::require).
    pub fn require_tokens(&self, action: TokenAction) -> Result<(), ApiError> {
        allowed(self.permissions().allow_tokens(action))
    }

    /// Whether they may do anything at all with a database, and so may know of it.
    pub fn sees(&self, database: DatabaseId) -> bool {
        self.may_any(DatabaseAction::ALL, Some(database))
    }

    /// Whether they may do any of these with some database, so that it makes sense to ask with which.
    pub(super) fn may_somewhere(&self, actions: &[DatabaseAction]) -> bool {
        self.permissions().allow_somewhere(actions)
    }

    /// Whether they may ask an endpoint about the server.
    pub(super) fn may_ask(&self, endpoint: SystemEndpoint) -> bool {
        self.permissions().allow_endpoint(endpoint)
    }

    /// The token that they presented; `None`: none was asked for.
    pub fn token(&self) -> Option<TokenId> {
        match &self.0 {
            Who::Anyone | Who::Nobody => None,
            Who::Holder(holder) => Some(holder.id),
        }
    }

    /// The name of the token that they presented, for logs; `None`: none was asked for.
    pub fn token_name(&self) -> Option<&str> {
        match &self.0 {
            Who::Anyone | Who::Nobody => None,
            Who::Holder(holder) => Some(&holder.name),
        }
    }
}

fn allowed(allowed: bool) -> Result<(), ApiError> {
    if allowed {
        Ok(())
    } else {
        Err(answers::forbidden())
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::of(parts)
    }
}
