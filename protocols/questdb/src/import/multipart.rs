//! The form of an upload (`multipart/form-data`).

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use memchr::memmem;
use neap_http::ApiError;
use serde::Deserialize;

use super::params::invalid;

/// Maximum number of parts of a form.
const MAX_PARTS: usize = 16;

/// Maximum bytes of a boundary (RFC 2046).
const MAX_BOUNDARY_BYTES: usize = 70;

/// The parts of a form that are of interest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImportForm {
    /// The content of the file.
    pub(crate) data: Bytes,
    /// The name of the file, if it has one.
    pub(crate) file_name: Option<String>,
    /// The columns that are symbols.
    pub(crate) symbols: Vec<String>,
}

/// A part of a form.
#[derive(Debug)]
struct FormPart {
    name: String,
    file_name: Option<String>,
    content: Bytes,
}

/// A column in the part `schema`.
#[derive(Debug, Deserialize)]
struct SchemaColumn {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

impl ImportForm {
    /// Parses a body.
    ///
    /// # Errors
    /// `Invalid`: the body is no form, or has no file.
    pub(crate) fn parse(headers: &HeaderMap, body: Bytes) -> Result<Self, ApiError> {
        let mut form = None;
        let mut symbols = Vec::new();
        for part in parts(&body, &boundary(headers)?)? {
            match part.name.as_str() {
                "schema" => symbols = parse_symbols(&part.content)?,
                "data" => form = Some((part.content, part.file_name)),
                _ => {}
            }
        }
        let (data, file_name) = form.ok_or_else(|| invalid("the form has no part 'data'"))?;
        Ok(Self {
            data,
            file_name,
            symbols,
        })
    }
}

/// Returns the names of the columns of the type SYMBOL.
fn parse_symbols(schema: &[u8]) -> Result<Vec<String>, ApiError> {
    let columns: Vec<SchemaColumn> = serde_json::from_slice(schema)
        .map_err(|error| invalid(format!("the part 'schema' is malformed: {error}")))?;
    let symbols = columns
        .into_iter()
        .filter(|column| column.kind.eq_ignore_ascii_case("symbol"));
    Ok(symbols.map(|column| column.name).collect())
}

/// Returns the text that separates the parts.
fn boundary(headers: &HeaderMap) -> Result<String, ApiError> {
    let expected = || invalid("expected a form (Content-Type: multipart/form-data; boundary=…)");
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let (kind, options) = value
        .and_then(|value| value.split_once(';'))
        .ok_or_else(expected)?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err(expected());
    }
    let boundary = option(options, "boundary").ok_or_else(expected)?;
    match boundary.len() {
        1..=MAX_BOUNDARY_BYTES => Ok(boundary),
        _ => Err(expected()),
    }
}

/// Returns the value of an option such as `name="a;b"`.
fn option(options: &str, name: &str) -> Option<String> {
    let mut options = split_options(options)
        .into_iter()
        .filter_map(|option| option.split_once('='));
    let (_, value) = options.find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?;
    let value = value.trim();
    let unquoted = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    Some(unquoted.map_or_else(|| value.to_owned(), unescape))
}

/// Splits options at the semicolons outside of quotes. A backslash in quotes escapes the next character.
fn split_options(options: &str) -> Vec<&str> {
    let (mut in_quotes, mut is_escaped) = (false, false);
    let at_semicolon = |char: char| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match char {
            '\\' if in_quotes => is_escaped = !was_escaped,
            '"' if !was_escaped => in_quotes = !in_quotes,
            _ => {}
        }
        char == ';' && !in_quotes
    };
    options.split(at_semicolon).collect()
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

fn parts(body: &Bytes, boundary: &str) -> Result<Vec<FormPart>, ApiError> {
    let cut_off = || invalid("the form is cut off: its last boundary is missing");
    let delimiter = format!("--{boundary}");
    let begin = memmem::find(body, delimiter.as_bytes()).ok_or_else(cut_off)?;
    let mut rest = body.slice(begin + delimiter.len()..);
    let delimiter = format!("\r\n{delimiter}");
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        if parts.len() >= MAX_PARTS {
            return Err(invalid(format!("the form has more than {MAX_PARTS} parts")));
        }
        let end = memmem::find(&rest, delimiter.as_bytes()).ok_or_else(cut_off)?;
        parts.push(part(rest.slice(..end))?);
        rest = rest.slice(end + delimiter.len()..);
    }
    Ok(parts)
}

/// Parses a part, from the end of the boundary before it.
fn part(bytes: Bytes) -> Result<FormPart, ApiError> {
    let malformed = || invalid("a part of the form is malformed");
    let head_end = memmem::find(&bytes, b"\r\n\r\n").ok_or_else(malformed)?;
    let head = std::str::from_utf8(bytes.get(..head_end).unwrap_or_default());
    let head = head.map_err(|_| malformed())?;
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let disposition = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-disposition"));
    let (_, disposition) = disposition.ok_or_else(malformed)?;
    Ok(FormPart {
        name: option(disposition, "name").ok_or_else(malformed)?,
        file_name: option(disposition, "filename").filter(|name| !name.is_empty()),
        content: bytes.slice(head_end + 4..),
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn parse(content_type: &str, body: &str) -> Result<ImportForm, String> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
        let body = Bytes::copy_from_slice(body.as_bytes());
        ImportForm::parse(&headers, body).map_err(|error| error.message().to_owned())
    }

    const FORM: &str = "multipart/form-data; boundary=\"XyZ\"";

    #[test]
    fn a_form_has_a_file_and_a_schema() {
        let schema = r#"[{"name":"a","type":"SYMBOL"},{"name":"b","type":"DOUBLE","pattern":"x"}]"#;
        let body = format!(
            "preamble\r\n--XyZ\r\nContent-Disposition: form-data; name=\"schema\"\r\n\r\n{schema}\r\n--XyZ\r\n\
             content-disposition: form-data; name=\"data\"; filename=\"t.csv\"\r\nContent-Type: text/csv\r\n\r\n\
             a,b\r\n--x,1\r\n\r\n--XyZ--\r\n"
        );
        let form = parse(FORM, &body).unwrap();
        assert_eq!(form.data, "a,b\r\n--x,1\r\n");
        assert_eq!(form.file_name.as_deref(), Some("t.csv"));
        assert_eq!(form.symbols, ["a"]);
    }

    #[test]
    fn quoted_names_may_contain_separators() {
        for (sent, name) in [
            (r#""a;b=c.csv""#, "a;b=c.csv"),
            (r#""a\";name=\"x;.csv""#, r#"a";name="x;.csv"#),
            (r#""C:\dir\\a\\""#, r"C:\dir\a\"),
            ("plain.csv", "plain.csv"),
        ] {
            let body = format!(
                "--XyZ\r\nContent-Disposition: form-data; filename={sent}; name=\"data\"\r\n\r\na\r\n--XyZ--"
            );
            let form = parse(FORM, &body).unwrap();
            assert_eq!(form.file_name.as_deref(), Some(name), "{sent}");
        }
    }

    #[test]
    fn malformed_forms_are_refused_with_the_reason() {
        let part = "--XyZ\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\na\r\n";
        let many = format!("{}--XyZ--", part.repeat(MAX_PARTS + 1));
        let bad_schema = part.replace("data\"", "schema\"") + "--XyZ--";
        for (content_type, body, reason) in [
            ("text/csv", "a", "expected a form"),
            ("multipart/form-data", "a", "expected a form"),
            ("multipart/form-data; boundary=", "a", "expected a form"),
            (FORM, "a", "cut off"),
            (FORM, part, "cut off"),
            (FORM, "--XyZ--", "no part 'data'"),
            (FORM, "--XyZ\r\n\r\n\r\na\r\n--XyZ--", "malformed"),
            (FORM, "--XyZ\r\nno head\r\n--XyZ--", "malformed"),
            (FORM, many.as_str(), "more than 16 parts"),
            (FORM, bad_schema.as_str(), "part 'schema' is malformed"),
        ] {
            let error = parse(content_type, body).unwrap_err();
            assert!(error.contains(reason), "{body}: {error}");
        }
    }
}
