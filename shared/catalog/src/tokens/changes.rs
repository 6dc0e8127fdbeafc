//! Creating, replacing and revoking tokens: each is one commit to the root catalog.
//!
//! Whoever does it is judged by the very value that the commit replaces: a token that was revoked elsewhere a
//! moment ago, and that an instance still takes for good, can't make itself a successor.

use std::time::Duration;

use neap_bucket::StoreTime;

use super::{
    OPERATOR_TOKEN_NAME, PermissionRequest, Permissions, SecretToken, TokenAction, TokenEntry,
    TokenHash, TokenId, generate_token, grammar::resolve,
};
use crate::{ANY_AGE, Catalog, CatalogError, RootCatalog};

/// A token that was just made, in clear text for the last time.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Its id.
    pub id: TokenId,
    /// What is kept of it.
    pub entry: TokenEntry,
    /// The token itself.
    pub secret: SecretToken,
}

/// What a longer lifetime of a token is cut to: a thousand years, which every client can show.
const MAX_LIFETIME: Duration = Duration::from_secs(1_000 * 365 * 86_400);

impl Catalog {
    /// Creates the operator token, `_admin`. Anybody may try, so that a refusal costs no request: a token that was
    /// there once is there for ever.
    ///
    /// # Errors
    /// `TokenExists` when there is one, and what a commit can end with.
    pub async fn create_admin_token(&self) -> Result<NewToken, CatalogError> {
        let known = self.root(ANY_AGE).await?;
        if known.value.tokens().contains_key(&TokenId::OPERATOR) {
            let name = OPERATOR_TOKEN_NAME.to_owned();
            return Err(CatalogError::TokenExists { name });
        }
        let secret = generate_token(self.bucket.world());
        let hash = secret.hash();
        let entry = self
            .change_root(|root| {
                let now = self.now()?;
                let entry = entry(OPERATOR_TOKEN_NAME, hash.clone(), Permissions::Admin, now);
                root.tokens.add_operator(entry.clone())?;
                root.note(now, "create token", OPERATOR_TOKEN_NAME, None);
                Ok((true, entry))
            })
            .await?;
        Ok(NewToken {
            id: TokenId::OPERATOR,
            entry,
            secret,
        })
    }

    /// Takes an operator token over whose hash was made elsewhere, unless there is an administrator already;
    /// whether it was taken.
    ///
    /// # Errors
    /// What a commit can end with.
    pub async fn install_admin_token(
        &self,
        hash: TokenHash,
        expiry: Option<StoreTime>,
    ) -> Result<bool, CatalogError> {
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
            root.note(now, "install token", OPERATOR_TOKEN_NAME, None);
            Ok((true, true))
        })
        .await
    }

    /// Gives the operator token another value; the old one counts no more. `by` is the token of whoever does
    /// it; `None`: somebody whom no token speaks for, at the store or before a server that asks for none.
    ///
    /// # Errors
    /// `NotFound` when there is none, `Revoked`, `Forbidden`, and what a commit can end with.
    pub async fn regenerate_admin_token(
        &self,
        by: Option<TokenId>,
    ) -> Result<NewToken, CatalogError> {
        let secret = generate_token(self.bucket.world());
        let hash = secret.hash();
        let entry = self
            .change_root(|root| {
                let now = self.now()?;
                require_admin(&root.granted_to(by, now)?.permissions)?;
                let replaced = root.tokens.replace_operator(hash.clone(), now, noted(by));
                let entry = replaced.ok_or_else(|| not_found(OPERATOR_TOKEN_NAME))?;
                root.note(now, "regenerate token", OPERATOR_TOKEN_NAME, None);
                Ok((true, entry))
            })
            .await?;
        Ok(NewToken {
            id: TokenId::OPERATOR,
            entry,
            secret,
        })
    }

    /// Creates another token that may do everything, for `lifetime` or for ever. `by` as for
    /// [`regenerate_admin_token`](Self::regenerate_admin_token).
    ///
    /// # Errors
    /// `TokenExists`, `TokenNameTooLong`, `TooManyTokens`, `Revoked`, `Forbidden`, and what a commit can end
    /// with.
    pub async fn create_named_admin(
        &self,
        name: &str,
        lifetime: Option<Duration>,
        by: Option<TokenId>,
    ) -> Result<NewToken, CatalogError> {
        let new = New { name, lifetime, by };
        self.create_token(new, |_| Ok(Permissions::Admin)).await
    }

    /// Creates a token with these permissions, for `lifetime` or for ever. Who is no administrator needs
    /// `token:*:create`, and gives away no more than they have, for no longer than they have it. `by` as for
    /// [`regenerate_admin_token`](Self::regenerate_admin_token).
    ///
    /// # Errors
    /// `Permission`, `NotFound` when a database does not exist, `TokenExists`, `TokenNameTooLong`,
    /// `TooManyTokens`, `Revoked`, `Forbidden`, and what a commit can end with.
    pub async fn create_resource_token(
        &self,
        name: &str,
        permissions: &[PermissionRequest],
        lifetime: Option<Duration>,
        by: Option<TokenId>,
    ) -> Result<NewToken, CatalogError> {
        let new = New { name, lifetime, by };
        let wanted = |root: &RootCatalog| resolve(permissions, root);
        self.create_token(new, wanted).await
    }

    async fn create_token(
        &self,
        new: New<'_>,
        permissions: impl Fn(&RootCatalog) -> Result<Permissions, CatalogError>,
    ) -> Result<NewToken, CatalogError> {
        let secret = generate_token(self.bucket.world());
        let hash = secret.hash();
        let (id, entry) = self
            .change_root(|root| {
                let now = self.now()?;
                let own = root.granted_to(new.by, now)?;
                let permissions = permissions(root)?;
                let may = own.permissions.allow_tokens(TokenAction::Create);
                if !may || !own.permissions.cover(&permissions) {
                    return Err(CatalogError::Forbidden);
                }
                let expiry = new.lifetime.map(|it| now.plus(it.min(MAX_LIFETIME)));
                let expiry = own.limit(expiry);
                let shown = permissions.named(root);
                let entry = TokenEntry {
                    expiry,
                    created_by: noted(new.by),
                    ..entry(new.name, hash.clone(), permissions, now)
                };
                let id = root.tokens.add(entry.clone())?;
                root.note(now, "create token", new.name, Some(shown));
                Ok((true, (id, entry)))
            })
            .await?;
        Ok(NewToken { id, entry, secret })
    }

    /// Revokes a token. Who is no administrator needs `token:*:delete`, and revokes no token that may do
    /// more than their own. Those that the token has created stay. `by` as for [`regenerate_admin_token`](Self::regenerate_admin_token).
    ///
    /// # Errors
    /// `OperatorToken`, `NotFound`, `Revoked`, `Forbidden`, and what a commit can end with.
    pub async fn delete_token(&self, name: &str, by: Option<TokenId>) -> Result<(), CatalogError> {
        self.change_root(|root| {
            let now = self.now()?;
            let own = root.granted_to(by, now)?;
            if !own.permissions.allow_tokens(TokenAction::Delete) {
                return Err(CatalogError::Forbidden);
            }
            if name == OPERATOR_TOKEN_NAME {
                return Err(CatalogError::OperatorToken);
            }
            let (id, entry) = root.tokens.by_name(name).ok_or_else(|| not_found(name))?;
            if !own.permissions.cover(&entry.permissions) {
                return Err(CatalogError::Forbidden);
            }
            root.tokens.remove(id);
            root.note(now, "delete token", name, None);
            Ok((true, ()))
        })
        .await
    }
}

/// What is the same in all new tokens.
struct New<'a> {
    name: &'a str,
    lifetime: Option<Duration>,
    by: Option<TokenId>,
}

/// What somebody may do, and until when.
struct Granted {
    permissions: Permissions,
    expiry: Option<StoreTime>,
}

impl Granted {
    /// The expiry of what they give away: who is no administrator makes nothing that outlives their own token.
    fn limit(&self, wanted: Option<StoreTime>) -> Option<StoreTime> {
        match (self.expiry, wanted) {
            (Some(own), wanted) if !self.permissions.is_admin() => {
                Some(wanted.map_or(own, |wanted| wanted.min(own)))
            }
            (_, wanted) => wanted,
        }
    }
}

impl RootCatalog {
    /// What a token may do by this very value; everything without one.
    fn granted_to(&self, token: Option<TokenId>, now: StoreTime) -> Result<Granted, CatalogError> {
        let Some(token) = token else {
            return Ok(Granted {
                permissions: Permissions::Admin,
                expiry: None,
            });
        };
        let entry = self.tokens().get(&token);
        let entry = entry.filter(|entry| entry.is_active(now));
        let entry = entry.ok_or(CatalogError::Revoked)?;
        Ok(Granted {
            permissions: entry.permissions.clone(),
            expiry: entry.expiry,
        })
    }
}

fn require_admin(permissions: &Permissions) -> Result<(), CatalogError> {
    match permissions {
        Permissions::Admin => Ok(()),
        Permissions::Of(_) => Err(CatalogError::Forbidden),
    }
}

/// What is written down of the token that does something: as in InfluxDB 3, nothing of the operator's.
fn noted(by: Option<TokenId>) -> Option<TokenId> {
    by.filter(|id| *id != TokenId::OPERATOR)
}

fn entry(name: &str, hash: TokenHash, permissions: Permissions, now: StoreTime) -> TokenEntry {
    TokenEntry {
        name: name.to_owned(),
        hash,
        permissions,
        created: now,
        expiry: None,
        created_by: None,
        updated: None,
        updated_by: None,
        description: None,
    }
}

fn not_found(name: &str) -> CatalogError {
    let name = name.to_owned();
    CatalogError::NotFound { name }
}
