//! What a query reads of a cache: both layers, and what of them is wanted.

use std::{fmt, sync::Arc};

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    compute::cast,
    datatypes::SchemaRef,
    error::ArrowError,
};
use datafusion::{common::Result, error::DataFusionError};
use neap_cache::{CacheError, KeyFilter, Layer, Shape, Wanted};

use super::{bases::in_background, filters::is_lookup};
use crate::scan::external;

/// Contents up to this size are looked through without moving to another thread.
const SMALL_BYTES: usize = 256 << 10;

/// What sections and tail have of a cache, and which of it is wanted.
pub(super) struct Contents {
    /// What the cache holds.
    pub(super) shape: Shape,
    /// What is kept of the sections.
    pub(super) base: Layer,
    /// What is kept of the tail, if it has rows.
    pub(super) newer: Option<Layer>,
    /// Which keys are wanted.
    pub(super) filters: Vec<KeyFilter>,
    /// The time of the first rows.
    pub(super) from: i64,
    /// The most rows of a key, if fewer than are kept.
    pub(super) count: Option<usize>,
    /// The most rows.
    pub(super) limit: Option<usize>,
    /// The wanted columns as they are kept.
    pub(super) projection: Vec<usize>,
    /// The wanted columns as they are shown.
    pub(super) schema: SchemaRef,
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contents").finish_non_exhaustive()
    }
}

impl Contents {
    /// The rows.
    pub(super) async fn rows(self: &Arc<Self>) -> Result<RecordBatch> {
        self.looked_through(Self::selected).await?
    }

    /// Whether nothing that counts was cut off because the cache is full.
    pub(super) async fn is_complete(self: &Arc<Self>) -> Result<bool> {
        let is_complete = |contents: &Self| {
            let Self { base, newer, .. } = contents;
            base.is_complete(&contents.shape, newer.as_ref(), contents.from)
        };
        self.looked_through(is_complete).await?.map_err(external)
    }

    /// What a look at the layers gives, on a thread that may be held up unless that takes so short that any may be.
    async fn looked_through<T: Send + 'static>(
        self: &Arc<Self>,
        look: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T> {
        let bytes = self.base.size_bytes() + self.newer.as_ref().map_or(0, Layer::size_bytes);
        if bytes <= SMALL_BYTES || is_lookup(&self.shape, &self.filters) {
            return Ok(look(self));
        }
        let contents = Arc::clone(self);
        in_background(move || look(&contents)).await
    }

    fn selected(&self) -> Result<RecordBatch> {
        let wanted = Wanted {
            filters: &self.filters,
            from: self.from,
            count: self.count,
            limit: self.limit,
            projection: &self.projection,
        };
        let rows = self.base.select(&self.shape, self.newer.as_ref(), &wanted);
        let mut rows = rows.map_err(of_cache)?;
        if let Some(limit) = self.limit.filter(|limit| *limit < rows.num_rows()) {
            rows = rows.slice(0, limit);
        }
        let shown = self.schema.fields().iter().zip(rows.columns());
        let columns = shown.map(
            |(field, column)| match column.data_type() == field.data_type() {
                true => Ok(Arc::clone(column)),
                false => cast(column, field.data_type()),
            },
        );
        let columns = columns.collect::<Result<_, ArrowError>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let schema = Arc::clone(&self.schema);
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }
}

/// An error of a filter is what it was, not one of the cache.
fn of_cache(error: CacheError) -> DataFusionError {
    match error {
        CacheError::Arrow(ArrowError::ExternalError(inner)) => {
            match inner.downcast::<DataFusionError>() {
                Ok(inner) => *inner,
                Err(inner) => DataFusionError::External(inner),
            }
        }
        CacheError::Arrow(error) => error.into(),
        other => external(other),
    }
}
