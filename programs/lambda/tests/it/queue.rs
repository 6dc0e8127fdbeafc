//! Flush and merge orders that are sent to a queue.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Router, body::to_bytes, extract::Request, routing::post};
use http::StatusCode;
use neap_bucket::{AwsConfig, World};
use neap_compact::{CompactorEvent, EventDispatcher, FlushRequest};
use neap_lambda::compact::OrderQueue;
use neap_schema::DatabaseId;
use serde_json::{Value, json};

/// An SQS server that rejects the first requests.
struct FakeSqs {
    url: String,
    taken: Arc<Mutex<Vec<(String, Value)>>>,
    asked: Arc<AtomicUsize>,
}

impl FakeSqs {
    async fn start(refused: usize, with: StatusCode) -> Self {
        let taken: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let asked = Arc::new(AtomicUsize::new(0));
        let (messages, requests) = (Arc::clone(&taken), Arc::clone(&asked));
        let route = post(async move |request: Request| {
            if requests.fetch_add(1, Ordering::Relaxed) < refused {
                return with;
            }
            let (head, body) = request.into_parts();
            assert_eq!(head.headers["x-amz-target"], "AmazonSQS.SendMessage");
            assert_eq!(head.headers["content-type"], "application/x-amz-json-1.0");
            let signed = head.headers["authorization"].to_str().unwrap().to_owned();
            let body = to_bytes(body, 1 << 20).await.unwrap();
            let body = serde_json::from_slice(&body).unwrap();
            messages.lock().unwrap().push((signed, body));
            StatusCode::OK
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/123456789012/merges", listener.local_addr().unwrap());
        let router = Router::new().route("/", route);
        tokio::spawn(axum::serve(listener, router).into_future());
        Self { url, taken, asked }
    }

    fn client(&self) -> OrderQueue {
        let aws = AwsConfig {
            aws_access_key_id: "AKIDEXAMPLE".parse().ok(),
            aws_secret_access_key: "secret".parse().ok(),
            aws_default_region: Some("eu-central-1".to_owned()),
            ..AwsConfig::default()
        };
        OrderQueue::new(&self.url, None, &aws, &World::system()).unwrap()
    }
}

fn order() -> CompactorEvent {
    let order = json!({
        "event": "merge",
        "database": 7,
        "job": "00000000000000000000000001",
        "merge": {
            "table": 1, "first_day": 0, "last_day": 0, "above": 0, "upto": 5, "inputs": [], "bytes": 0,
            "reason": "recent",
        },
    });
    serde_json::from_value(order).unwrap()
}

#[tokio::test]
async fn an_order_is_signed_and_sent_again_after_a_server_error() {
    let queue = FakeSqs::start(1, StatusCode::INTERNAL_SERVER_ERROR).await;
    queue.client().dispatch(order()).await.unwrap();
    let databases = [7, 9].map(DatabaseId::new).to_vec();
    let flush = CompactorEvent::Flush(FlushRequest { databases });
    queue.client().dispatch(flush).await.unwrap();
    let taken = queue.taken.lock().unwrap();
    let [(signed, message), (_, flush)] = taken.as_slice() else {
        panic!("{taken:?}");
    };
    assert!(signed.contains("AKIDEXAMPLE/"), "{signed}");
    assert!(signed.contains("/eu-central-1/sqs/aws4_request"), "{signed}");
    assert_eq!(message["QueueUrl"], queue.url);
    let body: Value = serde_json::from_str(message["MessageBody"].as_str().unwrap()).unwrap();
    assert_eq!(body["event"], "merge");
    assert_eq!(body["database"], 7);
    let body = flush["MessageBody"].as_str().unwrap();
    assert_eq!(body, r#"{"event":"flush","databases":[7,9]}"#);
    assert_eq!(queue.asked.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn an_order_that_the_queue_rejects_is_not_sent_again() {
    let queue = FakeSqs::start(9, StatusCode::FORBIDDEN).await;
    let refused = queue.client().dispatch(order()).await.unwrap_err();
    assert!(refused.contains("403"), "{refused}");
    assert_eq!(queue.asked.load(Ordering::Relaxed), 1);
}
