//! Parses a body into the rows of its tables.

use std::{borrow::Cow, str};

use ahash::RandomState;
use hashbrown::HashMap;

use crate::{
    error::{LineError, LineRefusal, ParseError, text},
    line::{FieldText, SeriesText, scan_fields_and_timestamp},
    options::{Dialect, Options, TableLimit},
    questdb_dialect,
    scan::{TokenKind, bytes_from, line_length, skip_blank_lines},
    schema::SchemaView,
    series::{SeriesCache, SeriesId},
    table::{TableBuilder, TableRows},
};

/// Maximum size of a body, in bytes, because the offsets of a text column have 32 bits.
pub const MAX_BODY_BYTES: usize = i32::MAX as usize;

/// The result of parsing a body.
#[derive(Clone, Debug)]
pub struct ParsedBody {
    /// The accepted lines by table, in the order in which the body first names the tables.
    pub tables: Vec<TableRows>,
    /// The refused lines, in the order of the body. At most one if parsing stops at the first error, and at most
    /// [`Options::max_errors`].
    pub errors: Vec<LineError>,
    /// The number of parsed lines, accepted or refused. Blank lines and comments do not count.
    pub lines: usize,
    /// The number of accepted lines; the other lines were refused.
    pub rows: usize,
}

/// Parses a body and validates it against the existing tables.
///
/// A refused line is reported in [`ParsedBody::errors`] and has no other effect. A body without lines is not an error.
///
/// # Errors
///
/// The whole body is refused if it is not UTF-8 or has 2 GiB or more.
pub fn parse(
    body: &[u8],
    schema: &dyn SchemaView,
    options: &Options,
) -> Result<ParsedBody, ParseError> {
    if body.len() > MAX_BODY_BYTES {
        return Err(ParseError::TooLarge {
            size: body.len(),
            limit: MAX_BODY_BYTES,
        });
    }
    if simdutf8::basic::from_utf8(body).is_err() {
        // The fast check does not return the position of the error.
        str::from_utf8(body)?;
    }
    let mut parser = BodyParser::new(schema, options);
    parser.parse_lines(body);
    parser.finish()
}

struct BodyParser<'a, 'o> {
    schema: &'o dyn SchemaView,
    options: &'o Options,
    default_time: i64,
    series: SeriesCache<'a>,
    tables: Vec<TableBuilder<'a>>,
    tables_by_name: HashMap<Cow<'a, [u8]>, usize, RandomState>,
    /// The number of new tables that have rows.
    new_tables: usize,
    /// The number of cells of all tables.
    cells: usize,
    lines: usize,
    rows: usize,
    errors: Vec<LineError>,
    scratch: LineScratch<'a>,
}

/// The parts of the current line. Reused to avoid allocations.
struct LineScratch<'a> {
    series: SeriesText<'a>,
    tag_columns: Vec<u32>,
    fields: Vec<FieldText<'a>>,
}

impl<'a, 'o> BodyParser<'a, 'o> {
    fn new(schema: &'o dyn SchemaView, options: &'o Options) -> Self {
        Self {
            schema,
            options,
            default_time: options.precision.truncate(options.default_time_ns),
            series: SeriesCache::default(),
            tables: Vec::new(),
            tables_by_name: HashMap::default(),
            new_tables: 0,
            cells: 0,
            lines: 0,
            rows: 0,
            errors: Vec::new(),
            scratch: LineScratch {
                series: SeriesText::new(),
                tag_columns: Vec::new(),
                fields: Vec::new(),
            },
        }
    }

    fn parse_lines(&mut self, body: &'a [u8]) {
        let mut at = 0;
        while let Some((begin, start)) = skip_blank_lines(body, at) {
            let end = start + line_length(bytes_from(body, start));
            let line = body.get(start..end).unwrap_or_default();
            // A carriage return before a newline is part of the newline.
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            self.lines += 1;
            match self.parse_line(line) {
                Ok(()) => self.rows += 1,
                Err(refusal) => {
                    let original = body.get(begin..start + line.len()).unwrap_or_default();
                    self.report(original, &refusal);
                    if self.options.stop_at_first_error {
                        break;
                    }
                }
            }
            at = end;
        }
    }

    fn report(&mut self, line: &[u8], refusal: &LineRefusal) {
        if self
            .options
            .max_errors
            .is_some_and(|limit| self.errors.len() >= limit)
        {
            return;
        }
        self.errors.push(LineError {
            line_number: self.lines,
            original_line: text(line).into_owned(),
            error_message: refusal.to_string(),
            kind: refusal.kind(),
        });
    }

    /// Parses, validates and stores a line, in this order.
    fn parse_line(&mut self, line: &'a [u8]) -> Result<(), LineRefusal> {
        let (series, length, table) = match self.series.find(line) {
            Some((id, length)) => (Some(id), length, Some(id.table)),
            None => {
                let length = self.scratch.series.scan(line)?;
                if self.options.dialect == Dialect::QuestDb {
                    questdb_dialect::check_tags(&self.scratch.series.tags)?;
                }
                (None, length, self.find_table())
            }
        };
        let expected = table.map_or(&[][..], |table| self.tables[table].expected_fields());
        let fields = &mut self.scratch.fields;
        let timestamp = match self.options.dialect {
            Dialect::InfluxDb => scan_fields_and_timestamp(line, length, expected, fields)?,
            Dialect::QuestDb => {
                questdb_dialect::scan_fields_and_timestamp(line, length, expected, fields)?
            }
        };

        let table = table.unwrap_or_else(|| self.add_table());
        let checkpoint = self.tables[table].checkpoint();
        match self.validate(table, series.is_none(), timestamp) {
            Ok((time, cells)) => {
                let id = series.unwrap_or_else(|| self.add_series(line, length, table));
                self.new_tables += usize::from(self.tables[table].is_to_be_created());
                self.tables[table].add_row(id.tag_set, &self.scratch.fields, time);
                self.cells = cells;
                Ok(())
            }
            Err(refusal) => {
                self.tables[table].roll_back(checkpoint);
                Err(refusal)
            }
        }
    }

    /// Returns the table of the measurement in the scratch, if the body named it before.
    fn find_table(&self) -> Option<usize> {
        let name = self
            .scratch
            .series
            .measurement
            .unescape(TokenKind::Measurement);
        self.tables_by_name.get(name.as_ref()).copied()
    }

    fn add_table(&mut self) -> usize {
        let name = self
            .scratch
            .series
            .measurement
            .unescape(TokenKind::Measurement);
        let view = self.schema.table(&text(&name));
        let index = self.tables.len();
        self.tables_by_name.insert(name.clone(), index);
        self.tables.push(TableBuilder::new(name, view));
        index
    }

    /// Adds the series in the scratch.
    fn add_series(&mut self, line: &'a [u8], length: usize, table: usize) -> SeriesId {
        let LineScratch {
            series,
            tag_columns,
            ..
        } = &self.scratch;
        let tag_set = self.tables[table].add_tag_set(&series.tags, tag_columns);
        let id = SeriesId { table, tag_set };
        self.series.insert(line, length, id);
        id
    }

    /// Checks the line in the scratch against its table and resolves its columns. Returns the time in nanoseconds, and
    /// the number of cells of all tables including this line.
    #[inline]
    fn validate(
        &mut self,
        table: usize,
        is_new_series: bool,
        timestamp: Option<i64>,
    ) -> Result<(i64, usize), LineRefusal> {
        let LineScratch {
            series,
            tag_columns,
            fields,
        } = &mut self.scratch;
        let limits = &self.options.limits;
        let table = &mut self.tables[table];
        if let Some(TableLimit { count, limit }) = self.options.tables
            && table.is_to_be_created()
            && count + self.new_tables >= limit
        {
            let count = count + self.new_tables;
            return Err(LineRefusal::TooManyTables { count, limit });
        }
        let cells_before = table.cells(0);
        if is_new_series {
            table.resolve_tags(&series.tags, self.lines, limits, tag_columns)?;
        }
        table.resolve_fields(fields, self.lines, limits)?;

        let precision = self.options.precision;
        let time = match timestamp {
            None => self.default_time,
            Some(timestamp) => precision
                .to_nanos(timestamp)
                .ok_or(LineRefusal::TimestampOutOfRange(timestamp, precision))?,
        };
        let cells = self.cells - cells_before + table.cells(1);
        match self.options.max_cells {
            Some(limit) if cells > limit => Err(LineRefusal::TooManyCells(limit)),
            _ => Ok((time, cells)),
        }
    }

    fn finish(self) -> Result<ParsedBody, ParseError> {
        let tables = self
            .tables
            .into_iter()
            .filter_map(|table| table.finish().transpose());
        Ok(ParsedBody {
            tables: tables.collect::<Result<_, _>>()?,
            errors: self.errors,
            lines: self.lines,
            rows: self.rows,
        })
    }
}
