//! The HTTP gateway: converts HTTP requests to events, and the responses of functions to HTTP responses.
//!
//! [`Routes`] selects the function for a request. [`EventKind`] selects the emulated AWS gateway.

mod answer;
mod event;
mod kind;
mod routes;
mod server;

pub use self::{kind::EventKind, routes::Routes, server::Gateway};
