//! Points as the rows of a request.

use crate::{
    columnar::{
        error::MappingError,
        mapping::{ColumnMapping, TagColumns, TimeColumn, TimeFormat},
        numbered_batch::NumberedBatch,
        recent_schemas::RecentSchemas,
        render::render_row,
        rows::{ColumnarRows, TablePart},
    },
    line_protocol::{
        LineError, LineErrorKind, MAX_BODY_BYTES, Options, ParseError, ParsedBody, RowSource,
        SchemaView,
    },
};

use super::{
    table::{NumberedRows, TableBatch},
    tags::PointTags,
};

/// Maximum number of refused rows of tables without a usable name that errors name. Requests report no more.
const MAX_REFUSED_ERRORS: usize = 1_000;

/// Maximum length of the error of a table, in bytes. It contains the name of the table.
const MAX_TABLE_ERROR_BYTES: usize = 500;

/// The rows of [`PointBatches`](super::PointBatches). `line_number` of an error is the number of the row, and
/// `original_line` its columns, cut if they are long.
///
/// If validation stops at the first error, it is the first one by table. Of the rows of tables without a usable name, only
/// the first 1,000 have errors; all of them are counted.
#[derive(Clone, derive_more::Debug)]
#[debug("PointRows {{ rows: {:?}, size_bytes: {:?} }}", self.row_count(), self.size_bytes())]
pub struct PointRows {
    rows: ColumnarRows,
    /// The number of each row of `rows`.
    numbers: Vec<usize>,
    refused: RefusedRows,
}

/// The rows of tables whose names cannot be stored.
#[derive(Clone, Debug, Default)]
struct RefusedRows {
    count: usize,
    /// The errors of the first rows by table, at most [`MAX_REFUSED_ERRORS`].
    errors: Vec<LineError>,
}

impl PointRows {
    pub(super) fn new(tables: Vec<TableBatch>, tags: PointTags) -> Result<Self, ParseError> {
        let sizes = tables.iter().map(TableBatch::size_bytes);
        let size_bytes = sizes.fold(tags.size_bytes(), usize::saturating_add);
        if size_bytes > MAX_BODY_BYTES {
            return Err(ParseError::TooLarge { size: size_bytes, limit: MAX_BODY_BYTES });
        }
        let mut parts = Vec::with_capacity(tables.len());
        let mut numbers = Vec::new();
        let mut refused = RefusedRows::default();
        let mut schemas = RecentSchemas::default();
        let mut tags = tags.finish()?;
        for table in tables {
            let (name, batches) = table.finish(&mut tags, &mut schemas)?;
            for rows in batches {
                let mut mapping = ColumnMapping {
                    table: name.clone(),
                    tags: TagColumns::ByType,
                    time: TimeColumn { name: None, format: TimeFormat::Auto, zone: None },
                };
                if let Err(error) = mapping.check() {
                    refused.add(&rows, &error);
                    continue;
                }
                mapping.time.name = Some(rows.time_name);
                let batch = NumberedBatch {
                    first_row: numbers.len() + 1,
                    batch: rows.batch,
                    refused: Vec::new(),
                    has_tag_dictionaries: true,
                };
                numbers.extend(rows.numbers);
                parts.push(TablePart { mapping, batches: vec![batch] });
            }
        }
        Ok(Self {
            rows: ColumnarRows::from_checked_parts(parts, size_bytes),
            numbers,
            refused,
        })
    }

    /// Returns the number of rows without the discarded ones.
    pub fn row_count(&self) -> usize {
        self.numbers.len() + self.refused.count
    }
}

impl RefusedRows {
    fn add(&mut self, rows: &NumberedRows, error: &MappingError) {
        self.count += rows.numbers.len();
        let free = MAX_REFUSED_ERRORS.saturating_sub(self.errors.len());
        if free == 0 {
            return;
        }
        let mut message = error.to_string();
        message.truncate(message.floor_char_boundary(MAX_TABLE_ERROR_BYTES));
        let numbers = rows.numbers.iter().enumerate().take(free);
        self.errors.extend(numbers.map(|(row, number)| LineError {
            line_number: *number,
            original_line: render_row(&rows.batch, row),
            error_message: message.clone(),
            kind: LineErrorKind::Parse,
            conflict: None,
        }));
    }
}

impl RowSource for PointRows {
    fn size_bytes(&self) -> usize {
        self.rows.size_bytes()
    }

    fn validate(
        &self,
        schema: &dyn SchemaView,
        options: &Options,
    ) -> Result<ParsedBody, ParseError> {
        let mut parsed = self.rows.validate(schema, options)?;
        for error in &mut parsed.errors {
            let number = self.numbers.get(error.line_number.saturating_sub(1));
            error.line_number = number.copied().unwrap_or(error.line_number);
        }
        let limit = if options.stop_at_first_error {
            1
        } else {
            options.max_errors.unwrap_or(usize::MAX)
        };
        parsed.lines += self.refused.count;
        let refused = self.refused.errors.iter().take(limit);
        parsed.errors.extend(refused.cloned());
        parsed.errors.sort_by_key(|error| error.line_number);
        parsed.errors.truncate(limit);
        Ok(parsed)
    }
}
