//! Reads the selected rows of one section.

use std::{pin::Pin, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array},
    compute::{CastOptions, cast_with_options},
    datatypes::{Schema, SchemaRef},
    util::display::FormatOptions,
};
use datafusion::common::{DataFusionError, Result};
use futures::{Stream, TryStreamExt};
use parquet::arrow::{
    ParquetRecordBatchStreamBuilder, ProjectionMask, arrow_reader::ArrowReaderMetadata,
};

use super::selected_rows::{SelectedKeys, SelectedRowGroup, row_selection};
use crate::reader::SectionReader;

/// A value that the type of the table can't have is an error.
const EXACT: CastOptions<'static> =
    CastOptions { safe: false, format_options: FormatOptions::new() };

pub(super) type SectionRows = Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send>>;

/// A part of the selected row groups of a section: part `number` of `count`, which have about as many each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowGroupShare {
    pub(super) number: usize,
    pub(super) count: usize,
}

impl RowGroupShare {
    /// Returns the row groups of the share. They follow each other, so that they are read ahead.
    fn of(self, mut groups: Vec<SelectedRowGroup<'_>>) -> Vec<SelectedRowGroup<'_>> {
        let first_of = |number: usize| groups.len() * number / self.count.max(1);
        let (first, end) = (first_of(self.number), first_of(self.number + 1));
        groups.truncate(end);
        groups.split_off(first.min(groups.len()))
    }
}

/// Returns the rows that may have the keys, in the order of the section, with the columns of `schema`. A column that the
/// section lacks has no values. Returns `None` if there are no rows.
/// Fails if the section can't be read, or is damaged.
pub(super) async fn read_rows(
    mut reader: SectionReader,
    keys: &SelectedKeys,
    share: RowGroupShare,
    schema: SchemaRef,
    batch_rows: usize,
) -> Result<Option<SectionRows>> {
    let footer = reader.footer().await?;
    let groups = share.of(keys.row_groups(footer.metadata()));
    let (Some(first), Some(last)) = (groups.first(), groups.last()) else {
        return Ok(None);
    };
    reader.limit_read_ahead(footer.metadata(), first.number..=last.number);
    let metadata = footer.arrow_metadata()?;
    let columns = SectionColumns::new(metadata, schema);
    let mask = ProjectionMask::leaves(metadata.parquet_schema(), columns.read.iter().copied());
    let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata.clone());
    let groups = without_absent_values(&mut builder, groups).await;
    if groups.is_empty() {
        return Ok(None);
    }
    let mut builder = builder
        .with_batch_size(batch_rows)
        .with_projection(mask)
        .with_row_groups(groups.iter().map(|group| group.number).collect());
    if let Some(selection) = row_selection(&groups) {
        builder = builder.with_row_selection(selection);
    }
    let rows = builder
        .build()?
        .map_err(DataFusionError::from)
        .and_then(move |batch| std::future::ready(columns.of_table(&batch)));
    Ok(Some(Box::pin(rows)))
}

/// Returns the row groups without those that have no selected value of a tag according to a bloom filter.
async fn without_absent_values<'a>(
    builder: &mut ParquetRecordBatchStreamBuilder<SectionReader>,
    groups: Vec<SelectedRowGroup<'a>>,
) -> Vec<SelectedRowGroup<'a>> {
    let mut remaining = Vec::with_capacity(groups.len());
    'groups: for group in groups {
        for (condition, column) in &group.bloom_conditions {
            let filter = builder.get_row_group_column_bloom_filter(group.number, *column);
            match filter.await {
                Ok(Some(filter)) => {
                    let mut values = condition.values.iter();
                    if !values.any(|value| filter.check(value.as_str())) {
                        continue 'groups;
                    }
                }
                Ok(None) => {}
                // The rows are intact.
                Err(error) => tracing::warn!("could not read a bloom filter of a tag: {error}"),
            }
        }
        remaining.push(group);
    }
    remaining
}

/// The columns of a table in a section.
#[derive(Debug)]
struct SectionColumns {
    table: SchemaRef,
    /// The indexes of the columns of the section that are read, in ascending order.
    read: Vec<usize>,
    /// For each column of the table the index in `read`; `None`: the section lacks it.
    sources: Vec<Option<usize>>,
}

impl SectionColumns {
    fn new(section: &ArrowReaderMetadata, table: SchemaRef) -> Self {
        let of_section: &Schema = section.schema();
        let found: Vec<Option<usize>> = table
            .fields()
            .iter()
            .map(|field| of_section.index_of(field.name()).ok())
            .collect();
        let mut read: Vec<usize> = found.iter().copied().flatten().collect();
        read.sort_unstable();
        let sources = found.into_iter().map(|column| read.binary_search(&column?).ok());
        Self { sources: sources.collect(), table, read }
    }

    /// Returns the rows with the columns of the table.
    fn of_table(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let count = rows.num_rows();
        let columns = self.table.fields().iter().zip(&self.sources).map(|(field, source)| {
            let column = source.and_then(|source| rows.columns().get(source));
            Ok(match column {
                Some(column) if column.data_type() == field.data_type() => Arc::clone(column),
                Some(column) => cast_with_options(column, field.data_type(), &EXACT)?,
                None => new_null_array(field.data_type(), count),
            })
        });
        let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let schema = Arc::clone(&self.table);
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }
}
