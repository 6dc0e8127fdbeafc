//! Events that gateways create from HTTP requests.
//!
//! Only an HTTP API decodes the path, as recorded events show:
//! <https://github.com/hotsock/voker/blob/main/vokerhttp/testdata/ingress-paths.json>.

use std::{borrow::Cow, collections::BTreeMap};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Method, header, request::Parts};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::GatewayKind;
use crate::{
    runtime::{ACCOUNT, REGION},
    world,
};

/// The address of every client.
const CLIENT_ADDRESS: &str = "127.0.0.1";

/// Error: the gateway rejects the path of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gateway rejects the encoding of the path")]
pub(super) struct PathEncodingError;

/// Converts a request to an event.
pub(super) fn event(
    kind: GatewayKind,
    parts: &Parts,
    body: &Bytes,
) -> Result<Value, PathEncodingError> {
    let sent = parts.uri.path();
    let request = GatewayRequest {
        method: &parts.method,
        path: match kind {
            GatewayKind::HttpApi => decode_path(sent)?.into(),
            GatewayKind::FunctionUrl | GatewayKind::RestApi | GatewayKind::LoadBalancer => {
                sent.into()
            }
        },
        query: parts.uri.query().unwrap_or_default(),
        headers: &parts.headers,
    };
    let (body, is_base64) = if body.is_empty() {
        (Value::Null, false)
    } else {
        encode(kind, &parts.headers, body)
    };
    let mut event = match kind {
        GatewayKind::HttpApi | GatewayKind::FunctionUrl => request.version_2(kind),
        GatewayKind::RestApi => request.version_1(),
        GatewayKind::LoadBalancer => request.load_balancer(),
    };
    // Payload 2.0 omits empty fields, the other payloads contain them.
    let leaves_out = matches!(kind, GatewayKind::HttpApi | GatewayKind::FunctionUrl);
    if let Some(event) = event.as_object_mut() {
        if !(leaves_out && body.is_null()) {
            event.insert("body".to_owned(), body);
        }
        event.insert("isBase64Encoded".to_owned(), is_base64.into());
    }
    Ok(event)
}

/// Encodes a body: as text if the gateway takes the content type for text, otherwise in base64.
fn encode(kind: GatewayKind, headers: &HeaderMap, body: &Bytes) -> (Value, bool) {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_ascii_lowercase();
    let is_text_type = content_type.starts_with("text/")
        || ["application/json", "application/javascript", "application/xml"]
            .iter()
            .any(|text| content_type.starts_with(text));
    // A REST API with `*/*` as binary media type encodes every body.
    let may_be_text = is_text_type
        && kind != GatewayKind::RestApi
        && !headers.contains_key(header::CONTENT_ENCODING);
    match std::str::from_utf8(body) {
        Ok(text) if may_be_text => (text.into(), false),
        _ => (STANDARD.encode(body).into(), true),
    }
}

struct GatewayRequest<'a> {
    method: &'a Method,
    /// The path in the event.
    path: Cow<'a, str>,
    query: &'a str,
    headers: &'a HeaderMap,
}

impl GatewayRequest<'_> {
    /// Builds the event in payload format 2.0.
    fn version_2(&self, kind: GatewayKind) -> Value {
        let is_function_url = kind == GatewayKind::FunctionUrl;
        // A function URL leaves `rawPath` encoded and decodes `http.path`.
        let (domain, decoded) = if is_function_url {
            (format!("local.lambda-url.{REGION}.on.aws"), decode(&self.path))
        } else {
            (self.host(), self.path.as_ref().into())
        };
        let mut headers = self.joined_headers(",");
        let cookies = headers.get("cookie").cloned();
        if !is_function_url {
            headers.remove("cookie");
        }
        let date = world::date();
        let mut event = json!({
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": self.path,
            "rawQueryString": self.query,
            "headers": headers,
            "requestContext": {
                "accountId": ACCOUNT,
                "apiId": "local",
                "domainName": domain,
                "domainPrefix": "local",
                "http": {
                    "method": self.method.as_str(),
                    "path": decoded,
                    "protocol": "HTTP/1.1",
                    "sourceIp": CLIENT_ADDRESS,
                    "userAgent": self.header("user-agent"),
                },
                "requestId": world::fresh_id(),
                "routeKey": "$default",
                "stage": "$default",
                "time": date.format("%d/%b/%Y:%H:%M:%S +0000").to_string(),
                "timeEpoch": date.timestamp_millis(),
            },
        });
        if let Some(event) = event.as_object_mut() {
            if let Some(cookies) = cookies {
                let cookies: Vec<&str> = cookies.split(';').map(str::trim).collect();
                event.insert("cookies".to_owned(), json!(cookies));
            }
            let parameters = self.parameters(decode_form);
            if !parameters.is_empty() {
                let joined: Map<String, Value> = parameters
                    .into_iter()
                    .map(|(name, values)| (name, values.join(",").into()))
                    .collect();
                event.insert("queryStringParameters".to_owned(), joined.into());
            }
        }
        event
    }

    /// Builds the event of a REST API in payload format 1.0.
    fn version_1(&self) -> Value {
        let date = world::date();
        let parameters = self.parameters(decode_form);
        json!({
            "resource": "/{proxy+}",
            "path": self.path,
            "httpMethod": self.method.as_str(),
            "headers": self.last_headers(),
            "multiValueHeaders": self.all_headers(),
            "queryStringParameters": last_of(&parameters),
            "multiValueQueryStringParameters": all_of(&parameters),
            "pathParameters": { "proxy": self.path.trim_start_matches('/') },
            "stageVariables": null,
            "requestContext": {
                "accountId": ACCOUNT,
                "apiId": "local",
                "domainName": self.host(),
                "domainPrefix": "local",
                "httpMethod": self.method.as_str(),
                "identity": { "sourceIp": CLIENT_ADDRESS, "userAgent": self.header("user-agent") },
                "path": self.path,
                "protocol": "HTTP/1.1",
                "requestId": world::fresh_id(),
                "requestTime": date.format("%d/%b/%Y:%H:%M:%S +0000").to_string(),
                "requestTimeEpoch": date.timestamp_millis(),
                "resourcePath": "/{proxy+}",
                // The stage name that leaves the path unchanged, as with a custom domain.
                "stage": "$default",
            },
        })
    }

    /// Builds the event of a load balancer, which decodes nothing.
    fn load_balancer(&self) -> Value {
        let parameters = self.parameters(Cow::from);
        let group = format!("arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/local/0");
        json!({
            "requestContext": { "elb": { "targetGroupArn": group } },
            "httpMethod": self.method.as_str(),
            "path": self.path,
            "multiValueQueryStringParameters": all_of(&parameters),
            "multiValueHeaders": self.all_headers(),
        })
    }

    fn header(&self, name: &str) -> String {
        let value = self.headers.get(name);
        value.map_or_else(String::new, |value| lossy(value.as_bytes()))
    }

    fn host(&self) -> String {
        match self.header("host") {
            host if host.is_empty() => "localhost".to_owned(),
            host => host,
        }
    }

    /// Returns the headers in the event, including those that the gateway adds.
    fn all_headers(&self) -> BTreeMap<String, Vec<String>> {
        let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in self.headers {
            let values = headers.entry(name.as_str().to_owned()).or_default();
            values.push(lossy(value.as_bytes()));
        }
        for (name, value) in [
            ("host", self.host()),
            ("x-forwarded-for", CLIENT_ADDRESS.to_owned()),
            ("x-forwarded-port", "443".to_owned()),
            ("x-forwarded-proto", "https".to_owned()),
        ] {
            headers.insert(name.to_owned(), vec![value]);
        }
        headers
    }

    fn joined_headers(&self, separator: &str) -> BTreeMap<String, String> {
        let headers = self.all_headers().into_iter();
        headers.map(|(name, values)| (name, values.join(separator))).collect()
    }

    fn last_headers(&self) -> BTreeMap<String, String> {
        let headers = self.all_headers().into_iter();
        headers.filter_map(|(name, mut values)| Some((name, values.pop()?))).collect()
    }

    /// Returns the parameters of the query string, in the order of the first occurrence of their names.
    fn parameters<'a>(
        &'a self,
        decoded: impl Fn(&'a str) -> Cow<'a, str>,
    ) -> Vec<(String, Vec<String>)> {
        let mut parameters: Vec<(String, Vec<String>)> = Vec::new();
        for pair in self.query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name).into_owned(), decoded(value).into_owned());
            match parameters.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value),
                None => parameters.push((name, vec![value])),
            }
        }
        parameters
    }
}

fn all_of(parameters: &[(String, Vec<String>)]) -> Value {
    let all = parameters.iter().map(|(name, values)| (name.clone(), json!(values)));
    Value::Object(all.collect())
}

fn last_of(parameters: &[(String, Vec<String>)]) -> Value {
    let last = parameters
        .iter()
        .filter_map(|(name, values)| Some((name.clone(), Value::from(values.last()?.as_str()))));
    Value::Object(last.collect())
}

/// Decodes a path as an HTTP API does: it decodes the path, cuts it off at a question mark, and decodes it again.
fn decode_path(sent: &str) -> Result<String, PathEncodingError> {
    let once = unescape(sent)?;
    let path = once.split('?').next().unwrap_or_default();
    unescape(path)
}

/// Decodes a text in which every percent sign must start an escape.
fn unescape(text: &str) -> Result<String, PathEncodingError> {
    let are_escapes = text.split('%').skip(1).all(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    let decoded = percent_decode_str(text).decode_utf8();
    match decoded {
        Ok(decoded) if are_escapes => Ok(decoded.into_owned()),
        _ => Err(PathEncodingError),
    }
}

/// Decodes a part of a query string, in which a plus means a space.
fn decode_form(text: &str) -> Cow<'_, str> {
    if text.contains('+') {
        decode(&text.replace('+', " ")).into_owned().into()
    } else {
        decode(text)
    }
}

fn decode(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use neap_lambda::http::HttpEvent;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    const TARGET: &str = "/api/v3/engine/a%20b?db=my-db&q=SELECT%20*%20FROM%20%22t%22&x=1&x=2%2B3";

    /// Parses an event with AWS's own library for functions.
    async fn read(kind: GatewayKind, content_type: &str, body: &[u8]) -> http::Request<Bytes> {
        let (parts, ()) = http::Request::builder()
            .method("POST")
            .uri(TARGET)
            .header("host", "db.example")
            .header("authorization", "Bearer apiv3_x")
            .header("content-type", content_type)
            .header("x-twice", "one")
            .header("x-twice", "two")
            .body(())
            .unwrap()
            .into_parts();
        let event = event(kind, &parts, &Bytes::copy_from_slice(body)).unwrap();
        let request = lambda_http::request::from_str(&event.to_string()).unwrap();
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        http::Request::from_parts(parts, body)
    }

    #[tokio::test]
    async fn a_function_reads_from_each_event_what_the_client_sent() {
        for &kind in GatewayKind::ALL {
            for (content_type, body) in [
                ("text/plain; charset=utf-8", "m,t=ü v=1i 1".as_bytes()),
                ("application/json", b"{}"),
                ("application/octet-stream", b"\x00\xff\x1f\x8b"),
                ("text/plain", b"\xff"),
                ("text/plain", b""),
            ] {
                let request = read(kind, content_type, body).await;
                assert_eq!(request.method(), "POST", "{kind:?}");
                assert_eq!(request.uri().path(), "/api/v3/engine/a%20b", "{kind:?}");
                let query = request.uri().query().unwrap_or_default();
                let decoded = decode(query).replace('+', " ");
                for part in ["db=my-db", "SELECT * FROM \"t\"", "x=1"] {
                    assert!(decoded.contains(part), "{kind:?}: {query}");
                }
                let headers = request.headers();
                assert_eq!(headers["host"], "db.example", "{kind:?}");
                assert_eq!(headers["authorization"], "Bearer apiv3_x", "{kind:?}");
                assert_eq!(headers["content-type"], content_type, "{kind:?}");
                assert_eq!(request.body(), body, "{kind:?} {content_type}");
            }
        }
    }

    #[test]
    fn an_http_api_decodes_paths_twice_and_cuts_them_off() {
        for (sent, arrived) in [
            ("/p/plain", Ok("/p/plain")),
            ("/p/space%20value", Ok("/p/space value")),
            ("/p/question%3Fvalue", Ok("/p/question")),
            ("/p/percent%25done", Err(PathEncodingError)),
            ("/p/slash%2Fvalue", Ok("/p/slash/value")),
            ("/p/unicode-%CE%BB", Ok("/p/unicode-λ")),
            ("/p/literal%252Fvalue", Ok("/p/literal/value")),
            ("/p/literal%253Fvalue", Ok("/p/literal?value")),
            ("/p/literal%2525value", Ok("/p/literal%value")),
        ] {
            let arrived = arrived.map(str::to_owned);
            assert_eq!(decode_path(sent), arrived, "{sent}");
        }
    }

    /// Returns the path that the function's router sees; `None` if the gateway rejects it.
    fn routed(kind: GatewayKind, sent: &str) -> Option<String> {
        let request = http::Request::builder().uri(sent).body(()).unwrap();
        let (parts, ()) = request.into_parts();
        let event = event(kind, &parts, &Bytes::new()).ok()?;
        let event: HttpEvent = serde_json::from_str(&event.to_string()).unwrap();
        let incoming = event.into_request("").unwrap();
        Some(incoming.request.uri().path().to_owned())
    }

    fn encode(text: &str) -> String {
        utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn path_segments_reach_the_router_unchanged(
            segment in prop_oneof!["\\PC{1,12}", "[ %/?#+&=;.a2Füλ世\\x00-\\x1f]{1,12}"],
        ) {
            let prefix = "/api/v3/engine/";
            let sent = format!("{prefix}{}", encode(&segment));
            for &kind in GatewayKind::ALL {
                // An HTTP API preserves paths that are encoded twice, and paths without characters that it decodes
                // again.
                let sent = match kind {
                    GatewayKind::HttpApi if segment.contains(['%', '?']) => {
                        format!("{prefix}{}", encode(&encode(&segment)))
                    }
                    _ => sent.clone(),
                };
                let path = routed(kind, &sent).unwrap();
                let rest = path.strip_prefix(prefix).unwrap();
                prop_assert_eq!(&decode(rest), &segment, "{:?}", kind);
                let is_one = !rest.contains('/');
                prop_assert!(is_one || kind == GatewayKind::HttpApi, "{:?}: {}", kind, rest);
            }
        }
    }
}
