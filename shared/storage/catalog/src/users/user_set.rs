//! The users, roles, sessions and keys in the root catalog.

use std::collections::{BTreeMap, BTreeSet};

use neap_bucket::StoreTime;
use serde::{Deserialize, Serialize};

use super::{
    MAX_ROLES, MAX_SESSIONS, MAX_SESSIONS_PER_USER, MAX_USERS, NewSigningKey, RoleEntry, RoleId,
    SessionEntry, SessionId, SigningKeyEntry, SigningKeyRequest, UserEntry, UserId,
    roles::built_in_roles, signing_keys::MAX_SIGNING_KEYS,
};
use crate::{CatalogError, LimitError, Permissions};

/// The users of a cluster, and the ids of the next ones.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct UserSet {
    next_user: UserId,
    next_role: RoleId,
    pub(super) users: BTreeMap<UserId, UserEntry>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) roles: BTreeMap<RoleId, RoleEntry>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) sessions: BTreeMap<SessionId, SessionEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) keys: Vec<SigningKeyEntry>,
}

impl Default for UserSet {
    fn default() -> Self {
        Self {
            next_user: UserId::new(1),
            next_role: RoleId::FIRST_OWN,
            users: BTreeMap::new(),
            roles: BTreeMap::new(),
            sessions: BTreeMap::new(),
            keys: Vec::new(),
        }
    }
}

impl UserSet {
    /// Returns whether there was never a user or a role.
    pub(crate) fn is_unused(&self) -> bool {
        self.next_user == UserId::new(1) && self.next_role == RoleId::FIRST_OWN
    }

    /// Returns the permissions of all roles that are not built in.
    pub(crate) fn permissions_mut(&mut self) -> impl Iterator<Item = &mut Permissions> {
        self.roles.values_mut().map(|role| &mut role.permissions)
    }

    /// Adds a user under the next id.
    pub(super) fn add_user(&mut self, entry: UserEntry) -> Result<UserId, CatalogError> {
        if self.users.len() >= MAX_USERS {
            return Err(LimitError::Users { limit: MAX_USERS }.into());
        }
        self.check_unique(None, &entry)?;
        let id = self.next_user;
        let next = id.get().checked_add(1).map(UserId::new);
        self.next_user = next.ok_or(CatalogError::NoMoreIds { what: "user" })?;
        self.users.insert(id, entry);
        Ok(id)
    }

    /// Refuses an entry whose name or id at the identity provider another user has.
    pub(super) fn check_unique(
        &self,
        own: Option<UserId>,
        entry: &UserEntry,
    ) -> Result<(), CatalogError> {
        let mut others = self.users.iter().filter(|(id, _)| Some(**id) != own);
        let taken = others.any(|(_, other)| {
            let same_oauth_id = entry.oauth_id.is_some() && other.oauth_id == entry.oauth_id;
            other.name == entry.name || same_oauth_id
        });
        if taken {
            let name = entry.name.clone();
            return Err(CatalogError::UserExists { name });
        }
        Ok(())
    }

    /// Adds a role under the next id.
    pub(super) fn add_role(&mut self, entry: RoleEntry) -> Result<RoleId, CatalogError> {
        if self.roles.len() >= MAX_ROLES {
            return Err(LimitError::Roles { limit: MAX_ROLES }.into());
        }
        let id = self.next_role;
        let next = id.get().checked_add(1).map(RoleId::new);
        self.next_role = next.ok_or(CatalogError::NoMoreIds { what: "role" })?;
        self.roles.insert(id, entry);
        Ok(id)
    }

    /// Removes a role, also from its users.
    pub(super) fn remove_role(&mut self, id: RoleId) {
        self.roles.remove(&id);
        for user in self.users.values_mut() {
            user.roles.remove(&id);
            user.group_roles.remove(&id);
        }
    }

    /// Returns the permissions of roles. Ids of roles that no longer exist grant nothing.
    pub(super) fn permissions(&self, roles: impl IntoIterator<Item = RoleId>) -> Permissions {
        let built_in = built_in_roles();
        let mut all = Permissions::Of(Vec::new());
        for id in roles {
            let own = self.roles.get(&id).map(|role| &role.permissions);
            let of_built_in = || built_in.iter().find(|role| role.id == id);
            let found = own.or_else(|| Some(&of_built_in()?.entry.permissions));
            if let Some(permissions) = found {
                all.extend(permissions);
            }
        }
        all
    }

    /// Removes sessions that have ended, sessions of users that are gone, and keys whose tokens have expired.
    pub(super) fn remove_expired(&mut self, now: StoreTime) {
        let users = &self.users;
        self.sessions
            .retain(|_, session| session.is_active(now) && users.contains_key(&session.user));
        self.keys.retain(|key| key.used_until > now);
    }

    pub(super) fn end_sessions_of(&mut self, user: UserId) {
        self.sessions.retain(|_, session| session.user != user);
    }

    /// Adds a session, and ends others if there are too many.
    pub(super) fn add_session(&mut self, id: SessionId, session: SessionEntry) {
        let user = session.user;
        let of_user: BTreeSet<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.user == user)
            .map(|(id, _)| *id)
            .collect();
        if of_user.len() >= MAX_SESSIONS_PER_USER {
            self.end_oldest_session(|id| of_user.contains(id));
        }
        if self.sessions.len() >= MAX_SESSIONS {
            self.end_oldest_session(|_| true);
        }
        self.sessions.insert(id, session);
    }

    fn end_oldest_session(&mut self, of: impl Fn(&SessionId) -> bool) {
        let candidates = self.sessions.iter().filter(|(id, _)| of(id));
        let oldest = candidates.min_by_key(|(_, session)| session.renewed);
        if let Some(id) = oldest.map(|(id, _)| *id) {
            self.sessions.remove(&id);
        }
    }

    /// Returns the key that signs a token which is valid until `used_until`, and adds it if it is missing.
    pub(super) fn signing_key(
        &mut self,
        request: &SigningKeyRequest,
        now: StoreTime,
        used_until: StoreTime,
    ) -> SigningKeyEntry {
        let found = self.keys.iter_mut().rev().find(|key| match request {
            SigningKeyRequest::Configured(own) => key.id == own.id && key.public == own.public,
            SigningKeyRequest::Generated(_) => key.signs(now),
        });
        if let Some(key) = found {
            key.used_until = key.used_until.max(used_until);
            return key.clone();
        }
        let (SigningKeyRequest::Configured(new) | SigningKeyRequest::Generated(new)) = request;
        self.add_key(new, now, used_until)
    }

    fn add_key(
        &mut self,
        new: &NewSigningKey,
        now: StoreTime,
        used_until: StoreTime,
    ) -> SigningKeyEntry {
        let entry = SigningKeyEntry {
            id: new.id.clone(),
            public: new.public.clone(),
            secret: new.secret.clone(),
            created: now,
            used_until,
        };
        // Another key with the same id can't be told apart in a token.
        self.keys.retain(|key| key.id != new.id);
        if self.keys.len() >= MAX_SIGNING_KEYS {
            let keys = self.keys.iter().enumerate();
            let first = keys.min_by_key(|(_, key)| key.used_until);
            if let Some(place) = first.map(|(place, _)| place) {
                self.keys.remove(place);
            }
        }
        self.keys.push(entry.clone());
        entry
    }
}
