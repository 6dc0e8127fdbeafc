//! The database that a request names.

use http::HeaderMap;

use crate::{ApiError, Kind};

/// The headers that name the database: those of clients of InfluxDB, and the usual ones of OpenTelemetry's collectors.
pub const DATABASE_HEADERS: [&str; 5] =
    ["database", "bucket", "db", "bucket-name", "iox-namespace-name"];

/// Returns the database that the headers and the values of parameters name; `None` if they name none. Empty names are ignored.
///
/// # Errors
/// `Invalid`: they name several databases, or a header is not UTF-8.
///
/// # Examples
///
/// ```
/// use http::{HeaderMap, HeaderValue};
/// use neap_http::named_database;
///
/// let headers = HeaderMap::from_iter([("database".parse()?, HeaderValue::from_static("a"))]);
/// assert_eq!(named_database(&headers, [])?, Some("a"));
/// assert_eq!(named_database(&headers, ["a"])?, Some("a"));
/// assert!(named_database(&headers, ["b"]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn named_database<'a>(
    headers: &'a HeaderMap,
    parameters: impl IntoIterator<Item = &'a str>,
) -> Result<Option<&'a str>, ApiError> {
    let mut names: Vec<&str> = parameters.into_iter().collect();
    for header in DATABASE_HEADERS {
        for value in headers.get_all(header) {
            let name = str::from_utf8(value.as_bytes())
                .map_err(|_| invalid(&format!("header {header} is not a text")))?;
            names.push(name);
        }
    }
    names.retain(|name| !name.is_empty());
    let first = names.first().copied();
    if names.iter().all(|name| Some(*name) == first) {
        Ok(first)
    } else {
        Err(invalid("the request names several databases"))
    }
}

fn invalid(text: &str) -> ApiError {
    ApiError::text(Kind::Invalid, text)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn named(headers: &[(&'static str, &str)], parameters: &[&str]) -> Result<String, String> {
        let pairs = headers.iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value).unwrap();
            (HeaderName::from_static(name), value)
        });
        let headers = HeaderMap::from_iter(pairs);
        let database = named_database(&headers, parameters.iter().copied());
        let text = |name: Option<&str>| name.unwrap_or("none").to_owned();
        database.map(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn headers_and_parameters_name_the_same_database() {
        for header in DATABASE_HEADERS {
            assert_eq!(named(&[(header, "a")], &[]).as_deref(), Ok("a"));
        }
        assert_eq!(named(&[], &[]).as_deref(), Ok("none"));
        assert_eq!(named(&[("db", "")], &["", "a"]).as_deref(), Ok("a"));
        assert_eq!(named(&[("bucket", "a")], &["a"]).as_deref(), Ok("a"));
        for (headers, parameters) in [
            (&[("bucket", "a")][..], &["b"][..]),
            (&[("bucket", "a"), ("db", "b")][..], &[][..]),
        ] {
            assert_eq!(
                named(headers, parameters),
                Err("the request names several databases".to_owned())
            );
        }
    }
}
