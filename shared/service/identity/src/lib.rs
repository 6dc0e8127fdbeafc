//! Sign-in of users: passwords, the tokens of sessions, and identity providers.
//!
//! ```text
//!   name, password ── argon2id ──┐
//!                                ├── session in the root catalog ── access token, refresh token (JWT)
//!   token of a provider (OIDC) ──┘                                       │
//!                                                                        ▼
//!   request ── verify_access_token: signature, expiry, session in the cached root catalog ── user
//! ```
//!
//! The token of a provider is exchanged for a session once, so that no request waits for the provider. A request with
//! an access token takes no request to the store beyond those that any token takes.
//!
//! | item | description |
//! |---|---|
//! | [`IdentityService`] | signs users in and out |
//! | [`is_access_token`], [`verify_access_token`] | the form, and the user and session of an access token |
//! | [`IdentityOptions`] | the options of the programs |
//! | [`RateLimit`], [`RateUsage`], [`RecentKeys`] | rate limits of attempts by key, in bounded memory |

mod claims;
mod error;
mod jws;
mod key_file;
mod limits;
mod oidc;
mod options;
mod passwords;
mod rate_limit;
mod service;
mod session_token;
mod settings;
mod sign_in_limit;
#[cfg(test)]
mod tests;

pub use error::IdentityError;
pub use limits::{MAX_PASSWORD_BYTES, MIN_PASSWORD_BYTES};
pub use oidc::{AuthorizationCode, ProviderDescription};
pub use options::{IdentityOptions, UserAuthType};
pub use rate_limit::{RateLimit, RateUsage, RecentKeys};
pub use service::{IdentityService, TokenPair};
pub use session_token::{SessionUser, TokenRejection, is_access_token, verify_access_token};
pub use settings::{IdentitySettings, OidcSettings, PasswordCost, SettingsError};
