//! The form of an upload (`multipart/form-data`).

use bytes::Bytes;
use http::HeaderMap;
use neap_http::{ApiError, multipart_boundary, multipart_parts};
use serde::Deserialize;

use super::params::invalid;

/// Maximum number of parts of a form.
const MAX_PARTS: usize = 16;

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
        let boundary = multipart_boundary(headers).ok_or_else(|| {
            invalid("expected a form (Content-Type: multipart/form-data; boundary=…)")
        })?;
        for (count, part) in multipart_parts(&body, &boundary).enumerate() {
            if count >= MAX_PARTS {
                return Err(invalid(format!("the form has more than {MAX_PARTS} parts")));
            }
            let (head, content) = part.map_err(|error| invalid(error.to_string()))?;
            let file_name = head.filename.filter(|name| !name.is_empty());
            match head.name.as_str() {
                "schema" => symbols = parse_symbols(content)?,
                "data" => form = Some((body.slice_ref(content), file_name)),
                _ => {}
            }
        }
        let (data, file_name) = form.ok_or_else(|| invalid("the form has no part 'data'"))?;
        Ok(Self { data, file_name, symbols })
    }
}

/// Returns the names of the columns of the type SYMBOL.
fn parse_symbols(schema: &[u8]) -> Result<Vec<String>, ApiError> {
    let columns: Vec<SchemaColumn> = serde_json::from_slice(schema)
        .map_err(|error| invalid(format!("the part 'schema' is malformed: {error}")))?;
    let symbols = columns.into_iter().filter(|column| column.kind.eq_ignore_ascii_case("symbol"));
    Ok(symbols.map(|column| column.name).collect())
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::CONTENT_TYPE};

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
