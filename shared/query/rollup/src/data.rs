//! The interface to the rows of views.

use arrow::array::RecordBatch;
use async_trait::async_trait;
use neap_bucket::{ClockReading, Stamp};
use neap_catalog::MaterializedView;
use neap_manifest::TimeRange;
use neap_schema::{DatabaseId, TableId};

/// Rows of a view. All batches are in the form of [`normalize`](crate::normalize).
#[derive(Clone, Debug, Default)]
pub struct ViewRows {
    /// The names of the columns that are tags.
    pub tags: Vec<String>,
    /// The rows.
    pub batches: Vec<RecordBatch>,
}

/// The outcome of a write of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredViewRows {
    /// The stamp of the rows.
    pub stamp: Option<Stamp>,
    /// The table that has them.
    pub table: Option<TableId>,
}

/// The rows of a view can't be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewDataError {
    /// The rows exceed the limit of memory, rows or time. Fewer windows may have fewer rows.
    #[error("the rows of a window need too much memory or time")]
    TooLarge,
    /// The requested state of the source can't be read, because a flush has replaced it.
    #[error("the source was flushed meanwhile")]
    Replaced,
    /// Another failure. A write has no effect.
    #[error("{0}")]
    Failed(String),
    /// A write failed, but may still take effect.
    #[error("{0}")]
    Unknown(String),
}

/// Computes, reads and writes the rows of views.
#[async_trait]
pub trait ViewData: Send + Sync {
    /// Returns the rows of the query of a view for a range of whole windows, as of a low-water mark of the source.
    async fn compute(
        &self,
        view: &MaterializedView,
        windows: TimeRange,
        as_of: Stamp,
    ) -> Result<ViewRows, ViewDataError>;

    /// Returns the stored rows of a view in a range of times, including all rows that were acknowledged before.
    async fn read(
        &self,
        view: &MaterializedView,
        times: TimeRange,
    ) -> Result<ViewRows, ViewDataError>;

    /// Returns the database of the table of a view.
    async fn target_database(&self, view: &MaterializedView) -> Result<DatabaseId, ViewDataError>;

    /// Returns the bounds of the times of all stored rows of a view; `None` if there are none.
    async fn bounds(&self, view: &MaterializedView) -> Result<Option<TimeRange>, ViewDataError>;

    /// Deletes the stored rows of a view in ranges of times, for a request that arrived at `arrived`, after the stamp
    /// `after`. Returns the stamp of the delete; `None` if the table does not exist.
    async fn delete(
        &self,
        view: &MaterializedView,
        times: &[TimeRange],
        arrived: ClockReading,
        after: Option<Stamp>,
    ) -> Result<Option<Stamp>, ViewDataError>;

    /// Stores rows of a view, for a request that arrived at `arrived`, after the stamp `after`.
    async fn store(
        &self,
        view: &MaterializedView,
        rows: &ViewRows,
        arrived: ClockReading,
        after: Option<Stamp>,
    ) -> Result<StoredViewRows, ViewDataError>;
}
