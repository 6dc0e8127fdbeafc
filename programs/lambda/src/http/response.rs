//! Responses in the form that the source of an event expects.
//!
//! Bodies that are not text are encoded in base64, which all sources decode. A REST API decodes base64 only for its
//! binary media types, so these must be `*/*`.

use std::collections::BTreeMap;

use axum::{body::to_bytes, response::IntoResponse};
use base64::{display::Base64Display, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, SET_COOKIE},
};
use neap_http::ApiError;
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};

use super::HttpSource;

/// A response, ready for serialization.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpEventResponse {
    status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<JoinedHeaders>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_value_headers: Option<MultiValueHeaders>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<String>,
    is_base64_encoded: bool,
    body: EventResponseBody,
}

/// Headers, serialized with the values of a name joined by commas.
#[derive(Clone, Debug)]
struct JoinedHeaders(HeaderMap);

/// Headers, serialized with a list of values for each name.
#[derive(Clone, Debug)]
struct MultiValueHeaders(HeaderMap);

/// A body, serialized as text if it is text, otherwise in base64.
#[derive(Clone, Debug)]
struct EventResponseBody {
    bytes: Bytes,
    is_text: bool,
}

impl HttpEventResponse {
    /// Builds a response for a source. The body is dropped if the status does not allow one.
    pub fn new(
        source: HttpSource,
        status: StatusCode,
        mut headers: HeaderMap,
        mut body: Bytes,
    ) -> Self {
        if !has_body(status) {
            headers.remove(CONTENT_LENGTH);
            body = Bytes::new();
        }
        let is_text = !headers.contains_key(CONTENT_ENCODING) && as_text(&body).is_some();
        let mut answer = Self {
            status_code: status.as_u16(),
            status_description: None,
            headers: None,
            multi_value_headers: None,
            cookies: Vec::new(),
            is_base64_encoded: !is_text,
            body: EventResponseBody { bytes: body, is_text },
        };
        match source {
            HttpSource::V2 => {
                answer.cookies = take_cookies(&mut headers);
                answer.headers = Some(JoinedHeaders(headers));
            }
            HttpSource::V1 => answer.multi_value_headers = Some(MultiValueHeaders(headers)),
            HttpSource::LoadBalancer { multi_value } => {
                let reason = status.canonical_reason().unwrap_or_default();
                answer.status_description = Some(format!("{} {reason}", status.as_u16()));
                if multi_value {
                    answer.multi_value_headers = Some(MultiValueHeaders(headers));
                } else {
                    answer.headers = Some(JoinedHeaders(headers));
                }
            }
        }
        answer
    }

    /// Builds an error response with additional headers.
    pub async fn of_error(source: HttpSource, error: ApiError, more: HeaderMap) -> Self {
        let (mut head, body) = error.into_response().into_parts();
        head.headers.extend(more);
        // The body of an error is in memory.
        let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
        Self::new(source, head.status, head.headers, body)
    }

    /// Returns the status code.
    pub fn status(&self) -> u16 {
        self.status_code
    }

    /// Returns the size of the serialized JSON in bytes, without serializing the body.
    pub fn encoded_bytes(&self) -> usize {
        let mut empty = self.clone();
        empty.body.bytes = Bytes::new();
        let head = serde_json::to_vec(&empty).map_or(0, |json| json.len());
        let bytes = &self.body.bytes;
        let body = if self.body.is_text {
            escaped_bytes(bytes)
        } else {
            bytes.len().div_ceil(3).saturating_mul(4)
        };
        head.saturating_add(body)
    }
}

/// Returns whether responses with this status may have a body.
pub(super) fn has_body(status: StatusCode) -> bool {
    !status.is_informational()
        && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Joins the values of each header and returns `Set-Cookie` values separately, because payload 2.0 allows several
/// values only for cookies. Values that are not visible ASCII are dropped, because the prelude of a streamed response
/// can't contain them.
pub(super) fn join_values(mut headers: HeaderMap) -> (HeaderMap, Vec<String>) {
    let cookies = take_cookies(&mut headers);
    let joined = headers.keys().filter_map(|name| {
        let values: Vec<&str> =
            headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        let value = HeaderValue::from_str(&values.join(", ")).ok()?;
        (!values.is_empty()).then(|| (name.clone(), value))
    });
    (joined.collect(), cookies)
}

fn take_cookies(headers: &mut HeaderMap) -> Vec<String> {
    let cookies = headers.get_all(SET_COOKIE).iter().map(text).collect();
    headers.remove(SET_COOKIE);
    cookies
}

/// Returns a body as text; `None` if it is not UTF-8.
fn as_text(body: &[u8]) -> Option<&str> {
    simdutf8::basic::from_utf8(body).ok()
}

/// Returns the size of a text inside a JSON string in bytes.
fn escaped_bytes(text: &[u8]) -> usize {
    let escapes = text.iter().map(|byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
        0..=0x1f => 5,
        _ => 0,
    });
    text.len().saturating_add(escapes.sum())
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

impl Serialize for JoinedHeaders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut joined: BTreeMap<&str, String> = BTreeMap::new();
        for (name, value) in &self.0 {
            let known = joined.entry(name.as_str()).or_default();
            if !known.is_empty() {
                known.push_str(", ");
            }
            known.push_str(&text(value));
        }
        joined.serialize(serializer)
    }
}

impl Serialize for MultiValueHeaders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names: BTreeMap<&str, HeaderValueList<'_>> = self
            .0
            .keys()
            .map(|name| (name.as_str(), HeaderValueList(self.0.get_all(name))))
            .collect();
        let mut map = serializer.serialize_map(Some(names.len()))?;
        for (name, values) in &names {
            map.serialize_entry(name, values)?;
        }
        map.end()
    }
}

struct HeaderValueList<'a>(http::header::GetAll<'a, HeaderValue>);

impl Serialize for HeaderValueList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for value in &self.0 {
            list.serialize_element(&text(value))?;
        }
        list.end()
    }
}

impl Serialize for EventResponseBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match as_text(&self.bytes).filter(|_| self.is_text) {
            Some(text) => serializer.serialize_str(text),
            None => serializer.collect_str(&Base64Display::new(&self.bytes, &BASE64_STANDARD)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(
        source: HttpSource,
        headers: &[(&'static str, &'static str)],
        body: &[u8],
    ) -> HttpEventResponse {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        HttpEventResponse::new(source, StatusCode::OK, map, Bytes::copy_from_slice(body))
    }

    #[test]
    fn each_source_gets_headers_as_it_takes_them() {
        let headers = [("x-a", "1"), ("x-a", "2"), ("set-cookie", "c=1"), ("set-cookie", "d=2")];
        let of = |source| serde_json::to_value(answer(source, &headers, b"ok")).unwrap();
        insta::assert_json_snapshot!([
            of(HttpSource::V2),
            of(HttpSource::V1),
            of(HttpSource::LoadBalancer { multi_value: true }),
            of(HttpSource::LoadBalancer { multi_value: false }),
        ]);
    }

    #[test]
    fn streamed_responses_join_header_values_and_separate_cookies() {
        let mut map = HeaderMap::new();
        for (name, value) in [
            ("x-a", "1"),
            ("x-a", "2"),
            ("set-cookie", "c=1"),
            ("set-cookie", "d=2"),
            ("x-b", "ü"),
        ] {
            map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let (headers, cookies) = join_values(map);
        assert_eq!(
            headers,
            HeaderMap::from_iter([("x-a".parse().unwrap(), HeaderValue::from_static("1, 2"))])
        );
        assert_eq!(cookies, ["c=1", "d=2"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn encoded_bytes_is_the_size_of_the_serialized_response(
            body in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..300),
                "\\PC{0,100}".prop_map(String::into_bytes),
                "[\\x00-\\x7f]{0,100}".prop_map(String::into_bytes),
            ],
        ) {
            for source in [HttpSource::V2, HttpSource::V1, HttpSource::LoadBalancer { multi_value: false }] {
                let answer = answer(source, &[("content-type", "text/csv")], &body);
                let json = serde_json::to_vec(&answer).unwrap();
                prop_assert_eq!(answer.encoded_bytes(), json.len());
            }
        }
    }
}
