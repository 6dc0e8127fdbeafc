//! Tests of requests in the form sent by QuestDB clients.

use axum::body::Body;
use http::{Request, header::CONTENT_TYPE};

use super::test_bed::{WriteInstance, WriteTestBed};
use crate::WriteSettings;

fn instance(stage: &WriteTestBed) -> WriteInstance {
    stage.instance_with(WriteSettings {
        default_database: Some("quest".to_owned()),
        ..WriteSettings::default()
    })
}

#[tokio::test(start_paused = true)]
async fn rows_without_a_database_go_to_the_default_database() {
    let stage = WriteTestBed::new();
    let instance = instance(&stage);
    let body = "trades,symbol=ETH price=2615.54,amount=0.5,at=1700000000000001t,gone=NaN 1700000000000000000\n\
                quotes,symbol=ETH bid=1 1700000000000000000\n";
    let reply = instance.post("/write?precision=n", body).await;
    assert_eq!((reply.status, reply.body.as_str()), (204, ""));
    assert_eq!(stage.rows().await, 2);
    assert_eq!(
        instance.tables("quest").await,
        ["trades symbol,price,amount,at", "quotes symbol,bid"]
    );

    let named = instance.post("/write?db=other", "m v=1").await;
    assert_eq!(named.status, 204);
    assert_eq!(instance.tables("other").await, ["m v"]);
    for path in [
        "/write?db=other",
        "/api/v3/write_lp?db=other",
        "/api/v2/write?bucket=other",
    ] {
        let reply = instance.post(path, "m w=5t").await;
        assert_eq!(reply.status, 400, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn questdb_requests_are_all_or_nothing() {
    let stage = WriteTestBed::new();
    let instance = instance(&stage);
    let not_stored = "; nothing of the request is stored";
    for (body, message) in [
        (
            "a v=1 1\nb,s=x 1\n",
            format!(
                "error in line 2: a row needs a column besides its symbols and its timestamp{not_stored}"
            ),
        ),
        (
            "a v=1 1\nb v=0x1fi 1\n",
            format!(
                "error in line 2: a number of 256 bits (0x...i) can't be stored: send it as a string{not_stored}"
            ),
        ),
        ("", "incoming write was empty".to_owned()),
    ] {
        let reply = instance.post("/write?precision=n", body).await;
        let answer: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(reply.status, 400);
        assert_eq!(reply.headers[CONTENT_TYPE], "application/json");
        assert_eq!(answer["code"], "invalid");
        assert_eq!(answer["message"], message);
    }
    let binary = b"a v==\x10\0\0\0\0\0\0\xf0? 1\n".as_slice();
    let reply = instance.post("/write?precision=n", binary).await;
    assert!(
        reply
            .body
            .contains("use version 1 of the protocol (protocol_version=1)")
    );
    assert_eq!(stage.rows().await, 0);
}

#[tokio::test(start_paused = true)]
async fn settings_announce_the_text_protocol_only() {
    let instance = WriteTestBed::new().instance();
    let request = Request::get("/settings").body(Body::empty()).unwrap();
    let reply = instance.send(request).await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.body,
        r#"{"config":{"line.proto.support.versions":[1],"line.proto.transports":["http"]}}"#
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_default_database_a_request_must_name_one() {
    let instance = WriteTestBed::new().instance();
    let reply = instance.post("/write?precision=n", "m v=1").await;
    let error =
        r#"{"error":"failed to deserialize db/rp/precision in request: missing field `db`"}"#;
    assert_eq!((reply.status, reply.body.as_str()), (400, error));
}
