//! Line protocol of InfluxDB and of QuestDB.

use neap_rows::{
    columnar::{ColumnMapping, LineEncoder, LineRows, NumberedBatch},
    line_protocol::{
        Dialect, Options, ParsedBody, Precision, TableRows, parse, questdb_line_length,
    },
};

use crate::empty_schema::{EmptySchema, WRITE_OPTIONS};

/// Maximum number of rows that are written again, because each is parsed alone.
const MAX_WRITTEN_ROWS: usize = 50;

/// Each line is stored or reported, and stored rows can be written as lines that are stored equally.
pub(crate) fn influxdb(input: &[u8]) {
    let Ok(parsed) = parse(input, &EmptySchema, &WRITE_OPTIONS) else {
        assert!(std::str::from_utf8(input).is_err());
        return;
    };
    check_counts(&parsed);
    let mut left = MAX_WRITTEN_ROWS;
    for table in parsed.tables {
        if left > 0 {
            left = left.saturating_sub(table.batch.num_rows());
            check_written_lines(table);
        }
    }
}

/// Lines of a stream are those of a body, and each is stored, skipped or reported.
pub(crate) fn questdb(input: &[u8]) {
    let options = Options { dialect: Dialect::QuestDb, ..WRITE_OPTIONS };
    let parsed = parse(input, &EmptySchema, &options).expect("any bytes are lines of QuestDB");
    check_counts(&parsed);
    assert!(parsed.errors.len() <= 1);
    let mut length = 0;
    while let Some(line) = questdb_line_length(&input[length..]) {
        assert!(line > 0);
        length += line;
    }
    let streamed = parse(&input[..length], &EmptySchema, &options).expect("as above");
    assert!(streamed.lines <= parsed.lines);
    assert!(streamed.errors.is_empty() || streamed.errors == parsed.errors);
}

fn check_counts(parsed: &ParsedBody) {
    assert_eq!(parsed.rows + parsed.errors.len(), parsed.lines);
    let rows = parsed.tables.iter().map(|table| table.batch.num_rows());
    assert_eq!(rows.sum::<usize>(), parsed.rows);
}

/// Writes the rows of a table as lines, parses each line, and writes it again.
fn check_written_lines(table: TableRows) {
    let written = lines_of(table);
    for line in written.text.split_inclusive('\n') {
        // A value of several lines.
        if written.text.matches('\n').count() > written.rows.len() {
            return;
        }
        let mut again = parse(line.as_bytes(), &EmptySchema, &options_of_written_lines())
            .expect("the lines are UTF-8");
        assert_eq!(again.errors, [], "{line:?}");
        let table = again.tables.pop().expect("each line is a row");
        assert_eq!(lines_of(table).text, line);
    }
}

/// Returns options without limits on columns, because all columns of a table may be in one of its rows.
fn options_of_written_lines() -> Options {
    Options { limits: Default::default(), max_cells: None, ..WRITE_OPTIONS }
}

fn lines_of(table: TableRows) -> LineRows {
    let mapping = ColumnMapping::for_table(table.name);
    let numbered = NumberedBatch {
        first_row: 1,
        batch: table.batch.slice(0, table.batch.num_rows().min(MAX_WRITTEN_ROWS)),
        refused: Vec::new(),
        has_tag_dictionaries: false,
    };
    let mut lines = LineRows::default();
    let encoder = LineEncoder::new(&numbered, &mapping, Precision::Nanosecond);
    encoder.expect("accepted rows can be written").encode(&mut lines, usize::MAX);
    lines
}
