//! A `COPY` statement whose query has started.

use arrow::datatypes::SchemaRef;
use datafusion::execution::memory_pool::MemoryReservation;

use super::CopyTarget;

/// A `COPY` statement whose query has started.
#[derive(Debug)]
pub(crate) struct StartedCopy {
    /// The columns of the rows.
    pub(crate) schema: SchemaRef,
    /// The file.
    pub(crate) target: CopyTarget,
    /// The memory of the encoder, in the pool of queries.
    pub(crate) memory: MemoryReservation,
}
