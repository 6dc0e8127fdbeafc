//! Time limits of invocations, and size limits of requests.

use std::{fs, path::Path, time::Duration};

use neap_lambda::{compact::CompactProgram, query::QueryProgram, write::WriteProgram};
use neap_s3_server::{Faults, Options, S3Server};
use serde_json::{Value, json};

use crate::{
    instance::{EVENT_TIME, SharedDirectory, open, request},
    large_responses,
};

const OPEN: &[&str] = &["--without-auth"];

#[tokio::test]
async fn a_query_is_answered_before_the_function_times_out() {
    let server = S3Server::start(Options::default()).await.unwrap();
    let flags = large_responses::flags(&server);
    let writes = open::<WriteProgram>(&flags, &[]);
    let query = "db=d&precision=second";
    writes.say(&request("POST", "/api/v3/write_lp", query, "t v=1 1")).await;
    let queries = open::<QueryProgram>(&flags, &[]);
    let event = request("GET", "/api/v3/query_sql", "db=d&q=SELECT%20v%20FROM%20t", "");
    assert_eq!(queries.say(&event).await["statusCode"], 200);
    server.set_faults(Faults::with_delay(EVENT_TIME));
    // 1 s is reserved for the response.
    let left = Duration::from_millis(1_500);
    let late = queries.try_invoke(&event, left).await.unwrap();
    assert_eq!(late["statusCode"], 500, "{late}");
    let body = late["body"].as_str().unwrap();
    assert!(body.starts_with("query error: timed out after 0."), "{body}");
}

#[tokio::test]
async fn an_event_without_time_left_has_an_unknown_outcome() {
    let place = SharedDirectory::new();
    let writes = place.open::<WriteProgram>(OPEN);
    let event = request("POST", "/api/v3/write_lp", "db=d", "t v=1");
    let late = writes.try_invoke(&event, Duration::from_millis(400)).await.unwrap();
    assert_eq!(late["statusCode"], 503);
    assert_eq!(late["headers"]["retry-after"], "1");
    let compact = place.open::<CompactProgram>(&[]);
    let scheduled = json!({"event": "scheduled"});
    let late = compact.try_invoke(&scheduled, Duration::from_secs(4)).await;
    assert_eq!(late.unwrap_err().kind, "OutOfTime");
    assert!(compact.try_invoke(&scheduled, EVENT_TIME).await.is_ok());
}

/// Converts a write event to payload 1.0, without a request context.
fn version_1(event: &mut Value) {
    event["httpMethod"] = "POST".into();
    event["path"] = event["rawPath"].take();
    event["queryStringParameters"] = json!({"db": "d"});
    event["requestContext"] = json!({});
}

#[tokio::test]
async fn only_requests_through_api_gateway_have_the_request_timeout() {
    let server = S3Server::start(Options::default()).await.unwrap();
    // Less than the time that is reserved for the response.
    let time = ["--request-timeout", "300ms"];
    let writes = open::<WriteProgram>(&large_responses::flags(&server), &time);
    let status = async |change: fn(&mut Value)| {
        let mut event = request("POST", "/api/v3/write_lp", "db=d", "t v=1");
        change(&mut event);
        writes.say(&event).await["statusCode"].clone()
    };
    // No write becomes durable within its time.
    server.set_faults(Faults::with_delay(EVENT_TIME));
    let http_api = status(|event| {
        event["requestContext"]["domainName"] = "a.execute-api.eu-central-1.amazonaws.com".into();
    });
    assert_eq!(http_api.await, 503);
    let rest_api = status(version_1);
    assert_eq!(rest_api.await, 503);
    server.set_faults(Faults::default());
    let function_url = status(|event| {
        event["requestContext"]["domainName"] = "a.lambda-url.eu-central-1.on.aws".into();
    });
    assert_eq!(function_url.await, 204);
    let balancer = status(|event| {
        version_1(event);
        event["requestContext"] = json!({"elb": {}});
    });
    assert_eq!(balancer.await, 204);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_rejected_as_in_influxdb() {
    let place = SharedDirectory::new();
    let flags = ["--without-auth", "--max-http-request-size", "100"];
    let writes = place.open::<WriteProgram>(&flags);
    let event = request("POST", "/api/v3/write_lp", "db=d", &"x".repeat(101));
    let answer = writes.say(&event).await;
    assert_eq!(answer["statusCode"], 413, "{answer}");
    let body = answer["body"].as_str().unwrap();
    assert!(body.contains("max request size (100 bytes) exceeded"), "{body}");
}

#[tokio::test]
async fn a_write_with_no_sync_is_put_before_it_is_answered() {
    let place = SharedDirectory::new();
    let writes = place.open::<WriteProgram>(OPEN);
    let event = request("POST", "/api/v3/write_lp", "db=d&no_sync=true", "t v=1");
    let answer = writes.say(&event).await;
    assert_eq!(answer["statusCode"], 204);
    assert!(answer["headers"]["x-neap-stamp"].is_string(), "{answer}");
}

/// Overwrites all files of a folder with invalid content.
fn damage(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            damage(&path)
        } else {
            fs::write(path, "garbage").unwrap()
        }
    }
}

#[tokio::test]
async fn maintenance_that_fails_for_a_database_is_a_failure() {
    let place = SharedDirectory::new();
    let writes = place.open::<WriteProgram>(OPEN);
    for query in ["db=d", "db=e"] {
        let event = request("POST", "/api/v3/write_lp", query, "t v=1");
        assert_eq!(writes.say(&event).await["statusCode"], 204);
    }
    let compact = place.open::<CompactProgram>(&[]);
    let collect = json!({"event": "collect"});
    assert!(compact.try_invoke(&collect, EVENT_TIME).await.is_ok());
    damage(&place.path("db/2"));
    let compact = place.open::<CompactProgram>(&[]);
    let failure = compact.try_invoke(&collect, EVENT_TIME).await.unwrap_err();
    assert_eq!(failure.kind, "Compaction");
    assert!(failure.message.starts_with("database 2: "), "{failure}");
}

#[tokio::test]
async fn a_flush_order_that_fails_goes_back_to_the_queue_and_the_others_do_not() {
    let place = SharedDirectory::new();
    let writes = place.open::<WriteProgram>(OPEN);
    for query in ["db=d", "db=e"] {
        let event = request("POST", "/api/v3/write_lp", query, "t v=1");
        assert_eq!(writes.say(&event).await["statusCode"], 204);
    }
    fs::write(place.path("db/2/manifest"), "damaged").unwrap();
    let message = |id: &str, databases: &[u32]| {
        let order = json!({"event": "flush", "databases": databases});
        json!({"messageId": id, "body": order.to_string()})
    };
    let records = [
        message("of one that is not due", &[1]),
        message("of a damaged one", &[1, 2]),
        message("of none that is known", &[99]),
    ];
    let compact = place.open::<CompactProgram>(&[]);
    let said = compact.say(&json!({ "Records": records })).await;
    let failed = json!([{"itemIdentifier": "of a damaged one"}]);
    assert_eq!(said, json!({"batchItemFailures": failed}));
}

#[tokio::test]
async fn maintenance_ends_before_the_function_times_out_if_the_store_hangs() {
    let server = S3Server::start(Options::default()).await.unwrap();
    let mut flags = large_responses::flags(&server);
    // The compact function has no authentication, because it does not answer HTTP.
    flags.retain(|flag| flag != "--without-auth");
    let compact = || open::<CompactProgram>(&flags, &[]);
    let ready = compact();
    ready.say(&json!({"event": "collect"})).await;
    server.set_faults(Faults::with_delay(EVENT_TIME));
    // 5 s are reserved for work in progress.
    let left = Duration::from_millis(5_500);
    let record =
        |id: &str| json!({"messageId": id, "body": json!({"event": "collect"}).to_string()});
    let batch = json!({"Records": [record("1"), record("2")]});
    let scheduled = json!({"event": "scheduled"});
    // `ready` has read the rules of the cluster; `new` can't read them.
    let new = compact();
    let (of_ready, of_new, answer) = tokio::join!(
        ready.try_invoke(&scheduled, left),
        new.try_invoke(&scheduled, left),
        ready.try_invoke(&batch, left),
    );
    for failure in [of_ready, of_new] {
        let failure = failure.unwrap_err();
        assert_eq!(failure.kind, "OutOfTime", "{failure}");
        assert!(failure.message.contains("the store is too slow"), "{failure}");
    }
    let failures = json!([{"itemIdentifier": "1"}, {"itemIdentifier": "2"}]);
    assert_eq!(answer.unwrap(), json!({ "batchItemFailures": failures }));
}

#[tokio::test]
async fn a_flight_request_is_answered_with_the_servers_that_offer_it() {
    let place = SharedDirectory::new();
    let queries = place.open::<QueryProgram>(OPEN);
    let path = "/arrow.flight.protocol.FlightService/DoGet";
    let mut event = request("POST", path, "", "");
    event["headers"]["content-type"] = json!("application/grpc");
    let answer = queries.say(&event).await;
    assert_eq!(answer["statusCode"], 200, "{answer}");
    let headers = &answer["headers"];
    assert_eq!(headers["content-type"], "application/grpc");
    assert_eq!(headers["grpc-status"], "12");
    let message = headers["grpc-message"].as_str().unwrap();
    assert!(message.contains("container service"), "{message}");
}
