//! HTTP requests become events, and what functions answer becomes HTTP responses.
//!
//! [`Routes`] says which function a request goes to; [`EventKind`] which of the services that AWS has for this
//! the gateway stands for.

mod answer;
mod event;
mod kind;
mod routes;
mod server;

pub use self::{kind::EventKind, routes::Routes, server::Gateway};
