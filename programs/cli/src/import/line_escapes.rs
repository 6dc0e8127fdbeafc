//! Escapes of line protocol as InfluxDB 1 and 2 write them.
//!
//! | text | InfluxDB 1 and 2 | InfluxDB 3 |
//! |---|---|---|
//! | `\\` in a name or a tag | two backslashes | one backslash |
//! | `\\,` in a tag | a backslash and a comma | one backslash, and the end of the tag |
//! | `\"` in the name of a field | a quote | a backslash and a quote |

use memchr::memchr;

/// Characters that a backslash escapes in names and tags.
const SPECIAL: [u8; 3] = *b",= ";

/// Appends a line of InfluxDB 1 or 2 as a line of InfluxDB 3. A line that is no line protocol is appended as it is from
/// the first unexpected byte on, so that the server refuses it.
pub(super) fn push_translated(line: &[u8], out: &mut Vec<u8>) {
    if memchr(b'\\', line).is_none() {
        out.extend_from_slice(line);
        return;
    }
    let rest = push_name(line, b' ', false, out);
    let blanks = rest.iter().take_while(|byte| **byte == b' ').count();
    let (blanks, mut rest) = rest.split_at_checked(blanks).unwrap_or((rest, &[]));
    out.extend_from_slice(blanks);
    loop {
        rest = push_name(rest, b'=', true, out);
        let length = value_length(rest);
        let (value, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        out.extend_from_slice(value);
        let Some((&b',', after)) = after.split_first() else {
            out.extend_from_slice(after);
            return;
        };
        out.push(b',');
        rest = after;
    }
}

/// Appends a text up to an unescaped `end`, which is appended, too, unless it is a blank. Returns the rest.
fn push_name<'a>(text: &'a [u8], end: u8, is_field: bool, out: &mut Vec<u8>) -> &'a [u8] {
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        if byte == end {
            if end == b'=' {
                out.push(byte);
                return after;
            }
            return rest;
        }
        rest = after;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match after.split_first() {
            Some((next, after)) if SPECIAL.contains(next) => {
                out.extend([b'\\', *next]);
                rest = after;
            }
            Some((b'"', after)) if is_field => {
                out.push(b'"');
                rest = after;
            }
            Some((b'\\', _)) => out.extend(*b"\\\\"),
            _ => out.push(b'\\'),
        }
    }
    rest
}

fn value_length(text: &[u8]) -> usize {
    if text.first() != Some(&b'"') {
        let end = text.iter().position(|byte| matches!(byte, b',' | b' '));
        return end.unwrap_or(text.len());
    }
    let mut is_escaped = false;
    for (at, byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> String {
        let mut out = Vec::new();
        push_translated(line.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn backslashes_of_names_and_tags_are_doubled_where_they_would_be_escapes() {
        for (line, expected) in [
            (r"m,t=a\\b v=1 5", r"m,t=a\\\b v=1 5"),
            (r"m,t=a\\,b,z=1 v=1", r"m,t=a\\\,b,z=1 v=1"),
            (r"m,t=a\\ b v=1", r"m,t=a\\\ b v=1"),
            (r"m,t=C:\dir\ x v=1", r"m,t=C:\dir\ x v=1"),
            (r"m\ x\\y,t\\k=1 v=1", r"m\ x\\\y,t\\\k=1 v=1"),
            (r#"m a\"b=1,c\\d=2i 7"#, r#"m a"b=1,c\\\d=2i 7"#),
        ] {
            assert_eq!(translated(line), expected, "{line}");
        }
    }

    #[test]
    fn values_and_what_is_no_line_stay_as_they_are() {
        for line in [
            "m,t=a v=\"x\\\\\\\" y=\\\\\n\",w=2 5\n",
            r"m\",
            r"m\ x",
            r"m,t=\ v",
            r#"m v="\"#,
        ] {
            assert_eq!(translated(line), line);
        }
    }
}
