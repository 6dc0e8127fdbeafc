//! A read-only catalog of published tables, by the REST catalog specification of Apache Iceberg.
//!
//! ```text
//!   reader                                       this crate                     store
//!     |-- GET /iceberg/v1/config ------------------> |
//!     |-- GET /iceberg/v1/namespaces --------------> |-- GET catalog -------->  |   databases that the caller may read
//!     |-- GET …/namespaces/{database}/tables ------> |-- GET manifest ------->  |   tables with a publication
//!     |-- GET …/tables/{table} --------------------> |-- GET version hint --->  |   the newest publication
//!     |                                              |-- GET metadata ------->  |
//!     |-- GET list of files, data files ------------------------------------->  |   with credentials of the reader
//! ```
//!
//! A namespace is a database. All requests require the permission to read it. The layers around all routes turn errors on
//! these paths into those of the specification.

mod catalog;
mod client_defaults;
mod routes;
#[cfg(test)]
mod tests;

pub use routes::router;
