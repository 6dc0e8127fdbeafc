//! Tests of lines with binary values: their ends, their errors, and malformed values.

use proptest::{collection::vec, num::f64::NORMAL, prelude::*};

use super::{
    points::{Field, Point},
    questdb::{OPTIONS, parse_questdb, refusal},
    *,
};
use crate::line_protocol::questdb_line_length;

fn double(value: f64) -> Vec<u8> {
    [&[b'=', 16], &value.to_le_bytes()[..]].concat()
}

fn array(shape: &[u32], values: &[f64]) -> Vec<u8> {
    let mut bytes = vec![b'=', 14, 10, u8::try_from(shape.len()).unwrap()];
    bytes.extend(shape.iter().flat_map(|length| length.to_le_bytes()));
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

fn decimal(scale: u8, unscaled: &[u8]) -> Vec<u8> {
    let length = u8::try_from(unscaled.len()).unwrap();
    [&[b'=', 23, scale, length], unscaled].concat()
}

/// Returns a double whose bytes are all newlines.
fn newlines() -> f64 {
    f64::from_le_bytes([b'\n'; 8])
}

fn line(value: &[u8]) -> Vec<u8> {
    [b"m,s=a a=1,v=", value, b",b=2i 5n"].concat()
}

#[test]
fn newlines_in_binary_values_end_no_line() {
    let mut body = Vec::new();
    for number in 1..=3 {
        body.extend(b"\n# x\nm,s=a v=");
        body.extend(double(newlines()));
        body.extend(b",w=");
        body.extend(array(&[1, 2], &[newlines(), f64::from(number)]));
        body.extend(format!(",d={number}d {number}n\r\n").bytes());
    }
    let parsed = parse_questdb(&body);
    assert_eq!((parsed.lines, parsed.rows, messages(&parsed)), (3, 3, vec![]));
    let points = &points_by_table(&parsed)["m"];
    for (number, point) in (1..).zip(points) {
        assert_eq!(point.time, number);
        assert_eq!(point.fields["v"], Field::Float(newlines()));
        let array = Field::String(format!("[[{:?},{number}.0]]", newlines()));
        assert_eq!(point.fields["w"], array);
        assert_eq!(point.fields["d"], Field::String(number.to_string()));
    }

    body.extend(b"m,s=a v=");
    body.extend(double(1.0));
    body.extend(b",w=1 4n\nm v=1 5\n");
    let parsed = parse_questdb(&body);
    assert_eq!((parsed.lines, parsed.rows), (4, 3));
    let error = &parsed.errors[0];
    assert_eq!(error.line_number, 4);
    assert_eq!(error.original_line, "m,s=a v==\u{10}\0\0\0\0\0\0\\xf0?,w=1 4n");
}

#[test]
fn a_carriage_return_at_the_end_of_a_value_is_part_of_it() {
    let ends_in_return = f64::from_le_bytes(*b"\0\0\0\0\0\0\xf0\r");
    let shown = Field::String(format!("[{ends_in_return:?}]"));
    for (value, stored) in [
        (double(ends_in_return), Field::Float(ends_in_return)),
        (array(&[1], &[ends_in_return]), shown),
        (decimal(1, b"\r"), Field::String("1.3".to_owned())),
    ] {
        assert_eq!(value.last(), Some(&b'\r'));
        for end in [&b"\n"[..], b"\r\n", b"", b"\r", b" \r\n", b" 7\r\n", b" 7n \r\n"] {
            let line = [b"m v=", &value[..], end].concat();
            let parsed = parse_questdb(&line);
            assert_eq!(messages(&parsed), [], "{}", line.escape_ascii());
            let point = &points_by_table(&parsed)["m"][0];
            assert_eq!((&point.fields["v"], point.time), (&stored, 7));
            let length = end.ends_with(b"\n").then_some(line.len());
            assert_eq!(questdb_line_length(&line), length);
        }
    }
    assert!(refusal("m v=1 5\r\r\n").starts_with("Could not parse entire line"));
}

#[test]
fn no_line_after_a_refused_one_is_stored() {
    for bad in [&b"m v=x 2"[..], b"m v==\x01\nm v=3 3", b"m,s=\"a v=\"b 2"] {
        let body = [b"m v=1 1\n", bad, b"\nm v=4 4\n"].concat();
        let parsed = parse_questdb(&body);
        assert_eq!((parsed.lines, parsed.rows, parsed.errors.len()), (2, 1, 1));
    }
}

#[test]
fn a_value_of_another_type_than_its_column_is_refused() {
    for value in [array(&[1], &[1.0]), decimal(0, &[1]), b"0x1i".to_vec()] {
        let body = [b"m v=1 1\nm v=", &value[..], b" 2n\n"].concat();
        let parsed = parse_questdb(&body);
        let message = "invalid column type for column 'v', expected iox::column_type::field::float, got iox::column_type::field::string";
        assert_eq!(messages(&parsed), [(2, message.to_owned())]);
    }
}

#[test]
fn the_text_of_arrays_counts_as_cells() {
    let narrow = |dimensions: usize| {
        let shape = [&[1000][..], &vec![1; dimensions]].concat();
        let body = line(&array(&shape, &[1.0; 1000]));
        let options = Options { max_cells: Some(5_000), ..OPTIONS };
        let parsed = parse(&body, &TestDatabase::default(), &options).unwrap();
        messages(&parsed)
    };
    assert_eq!(narrow(0), []);
    assert_eq!(
        narrow(10),
        [(
            1,
            "Update would exceed the limit of 5000 cells (rows times columns) per write, use smaller writes"
                .to_owned()
        )]
    );
}

#[test]
fn a_value_that_is_cut_off_is_refused() {
    let mut refused = 0;
    for value in [
        double(1.5),
        array(&[2, 2], &[1.0, 2.0, 3.0, 4.0]),
        array(&[1; 32], &[1.0]),
        decimal(2, &[0x30, 0x39]),
        decimal(2, &[1; 31]),
    ] {
        for end in 1..value.len() {
            let body = [b"m v=", &value[..end]].concat();
            assert_eq!(refusal(&body), "the body ends inside a binary value");
            assert_eq!(questdb_line_length(&body), None);
            refused += 1;
        }
        let whole = [b"m v=", &value[..]].concat();
        assert_eq!(parse_questdb(&whole).rows, 1);
    }
    assert!(refused > 200, "{refused}");
}

#[test]
fn malformed_values_are_refused_with_a_reason() {
    let mut cases: Vec<(Vec<u8>, String)> = Vec::new();
    for kind in (0..=255).filter(|kind| ![14, 16, 23].contains(kind)) {
        let message = format!("a binary value has the unknown type {kind}");
        cases.push((vec![b'=', kind, 1, 2, 3, 4, 5, 6, 7, 8], message));
    }
    for elements in (0..=255).filter(|elements| ![10, 33].contains(elements)) {
        let message = format!("the elements of an array have type {elements}, not 10 (double)");
        cases.push((vec![b'=', 14, elements, 1, 0, 0, 0, 0], message));
    }
    for dimensions in 33..=255 {
        let message = format!("an array has {dimensions} dimensions, more than 32");
        let bytes = [&[b'=', 14, 10, dimensions], &[0; 1020][..]].concat();
        cases.push((bytes, message));
    }
    for scale in 77..=255 {
        let message = format!("a decimal has {scale} digits after the point, more than 76");
        cases.push((decimal(scale, &[1]), message));
    }
    let too_large = "an array is larger than 1MB as text, where each value counts as 25 bytes";
    for shape in [
        &[u32::MAX][..],
        &[41_943],
        &[1 << 31, 1 << 31],
        &[1 << 16; 4],
        &[u32::MAX; 32],
        &[40_000, 1, 1, 1, 1, 1, 1, 1, 1],
    ] {
        cases.push((array(shape, &[1.0]), too_large.to_owned()));
    }
    for length in 33..=255 {
        let bytes = decimal(0, &vec![1; length]);
        cases.push((bytes, "a decimal has more than 76 digits".to_owned()));
    }
    for infinite in [f64::INFINITY, f64::NEG_INFINITY] {
        for value in [double(infinite), array(&[2], &[1.0, infinite])] {
            cases.push((value, "an infinite number can't be stored".to_owned()));
        }
    }
    assert!(cases.len() > 1000);
    for (value, message) in cases {
        assert_eq!(refusal(line(&value)), message, "{}", value.escape_ascii());
    }
}

#[test]
fn bytes_after_a_binary_value_are_refused() {
    for after in ["x", "=", "n", "\"", "\\", "1", "\0"] {
        let body = [b"m v=", &double(1.0)[..], after.as_bytes(), b" 5n"].concat();
        let message = refusal(&body);
        assert!(message.starts_with("Could not parse entire line"), "{message}");
    }
}

#[test]
fn the_error_of_a_malformed_value_is_short() {
    let body = [b"m v==\x01".to_vec(), vec![0xff; 1 << 20]].concat();
    let parsed = parse_questdb(&body);
    assert!(parsed.errors[0].original_line.len() <= 4 * (64 << 10));
    assert!(parsed.errors[0].error_message.len() < 100);
}

fn point() -> impl Strategy<Value = (Point, Vec<u8>)> {
    let value = prop_oneof![NORMAL, Just(0.0), Just(newlines()), any::<i32>().prop_map(f64::from)];
    let doubles = vec(value.clone(), 1..4);
    let row = vec(value, 4);
    (
        doubles,
        row,
        any::<i64>(),
        "[a-c\n\"\\\\é]{0,4}",
        "[a-c ,=é]{1,3}",
        0..1_000_000i64,
    )
        .prop_map(|(doubles, row, unscaled, text, tag, time)| {
            let json: Vec<String> = row.iter().map(|value| format!("{value:?}")).collect();
            let mut fields = BTreeMap::from([
                (
                    "w".to_owned(),
                    Field::String(format!("[[{},{}],[{},{}]]", json[0], json[1], json[2], json[3])),
                ),
                ("d".to_owned(), Field::String(unscaled.to_string())),
                ("s".to_owned(), Field::String(text.clone())),
            ]);
            let escape = |text: &str, special: &str| -> String {
                text.chars()
                    .flat_map(|c| special.contains(c).then_some('\\').into_iter().chain([c]))
                    .collect()
            };
            let mut line =
                format!("m,t={} s=\"{}\"", escape(&tag, " ,=\\"), escape(&text, "\n\"\\"))
                    .into_bytes();
            for (number, value) in doubles.iter().enumerate() {
                fields.insert(format!("f{number}"), Field::Float(*value));
                line.extend(format!(",f{number}=").bytes());
                line.extend(double(*value));
            }
            line.extend(b",w=");
            line.extend(array(&[2, 2], &row));
            line.extend(b",d=");
            line.extend(decimal(0, &unscaled.to_be_bytes()));
            line.extend(format!(" {time}t\n").bytes());
            let table = "m".to_owned();
            let tags = BTreeMap::from([("t".to_owned(), tag)]);
            (Point { table, tags, fields, time: time * 1000 }, line)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn written_rows_are_read_back(rows in vec(point(), 1..12)) {
        // The rows are repeated, so that series and fields are recognised.
        let rows = [rows.clone(), rows].concat();
        let body: Vec<u8> = rows.iter().flat_map(|(_, line)| line.clone()).collect();
        let parsed = parse_questdb(&body);
        prop_assert_eq!(messages(&parsed), []);
        let expected: Vec<Point> = rows.iter().map(|(point, _)| point.clone()).collect();
        prop_assert_eq!(&points_by_table(&parsed)["m"], &expected);

        // A stream has the same lines, wherever it is cut.
        let mut rest = &body[..];
        for (_, line) in &rows {
            for end in 0..line.len() {
                prop_assert_eq!(questdb_line_length(&rest[..end]), None);
            }
            prop_assert_eq!(questdb_line_length(rest), Some(line.len()));
            rest = &rest[line.len()..];
        }
    }
}
