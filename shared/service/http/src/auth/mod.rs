//! Authentication and authorization.
//!
//! ```text
//!   request ── credential ── authenticator ── attempts ── policy ── Caller ── handler: once the database is known
//!              400            503               401, 429     403                  403
//! ```
//!
//! Tokens, users and sessions are in the root catalog, which writes and queries read anyway. A token or session that
//! another instance ended is accepted until the root catalog is read again: for at most [`AuthSettings::max_age`].

mod attempt_limit;
mod authenticator;
mod caller;
mod credential;
mod error_answers;
mod layer;
mod policy;
mod web_page;

pub use authenticator::{AccessControl, AuthSettings, Authenticator};
pub use caller::Caller;
pub use credential::presented_token;
pub(crate) use layer::{AdmittedRequest, admit, check_route};
pub use policy::ExemptEndpoint;
pub(crate) use policy::is_for_own_pages;
pub use web_page::refuse_web_pages;

use std::net::SocketAddr;

/// The remote address of the connection of a request. The code that accepts the connection stores it in the request's
/// extensions. If it is missing, the address is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

#[cfg(test)]
mod tests;
