//! Tests of asynchronous events.

use super::*;

async fn get(local: &Emulator, path: &str) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("{}{path}", local.control()));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

async fn send(local: &Emulator, method: &str, path: &str, body: &str) -> u16 {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let request = client
        .request(method, format!("{}{path}", local.control()))
        .header("content-type", "application/json")
        .body(body.to_owned());
    request.send().await.unwrap().status().as_u16()
}

/// Waits until a field of a response has this value.
async fn wait_until_field(local: &Emulator, path: &str, pointer: &str, expected: Value) {
    let started_at = world::now();
    loop {
        let said = get(local, path).await;
        if said.pointer(pointer) == Some(&expected) {
            return;
        }
        assert!(started_at.elapsed() < LIMIT, "{path}: {said}, not {expected}");
        world::sleep(Duration::from_millis(20)).await;
    }
}

fn queues() -> Value {
    json!({
        "queues": {
            "orders": { "function": "write", "visibility_seconds": 0.2, "batch_size": 10,
                "max_receives": 3, "dead_letters": "dead" },
            "dead": {},
        },
        "notifications": { "prefix": "tail/", "shape": "queue", "target": "dead" },
    })
}

#[tokio::test]
async fn failed_messages_are_retried_and_then_go_to_the_dead_letters() {
    let (local, _folder) = local(&queues()).await;
    for body in ["good 1", "bad 2", "good 3"] {
        assert_eq!(send(&local, "POST", "/queues/orders", body).await, 204);
    }
    wait_until_field(&local, "/queues", "/dead/bodies", json!(["bad 2"])).await;
    wait_until_field(&local, "/queues", "/orders/bodies", json!([])).await;
    local.stop().await;
}

#[tokio::test]
async fn a_schedule_sends_its_events() {
    let schedules = json!({
        "schedules": [{ "function": "query", "every_seconds": 0.05, "input": { "do": "who" } }]
    });
    let (local, _folder) = local(&schedules).await;
    let started_at = world::now();
    // If an instance is busy, another one is started.
    let handled = async || {
        let functions = get(&local, "/functions").await;
        let instances = functions["query"].as_array().into_iter().flatten();
        let handled = instances.filter_map(|instance| instance["handled"].as_u64());
        handled.sum::<u64>()
    };
    while handled().await < 3 {
        assert!(started_at.elapsed() < LIMIT);
        world::sleep(Duration::from_millis(20)).await;
    }
    local.stop().await;
}

#[tokio::test]
async fn notifications_are_delivered_as_a_test_orders() {
    let (local, _folder) = local(&queues()).await;
    let put = async |key: &str| {
        let store = object_store::aws::AmazonS3Builder::new()
            .with_endpoint(local.store())
            .with_allow_http(true)
            .with_bucket_name(local.bucket())
            .with_region("us-east-1")
            .with_access_key_id("AKID-write")
            .with_secret_access_key("secret of write")
            .build()
            .unwrap();
        let path = object_store::path::Path::from(key);
        object_store::ObjectStoreExt::put(&store, &path, Bytes::from_static(b"x").into())
            .await
            .unwrap();
    };
    let faults = r#"{"hold":true}"#;
    assert_eq!(send(&local, "PUT", "/notifications/faults", faults).await, 204);
    for key in ["tail/1/a", "data/1/b", "tail/1/c"] {
        put(key).await;
    }
    wait_until_field(&local, "/notifications", "/1/key", json!("tail/1/c")).await;
    assert_eq!(send(&local, "POST", "/notifications/deliver", "[1,0,1]").await, 204);
    assert_eq!(send(&local, "POST", "/notifications/deliver", "[2]").await, 400);
    let dead = get(&local, "/queues").await["dead"]["bodies"].clone();
    let keys: Vec<_> = dead
        .as_array()
        .unwrap()
        .iter()
        .map(|body| {
            let body: Value = serde_json::from_str(body.as_str().unwrap()).unwrap();
            body["Records"][0]["s3"]["object"]["key"].clone()
        })
        .collect();
    assert_eq!(keys, ["tail/1/c", "tail/1/a", "tail/1/c"]);

    assert_eq!(send(&local, "PUT", "/notifications/faults", "{}").await, 204);
    put("tail/1/d").await;
    wait_until_field(&local, "/queues", "/dead/visible", json!(4)).await;
    let counts = get(&local, "/store/requests").await;
    assert_eq!(counts, json!({ "write": { "put data": 1, "put tail": 3 } }));
    assert_eq!(get(&local, "/store/refusals").await, json!([]));
    local.stop().await;
}

#[tokio::test]
async fn lambda_invoke_accepts_events() {
    let (local, _folder) = local(&json!({})).await;
    let path = "/2015-03-31/functions/write/invocations";
    assert_eq!(send(&local, "POST", path, r#"{"do":"who"}"#).await, 200);
    assert_eq!(send(&local, "POST", "/2015-03-31/functions/x/invocations", "{}").await, 400);
    local.stop().await;
}
