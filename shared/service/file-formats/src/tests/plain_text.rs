//! Plain CSV and JSON lines.

use super::*;
use crate::{CellType, CsvDialect, DecimalMark, MAX_BATCH_ROWS};

#[test]
fn csv_types_are_inferred_and_tags_keep_their_text() {
    let file = "\u{feff}time,host,rack,load,jobs,up,note\n\
        2026-01-01T00:00:00Z,a,007,0.5,3,true,\"x, \"\"y\"\"\"\n\
        \n\
        1767225601,b,,1,-4,false,\n";
    insta::assert_snapshot!(show_text(file, options(Format::Csv, "cpu", &["host", "rack"])), @r#"
    1: cpu,host=a,rack=007 load=0.5,jobs=3i,up=true,note="x, \"y\"" 1767225600000000000
    2: cpu,host=b load=1,jobs=-4i,up=false 1767225601000000000
    "#);
}

#[test]
fn csv_rows_that_cannot_be_read_are_refused_alone() {
    let mut file = b"host,v\na,1\nb\nc,3,4\nd,\xff\ne,5\n".to_vec();
    file.extend_from_slice(b"f,x\n");
    let parts = read_parts(file, options(Format::Csv, "m", &["host"])).unwrap();
    insta::assert_snapshot!(show(&parts), @r"
    1: m,host=a v=1i
    5: m,host=e v=5i
    2: ! the row has 1 columns, but the header has 2
    3: ! the row has 3 columns, but the header has 2
    4: ! the row is not UTF-8: invalid utf-8 sequence of 1 bytes from index 1
    6: ! value `x` of column 'v' is not a valid integer
    ");
}

#[test]
fn csv_of_other_dialects_is_read() {
    let file = "room;celsius;jobs;code\nattic;21,5;3;007\ncellar;NA;4;12\nhall;1.234;x;13\n";
    let mut options = options(Format::Csv, "m", &["room"]);
    options.csv = CsvDialect {
        delimiter: b';',
        decimal_mark: DecimalMark::Comma,
        nulls: vec!["NA".to_owned()],
        types: vec![("jobs".to_owned(), CellType::Float), ("code".to_owned(), CellType::Integer)],
    };
    insta::assert_snapshot!(show_text(file, options.clone()), @r"
    1: m,room=attic celsius=21.5,jobs=3,code=7i
    2: m,room=cellar jobs=4,code=12i
    3: ! value `1.234` of column 'celsius' is not a valid number
    ");
    options.csv.types.push(("humidity".to_owned(), CellType::Float));
    let error = read_parts(file, options).unwrap_err();
    assert_eq!(error.to_string(), "the file has no column 'humidity'");
}

#[test]
fn a_type_is_that_of_the_first_rows_and_other_values_are_refused() {
    let mut file = "v,w\n".to_owned();
    for _ in 0..MAX_BATCH_ROWS {
        file.push_str("1,\n");
    }
    file.push_str("1.5,2\n2,x\n3,4\n");
    let parts = read_parts(file, options(Format::Csv, "m", &[])).unwrap();
    assert_eq!(parts.len(), 2);
    insta::assert_snapshot!(show(&parts[1..]), @r"
    8195: m v=3i,w=4i
    8193: ! value `1.5` of column 'v' is not a valid integer
    8194: ! value `x` of column 'w' is not a valid integer
    ");
}

#[test]
fn a_quote_that_is_not_closed_does_not_take_the_rest_of_the_file() {
    let mut file = "v\n1\n\"x\n".to_owned();
    file.push_str(&"2\n".repeat(10 << 20));
    let error = read_parts(file, options(Format::Csv, "m", &[])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read CSV after row 1: the next row is longer than 16777216 bytes: is a quote not closed?"
    );
}

#[test]
fn json_lines_have_columns_in_the_order_of_their_first_row() {
    let file = r#"{"time":"2026-01-01T00:00:00Z","host":"a","load":1,"big":18446744073709551615}
{"host":"b","load":0.5,"up":true,"none":null}

[1]
{"host":"c","up":1}
{"nested":{"x":1}}
{"host":7,"load":2}
"#;
    insta::assert_snapshot!(show_text(file, options(Format::JsonLines, "cpu", &["host"])), @r#"
    1: cpu,host=a load=1,big=18446744073709551615u 1767225600000000000
    2: cpu,host=b load=0.5,up=true
    3: ! the line is not a JSON object: invalid type: sequence, expected an object at line 1 column 0
    4: ! value `1` of column 'up' is not a valid boolean
    5: ! column 'nested' has an object or a list, which cannot be stored
    6: ! value `7` of column 'host' is not a valid text
    "#);
}

#[test]
fn integers_of_json_stay_exact_and_fractions_are_not_cut() {
    let mut file = String::new();
    for _ in 0..MAX_BATCH_ROWS {
        file.push_str("{\"v\":9007199254740993}\n");
    }
    file.push_str("{\"v\":1.5}\n{\"v\":2}\n{\"w\":1}\n");
    let parts = read_parts(file, options(Format::JsonLines, "m", &[])).unwrap();
    assert!(show(&parts[..1]).starts_with("1: m v=9007199254740993i\n"));
    insta::assert_snapshot!(show(&parts[1..]), @r"
    8194: m v=2i
    8195: m w=1i
    8193: ! value `1.5` of column 'v' is not a valid integer
    ");
}

#[test]
fn reading_continues_after_skipped_rows() {
    let csv = "host,v\na,1\nb\nc,3\nd,4\n";
    for (skip_rows, expected) in [
        (0, "1: m v=1i,host=\"a\"\n"),
        (1, "3: m v=3i,host=\"c\"\n"),
        (3, "4: m v=4i,host=\"d\"\n"),
        (4, ""),
        (9, ""),
    ] {
        let options = ReadOptions { skip_rows, ..options(Format::Csv, "m", &[]) };
        let shown = show_text(csv, options).replace("host=\"a\",v=1i", "v=1i,host=\"a\"");
        let first = shown.lines().next().unwrap_or_default();
        let mut columns: Vec<_> = first.split([' ', ',']).collect();
        let mut expected: Vec<_> = expected.trim_end().split([' ', ',']).collect();
        columns.sort_unstable();
        expected.sort_unstable();
        assert_eq!(columns, expected, "{skip_rows}");
        assert_eq!(shown.contains("2: !"), skip_rows < 2, "{skip_rows}");
    }
}

#[test]
fn parts_are_bounded_by_bytes_and_by_cells() {
    let long = "x".repeat(1 << 20);
    let csv: String = std::iter::once("v\n".to_owned())
        .chain((0..20).map(|_| format!("{long}\n")))
        .collect();
    let parts = read_parts(csv, options(Format::Csv, "m", &[])).unwrap();
    let rows: Vec<_> = parts.iter().map(|part| part.batches[0].batch.num_rows()).collect();
    assert_eq!(rows, [8, 8, 4]);
    let json: String = (0..5000).map(|row| format!("{{\"c{row}\":1}}\n")).collect();
    let parts = read_parts(json, options(Format::JsonLines, "m", &[])).unwrap();
    let shapes: Vec<_> = parts
        .iter()
        .map(|part| &part.batches[0].batch)
        .map(|batch| (batch.num_rows(), batch.num_columns()))
        .collect();
    assert_eq!(shapes, [(2048, 2048), (2048, 2048), (904, 904)]);
}
