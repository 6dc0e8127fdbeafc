//! The endpoints of InfluxDB 3 Enterprise that export tables as Parquet files, by days.
//!
//! ```text
//!   routes.rs    databases, tables, windows (days in UTC that have rows), window_data
//!   windows.rs   the days of a table: from the times of sections and segments, and a query where these leave gaps
//!   archive.rs   one query for each window -> Parquet files of bounded size -> a tar stream
//! ```
//!
//! Each window is a query of its own, with a permit, the time limit and the memory of a query. InfluxDB 3 exports only
//! compacted data; here an export has all acknowledged rows.

mod archive;
mod routes;
mod windows;

pub use routes::export_router;
