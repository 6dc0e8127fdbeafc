//! The password of a client: a token, or the password of a user.

use std::{net::IpAddr, sync::Arc, time::Duration};

use neap_bucket::World;
use neap_catalog::SecretToken;
use neap_http::{AccessControl, Caller, ClientNetwork, Kind};
use neap_identity::{IdentityError, IdentityService, TokenPair};
use neap_sql_changes::{SqlError, SqlState};

/// The time before the end of an access token at which the session is renewed.
const RENEWAL_MARGIN: Duration = Duration::from_secs(30);

/// The components that check passwords. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct CredentialChecker {
    pub(crate) access: AccessControl,
    /// Signs users in; `None`: the password must be a token.
    pub(crate) identity: Option<Arc<IdentityService>>,
    pub(crate) world: World,
}

/// What a connection proves with each statement.
#[derive(derive_more::Debug)]
pub(crate) enum Credential {
    /// The server has no authentication.
    Open,
    /// A token.
    #[debug("Token")]
    Token(SecretToken),
    /// The session of a user.
    #[debug("Session")]
    Session(Box<UserSession>),
}

/// The session of a user, which the connection renews.
pub(crate) struct UserSession {
    access: SecretToken,
    refresh: String,
    /// When to renew the session, by the monotonic clock.
    renewed_at: Duration,
}

impl CredentialChecker {
    /// Whether clients need a password.
    pub(crate) fn needs_password(&self) -> bool {
        matches!(self.access, AccessControl::Tokens(_))
    }

    /// Returns the sender with this password. The password of a user is tried if the password is no token.
    ///
    /// # Errors
    /// The password is wrong, or it can't be checked.
    pub(crate) async fn check(
        &self,
        user: &str,
        password: &str,
        address: IpAddr,
    ) -> Result<(Caller, Credential), SqlError> {
        let AccessControl::Tokens(authenticator) = &self.access else {
            return Ok((Caller::unrestricted(), Credential::Open));
        };
        let token = SecretToken::new(password);
        let users = self.identity.as_ref().filter(|users| users.allows_passwords());
        if let Some(users) = users
            && !authenticator.is_token(&token).await?
        {
            let network = ClientNetwork::from_address(Some(address)).to_string();
            let tokens = users.sign_in(user, password, &network).await.map_err(sign_in_error)?;
            let session = self.session(tokens);
            let caller = authenticator.token_caller(&session.access, Some(address)).await?;
            return Ok((caller, Credential::Session(Box::new(session))));
        }
        match authenticator.token_caller(&token, Some(address)).await {
            Ok(caller) => Ok((caller, Credential::Token(token))),
            Err(error) if error.kind() == Kind::Unauthenticated => Err(wrong_password(user)),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the sender for the next statement. A token or session may have ended, or may have other permissions.
    ///
    /// # Errors
    /// The credential is not valid any more, or it can't be checked.
    pub(crate) async fn renew(
        &self,
        credential: &mut Credential,
        address: IpAddr,
    ) -> Result<Caller, SqlError> {
        let AccessControl::Tokens(authenticator) = &self.access else {
            return Ok(Caller::unrestricted());
        };
        let token = match credential {
            Credential::Open => return Ok(Caller::unrestricted()),
            Credential::Token(token) => &*token,
            Credential::Session(session) => {
                if self.world.clock.monotonic() >= session.renewed_at
                    && let Some(users) = &self.identity
                {
                    let network = ClientNetwork::from_address(Some(address)).to_string();
                    let renewed = users.refresh(&session.refresh, &network).await;
                    **session = self.session(renewed.map_err(sign_in_error)?);
                }
                &session.access
            }
        };
        Ok(authenticator.token_caller(token, Some(address)).await?)
    }

    /// Ends the session of a user. Called when the connection ends.
    pub(crate) async fn sign_out(&self, caller: &Caller) {
        if let (Some(users), Some(session)) = (&self.identity, caller.session())
            && let Err(error) = users.sign_out(session).await
        {
            tracing::debug!(%error, "the session of a connection was not ended");
        }
    }

    fn session(&self, tokens: TokenPair) -> UserSession {
        let lifetime = Duration::from_secs(tokens.expires_in).saturating_sub(RENEWAL_MARGIN);
        UserSession {
            access: SecretToken::new(tokens.access_token),
            refresh: tokens.refresh_token,
            renewed_at: self.world.clock.monotonic().saturating_add(lifetime),
        }
    }
}

fn wrong_password(user: &str) -> SqlError {
    let message = format!("password authentication failed for user \"{user}\"");
    let hint = "The password is a token, or the password of a user.";
    SqlError::new(SqlState::INVALID_PASSWORD, message).with_hint(hint)
}

fn sign_in_error(error: IdentityError) -> SqlError {
    let state = match &error {
        IdentityError::Busy | IdentityError::Catalog(_) => SqlState::UNAVAILABLE,
        _ => SqlState::INVALID_PASSWORD,
    };
    SqlError::new(state, error.to_string())
}
