//! Tests over HTTP, with the routes of remote write, in a memory store.

mod exemplars;
mod lists;
mod queries;
mod remote_read;
mod server;

use server::TestServer;
