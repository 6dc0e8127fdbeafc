//! Creates, regenerates and revokes tokens. Each operation is one commit to the root catalog.
//!
//! The permissions of the caller are checked against the value that the commit replaces. A token that another instance
//! has just revoked therefore cannot create a successor, even if this instance still considers it valid.

use std::{collections::BTreeSet, time::Duration};

use neap_bucket::StoreTime;

use super::{
    ClientPublicKey, NewClientKey, OPERATOR_TOKEN_NAME, PermissionRequest, Permissions,
    SecretToken, TokenAction, TokenEntry, TokenHash, TokenId, generate_token, grammar::resolve,
};
use crate::{ANY_AGE, Actor, Catalog, CatalogError, ClusterSecret, RootCatalog, UserId};

/// A newly created token with its secret, which cannot be read again later.
#[derive(Clone, Debug)]
pub struct IssuedToken {
    /// The id.
    pub id: TokenId,
    /// The entry in the root catalog.
    pub entry: TokenEntry,
    /// The token in clear text.
    pub secret: SecretToken,
}

/// A newly registered key of a client.
#[derive(Clone, Debug)]
pub struct RegisteredKey {
    /// The id.
    pub id: TokenId,
    /// The entry in the root catalog.
    pub entry: TokenEntry,
}

/// Maximum lifetime of a token; longer ones are reduced to it: 1,000 years, which every client can display.
const MAX_LIFETIME: Duration = Duration::from_secs(1_000 * 365 * 86_400);

impl Catalog {
    /// Creates the operator token, `_admin`. The call needs no authorization, so a refusal costs no request: an
    /// operator token is never deleted, so an outdated catalog suffices.
    ///
    /// # Errors
    /// `TokenExists` when there is an operator token, or an error of the commit.
    pub async fn create_admin_token(&self) -> Result<IssuedToken, CatalogError> {
        let known = self.root(ANY_AGE).await?;
        if known.value.tokens().contains_key(&TokenId::OPERATOR) {
            let name = OPERATOR_TOKEN_NAME.to_owned();
            return Err(CatalogError::TokenExists { name });
        }
        let secret = generate_token(self.bucket.world());
        let hash = secret.hash();
        let cluster_secret = self.new_cluster_secret();
        let entry = self
            .change_root(|root| {
                let now = self.now()?;
                let entry = root.add_operator_token(hash.clone(), now)?;
                root.rotate_cluster_secret(&cluster_secret, now);
                root.note(now, "create token", OPERATOR_TOKEN_NAME, None);
                Ok((true, entry))
            })
            .await?;
        Ok(IssuedToken { id: TokenId::OPERATOR, entry, secret })
    }

    /// Installs an operator token whose hash was computed elsewhere, unless there is an administrator token already.
    /// Returns whether it was installed.
    ///
    /// # Errors
    /// An error of the commit.
    pub async fn install_admin_token(
        &self,
        hash: TokenHash,
        expiry: Option<StoreTime>,
    ) -> Result<bool, CatalogError> {
        let cluster_secret = self.new_cluster_secret();
        self.change_root(|root| {
            if root.tokens.has_admin() {
                return Ok((false, false));
            }
            let now = self.now()?;
            let entry = TokenEntry {
                expiry,
                ..entry(OPERATOR_TOKEN_NAME, hash.clone(), Permissions::Admin, now)
            };
            root.tokens.add_operator(entry)?;
            root.rotate_cluster_secret(&cluster_secret, now);
            root.note(now, "install token", OPERATOR_TOKEN_NAME, None);
            Ok((true, true))
        })
        .await
    }

    /// Replaces the secret of the operator token; the old secret becomes invalid. `by` is the caller; `None`: a caller
    /// without a token, at the store itself or at a server that requires none.
    ///
    /// # Errors
    /// `NotFound` when there is no operator token, `Revoked`, `Forbidden`, or an error of the commit.
    pub async fn regenerate_admin_token(
        &self,
        by: Option<Actor>,
    ) -> Result<IssuedToken, CatalogError> {
        let secret = generate_token(self.bucket.world());
        let hash = secret.hash();
        let cluster_secret = self.new_cluster_secret();
        let entry = self
            .change_root(|root| {
                let now = self.now()?;
                require_admin(&root.caller_permissions(by, now)?.permissions)?;
                let replaced = root.tokens.replace_operator(hash.clone(), now, recorded_token(by));
                let entry = replaced.ok_or_else(|| not_found(OPERATOR_TOKEN_NAME))?;
                root.rotate_cluster_secret(&cluster_secret, now);
                root.note(now, "regenerate token", OPERATOR_TOKEN_NAME, None);
                Ok((true, entry))
            })
            .await?;
        Ok(IssuedToken { id: TokenId::OPERATOR, entry, secret })
    }

    /// Creates another administrator token, valid for `lifetime` or forever. `by` as for
    /// [`regenerate_admin_token`](Self::regenerate_admin_token).
    ///
    /// # Errors
    /// `TokenExists`, `TokenNameTooLong`, `TooManyTokens`, `Revoked`, `Forbidden`,
    /// or an error of the commit.
    pub async fn create_named_admin(
        &self,
        name: &str,
        lifetime: Option<Duration>,
        by: Option<Actor>,
    ) -> Result<IssuedToken, CatalogError> {
        let new = TokenParameters { name, lifetime, by };
        self.issue_token(new, |_, _| Ok(Permissions::Admin)).await
    }

    /// Creates a token with these permissions, valid for `lifetime` or forever. A caller that is not an administrator
    /// needs `token:*:create`, and can grant only permissions that it has, for no longer than its own token is valid.
    /// `by` as for [`regenerate_admin_token`](Self::regenerate_admin_token).
    ///
    /// # Errors
    /// `Permission`, `NotFound` when a database does not exist, `TokenExists`, `TokenNameTooLong`,
    /// `TooManyTokens`, `Revoked`, `Forbidden`, or an error of the commit.
    pub async fn create_resource_token(
        &self,
        name: &str,
        permissions: &[PermissionRequest],
        lifetime: Option<Duration>,
        by: Option<Actor>,
    ) -> Result<IssuedToken, CatalogError> {
        let new = TokenParameters { name, lifetime, by };
        let wanted = |root: &RootCatalog, own: &Permissions| resolve(permissions, root, own);
        self.issue_token(new, wanted).await
    }

    /// Registers the key of a client with these permissions, valid for `lifetime` or forever. The conditions are those
    /// of [`create_resource_token`](Self::create_resource_token).
    ///
    /// # Errors
    /// Same as [`create_resource_token`](Self::create_resource_token).
    pub async fn register_client_key(
        &self,
        key: &NewClientKey,
        permissions: &[PermissionRequest],
        lifetime: Option<Duration>,
        by: Option<Actor>,
    ) -> Result<RegisteredKey, CatalogError> {
        let name = key.name();
        let new = TokenParameters { name, lifetime, by };
        // The hash of a secret that is dropped at once: no token has it.
        let credential = Credential {
            hash: generate_token(self.bucket.world()).hash(),
            public_key: Some(key.public_key()),
        };
        let wanted = |root: &RootCatalog, own: &Permissions| resolve(permissions, root, own);
        let (id, entry) = self.add_token(new, &credential, wanted).await?;
        Ok(RegisteredKey { id, entry })
    }

    /// Returns a new token, which is in no catalog yet.
    pub(crate) fn new_token(&self) -> SecretToken {
        generate_token(self.bucket.world())
    }

    /// Returns a secret for the processes of the cluster, which a new administrator token brings into use.
    pub(crate) fn new_cluster_secret(&self) -> ClusterSecret {
        ClusterSecret::generate(self.bucket.world())
    }

    async fn issue_token(
        &self,
        new: TokenParameters<'_>,
        permissions: impl Fn(&RootCatalog, &Permissions) -> Result<Permissions, CatalogError> + Sync,
    ) -> Result<IssuedToken, CatalogError> {
        let secret = generate_token(self.bucket.world());
        let credential = Credential { hash: secret.hash(), public_key: None };
        let (id, entry) = self.add_token(new, &credential, permissions).await?;
        Ok(IssuedToken { id, entry, secret })
    }

    async fn add_token(
        &self,
        new: TokenParameters<'_>,
        credential: &Credential,
        permissions: impl Fn(&RootCatalog, &Permissions) -> Result<Permissions, CatalogError> + Sync,
    ) -> Result<(TokenId, TokenEntry), CatalogError> {
        let action = match credential.public_key {
            None => "create token",
            Some(_) => "create key",
        };
        let cluster_secret = self.new_cluster_secret();
        self.change_root(|root| {
            let now = self.now()?;
            let own = root.caller_permissions(new.by, now)?;
            let permissions = permissions(root, &own.permissions)?;
            let may = own.permissions.allow_tokens(TokenAction::Create);
            if !may || !own.permissions.cover(&permissions) {
                return Err(CatalogError::Forbidden);
            }
            let expiry = new.lifetime.map(|it| now.plus(it.min(MAX_LIFETIME)));
            let expiry = own.limit(expiry);
            let shown = permissions.named(root);
            let entry = TokenEntry {
                expiry,
                created_by: recorded_token(new.by),
                created_by_user: recorded_user(new.by),
                public_key: credential.public_key,
                ..entry(new.name, credential.hash.clone(), permissions, now)
            };
            let id = root.tokens.add(entry.clone())?;
            if entry.permissions.is_admin() {
                root.rotate_cluster_secret(&cluster_secret, now);
            }
            root.note(now, action, new.name, Some(shown));
            Ok((true, (id, entry)))
        })
        .await
    }

    /// Revokes a token. A caller that is not an administrator needs `token:*:delete`, and cannot revoke a token with
    /// permissions that it does not have. Tokens that it created stay. `by` as for
    /// [`regenerate_admin_token`](Self::regenerate_admin_token).
    ///
    /// # Errors
    /// `OperatorToken`, `NotFound`, `Revoked`, `Forbidden`, or an error of the commit.
    pub async fn delete_token(&self, name: &str, by: Option<Actor>) -> Result<(), CatalogError> {
        self.revoke(name, RevocationScope::Token, by).await?;
        Ok(())
    }

    /// Revokes a token, the tokens that it created, and those that they created, in one commit. Returns their names.
    /// A caller that is not an administrator needs the permissions of all of them; otherwise none is revoked. `by` as
    /// for [`regenerate_admin_token`](Self::regenerate_admin_token).
    ///
    /// # Errors
    /// Same as [`delete_token`](Self::delete_token).
    pub async fn delete_token_and_created(
        &self,
        name: &str,
        by: Option<Actor>,
    ) -> Result<Vec<String>, CatalogError> {
        self.revoke(name, RevocationScope::TokenAndCreated, by).await
    }

    async fn revoke(
        &self,
        name: &str,
        scope: RevocationScope,
        by: Option<Actor>,
    ) -> Result<Vec<String>, CatalogError> {
        self.change_root(|root| {
            let now = self.now()?;
            let own = root.caller_permissions(by, now)?;
            if !own.permissions.allow_tokens(TokenAction::Delete) {
                return Err(CatalogError::Forbidden);
            }
            if name == OPERATOR_TOKEN_NAME {
                return Err(CatalogError::OperatorToken);
            }
            let (id, _) = root.tokens.by_name(name).ok_or_else(|| not_found(name))?;
            let ids = match scope {
                RevocationScope::Token => BTreeSet::from([id]),
                RevocationScope::TokenAndCreated => root.tokens.descendants(id),
            };
            let entries = || ids.iter().filter_map(|id| root.tokens.entries().get(id));
            if !entries().all(|entry| own.permissions.cover(&entry.permissions)) {
                return Err(CatalogError::Forbidden);
            }
            let names: Vec<String> = entries().map(|entry| entry.name.clone()).collect();
            for id in &ids {
                root.tokens.remove(*id);
            }
            let created: Vec<_> = names.iter().skip(1).map(String::as_str).collect();
            let detail = (!created.is_empty())
                .then(|| format!("and {} that it created: {}", created.len(), created.join(", ")));
            root.note(now, "delete token", name, detail);
            Ok((true, names))
        })
        .await
    }
}

/// The tokens that a revocation removes.
#[derive(Clone, Copy, Debug)]
enum RevocationScope {
    /// The named token.
    Token,
    /// The named token, and all that originate from it.
    TokenAndCreated,
}

/// The part of a new token that proves a client's identity.
struct Credential {
    hash: TokenHash,
    public_key: Option<ClientPublicKey>,
}

/// The parameters that all new tokens have.
struct TokenParameters<'a> {
    name: &'a str,
    lifetime: Option<Duration>,
    by: Option<Actor>,
}

/// The permissions of a caller, and their expiry.
pub(crate) struct CallerPermissions {
    pub(crate) permissions: Permissions,
    expiry: Option<StoreTime>,
}

impl CallerPermissions {
    /// Returns the expiry of a token or user that the caller creates. It is limited to the expiry of the caller, unless
    /// that is an administrator.
    pub(crate) fn limit(&self, wanted: Option<StoreTime>) -> Option<StoreTime> {
        match (self.expiry, wanted) {
            (Some(own), wanted) if !self.permissions.is_admin() => {
                Some(wanted.map_or(own, |wanted| wanted.min(own)))
            }
            (_, wanted) => wanted,
        }
    }
}

impl RootCatalog {
    /// Returns the permissions of a caller in this value of the catalog; without a token, those of an administrator.
    pub(crate) fn caller_permissions(
        &self,
        by: Option<Actor>,
        now: StoreTime,
    ) -> Result<CallerPermissions, CatalogError> {
        let found = match by {
            None => Some((Permissions::Admin, None)),
            Some(Actor::Token(id)) => {
                let entry = self.tokens().get(&id).filter(|entry| entry.is_active(now));
                entry.map(|entry| {
                    let permissions = entry.permissions.with_policies(&self.policies());
                    (permissions, entry.expiry)
                })
            }
            Some(Actor::User(id)) => {
                let user = self.users().get(&id).filter(|user| user.is_active(now));
                user.map(|user| (self.user_permissions(user), user.expiry))
            }
        };
        let (permissions, expiry) = found.ok_or(CatalogError::Revoked)?;
        Ok(CallerPermissions { permissions, expiry })
    }

    pub(crate) fn add_operator_token(
        &mut self,
        hash: TokenHash,
        now: StoreTime,
    ) -> Result<TokenEntry, CatalogError> {
        let entry = entry(OPERATOR_TOKEN_NAME, hash, Permissions::Admin, now);
        self.tokens.add_operator(entry.clone())?;
        Ok(entry)
    }
}

fn require_admin(permissions: &Permissions) -> Result<(), CatalogError> {
    match permissions {
        Permissions::Admin => Ok(()),
        Permissions::Of(_) => Err(CatalogError::Forbidden),
    }
}

/// Returns the token to record as author of a change: as in InfluxDB 3, the operator token is not recorded.
fn recorded_token(by: Option<Actor>) -> Option<TokenId> {
    match by {
        Some(Actor::Token(id)) if id != TokenId::OPERATOR => Some(id),
        _ => None,
    }
}

/// Returns the user to record as author of a change.
fn recorded_user(by: Option<Actor>) -> Option<UserId> {
    match by {
        Some(Actor::User(id)) => Some(id),
        _ => None,
    }
}

fn entry(name: &str, hash: TokenHash, permissions: Permissions, now: StoreTime) -> TokenEntry {
    TokenEntry {
        name: name.to_owned(),
        hash,
        public_key: None,
        permissions,
        created: now,
        expiry: None,
        created_by: None,
        created_by_user: None,
        inherited_by: None,
        updated: None,
        updated_by: None,
        description: None,
    }
}

fn not_found(name: &str) -> CatalogError {
    let name = name.to_owned();
    CatalogError::NotFound { name }
}
