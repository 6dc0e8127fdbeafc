//! Tests of the resources over HTTP, on a server that requires tokens.

mod authorizations;
mod buckets;
mod organizations;
mod server;
mod setup;
