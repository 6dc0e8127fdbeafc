//! The HTTP gateway: converts HTTP requests to events, and the responses of functions to HTTP responses.
//!
//! [`GatewayRoutes`] selects the function for a request. [`GatewayKind`] selects the emulated AWS gateway.

mod event;
mod kind;
mod response;
mod routes;
mod server;

pub use self::{kind::GatewayKind, routes::GatewayRoutes, server::Gateway};
