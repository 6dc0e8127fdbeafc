//! Arrow Flight and Flight SQL over the query and the write function.
//!
//! ```text
//!   POST /arrow.flight.protocol.FlightService/{method}, gRPC over HTTP/2 on the port of all other routes
//!     DoGet           ticket: JSON or ReadInfo (InfluxDB's clients), or a Flight SQL command ──► rows as Arrow IPC
//!     GetFlightInfo   Flight SQL command ──► schema and ticket
//!     DoPut           record batches of a table ──► write; values of placeholders ──► updated handle; INSERT, CREATE, DROP
//!     DoAction        prepared statements, cancellation
//! ```
//!
//! The service keeps no state of clients: a ticket and the handle of a prepared statement contain the statement and
//! the values of its placeholders, so that any process can execute them. Only running queries are registered, so that
//! they can be cancelled.
//!
//! The layers of `neap-http` authenticate requests before they come here, and turn their own errors into statuses of
//! gRPC. Schemas, metadata and errors are those of InfluxDB 3.

mod cancellable_queries;
mod catalog_commands;
mod changes;
mod command;
mod ingest;
mod keep_alive;
mod message_check;
mod message_limits;
mod message_stream;
mod prepared;
mod request_metadata;
mod row_stream;
mod server_info;
mod service;
mod statement_handle;
mod status;
mod ticket;
mod upload;

pub use service::{FlightParts, router};
