use proptest::prelude::*;

use super::*;

/// A double whose bytes are newlines, quotes and backslashes.
const TRICKY: &[u8; 8] = b"\n\"\\\n= \n\n";

fn line(fields: &[u8]) -> Vec<u8> {
    [b"m,t=a ", fields, b" 5\n"].concat()
}

fn double(key: &str, bytes: &[u8; 8]) -> Vec<u8> {
    [key.as_bytes(), b"==", &[DOUBLE], bytes].concat()
}

fn array(key: &str, lengths: &[u32]) -> Vec<u8> {
    let dimensions = u8::try_from(lengths.len()).unwrap();
    let mut value = [key.as_bytes(), b"==", &[ARRAY, DOUBLE_ELEMENT, dimensions]].concat();
    value.extend(lengths.iter().flat_map(|length| length.to_le_bytes()));
    let elements = match lengths {
        [] => 0,
        lengths => lengths.iter().fold(1, |elements, length| elements * *length as usize),
    };
    value.extend(TRICKY.iter().cycle().take(elements * DOUBLE_BYTES));
    value
}

/// Returns the ends of all lines.
fn ends(bytes: &[u8]) -> Vec<usize> {
    let mut scanner = LineScanner::new();
    std::iter::from_fn(|| scanner.next_line_end(bytes)).collect()
}

/// Returns the ends of all lines when the bytes arrive one by one.
fn ends_of_pieces(bytes: &[u8]) -> Vec<usize> {
    let mut scanner = LineScanner::new();
    let mut found = Vec::new();
    for end in 1..=bytes.len() {
        found.extend(scanner.last_line_end(&bytes[..end]));
    }
    found
}

#[test]
fn newlines_in_values_do_not_end_a_line() {
    let decimal = [b"d==", &[DECIMAL, 2, 3][..], b"\n\n\n"].concat();
    let no_array = [b"n==", &[ARRAY, 33][..], b",b=1"].concat();
    let values = [
        b"v=1".to_vec(),
        b"v=\"a\nb\\\"\n\"".to_vec(),
        b"v\\\n=1".to_vec(),
        b"v=\"=\"".to_vec(),
        double("v", TRICKY),
        [double("v", TRICKY), b",".to_vec(), double("w", TRICKY)].concat(),
        array("v", &[3, 2]),
        array("v", &[1, 1, 1, 1, 1]),
        array("v", &[]),
        array("v", &[0, u32::MAX, u32::MAX]),
        decimal,
        no_array,
    ];
    for value in values {
        let bytes = [line(&value), line(b"v=2")].concat();
        let expected = [line(&value).len(), bytes.len()];
        assert_eq!(ends(&bytes), expected, "{value:?}");
        assert_eq!(ends_of_pieces(&bytes), expected, "{value:?}");
    }
}

#[test]
fn equals_signs_and_quotes_outside_fields_open_no_value() {
    for first in [
        "m==\u{10} v=1\n",
        "m,t==x v=1\n",
        "m,t=\"a v=1\n",
        "m\\ x==\" v=1\n",
        "\"\n",
        "==\n",
    ] {
        let bytes = [first.as_bytes(), b"m v=1\n"].concat();
        assert_eq!(ends(&bytes), [first.len(), bytes.len()], "{first:?}");
    }
}

#[test]
fn blank_lines_and_comments_are_lines() {
    let bytes = b"\n # a=\"b==\x10\n\r\n\t m v=1\r\n#\n";
    assert_eq!(ends(bytes), [1, 12, 14, 23, 25]);
    assert_eq!(ends_of_pieces(bytes), ends(bytes));
}

#[test]
fn incomplete_lines_have_no_end() {
    let whole = [array("a", &[2]), b",".to_vec(), double("b", TRICKY)].concat();
    let whole = line(&whole);
    for end in 0..whole.len() {
        assert!(ends(&whole[..end]).is_empty(), "{end}");
    }
    let huge = array("a", &[0])[..5].to_vec();
    let huge = [huge, vec![2], vec![255; 8], vec![b'\n'; 100_000]].concat();
    assert!(ends(&line(&huge)).is_empty());
}

#[test]
fn long_lines_are_not_scanned_again() {
    let mut bytes = b"m v=1\nm v=\"".to_vec();
    let mut scanner = LineScanner::new();
    assert_eq!(scanner.last_line_end(&bytes), Some(6));
    bytes.resize(1 << 20, b'x');
    assert_eq!(scanner.last_line_end(&bytes), None);
    assert_eq!(scanner.at, bytes.len());
    let mut plain = b"m v=1\nm,t=".to_vec();
    plain.resize(1 << 20, b'x');
    let mut scanner = LineScanner::new();
    assert_eq!(scanner.last_line_end(&plain), Some(6));
    assert_eq!(scanner.at, plain.len());
}

#[test]
fn prefixes_consist_of_whole_lines() {
    let bytes = [line(b"v=1"), line(&double("v", TRICKY)), line(b"v=3")].concat();
    let [first, second, _] = ends(&bytes)[..] else {
        panic!("three lines");
    };
    assert_eq!(lines_within(&bytes, first - 1), b"");
    assert_eq!(lines_within(&bytes, second + 1), &bytes[..second]);
    assert_eq!(lines_within(&bytes, bytes.len()), bytes);
    assert_eq!(first_line(&bytes), &bytes[..first]);
    assert_eq!(first_line(b"m v=1"), b"m v=1");
}

fn text_line() -> impl Strategy<Value = String> {
    let series = "[a-c]{1,2}(,[a-c]=([a-c\"]|\\\\ |\\\\=|\\\\\\\\x){1,3}){0,2}";
    let field = "[a-c](\\\\=|\\\\ )?=(1i|2\\.5|true|\"([a-c =,#\n]|\\\\\"|\\\\\\\\){0,5}\")";
    (series, prop::collection::vec(field, 1..4), "( [0-9]{1,9})?")
        .prop_map(|(series, fields, time)| format!("{series} {}{time}", fields.join(",")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn lines_are_those_of_the_parser(lines in prop::collection::vec(text_line(), 0..6), cut in 0usize..400) {
        let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let body = text.as_bytes();
        prop_assert_eq!(ends(body).len(), lines.len());
        prop_assert_eq!(ends_of_pieces(body), ends(body));
        let mut length = 0;
        let mut lengths = Vec::new();
        while let Some(line) = questdb_line_length(&body[length..]) {
            length += line;
            lengths.push(length);
        }
        prop_assert_eq!(&ends(body), &lengths);
        let head = lines_within(body, cut.min(body.len())).len();
        prop_assert!(head == 0 || lengths.contains(&head));
    }

    #[test]
    fn any_bytes_are_scanned_alike_in_pieces(bytes in prop::collection::vec(
        prop_oneof![Just(b'='), Just(b'\n'), Just(b' '), Just(b'"'), Just(b'\\'), Just(DOUBLE), Just(ARRAY), Just(DECIMAL),
            Just(DOUBLE_ELEMENT), Just(0), Just(1), Just(b'#'), any::<u8>()], 0..200)) {
        let found = ends(&bytes);
        let pieces = ends_of_pieces(&bytes);
        prop_assert_eq!(pieces.last(), found.last());
        prop_assert!(pieces.iter().all(|end| found.contains(end)));
        let mut scanner = LineScanner::new();
        prop_assert_eq!(scanner.last_line_end(&bytes), found.last().copied());
    }
}
