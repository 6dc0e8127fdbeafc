//! Parses a body into the rows of its tables.

use std::{borrow::Cow, str};

use ahash::RandomState;
use hashbrown::HashMap;

use crate::{
    line_protocol::{
        error::{LineError, LineRefusal, ParseError, text},
        line::{FieldText, SeriesText, scan_fields_and_timestamp},
        options::{Dialect, Options},
        precision::Precision,
        questdb_dialect,
        scan::{TokenKind, bytes_from, line_length, skip_blank_lines},
        schema::SchemaView,
        series::{SeriesCache, SeriesId},
        table::{RepeatedNames, TableBuilder, TableRows},
    },
    schema_limits::LimitExceeded,
};

/// Maximum size of a body, in bytes, because the offsets of a text column have 32 bits.
pub const MAX_BODY_BYTES: usize = i32::MAX as usize;

/// The text of arrays and decimals that counts as a cell, in bytes.
const CELL_BYTES: usize = 8;

/// The result of parsing a body.
#[derive(Clone, Debug)]
pub struct ParsedBody {
    /// The accepted lines by table, in the order in which the body first names the tables.
    pub tables: Vec<TableRows>,
    /// The refused lines, in the order of the body. At most one if parsing stops at the first error, as it does in the
    /// QuestDB dialect, and at most [`Options::max_errors`].
    pub errors: Vec<LineError>,
    /// The number of parsed lines, accepted or refused. Blank lines and comments do not count, and neither do lines of
    /// the QuestDB dialect whose values are all null, because they are skipped.
    pub lines: usize,
    /// The number of accepted lines; the other lines were refused.
    pub rows: usize,
}

/// The state after the last parsed line of a body, from which the next part of a stream continues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodyEnd {
    /// The number of lines: accepted, refused or skipped. Blank lines and comments do not count.
    pub lines: usize,
    /// The number of lines of the QuestDB dialect that were skipped, because their values are all null.
    pub skipped: usize,
    /// The time of the next line without a timestamp, in nanoseconds since the Unix epoch. See
    /// [`Options::default_time_ns`].
    pub next_default_time_ns: i64,
}

/// Parses a body and validates it against the existing tables.
///
/// A refused line is reported in [`ParsedBody::errors`] and has no other effect. A body without lines is not an error.
///
/// # Errors
///
/// The whole body is refused if it has 2 GiB or more. If it is not UTF-8, it is refused in the dialect of InfluxDB 3, and
/// in that of InfluxDB 1 and 2 if parsing stops at the first error.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use neap_rows::line_protocol::{Options, SchemaView, TableView, parse};
///
/// struct NoTables;
///
/// impl SchemaView for NoTables {
///     fn table(&self, _: &str) -> Option<Arc<TableView>> {
///         None
///     }
/// }
///
/// let body = b"cpu,host=a load=0.5 1700000000\ncpu,host=b load=\n";
/// let parsed = parse(body, &NoTables, &Options::default())?;
/// assert_eq!((parsed.lines, parsed.rows, parsed.errors.len()), (2, 1, 1));
/// assert_eq!(parsed.tables[0].name, "cpu");
/// assert_eq!(parsed.tables[0].batch.num_columns(), 3);
/// # Ok::<(), neap_rows::line_protocol::ParseError>(())
/// ```
pub fn parse(
    body: &[u8],
    schema: &dyn SchemaView,
    options: &Options,
) -> Result<ParsedBody, ParseError> {
    parse_part(body, schema, options).map(|(parsed, _)| parsed)
}

/// Parses a part of a stream like [`parse()`], and returns where the next part continues.
///
/// # Errors
///
/// See [`parse()`].
pub fn parse_part(
    body: &[u8],
    schema: &dyn SchemaView,
    options: &Options,
) -> Result<(ParsedBody, BodyEnd), ParseError> {
    if body.len() > MAX_BODY_BYTES {
        return Err(ParseError::TooLarge { size: body.len(), limit: MAX_BODY_BYTES });
    }
    let mut parser = BodyParser::new(schema, options);
    if options.dialect != Dialect::QuestDb && simdutf8::basic::from_utf8(body).is_err() {
        if options.dialect == Dialect::InfluxDb || options.stop_at_first_error {
            // The fast check does not return the position of the error.
            str::from_utf8(body)?;
        }
        parser.checks_lines = true;
    }
    parser.parse_lines(body);
    parser.finish()
}

struct BodyParser<'a, 'o> {
    schema: &'o dyn SchemaView,
    options: &'o Options,
    /// Whether each line must be checked to be UTF-8, because the body is not.
    checks_lines: bool,
    /// The time of the next line without a timestamp.
    default_time: i64,
    series: SeriesCache<'a>,
    tables: Vec<TableBuilder<'a>>,
    tables_by_name: HashMap<Cow<'a, [u8]>, usize, RandomState>,
    /// The number of new tables that have rows.
    new_tables: usize,
    /// The number of cells of all tables.
    cells: usize,
    /// The bytes of the body, and of the texts that are stored for its arrays and decimals. No column has more text.
    text_bytes: usize,
    /// The number of lines: accepted, refused or skipped.
    lines: usize,
    skipped: usize,
    rows: usize,
    errors: Vec<LineError>,
    scratch: LineScratch<'a>,
}

/// The effect of a line that is not refused.
enum LineEffect {
    Row,
    /// It has none, because its values are all null, and a row needs a value.
    Skipped,
}

/// The parts of the current line. Reused to avoid allocations.
struct LineScratch<'a> {
    series: SeriesText<'a>,
    tag_columns: Vec<Option<u32>>,
    fields: Vec<FieldText<'a>>,
}

impl<'a, 'o> BodyParser<'a, 'o> {
    fn new(schema: &'o dyn SchemaView, options: &'o Options) -> Self {
        let default_time = match options.dialect {
            Dialect::InfluxDb | Dialect::LegacyInfluxDb => {
                options.precision.truncate(options.default_time_ns)
            }
            Dialect::QuestDb => options.default_time_ns,
        };
        Self {
            schema,
            options,
            checks_lines: false,
            default_time,
            series: SeriesCache::default(),
            tables: Vec::new(),
            tables_by_name: HashMap::default(),
            new_tables: 0,
            cells: 0,
            text_bytes: 0,
            lines: 0,
            skipped: 0,
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
        self.text_bytes = body.len();
        let mut at = 0;
        while let Some((begin, start)) = skip_blank_lines(body, at) {
            let rest = bytes_from(body, start);
            let end = start
                + match self.options.dialect {
                    Dialect::InfluxDb | Dialect::LegacyInfluxDb => line_length(rest),
                    Dialect::QuestDb => questdb_dialect::line_length(rest),
                };
            let line = body.get(start..end).unwrap_or_default();
            // A carriage return before a newline is part of the newline, but it can be the last byte of a binary value.
            let shown = line.strip_suffix(b"\r").unwrap_or(line);
            let line = match self.options.dialect {
                Dialect::InfluxDb | Dialect::LegacyInfluxDb => shown,
                Dialect::QuestDb => line,
            };
            self.lines += 1;
            match self.parse_line(line) {
                Ok(LineEffect::Row) => self.rows += 1,
                Ok(LineEffect::Skipped) => self.skipped += 1,
                Err(refusal) => {
                    let original = body.get(begin..start + shown.len()).unwrap_or_default();
                    self.report(original, refusal);
                    if self.options.stop_at_first_error || self.options.dialect == Dialect::QuestDb
                    {
                        break;
                    }
                }
            }
            at = end;
        }
    }

    fn report(&mut self, line: &[u8], refusal: LineRefusal) {
        if self.options.max_errors.is_some_and(|limit| self.errors.len() >= limit) {
            return;
        }
        let original_line = match self.options.dialect {
            Dialect::InfluxDb | Dialect::LegacyInfluxDb => text(line).into_owned(),
            Dialect::QuestDb => questdb_dialect::shown_line(line),
        };
        self.errors.push(LineError {
            line_number: self.lines,
            original_line,
            error_message: refusal.to_string(),
            kind: refusal.kind(),
            conflict: refusal.into_field_conflict(),
        });
    }

    /// Parses, validates and stores a line, in this order.
    fn parse_line(&mut self, line: &'a [u8]) -> Result<LineEffect, LineRefusal> {
        if self.checks_lines && simdutf8::basic::from_utf8(line).is_err() {
            return Err(LineRefusal::NotUtf8("the line"));
        }
        let (series, length, table) = match self.series.find(line) {
            Some((id, length)) => (Some(id), length, Some(id.table)),
            None => {
                let length = self.scratch.series.scan(line)?;
                if self.options.dialect != Dialect::InfluxDb {
                    self.scratch.series.check_escaped_commas()?;
                }
                if self.options.dialect == Dialect::QuestDb {
                    let series_text = line.get(..length).unwrap_or(line);
                    questdb_dialect::check_series(&mut self.scratch.series, series_text)?;
                }
                (None, length, self.find_table())
            }
        };
        let expected = table.map_or(&[][..], |table| self.tables[table].expected_fields());
        let fields = &mut self.scratch.fields;
        let precision = self.options.precision;
        let timestamp = match self.options.dialect {
            Dialect::InfluxDb | Dialect::LegacyInfluxDb => {
                scan_fields_and_timestamp(line, length, expected, fields)?
                    .map(|timestamp| (timestamp, precision))
            }
            Dialect::QuestDb => {
                let end = questdb_dialect::scan_fields_and_timestamp(
                    line, length, expected, fields, precision,
                )?;
                if fields.is_empty() {
                    return Ok(LineEffect::Skipped);
                }
                self.count_text(end.text_bytes)?;
                end.timestamp
            }
        };

        let table = table.unwrap_or_else(|| self.add_table());
        let checkpoint = self.tables[table].checkpoint();
        match self.validate(table, series.map(|id| id.tag_set), timestamp) {
            Ok((time, cells)) => {
                let id = series.unwrap_or_else(|| self.add_series(line, length, table));
                self.new_tables += usize::from(self.tables[table].is_to_be_created());
                self.tables[table].add_row(id.tag_set, &self.scratch.fields, time);
                self.cells = cells;
                if timestamp.is_none() && self.options.dialect == Dialect::QuestDb {
                    // Rows with the same symbols stay different rows.
                    self.default_time = self.default_time.saturating_add(1);
                }
                Ok(LineEffect::Row)
            }
            Err(refusal) => {
                self.tables[table].roll_back(checkpoint);
                Err(refusal)
            }
        }
    }

    /// Counts the text of arrays and decimals of a line, which is larger than in the body, as cells. A line that is
    /// refused later is counted, too, because no line follows it.
    fn count_text(&mut self, bytes: usize) -> Result<(), LineRefusal> {
        self.cells += bytes / CELL_BYTES;
        self.text_bytes += bytes;
        if self.text_bytes > MAX_BODY_BYTES {
            return Err(LineRefusal::TextsTooLarge);
        }
        Ok(())
    }

    /// Returns the table of the measurement in the scratch, if the body named it before.
    fn find_table(&self) -> Option<usize> {
        let name = self.scratch.series.measurement.unescape(TokenKind::Measurement);
        self.tables_by_name.get(name.as_ref()).copied()
    }

    fn add_table(&mut self) -> usize {
        let name = self.scratch.series.measurement.unescape(TokenKind::Measurement);
        let view = self.schema.table(&text(&name));
        let index = self.tables.len();
        self.tables_by_name.insert(name.clone(), index);
        self.tables.push(TableBuilder::new(name, view));
        index
    }

    /// Adds the series in the scratch.
    fn add_series(&mut self, line: &'a [u8], length: usize, table: usize) -> SeriesId {
        let LineScratch { series, tag_columns, .. } = &self.scratch;
        let tag_set = self.tables[table].add_tag_set(&series.tags, tag_columns);
        let id = SeriesId { table, tag_set };
        self.series.insert(line, length, id);
        id
    }

    /// Checks the line in the scratch against its table and resolves its columns. `tag_set` is that of a known series.
    /// Returns the time in nanoseconds, and the number of cells of all tables including this line.
    #[inline]
    fn validate(
        &mut self,
        table: usize,
        tag_set: Option<u32>,
        timestamp: Option<(i64, Precision)>,
    ) -> Result<(i64, usize), LineRefusal> {
        let LineScratch { series, tag_columns, fields } = &mut self.scratch;
        let limits = &self.options.limits;
        let table = &mut self.tables[table];
        if table.is_to_be_created() {
            limits.check_new_table(|| table.name())?;
            if let Some(limit) = self.options.tables {
                limit.check(self.new_tables)?;
            }
        }
        let cells_before = table.cells(0);
        let repeated = match self.options.dialect {
            Dialect::InfluxDb | Dialect::LegacyInfluxDb => RepeatedNames::Refused,
            Dialect::QuestDb => RepeatedNames::Ignored,
        };
        if tag_set.is_none() {
            table.resolve_tags(&series.tags, self.lines, limits, repeated, tag_columns)?;
        }
        match repeated {
            RepeatedNames::Refused => table.resolve_fields(fields, self.lines, limits)?,
            RepeatedNames::Ignored => {
                table.resolve_first_fields(fields, self.lines, limits, tag_set)?;
            }
        }

        let time = match timestamp {
            None => self.default_time,
            Some((timestamp, precision)) => precision
                .to_nanos(timestamp)
                .ok_or(LineRefusal::TimestampOutOfRange(timestamp, precision))?,
        };
        let cells = self.cells - cells_before + table.cells(1);
        match self.options.max_cells {
            Some(limit) if cells > limit => Err(LimitExceeded::Cells(limit).into()),
            _ => Ok((time, cells)),
        }
    }

    fn finish(self) -> Result<(ParsedBody, BodyEnd), ParseError> {
        let end = BodyEnd {
            lines: self.lines,
            skipped: self.skipped,
            next_default_time_ns: self.default_time,
        };
        let tables = self.tables.into_iter().filter_map(|table| table.finish().transpose());
        let parsed = ParsedBody {
            tables: tables.collect::<Result<_, _>>()?,
            errors: self.errors,
            lines: self.lines - self.skipped,
            rows: self.rows,
        };
        Ok((parsed, end))
    }
}
