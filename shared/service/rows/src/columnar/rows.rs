//! The record batches of a request.

use std::collections::HashSet;

use arrow_array::RecordBatch;

use crate::{
    columnar::{
        error::MappingError,
        mapping::{ColumnMapping, TagColumns},
        numbered_batch::NumberedBatch,
        size::batch_bytes,
        time::has_times,
        validator::Validator,
    },
    line_protocol::{MAX_BODY_BYTES, Options, ParseError, ParsedBody, RowSource, SchemaView},
};

/// Rows of record batches with the tables that they belong to.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use arrow_array::{ArrayRef, Float64Array, RecordBatch};
/// use neap_rows::{
///     columnar::{ColumnMapping, ColumnarRows},
///     line_protocol::{Options, RowSource, SchemaView, TableView},
/// };
///
/// struct NoTables;
///
/// impl SchemaView for NoTables {
///     fn table(&self, _: &str) -> Option<Arc<TableView>> {
///         None
///     }
/// }
///
/// let loads: ArrayRef = Arc::new(Float64Array::from(vec![0.25, 0.5]));
/// let batch = RecordBatch::try_from_iter([("load", loads)])?;
/// let mapping = ColumnMapping {
///     table: "cpu".to_owned(),
///     ..ColumnMapping::default()
/// };
/// let rows = ColumnarRows::new(mapping, vec![batch])?;
/// let parsed = rows.validate(&NoTables, &Options::default())?;
/// assert_eq!((parsed.rows, parsed.errors.len()), (2, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, derive_more::Debug)]
#[debug("ColumnarRows {{ parts: {:?}, size_bytes: {size_bytes:?} }}", self.parts.len())]
pub struct ColumnarRows {
    parts: Vec<TablePart>,
    size_bytes: usize,
}

/// Rows of one table.
#[derive(Clone, Debug)]
pub struct TablePart {
    /// The table and the roles of its columns.
    pub mapping: ColumnMapping,
    /// The rows. Batches may have different columns.
    pub batches: Vec<NumberedBatch>,
}

impl ColumnarRows {
    /// Creates the rows of one table. Rows are numbered from 1 over all batches.
    ///
    /// # Errors
    /// The mapping does not fit a batch: the table has no name that line protocol can have, two columns have the same
    /// name, or the time column does not exist or has a type without times. The mapping does not fit the batches: none
    /// has a tag that is chosen by its name. The rows have 2 GiB or more.
    pub fn new(mapping: ColumnMapping, batches: Vec<RecordBatch>) -> Result<Self, MappingError> {
        let mut first_row = 1;
        let batches = batches.into_iter().map(|batch| {
            let numbered = NumberedBatch {
                first_row,
                batch,
                refused: Vec::new(),
                has_tag_dictionaries: false,
            };
            first_row += numbered.batch.num_rows();
            numbered
        });
        let batches = batches.collect();
        Self::from_parts(vec![TablePart { mapping, batches }])
    }

    /// Creates the rows of several tables. The same table may occur in several parts.
    ///
    /// # Errors
    /// As [`Self::new`]. A tag may be missing in a part if another one has it.
    pub fn from_parts(parts: Vec<TablePart>) -> Result<Self, MappingError> {
        let mut size_bytes = 0usize;
        for part in &parts {
            part.mapping.check()?;
            for numbered in &part.batches {
                check_columns(&part.mapping, &numbered.batch)?;
                size_bytes = size_bytes.saturating_add(batch_bytes(&numbered.batch));
            }
        }
        check_size(size_bytes)?;
        check_tags(&parts)?;
        Ok(Self { parts, size_bytes })
    }

    /// Creates the rows of tables whose columns fit their mappings, with their memory in bytes.
    pub(crate) fn from_checked_parts(parts: Vec<TablePart>, size_bytes: usize) -> Self {
        Self { parts, size_bytes }
    }
}

impl RowSource for ColumnarRows {
    /// See [`batch_bytes`].
    fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// `line_number` of an error is the number of the row, and `original_line` its columns, cut if they are long. All
    /// rows are refused if Arrow cannot convert a column.
    fn validate(
        &self,
        schema: &dyn SchemaView,
        options: &Options,
    ) -> Result<ParsedBody, ParseError> {
        let mut validator = Validator::new(schema, options);
        for part in &self.parts {
            for numbered in &part.batches {
                validator.add_batch(numbered, &part.mapping)?;
            }
        }
        Ok(validator.finish()?)
    }
}

/// Checks the size of values, before an encoding that makes them smaller is decoded.
pub(crate) fn check_size(bytes: usize) -> Result<(), MappingError> {
    if bytes > MAX_BODY_BYTES {
        Err(MappingError::TooLarge { bytes, limit: MAX_BODY_BYTES })
    } else {
        Ok(())
    }
}

/// Checks whether some batch has each tag that is chosen by its name.
fn check_tags(parts: &[TablePart]) -> Result<(), MappingError> {
    let batches = parts.iter().flat_map(|part| &part.batches);
    let columns: HashSet<&str> = batches
        .flat_map(|numbered| numbered.batch.schema_ref().fields())
        .map(|field| field.name().as_str())
        .collect();
    for part in parts.iter().filter(|part| !part.batches.is_empty()) {
        let TagColumns::Named(names) = &part.mapping.tags else {
            continue;
        };
        if let Some(name) = names.iter().find(|name| !columns.contains(name.as_str())) {
            return Err(MappingError::NoTagColumn(name.clone()));
        }
    }
    Ok(())
}

/// Checks whether the columns of a batch fit a mapping.
pub(crate) fn check_columns(
    mapping: &ColumnMapping,
    batch: &RecordBatch,
) -> Result<(), MappingError> {
    let mut names = HashSet::new();
    let time_name = mapping.time.name();
    for (index, field) in batch.schema_ref().fields().iter().enumerate() {
        if field.name().is_empty() {
            return Err(MappingError::UnnamedColumn(index + 1));
        }
        if !names.insert(field.name()) {
            return Err(MappingError::DuplicateColumn(field.name().clone()));
        }
        if field.name() == time_name && !has_times(field.data_type()) {
            return Err(MappingError::TimeColumnType {
                column: field.name().clone(),
                data_type: field.data_type().clone(),
            });
        }
    }
    match &mapping.time.name {
        Some(name) if !names.contains(name) => Err(MappingError::NoTimeColumn(name.clone())),
        _ => Ok(()),
    }
}
