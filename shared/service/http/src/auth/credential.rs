//! Extracts the token of a request.
//!
//! | where | form |
//! |---|---|
//! | `?p=` on `/query` and `/write`, as InfluxDB 1 clients send it | the token; takes precedence over the header |
//! | header `Authorization` | `Bearer <token>`, `Token <token>`, `Basic base64(<anything>:<token>)` |
//!
//! Schemes are case-sensitive and followed by exactly one space, as in InfluxDB 3.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, Uri, header::AUTHORIZATION};
use neap_catalog::SecretToken;

/// The `Authorization` header is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MalformedHeader;

/// Returns the token of a request; `None` if it has none.
pub(super) fn request_token(
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Option<SecretToken>, MalformedHeader> {
    if let Some(password) = password(uri) {
        return Ok(Some(password));
    }
    let mut values = headers.get_all(AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => header_token(value).map(Some),
        (Some(_), Some(_)) => Err(MalformedHeader),
    }
}

/// Returns the password of an InfluxDB 1 client. The user `u` is ignored.
fn password(uri: &Uri) -> Option<SecretToken> {
    let is_influxdb_1 =
        matches!(uri.path(), "/query" | "/write" | "/api/v1/prom/read" | "/api/v1/prom/write");
    if !is_influxdb_1 {
        return None;
    }
    let params: Vec<(String, String)> = serde_urlencoded::from_str(uri.query()?).ok()?;
    let password = params.into_iter().find(|(name, _)| name == "p");
    password.map(|(_, value)| SecretToken::new(value))
}

/// Returns the token in the value of an `Authorization` header; `None` if it is malformed.
pub fn presented_token(value: &HeaderValue) -> Option<SecretToken> {
    header_token(value).ok()
}

fn header_token(value: &HeaderValue) -> Result<SecretToken, MalformedHeader> {
    let text = value.to_str().map_err(|_| MalformedHeader)?;
    let (scheme, credentials) = text.split_once(' ').ok_or(MalformedHeader)?;
    if credentials.is_empty() || credentials.contains(' ') {
        return Err(MalformedHeader);
    }
    match scheme {
        "Bearer" | "Token" => Ok(SecretToken::new(credentials)),
        "Basic" => {
            let decoded = STANDARD.decode(credentials).map_err(|_| MalformedHeader)?;
            let decoded = String::from_utf8(decoded).map_err(|_| MalformedHeader)?;
            let (_, password) = decoded.split_once(':').ok_or(MalformedHeader)?;
            Ok(SecretToken::new(password))
        }
        _ => Err(MalformedHeader),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uri: &str, headers: &[&'static str]) -> Result<Option<String>, MalformedHeader> {
        let headers = headers.iter().map(|value| (AUTHORIZATION, HeaderValue::from_static(value)));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value);
        }
        let token = request_token(&uri.parse().unwrap(), &map)?;
        Ok(token.map(|token| token.reveal().to_owned()))
    }

    fn token(text: &str) -> Result<Option<String>, MalformedHeader> {
        Ok(Some(text.to_owned()))
    }

    #[test]
    fn the_three_schemes_are_understood() {
        assert_eq!(of("/x", &[]), Ok(None));
        assert_eq!(of("/x", &["Bearer a=b"]), token("a=b"));
        assert_eq!(of("/x", &["Token a"]), token("a"));
        assert_eq!(of("/x", &["Basic dTphOmI="]), token("a:b"));
        assert_eq!(of("/x", &["Basic Og=="]), token(""));
    }

    #[test]
    fn anything_else_is_malformed() {
        for header in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer  a",
            "Bearer a b",
            "bearer a",
            "token a",
            "BASIC dTph",
            "Digest a",
            "Basic !!!",
            "Basic dXNlcg==",
            "Basic /w==",
            " Bearer a",
            "Bearer\ta",
        ] {
            assert_eq!(of("/x", &[header]), Err(MalformedHeader), "{header:?}");
        }
        assert_eq!(of("/x", &["Bearer a", "Bearer b"]), Err(MalformedHeader));
    }

    #[test]
    fn p_is_used_only_on_the_paths_of_influxdb_1_and_overrides_the_header() {
        assert_eq!(of("/query?db=x&u=any&p=a%2Bb", &["Bearer c"]), token("a+b"));
        assert_eq!(of("/write?p=a", &["nonsense"]), token("a"));
        assert_eq!(of("/write?p=", &["Bearer c"]), token(""));
        assert_eq!(of("/write?u=a&db=p", &["Bearer c"]), token("c"));
        for path in ["/api/v3/query_sql", "/api/v2/write", "/query/", "/"] {
            assert_eq!(of(&format!("{path}?p=a"), &[]), Ok(None), "{path}");
        }
    }
}
