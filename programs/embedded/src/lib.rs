//! Queries and writes of a Neap database without a server: the query and the write function in this process, over a
//! directory or a bucket.
//!
//! ```
//! use futures::TryStreamExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let location = folder.path().display().to_string();
//! let garden = neapdb::connect(&location).await?;
//! garden.write_lines("soil,bed=herbs moisture=38.5\nsoil,bed=roses moisture=51").await?;
//! let rows = garden.sql("SELECT bed, moisture FROM soil WHERE moisture > 40").await?;
//! let batches: Vec<_> = rows.batches.try_collect().await?;
//! assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! A [`Connection`] gives the guarantees of a process of `neap serve --mode query,ingest`: a write returns when its rows
//! are in the store, each query sees all writes that any process was acknowledged before, and any number of processes
//! may use the store at once. It has no background work. Rows become Parquet when `neap compact` or a process of `neap
//! serve --mode compact` flushes them; writes are refused while the unflushed tail is too long.
//!
//! | item | purpose |
//! |---|---|
//! | [`connect`], [`ConnectOptions`] | open a store |
//! | [`Connection`] | runs statements and stores rows |
//! | [`TableWrite`] | the table of record batches, its tags and its time column |
//! | [`Error`] | errors, and whether a repetition may succeed |
//!
//! Everything runs on the Tokio runtime that `connect` is called on, and on threads for queries. The runtime must live
//! as long as the connection and its rows.

mod connect;
mod connection;
mod error;
mod table_write;
#[cfg(test)]
mod tests;

pub use connect::{ConnectOptions, DEFAULT_DATABASE, connect};
pub use connection::Connection;
pub use error::Error;
pub use neap_bucket::{AwsConfig, Stamp, StoreConfig};
pub use neap_query::{BatchStream, Parameters, QueryError, Rows};
pub use neap_rows::columnar::{ColumnMapping, TagColumns, TimeColumn};
pub use neap_write::{AcceptedWrite, DuplicateRows};
pub use table_write::{TableWrite, WrittenRows};
