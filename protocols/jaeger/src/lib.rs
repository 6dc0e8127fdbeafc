//! The query interface of Jaeger over the spans of OpenTelemetry, for Grafana's data source and for Jaeger's page.
//!
//! ```text
//!   client                              this crate                         query function
//!     |-- GET /api/services ------------> |-- names of services ------------> |
//!     |-- GET /api/operations ----------> |-- names of spans ---------------> |
//!     |-- GET /api/traces --------------> |-- traces with a matching span --> |
//!     |                                   |-- their events and spans -------> |
//!     |-- GET /api/traces/{trace} ------> |-- events and spans -------------> |
//! ```
//!
//! The spans are in the table `spans` of the database, and their events and log records in the table `logs`. All requests
//! require the permission to read the database.

mod routes;
mod search;
mod span_batch;
mod span_reader;
mod statements;
mod trace_set;

pub use routes::router;
