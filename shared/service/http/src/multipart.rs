//! The syntax of bodies of the type `multipart/form-data` (RFC 7578).
//!
//! ```text
//!   --boundary CRLF headers CRLF CRLF content CRLF --boundary ... CRLF --boundary--
//! ```
//!
//! Own code instead of the crate `multer`, which buffers all that a stream has ready, without a bound.

use std::{iter, mem};

use http::{HeaderMap, header::CONTENT_TYPE};
use memchr::memmem;

/// Maximum length of a boundary, as in RFC 2046.
const MAX_BOUNDARY_BYTES: usize = 70;

/// Returns the boundary of a form; `None` if the content type is another one, or has no valid boundary.
pub fn multipart_boundary(headers: &HeaderMap) -> Option<String> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let (essence, parameters) = content_type.split_once(';')?;
    let boundary = parameter(parameters, "boundary")?;
    let is_valid = essence.trim().eq_ignore_ascii_case("multipart/form-data")
        && (1..=MAX_BOUNDARY_BYTES).contains(&boundary.len())
        && boundary.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    is_valid.then_some(boundary)
}

/// The name of a part, and the name of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartHead {
    /// The name of the part.
    pub name: String,
    /// The name of the file; `None` if the part is no file.
    pub filename: Option<String>,
}

impl PartHead {
    /// Parses the headers of a part, of which only `Content-Disposition` counts. A header may be folded: a line that
    /// begins with a blank continues the one before it. Returns `None` if the part has no name.
    pub fn parse(headers: &str) -> Option<Self> {
        let unfolded = headers.replace("\r\n ", " ").replace("\r\n\t", " ");
        let disposition = unfolded.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_it = name.trim().eq_ignore_ascii_case("content-disposition");
            is_it.then_some(value)
        })?;
        Some(Self {
            name: parameter(disposition, "name")?,
            filename: parameter(disposition, "filename"),
        })
    }
}

/// Reasons why a complete body can't be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// The body ends before its last boundary.
    #[error("the form is cut off: its last boundary is missing")]
    CutOff,
    /// A part has no headers, or no name.
    #[error("a part of the form is malformed")]
    Malformed,
}

/// The head of a part, and its content.
type Part<'a> = (PartHead, &'a [u8]);

/// Splits a complete body into parts with their contents, up to the first error.
pub fn multipart_parts<'a>(
    body: &'a [u8],
    boundary: &str,
) -> impl Iterator<Item = Result<Part<'a>, PartError>> {
    // The first delimiter may be at the very start, without the line break that belongs to it.
    let first = split_once(body, format!("--{boundary}").as_bytes());
    let mut unread = Some(first.map(|(_, rest)| rest).ok_or(PartError::CutOff));
    let delimiter = format!("\r\n--{boundary}");
    iter::from_fn(move || match unread.take()? {
        Ok(rest) if rest.starts_with(b"--") => None,
        Ok(rest) => Some(split_part(rest, delimiter.as_bytes()).map(|(part, following)| {
            unread = Some(Ok(following));
            part
        })),
        Err(error) => Some(Err(error)),
    })
}

/// Splits off a part, from the end of the boundary before it.
fn split_part<'a>(rest: &'a [u8], delimiter: &[u8]) -> Result<(Part<'a>, &'a [u8]), PartError> {
    let (part, following) = split_once(rest, delimiter).ok_or(PartError::CutOff)?;
    let (head, content) = split_once(part, b"\r\n\r\n").ok_or(PartError::Malformed)?;
    let head = str::from_utf8(head)
        .ok()
        .and_then(PartHead::parse)
        .ok_or(PartError::Malformed)?;
    Ok(((head, content), following))
}

fn split_once<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = memmem::find(bytes, separator)?;
    Some((bytes.get(..at)?, bytes.get(at + separator.len()..)?))
}

/// Returns the value of a parameter such as `name="a;b"`.
fn parameter(parameters: &str, name: &str) -> Option<String> {
    let mut parameters = split_parameters(parameters).filter_map(|it| it.split_once('='));
    let (_, value) = parameters.find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?;
    let value = value.trim();
    let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    Some(unquoted.map_or_else(|| value.to_owned(), unescape))
}

/// Splits parameters at the semicolons outside of quotes. A backslash in quotes escapes the next character.
fn split_parameters(parameters: &str) -> impl Iterator<Item = &str> {
    let (mut in_quotes, mut is_escaped) = (false, false);
    parameters.split(move |char: char| {
        let was_escaped = mem::take(&mut is_escaped);
        match char {
            '\\' if in_quotes => is_escaped = !was_escaped,
            '"' if !was_escaped => in_quotes = !in_quotes,
            _ => {}
        }
        char == ';' && !in_quotes
    })
}

/// Removes the backslashes before quotes and backslashes. Others are characters of Windows' paths.
fn unescape(quoted: &str) -> String {
    let mut text = String::with_capacity(quoted.len());
    let mut chars = quoted.chars().peekable();
    while let Some(char) = chars.next() {
        let escaped = chars.next_if(|next| char == '\\' && matches!(next, '"' | '\\'));
        text.push(escaped.unwrap_or(char));
    }
    text
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn boundary_of(content_type: &'static str) -> Option<String> {
        let value = HeaderValue::from_static(content_type);
        multipart_boundary(&HeaderMap::from_iter([(CONTENT_TYPE, value)]))
    }

    #[test]
    fn a_boundary_may_be_quoted() {
        for (content_type, boundary) in [
            ("multipart/form-data; boundary=x-1", Some("x-1")),
            ("Multipart/Form-Data; charset=utf-8; BOUNDARY=\"a;b\"", Some("a;b")),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data", None),
            ("multipart/mixed; boundary=x", None),
            (
                "multipart/form-data; boundary=00000000001111111111222222222233333333334444444444555555555566666666667",
                None,
            ),
        ] {
            assert_eq!(boundary_of(content_type).as_deref(), boundary, "{content_type}");
        }
    }

    #[test]
    fn headers_may_be_folded() {
        for head in [
            "Content-Disposition: form-data; name=\"a b\"; filename=c",
            "Content-Disposition: form-data;\r\n name=\"a b\";\r\n\tfilename=c",
            "X-Note: one\r\n two: three\r\nContent-Disposition:\r\n  form-data; name=\"a\r\n b\"; filename=c",
        ] {
            let expected = PartHead { name: "a b".to_owned(), filename: Some("c".to_owned()) };
            assert_eq!(PartHead::parse(head), Some(expected), "{head:?}");
        }
        // A continuation is no header of its own.
        let continued = "X-Note: one\r\n Content-Disposition: form-data; name=a";
        assert_eq!(PartHead::parse(continued), None);
    }

    #[test]
    fn parts_end_with_the_first_error() {
        let part =
            |name: &str| format!("--x\r\ncontent-disposition: form-data; {name}\r\n\r\na\r\n");
        let body = [part("name=b"), part("nobody"), part("name=c")].concat() + "--x--";
        let parts: Vec<_> = multipart_parts(body.as_bytes(), "x").collect();
        let head = PartHead { name: "b".to_owned(), filename: None };
        assert_eq!(parts, [Ok((head, &b"a"[..])), Err(PartError::Malformed)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn arbitrary_bodies_do_not_panic(text in "(--x|\r\n|: |name=|;|-|a|\"|\\\\|content-disposition){0,30}") {
            multipart_parts(text.as_bytes(), "x").for_each(drop);
        }
    }
}
