//! What a query reads of a cache: both layers, and what of them is wanted.

use std::sync::Arc;

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    compute::cast,
    datatypes::SchemaRef,
    error::ArrowError,
};
use datafusion::{common::Result, error::DataFusionError};
use neap_cache::{
    CacheError, DistinctShape, DistinctValues, DistinctWanted, KeyFilter, LastRows, LastShape,
    LastWanted,
};

use super::Layer;

/// Contents up to this size are looked through without moving to another thread.
const SMALL_BYTES: usize = 256 << 10;

/// What sections and tail have of a cache, and which of it is wanted.
#[derive(Debug)]
pub(super) struct Contents {
    /// What is kept.
    pub(super) layers: Layers,
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

/// What is kept of the sections, and of the tail if it has rows.
pub(super) enum Layers {
    /// Of a last cache.
    Last(LastShape, LastRows, Option<LastRows>),
    /// Of a distinct cache.
    Distinct(DistinctShape, DistinctValues, Option<DistinctValues>),
}

impl std::fmt::Debug for Layers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layers").finish_non_exhaustive()
    }
}

impl Contents {
    /// The columns as they are shown.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether reading takes so short that it may hold up a thread that serves requests.
    pub(super) fn is_small(&self) -> bool {
        match &self.layers {
            Layers::Last(shape, base, newer) => {
                let bytes = base.size_bytes() + newer.as_ref().map_or(0, LastRows::size_bytes);
                bytes <= SMALL_BYTES || LastRows::is_lookup(shape, &self.filters)
            }
            Layers::Distinct(_, base, newer) => {
                let newer = newer.as_ref().map_or(0, DistinctValues::size_bytes);
                base.size_bytes() + newer <= SMALL_BYTES
            }
        }
    }

    /// The rows, made on a thread that may be held up.
    pub(super) async fn rows_in_background(self: Arc<Self>) -> Result<RecordBatch> {
        if self.is_small() {
            return self.rows();
        }
        let rows = tokio::task::spawn_blocking(move || self.rows()).await;
        rows.map_err(|error| DataFusionError::External(error.into()))?
    }

    /// The rows.
    pub(super) fn rows(&self) -> Result<RecordBatch> {
        let rows = match &self.layers {
            Layers::Last(shape, base, newer) => {
                let wanted = LastWanted {
                    filters: &self.filters,
                    from: self.from,
                    count: self.count.unwrap_or(usize::MAX).min(shape.count()),
                    projection: &self.projection,
                };
                base.select(shape, newer.as_ref(), &wanted)
            }
            Layers::Distinct(shape, base, newer) => {
                let wanted = DistinctWanted {
                    filters: &self.filters,
                    from: self.from,
                    limit: self.limit,
                    projection: &self.projection,
                };
                base.select(shape, newer.as_ref(), &wanted)
            }
        };
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
        other => DataFusionError::External(Box::new(other)),
    }
}
