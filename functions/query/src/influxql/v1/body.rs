//! Request bodies: a form, a multipart form, or the statements themselves.

use http::{HeaderMap, header::CONTENT_TYPE};
use neap_http::{ApiError, Kind, multipart_boundary, multipart_parts};

use super::params::{NameValuePairs, pairs};

/// Parses a body by its content type. An empty body may have any type, because some clients send one with every
/// request.
pub(super) fn parameters(headers: &HeaderMap, body: &[u8]) -> Result<NameValuePairs, ApiError> {
    if body.is_empty() {
        return Ok(NameValuePairs::new());
    }
    let content_type = headers.get(CONTENT_TYPE).map(|value| value.to_str());
    let content_type = match content_type {
        None => "application/vnd.influxql",
        Some(Ok(value)) => value,
        Some(Err(_)) => return Err(refused("invalid content type")),
    };
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    match media_type.to_ascii_lowercase().as_str() {
        "application/x-www-form-urlencoded" => pairs(body, "body"),
        "multipart/form-data" => {
            let boundary = multipart_boundary(headers)
                .ok_or_else(|| refused("a multipart body needs a boundary in its content type"))?;
            parts(&boundary, body).ok_or_else(|| refused("malformed multipart body"))
        }
        "application/vnd.influxql" => {
            let text =
                std::str::from_utf8(body).map_err(|_| refused("the query is not valid UTF-8"))?;
            Ok(vec![("q".to_owned(), text.to_owned())])
        }
        _ => Err(refused(&format!("unsupported content type: {content_type}"))),
    }
}

fn refused(text: &str) -> ApiError {
    ApiError::json(Kind::Invalid, text)
}

/// Splits a multipart body into named parts; `None` if it is malformed.
fn parts(boundary: &str, body: &[u8]) -> Option<NameValuePairs> {
    multipart_parts(body, boundary)
        .map(|part| {
            let (head, content) = part.ok()?;
            let value = str::from_utf8(content).ok()?;
            Some((head.name, value.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content_type: Option<&'static str>, body: &str) -> Result<NameValuePairs, String> {
        let headers = content_type.map(|value| (CONTENT_TYPE, value.parse().unwrap()));
        let read = parameters(&HeaderMap::from_iter(headers), body.as_bytes());
        read.map_err(|error| error.message().to_owned())
    }

    fn one(name: &str, value: &str) -> Result<NameValuePairs, String> {
        Ok(vec![(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn a_body_is_read_by_its_type() {
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        assert_eq!(read(Some(form), "q=a+b"), one("q", "a b"));
        assert_eq!(read(None, "SHOW x"), one("q", "SHOW x"));
        let influxql = "application/vnd.influxql";
        assert_eq!(read(Some(influxql), "SHOW x"), one("q", "SHOW x"));
        assert_eq!(read(Some("application/json"), ""), Ok(NameValuePairs::new()));
        insta::assert_snapshot!(read(Some("application/json"), "{}").unwrap_err(), @"unsupported content type: application/json");
    }

    #[test]
    fn files_are_parts_of_a_form() {
        let body = "--xx\r\nContent-Disposition: form-data; name=\"q\"; filename=\"q.txt\"\r\nContent-Type: text/plain\r\n\r\nSHOW\r\nx\r\n--xx\r\ncontent-disposition: form-data; name=db\r\n\r\nhome\r\n--xx--\r\n";
        let parts = read(Some("multipart/form-data; boundary=\"xx\""), body).unwrap();
        let expected = [("q", "SHOW\r\nx"), ("db", "home")];
        assert_eq!(parts, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(read(Some("multipart/form-data"), body).is_err());
        assert!(read(Some("multipart/form-data; boundary=yy"), body).is_err());
    }
}
