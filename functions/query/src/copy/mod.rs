//! `COPY (query) TO 'name'`: writes the rows of a query as one file into `exports/` of the bucket.
//!
//! ```text
//!   statement.rs   COPY -> the plan of the query, and a CopyTarget
//!   the query runs as any other: snapshot, permit, timeout, memory, log
//!   export.rs      rows -> encoder.rs on the query threads -> upload on the I/O runtime -> one row
//! ```
//!
//! The file appears whole or not at all. DataFusion's own `COPY` is not used, because its sinks write through an object
//! store that knows neither the keys of a cluster nor conditional puts.

mod encoder;
mod error;
mod export;
mod memory;
mod started_copy;
mod statement;
mod target;

pub(crate) use self::{
    encoder::FileEncoder,
    export::copied_schema,
    started_copy::StartedCopy,
    statement::{is_copy, plan_copy},
    target::{CopyFormat, CopyTarget},
};
pub use error::CopyError;

#[cfg(test)]
mod tests;
