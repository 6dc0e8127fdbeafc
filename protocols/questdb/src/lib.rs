//! QuestDB's line protocol over TCP, and the HTTP endpoints that its clients and web tools use.
//!
//! ```text
//!   TCP, TLS ── handshake ── ReceiveBuffer ── whole lines ──┐
//!                challenge, signature                       ├── WriteService
//!   POST /imp ── multipart ── CSV ── record batches ────────┘
//!   GET /exec ── statement ─┬─ QueryEngine ── rows ── JSON of QuestDB
//!                           └─ ChangeExecutor: INSERT, CREATE TABLE, …
//! ```
//!
//! A client over TCP gets no answers. If a line is refused, the lines before it are stored and the connection is closed;
//! the reason is in the log and in the metric `neap_questdb_connections_closed_total`.
//!
//! | item | purpose |
//! |---|---|
//! | [`QuestDbListener`] | accepts connections; bind it and spawn [`QuestDbListener::serve`] |
//! | [`router`] | the routes `/exec` and `/imp`, to merge with those of the functions |
//!
//! QuestDB's line protocol over HTTP, `/write` and `/settings`, is in the write function.

mod batch_writer;
mod close_reason;
mod column_types;
mod connection;
mod connection_access;
mod exec;
mod handshake;
mod import;
mod line_scanner;
mod listener;
mod metrics;
mod receive_buffer;
mod routes;
mod signature;
#[cfg(test)]
mod tests;

pub use connection_access::KeyPolicy;
pub use listener::{QuestDbListener, QuestDbParts, QuestDbSettings};
pub use routes::{QuestDbRoutes, router};
