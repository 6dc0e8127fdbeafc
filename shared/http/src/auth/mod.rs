//! Who may do what.
//!
//! ```text
//!   request ── credential ── authenticator ── attempts ── policy ── Caller ── handler: once the database is known
//!              400            503               401, 429     403                  403
//! ```
//!
//! Tokens are in the root catalog, which writes and queries read anyway. What is revoked elsewhere counts here
//! until the root catalog is read again: at most [`AuthSettings::max_age`].

mod answers;
mod attempts;
mod authenticator;
mod caller;
mod credential;
mod layer;
mod policy;
mod web_page;

pub use authenticator::{Access, AuthSettings, Authenticator, Unguarded};
pub use caller::Caller;
pub(crate) use layer::{Admitted, admit, check_route};
pub(crate) use policy::is_about_tokens;
pub use web_page::refuse_web_pages;

use std::net::SocketAddr;

/// The other end of the connection that a request came by: left in its extensions by whoever takes the
/// connection. Where it is missing, the address is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

#[cfg(test)]
mod tests;
