//! Parses query strings and JSON bodies, with the error texts of InfluxDB 3.

use axum::{body::Body, extract::Request};
use http::{HeaderMap, Uri, header::CONTENT_TYPE};
use neap_bucket::World;
use serde::de::DeserializeOwned;

use crate::{ApiError, BodyLimits, Kind, read_body};

/// Parses the parameters in a query string; a missing query string is empty. Unknown parameters are ignored, and
/// booleans are exactly `true` or `false`.
///
/// # Errors
/// `Invalid`, `serde error: …`.
///
/// # Examples
///
/// ```
/// use http::Uri;
/// use neap_http::parse_query;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Parameters {
///     db: String,
///     #[serde(default)]
///     chunked: bool,
/// }
///
/// let uri: Uri = "/query?db=a%20b&chunked=true&unknown=1".parse()?;
/// let parameters: Parameters = parse_query(&uri)?;
/// assert_eq!((parameters.db.as_str(), parameters.chunked), ("a b", true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn parse_query<T: DeserializeOwned>(uri: &Uri) -> Result<T, ApiError> {
    serde_urlencoded::from_str(uri.query().unwrap_or_default())
        .map_err(|error| ApiError::text(Kind::Invalid, format!("serde error: {error}")))
}

/// Returns the value of a parameter of a query string or a form: the last one if there are several, as at `/query`.
pub fn last_parameter<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let named = pairs.iter().rev().find(|(known, _)| known == name);
    named.map(|(_, value)| value.as_str())
}

/// Reads a JSON body. Its content type must be `application/json` or `application/…+json`.
///
/// # Errors
/// `UnsupportedMediaType`; `Invalid`, `serde json error: …`; and the errors of [`read_body`].
pub async fn read_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    limits: &BodyLimits,
    world: &World,
) -> Result<T, ApiError> {
    if !is_json(headers) {
        return Err(ApiError::text(
            Kind::UnsupportedMediaType,
            "unacceptable content-type, expected: application/json",
        ));
    }
    let body = read_body(headers, body, limits, world).await?;
    serde_json::from_slice(&body)
        .map_err(|error| ApiError::text(Kind::Invalid, format!("serde json error: {error}")))
}

/// Parses the parameters in the query string if there is one, and otherwise those in the JSON body. Clients of InfluxDB 3 send
/// the name of what they delete in either.
///
/// # Errors
/// Those of [`parse_query`] or [`read_json`].
pub async fn read_query_or_json<T: DeserializeOwned>(
    request: Request,
    limits: &BodyLimits,
    world: &World,
) -> Result<T, ApiError> {
    if request.uri().query().is_some() {
        return parse_query(request.uri());
    }
    let (head, body) = request.into_parts();
    read_json(&head.headers, body, limits, world).await
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let media_type = value.split(';').next().unwrap_or_default().trim();
    let media_type = media_type.to_ascii_lowercase();
    media_type
        .strip_prefix("application/")
        .is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Params {
        db: String,
        #[serde(default)]
        flag: bool,
    }

    #[test]
    fn errors_of_query_strings_have_the_texts_of_serde() {
        let parse = |uri: &str| {
            let parsed = parse_query::<Params>(&uri.parse().unwrap());
            parsed.map_err(|error| error.message().to_owned())
        };
        let params = |db: &str, flag| {
            let db = db.to_owned();
            Ok(Params { db, flag })
        };
        assert_eq!(parse("/?db=a%20b&flag=true&other=1"), params("a b", true));
        assert_eq!(parse("/?db="), params("", false));
        let pairs = "
            / ==> serde error: missing field `db`
            /? ==> serde error: missing field `db`
            /?flag=true ==> serde error: missing field `db`
            /?db=a&flag=TRUE ==> serde error: provided string was not `true` or `false`
            /?db=a&flag=1 ==> serde error: provided string was not `true` or `false`
            /?db=a&db=b ==> serde error: duplicate field `db`
        ";
        for (uri, error) in neap_test_inputs::text_pairs(pairs) {
            assert_eq!(parse(uri), Err(error.to_owned()), "{uri}");
        }
    }

    #[tokio::test]
    async fn json_bodies_need_a_json_content_type() {
        let read = async |content_type: Option<&'static str>, body: &'static str| {
            let headers = content_type.map(|value| (CONTENT_TYPE, value.parse().unwrap()));
            let headers = HeaderMap::from_iter(headers);
            let limits = BodyLimits::default();
            let read = read_json(&headers, Body::from(body), &limits, &World::system()).await;
            read.map(|params: Params| params.db)
                .map_err(|error| format!("{} {error}", error.kind().status().as_u16()))
        };
        let good = Ok("a".to_owned());
        for content_type in
            ["application/json", "Application/JSON; charset=utf-8", "application/vnd.x+json"]
        {
            assert_eq!(read(Some(content_type), r#"{"db":"a"}"#).await, good);
        }
        for content_type in [None, Some("text/plain"), Some("application/jsonl")] {
            assert_eq!(
                read(content_type, "{}").await.unwrap_err(),
                "415 unacceptable content-type, expected: application/json"
            );
        }
        assert_eq!(
            read(Some("application/json"), "{}").await.unwrap_err(),
            "400 serde json error: missing field `db` at line 1 column 2"
        );
    }

    #[tokio::test]
    async fn a_body_is_read_only_without_a_query_string() {
        let read = async |uri: &str, body: &'static str| {
            let request = Request::delete(uri)
                .header(CONTENT_TYPE, "application/json")
                .body(Body::from(body))
                .unwrap();
            let limits = BodyLimits::default();
            let read = read_query_or_json(request, &limits, &World::system()).await;
            read.map(|params: Params| params.db).map_err(|error| error.message().to_owned())
        };
        let found = |db: &str| Ok(db.to_owned());
        assert_eq!(read("/?db=a", r#"{"db":"b"}"#).await, found("a"));
        assert_eq!(read("/", r#"{"db":"b"}"#).await, found("b"));
        assert_eq!(
            read("/?force=true", r#"{"db":"b"}"#).await,
            Err("serde error: missing field `db`".to_owned())
        );
    }
}
