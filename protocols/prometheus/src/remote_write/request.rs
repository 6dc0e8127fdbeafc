//! The query string and the headers of a request.

use axum::http::{HeaderMap, Uri, header::CONTENT_ENCODING, header::CONTENT_TYPE};
use neap_http::{ApiError, Kind, last_parameter, named_database, parse_query};

use crate::WriteVersion;

/// The media type of both versions.
const MEDIA_TYPE: &str = "application/x-protobuf";

/// The parameter of the media type that names the message.
const MESSAGE_PARAMETER: &str = "proto";

/// Returns the database of a request: that of its headers or of the parameter `db`, or else the default database. The parameter
/// `rp` is a retention policy, as in `/write`. Other parameters are ignored, because clients of InfluxDB 1 send some.
///
/// # Errors
/// `Invalid`: the query string is malformed, or no database or several ones are named.
pub(crate) fn requested_database(
    uri: &Uri,
    headers: &HeaderMap,
    default: Option<&str>,
) -> Result<String, ApiError> {
    let pairs: Vec<(String, String)> = parse_query(uri)?;
    let named = named_database(headers, last_parameter(&pairs, "db"))?;
    let Some(database) = named.or(default) else {
        let text = "missing query parameter 'db': add it to the URL of remote_write, or send the header 'database'";
        return Err(ApiError::text(Kind::Invalid, text));
    };
    let policy = last_parameter(&pairs, "rp").unwrap_or_default().to_lowercase();
    Ok(match policy.as_str() {
        "" | "''" | "autogen" | "default" => database.to_owned(),
        policy => format!("{database}/{policy}"),
    })
}

/// Returns the version of the message that the headers announce.
///
/// # Errors
/// `UnsupportedMediaType`: the message is of another type, or its encoding is not snappy.
pub(crate) fn requested_version(headers: &HeaderMap) -> Result<WriteVersion, ApiError> {
    let refused = |message: String| Err(ApiError::text(Kind::UnsupportedMediaType, message));
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    if let Some(encoding) = headers.get(CONTENT_ENCODING).map(text)
        && !encoding.eq_ignore_ascii_case("snappy")
    {
        return refused(format!("the content encoding is {encoding:?}, not snappy"));
    }
    let Some(content_type) = headers.get(CONTENT_TYPE).map(text) else {
        return Ok(WriteVersion::One);
    };
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    if !media_type.eq_ignore_ascii_case(MEDIA_TYPE) {
        return refused(format!("the content type is {media_type:?}, not {MEDIA_TYPE}"));
    }
    let message = parts
        .filter_map(|part| part.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case(MESSAGE_PARAMETER));
    match message.map(|(_, value)| value.trim().trim_matches('"')) {
        None | Some("prometheus.WriteRequest") => Ok(WriteVersion::One),
        Some("io.prometheus.write.v2.Request") => Ok(WriteVersion::Two),
        Some(other) => refused(format!("the message {other:?} is not supported")),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn the_database_is_a_parameter_a_header_or_the_default() {
        let database = |query: &str, header: Option<&'static str>, default| {
            let uri = format!("/api/v1/write{query}").parse().unwrap();
            let named = header.map(|name| {
                let database = HeaderName::from_static("database");
                (database, HeaderValue::from_static(name))
            });
            let headers = HeaderMap::from_iter(named);
            requested_database(&uri, &headers, default).map_err(|error| error.message().to_owned())
        };
        assert_eq!(database("?db=d", None, None).as_deref(), Ok("d"));
        assert_eq!(database("?db=d&u=a&p=b", None, Some("x")).as_deref(), Ok("d"));
        assert_eq!(database("?db=c&db=d", None, None).as_deref(), Ok("d"));
        assert_eq!(database("?db=d&rp=Weekly", None, None).as_deref(), Ok("d/weekly"));
        assert_eq!(database("?db=d&rp=autogen", None, None).as_deref(), Ok("d"));
        assert_eq!(database("", None, Some("x")).as_deref(), Ok("x"));
        assert_eq!(database("", Some("h"), Some("x")).as_deref(), Ok("h"));
        assert_eq!(database("?rp=weekly", Some("h"), None).as_deref(), Ok("h/weekly"));
        assert!(database("?db=d", Some("h"), None).unwrap_err().contains("several databases"));
        assert!(database("", None, None).unwrap_err().contains("missing query parameter 'db'"));
    }

    #[test]
    fn headers_name_the_version() {
        let version = |content_type: Option<&'static str>, encoding: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = content_type {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            }
            if let Some(value) = encoding {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            requested_version(&headers).map_err(|error| error.message().to_owned())
        };
        for one in [
            None,
            Some("application/x-protobuf"),
            Some("application/x-protobuf;proto=prometheus.WriteRequest"),
        ] {
            assert_eq!(version(one, Some("snappy")), Ok(WriteVersion::One));
        }
        let two = Some("application/x-protobuf; proto=io.prometheus.write.v2.Request");
        assert_eq!(version(two, None), Ok(WriteVersion::Two));
        for (content_type, encoding, message) in [
            (
                Some("application/json"),
                None,
                r#"the content type is "application/json", not application/x-protobuf"#,
            ),
            (
                Some("application/x-protobuf;proto=other"),
                None,
                r#"the message "other" is not supported"#,
            ),
            (None, Some("gzip"), r#"the content encoding is "gzip", not snappy"#),
        ] {
            assert_eq!(version(content_type, encoding), Err(message.to_owned()));
        }
    }
}
