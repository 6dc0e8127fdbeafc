//! Strings in the three text dialects: JSON strings, CSV fields and plain text.

/// The text dialect of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// JSON values.
    Json,
    /// CSV fields: quoted if they contain a comma, a quote or a line end.
    Csv,
    /// Unquoted text.
    Plain,
}

/// Appends `text` as one value of `dialect`.
pub(crate) fn push_text(text: &str, dialect: Dialect, out: &mut Vec<u8>) {
    match dialect {
        Dialect::Json => push_json_string(text, out),
        Dialect::Csv => push_csv_field(text, out),
        Dialect::Plain => out.extend_from_slice(text.as_bytes()),
    }
}

/// Whether any byte of `text` satisfies `special`. Tests whole blocks, which compiles to vector instructions, because
/// nearly all texts have no special byte.
fn contains(text: &[u8], special: impl Fn(u8) -> bool) -> bool {
    let (blocks, rest) = text.as_chunks::<16>();
    blocks
        .iter()
        .any(|block| block.iter().fold(false, |found, &byte| found | special(byte)))
        || rest.iter().any(|&byte| special(byte))
}

fn push_json_string(text: &str, out: &mut Vec<u8>) {
    let text = text.as_bytes();
    let special = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    out.push(b'"');
    if contains(text, special) {
        let mut plain_from = 0;
        for (at, &byte) in text.iter().enumerate() {
            if special(byte) {
                out.extend_from_slice(&text[plain_from..at]);
                push_json_escape(byte, out);
                plain_from = at + 1;
            }
        }
        out.extend_from_slice(&text[plain_from..]);
    } else {
        out.extend_from_slice(text);
    }
    out.push(b'"');
}

/// Appends the shortest JSON escape of a control character, a quote or a backslash.
fn push_json_escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            return;
        }
    };
    out.extend([b'\\', short]);
}

fn push_csv_field(text: &str, out: &mut Vec<u8>) {
    let text = text.as_bytes();
    if !contains(text, |byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for piece in text.split_inclusive(|&byte| byte == b'"') {
        out.extend_from_slice(piece);
        if piece.ends_with(b"\"") {
            out.push(b'"');
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pushed(text: &str, dialect: Dialect) -> String {
        let mut out = Vec::new();
        push_text(text, dialect, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_escapes_what_must_be_escaped_and_nothing_else() {
        assert_eq!(
            pushed("say \"hi\" \\ \u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f} / ü 漢 🌡", Dialect::Json),
            "\"say \\\"hi\\\" \\\\ \\b\\f\\n\\r\\t\\u0000\\u001f\u{7f} / ü 漢 🌡\""
        );
    }

    #[test]
    fn csv_quotes_only_fields_that_need_it() {
        assert_eq!(pushed("a b;c", Dialect::Csv), "a b;c");
        assert_eq!(pushed("", Dialect::Csv), "");
        assert_eq!(pushed("a,b", Dialect::Csv), "\"a,b\"");
        assert_eq!(pushed("two\nlines", Dialect::Csv), "\"two\nlines\"");
        assert_eq!(pushed("a\rb", Dialect::Csv), "\"a\rb\"");
        assert_eq!(pushed("5\" disk\"", Dialect::Csv), "\"5\"\" disk\"\"\"");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn json_strings_are_those_of_serde_json(text in "(?s).{0,40}") {
            prop_assert_eq!(pushed(&text, Dialect::Json), serde_json::to_string(&text).unwrap());
        }
    }
}
