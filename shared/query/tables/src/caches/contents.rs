//! The read of a cache by a query: both layers, and the selection of rows and columns.

use std::sync::Arc;

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    compute::cast,
    datatypes::SchemaRef,
    error::ArrowError,
};
use datafusion::{common::Result, error::DataFusionError};
use neap_cache::{CacheError, CacheLayer, CacheQuery, CacheShape, KeyFilter};
use neap_scan::{external, is_lookup};

use crate::background::in_background;

/// Maximum size of both layers, in bytes, that are read on the thread of the request.
const MAX_INLINE_READ_BYTES: usize = 256 << 10;

/// The layers of a cache over sections and tail, and the selection of rows and columns.
#[derive(derive_more::Debug)]
#[debug("CacheContents {{ .. }}")]
pub(super) struct CacheContents {
    /// The columns and keys of the cache.
    pub(super) shape: CacheShape,
    /// The base layer, from sections.
    pub(super) base: CacheLayer,
    /// The overlay, from the tail; `None` if the tail has no rows.
    pub(super) newer: Option<CacheLayer>,
    pub(super) filters: Vec<KeyFilter>,
    /// The minimum time of rows, in nanoseconds since the Unix epoch.
    pub(super) from: i64,
    /// Maximum rows of a key, if less than the limit of the cache.
    pub(super) count: Option<usize>,
    /// Maximum rows of the answer.
    pub(super) limit: Option<usize>,
    /// The selected columns, as indexes of the columns of the layers.
    pub(super) projection: Vec<usize>,
    /// The schema of the answer.
    pub(super) schema: SchemaRef,
}

impl CacheContents {
    /// Reads the selected rows.
    pub(super) async fn rows(self: &Arc<Self>) -> Result<RecordBatch> {
        self.with_layers(Self::selected).await?
    }

    /// Whether the layers contain all rows from `from` on: the size limit of the cache cut off none of them.
    pub(super) async fn is_complete(self: &Arc<Self>) -> Result<bool> {
        let is_complete = |contents: &Self| {
            let Self { base, newer, .. } = contents;
            base.is_complete(&contents.shape, newer.as_ref(), contents.from)
        };
        self.with_layers(is_complete).await?.map_err(external)
    }

    /// Calls `look` with the layers: on the current thread if the read is cheap, otherwise on a blocking thread.
    async fn with_layers<T: Send + 'static>(
        self: &Arc<Self>,
        look: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T> {
        let bytes = self.base.size_bytes() + self.newer.as_ref().map_or(0, CacheLayer::size_bytes);
        if bytes <= MAX_INLINE_READ_BYTES || is_lookup(&self.shape, &self.filters) {
            return Ok(look(self));
        }
        let contents = Arc::clone(self);
        in_background(move || look(&contents)).await
    }

    fn selected(&self) -> Result<RecordBatch> {
        let wanted = CacheQuery {
            filters: &self.filters,
            from: self.from,
            count: self.count,
            limit: self.limit,
            projection: &self.projection,
        };
        let mut rows = self
            .base
            .select(&self.shape, self.newer.as_ref(), &wanted)
            .map_err(unwrap_filter_error)?;
        if let Some(limit) = self.limit.filter(|limit| *limit < rows.num_rows()) {
            rows = rows.slice(0, limit);
        }
        let shown = self.schema.fields().iter().zip(rows.columns());
        let columns = shown
            .map(|(field, column)| {
                if column.data_type() == field.data_type() {
                    Ok(Arc::clone(column))
                } else {
                    cast(column, field.data_type())
                }
            })
            .collect::<Result<_, ArrowError>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let schema = Arc::clone(&self.schema);
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }
}

/// Converts an error of a layer. An error of a filter expression is returned as the original DataFusion error.
fn unwrap_filter_error(error: CacheError) -> DataFusionError {
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
