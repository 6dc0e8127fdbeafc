use http_body_util::BodyExt;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn event(value: serde_json::Value) -> HttpEvent {
    serde_json::from_str(&value.to_string()).unwrap()
}

fn uri(value: serde_json::Value) -> String {
    let incoming = event(value).into_request("").unwrap();
    incoming.request.uri().to_string()
}

#[test]
fn stages_and_base_paths_are_removed_from_paths() {
    let v2 = |stage: &str, path: &str| {
        json!({
            "rawPath": path, "rawQueryString": "",
            "requestContext": {"stage": stage, "http": {"method": "GET"}},
        })
    };
    assert_eq!(uri(v2("$default", "/health")), "/health");
    assert_eq!(uri(v2("prod", "/prod/health")), "/health");
    assert_eq!(uri(v2("prod", "/production/health")), "/production/health");
    assert_eq!(uri(v2("prod", "/prod")), "/");
    assert_eq!(uri(v2("api", "/api/api/v3/write_lp")), "/api/v3/write_lp");
    let v1 = |path: &str, whole: &str| {
        json!({
            "httpMethod": "GET", "path": path,
            "requestContext": {"stage": "prod", "path": whole},
        })
    };
    assert_eq!(uri(v1("/health", "/prod/health")), "/health");
    let own_domain = v1("/prod/health", "/prod/health");
    assert_eq!(uri(own_domain.clone()), "/prod/health");
    // An HTTP API with payload 1.0.
    let mut http_api = own_domain;
    http_api["version"] = json!("1.0");
    assert_eq!(uri(http_api), "/health");
    let based = event(v2("$default", "/tsdb/health")).into_request("/tsdb/").unwrap();
    assert_eq!(based.request.uri(), "/health");
}

#[test]
fn query_strings_reach_the_router_as_the_client_sent_them() {
    let sql = "SELECT 1 AS \"a&b\"";
    let encoded = "SELECT%201%20AS%20%22a%26b%22";
    let v1 = json!({
        "httpMethod": "GET", "path": "/query", "requestContext": {},
        "queryStringParameters": {"q": "last one"},
        "multiValueQueryStringParameters": {"db": ["x"], "q": ["first", sql]},
    });
    assert_eq!(uri(v1), format!("/query?db=x&q=first&q={encoded}"));
    let balancer = json!({
        "httpMethod": "GET", "path": "/query", "requestContext": {"elb": {}},
        "queryStringParameters": {"q": encoded, "db": null},
    });
    assert_eq!(uri(balancer), format!("/query?db=&q={encoded}"));
    let v2 = json!({
        "rawPath": "/query", "rawQueryString": "q=a%26b&q=c|d",
        "requestContext": {"http": {"method": "GET"}},
    });
    assert_eq!(uri(v2), "/query?q=a%26b&q=c%7Cd");
}

/// Paths as each source sends them (recorded on AWS), and the paths that the router must receive.
#[test]
fn the_path_of_each_source_is_decoded_once() {
    let http_api = |path: &str| {
        json!({
            "version": "2.0", "rawPath": path, "rawQueryString": "a=b",
            "requestContext": {
                "domainName": "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com",
                "stage": "$default", "http": {"method": "GET", "path": path},
            },
        })
    };
    for (path, expected) in [
        ("/p/space value", "/p/space%20value"),
        ("/p/hash#value", "/p/hash%23value"),
        ("/p/question?value", "/p/question%3Fvalue"),
        ("/p/50% of %25 and %2F", "/p/50%25%20of%20%2525%20and%20%252F"),
        ("/p/unicode-λ-世界", "/p/unicode-%CE%BB-%E4%B8%96%E7%95%8C"),
    ] {
        assert_eq!(uri(http_api(path)), format!("{expected}?a=b"));
        let first = json!({
            "version": "1.0", "httpMethod": "GET", "path": path, "queryStringParameters": {"a": "b"},
            "requestContext": {"stage": "$default", "path": path},
        });
        assert_eq!(uri(first), format!("{expected}?a=b"));
    }
    for path in [
        "/p/space%20value",
        "/p/question%3Fvalue",
        "/p/percent%25done",
        "/p/slash%2Fvalue",
        "/p/literal%252Fvalue",
        "/p/unicode-%CE%BB-%E4%B8%96%E7%95%8C",
    ] {
        let mut function_url = http_api(path);
        let domain = "abcdefghijklmnop.lambda-url.eu-central-1.on.aws";
        function_url["requestContext"]["domainName"] = domain.into();
        assert_eq!(uri(function_url), format!("{path}?a=b"));
        for context in
            [json!({"stage": "prod", "path": format!("/prod{path}")}), json!({"elb": {}})]
        {
            let event = json!({
                "httpMethod": "GET", "path": path, "queryStringParameters": {"a": "b"},
                "requestContext": context,
            });
            assert_eq!(uri(event), format!("{path}?a=b"));
        }
    }
}

#[test]
fn cookies_appear_once_in_the_request() {
    let cookies = |headers: serde_json::Value| {
        let incoming = event(json!({
            "rawPath": "/", "cookies": ["a=1", "b=2"], "headers": headers,
            "requestContext": {"http": {"method": "GET"}},
        }))
        .into_request("")
        .unwrap();
        let all = incoming.request.headers().get_all(COOKIE).iter();
        all.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(cookies(json!({})), ["a=1; b=2"]);
    assert_eq!(cookies(json!({"cookie": "a=1; b=2"})), ["a=1; b=2"]);
}

#[test]
fn all_valid_values_of_a_header_are_kept() {
    let incoming = event(json!({
        "httpMethod": "GET", "path": "/", "requestContext": {"elb": {}},
        "headers": {"x-a": "2"},
        "multiValueHeaders": {"x-a": ["1", "2"], "bad name": ["1"], "x-b": ["a\nb"]},
    }))
    .into_request("")
    .unwrap();
    let values: Vec<_> = incoming.request.headers().get_all("x-a").iter().collect();
    assert_eq!(values, ["1", "2"]);
    assert_eq!(incoming.request.headers().len(), 2);
    assert_eq!(incoming.source, HttpSource::LoadBalancer { multi_value: true });
}

#[test]
fn the_address_is_that_of_the_connection() {
    let address = |value| {
        let incoming = event(value).into_request("").unwrap();
        let peer = incoming.request.extensions().get::<PeerAddress>().copied();
        peer.map(|peer| peer.0.ip().to_string())
    };
    let v2 = json!({
        "rawPath": "/", "headers": {"x-forwarded-for": "192.0.2.1"},
        "requestContext": {"http": {"method": "GET", "sourceIp": "192.0.2.7"}},
    });
    assert_eq!(address(v2).as_deref(), Some("192.0.2.7"));
    let balancer = json!({
        "httpMethod": "GET", "path": "/", "requestContext": {"elb": {}},
        "headers": {"x-forwarded-for": "10.0.0.1, 2001:db8::7"},
    });
    assert_eq!(address(balancer).as_deref(), Some("2001:db8::7"));
    let v1 = json!({
        "httpMethod": "GET", "path": "/",
        "requestContext": {"identity": {"sourceIp": "somewhere"}},
    });
    assert_eq!(address(v1), None);
}

#[tokio::test]
async fn bodies_are_decoded_or_rejected() {
    let post = |body: &str, is_base64: bool| {
        event(json!({
            "rawPath": "/", "body": body, "isBase64Encoded": is_base64,
            "requestContext": {"http": {"method": "POST"}},
        }))
        .into_request("")
    };
    let read = async |incoming: HttpEventRequest| {
        let body = incoming.request.into_body().collect().await.unwrap();
        body.to_bytes()
    };
    assert_eq!(read(post("aGkA/w==", true).unwrap()).await, &b"hi\0\xff"[..]);
    assert_eq!(read(post("aGk=", false).unwrap()).await, "aGk=");
    assert_eq!(post("no base64", true).unwrap_err(), EventError::Malformed("body in base64"));
}

#[test]
fn other_events_are_not_requests() {
    for value in [
        json!({}),
        json!({"Records": [{"eventSource": "aws:s3"}]}),
        json!({"source": "aws.scheduler", "detail": {}}),
    ] {
        assert_eq!(event(value).source(), Err(EventError::NotHttp));
    }
    let method = json!({"rawPath": "/", "requestContext": {"http": {"method": "G T"}}});
    assert_eq!(event(method).into_request("").unwrap_err(), EventError::Malformed("method"));
}

#[test]
fn invalid_optional_fields_are_ignored() {
    let odd = event(json!({
        "rawPath": "/", "rawQueryString": "a=b", "cookies": ["a=1", null, 7], "version": {},
        "headers": {"x-a": null, "x-b": 7, "x-c": "c"}, "multiValueHeaders": {"x-d": null},
        "queryStringParameters": 7, "body": null, "isBase64Encoded": null,
        "requestContext": {
            "stage": 7, "domainName": [], "identity": "?", "http": {"method": "GET", "sourceIp": 7},
        },
    }));
    let request = odd.into_request("").unwrap().request;
    assert_eq!(request.uri(), "/?a=b");
    assert_eq!(request.headers().len(), 2);
    assert_eq!(request.headers()["x-c"], "c");
    assert_eq!(request.headers()[COOKIE], "a=1");
}

#[test]
fn invalid_required_fields_make_a_request_malformed() {
    let whole = json!({
        "httpMethod": "GET", "path": "/", "requestContext": {}, "body": "",
        "isBase64Encoded": false, "queryStringParameters": {},
    });
    for (name, value, part) in [
        ("httpMethod", json!(7), "method"),
        ("path", json!(["/"]), "path"),
        ("body", json!({}), "body"),
        ("isBase64Encoded", json!("no"), "isBase64Encoded"),
        ("queryStringParameters", json!({"db": 7}), "query string"),
        ("multiValueQueryStringParameters", json!({"db": [7]}), "query string"),
    ] {
        let mut odd = whole.clone();
        odd[name] = value;
        assert_eq!(event(odd.clone()).source(), Ok(HttpSource::V1), "{odd}");
        let error = event(odd).into_request("").unwrap_err();
        assert_eq!(error, EventError::Malformed(part));
    }
    // Half of a surrogate pair, which JSON can escape.
    let text = whole.to_string().replace(r#""body":"""#, r#""body":"\ud800""#);
    let half: HttpEvent = serde_json::from_str(&text).unwrap();
    let error = half.into_request("").unwrap_err();
    assert_eq!(error, EventError::Malformed("body"));
}

#[test]
fn too_many_headers_are_rejected() {
    let headers: serde_json::Map<_, _> =
        (0..40_000).map(|number| (format!("x-{number}"), json!(""))).collect();
    let many = event(json!({
        "rawPath": "/", "headers": headers, "requestContext": {"http": {"method": "GET"}},
    }));
    assert_eq!(many.into_request("").unwrap_err(), EventError::TooManyHeaders);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn parsing_an_event_never_panics(
        path in "\\PC{0,30}", query in "\\PC{0,30}", host in "\\PC{0,20}", body in "\\PC{0,20}",
        name in "\\PC{0,10}", stage in "\\PC{0,5}", shape in 0..3,
    ) {
        let context = match shape {
            0 => json!({"stage": stage, "http": {"method": "GET", "sourceIp": host}}),
            1 => json!({"elb": {}}),
            _ => json!({"stage": stage, "path": path}),
        };
        let method = if shape == 0 { json!(null) } else { json!("GET") };
        let incoming = event(json!({
            "httpMethod": method, "rawPath": path, "path": path, "rawQueryString": query,
            "queryStringParameters": {&name: &query}, "headers": {"host": host, &name: &query},
            "body": body, "isBase64Encoded": true, "requestContext": context,
        }));
        incoming.into_request(&stage).ok();
    }
}

#[test]
fn only_api_gateway_has_a_time_limit_of_its_own() {
    let waits = |event: serde_json::Value| self::event(event).is_through_gateway();
    let second = |domain: &str| serde_json::json!({"requestContext": {"http": {"method": "GET"}, "domainName": domain}});
    assert!(waits(second("a.execute-api.eu-central-1.amazonaws.com")));
    assert!(!waits(second("a.lambda-url.eu-central-1.on.aws")));
    let first = |context| serde_json::json!({"httpMethod": "GET", "requestContext": context});
    assert!(waits(first(serde_json::json!({}))));
    assert!(!waits(first(serde_json::json!({"elb": {}}))));
}
