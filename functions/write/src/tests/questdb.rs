//! Tests of requests in the form sent by QuestDB clients.

use axum::body::Body;
use http::{Request, header::CONTENT_TYPE};
use neap_schema::ColumnType;

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
    for path in ["/write?db=other", "/api/v3/write_lp?db=other", "/api/v2/write?bucket=other"] {
        let reply = instance.post(path, "m w=5t").await;
        assert_eq!(reply.status, 400, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn questdb_requests_are_all_or_nothing() {
    let stage = WriteTestBed::new();
    let instance = instance(&stage);
    for (body, message) in [
        (
            &b"a v=1 1\nb,s=x 1\n"[..],
            "a row needs a column besides its symbols and its timestamp",
        ),
        (
            b"a v=1 1\nb v==\x10\0\0\0\0\0\0\xf0\x7f 1n\n",
            "an infinite number can't be stored",
        ),
        (
            b"a v==\x10\n\n\n\n\n\n\n\n 1n\nb v==\x0e\n\x40",
            "an array has 64 dimensions, more than 32",
        ),
        (b"a v=1 1\nb v==\x10\0\0\0", "the body ends inside a binary value"),
        (b"a v=1 1\nb v=\"\xff\" 1\n", "a string is not UTF-8"),
    ] {
        let reply = instance.post("/write?precision=n", body).await;
        let answer: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(reply.status, 400);
        assert_eq!(reply.headers[CONTENT_TYPE], "application/json");
        assert_eq!(answer["code"], "invalid");
        assert_eq!(
            answer["message"],
            format!(
                "failed to parse line protocol:errors encountered on line(s):\nerror in line 2: {message}"
            )
        );
        assert_eq!(answer["line"], 2);
        let id = reply.headers["x-neap-request-id"].to_str().unwrap();
        assert_eq!(answer["errorId"], id);
    }
    let empty = instance.post("/write?precision=n", "").await;
    let answer: serde_json::Value = serde_json::from_str(&empty.body).unwrap();
    assert_eq!(answer["message"], "incoming write was empty");
    assert_eq!(answer.get("line"), None);
    assert_eq!(stage.rows().await, 0);
    // A request to a named database is line protocol of InfluxDB.
    let binary = b"a v==\x10\0\0\0\0\0\0\xf0? 1\n".as_slice();
    let reply = instance.post("/write?db=quest", binary).await;
    assert_eq!(reply.status, 400);
    assert!(reply.body.contains("the line is not UTF-8"));
}

#[tokio::test(start_paused = true)]
async fn a_request_without_values_is_accepted_and_stores_nothing() {
    let stage = WriteTestBed::new();
    let instance = instance(&stage);
    for body in [
        &b"a,s=x v=NaN 1\nb v=NaN,w=NaN\n"[..],
        b"a v==\x10\0\0\0\0\0\0\xf8\x7f 1n\n",
        b"\n",
    ] {
        let reply = instance.post("/write?precision=n", body).await;
        assert_eq!((reply.status, reply.body.as_str()), (204, ""), "{body:?}");
    }
    assert_eq!(stage.rows().await, 0);
    // As in InfluxDB 1, a request without lines looks for the database.
    let reply = instance.post("/write?db=other", "\n").await;
    assert_eq!(reply.status, 404);
}

#[tokio::test(start_paused = true)]
async fn rows_with_binary_values_are_stored() {
    let stage = WriteTestBed::new();
    let instance = instance(&stage);
    // A float, an array and a decimal, as the client for Python sends them, with newlines inside.
    let body = [
        &b"trades,symbol=ETH price==\x10\0\0\0\0\0\0\xf8?,book==\x0e\n\x01\x02\0\0\0"[..],
        &b"\n\n\n\n\n\n\n\n\0\0\0\0\0\0\xf0?"[..],
        &b",amount==\x17\x02\x02\x30\x39,id=0x1Fi 1700000000000000000n\n"[..],
        &b"trades,symbol=ETH price=2,amount=0.10d 1700000000000001t\n"[..],
    ]
    .concat();
    let reply = instance.post("/write?precision=n", body).await;
    assert_eq!((reply.status, reply.body.as_str()), (204, ""));
    assert_eq!(stage.rows().await, 2);
    assert_eq!(instance.tables("quest").await, ["trades symbol,price,book,amount,id"]);
    let catalog = instance.catalog_of("quest").await;
    let columns = catalog.table("trades").unwrap().columns().iter();
    let types: Vec<_> = columns.map(|column| column.column_type).collect();
    assert_eq!(
        types,
        [
            ColumnType::Time,
            ColumnType::Tag,
            ColumnType::Float,
            ColumnType::String,
            ColumnType::String,
            ColumnType::String,
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn settings_announce_versions_and_transports() {
    for (questdb_over_tcp, transports) in [(false, r#"["http"]"#), (true, r#"["tcp","http"]"#)] {
        let instance = WriteTestBed::new()
            .instance_with(WriteSettings { questdb_over_tcp, ..WriteSettings::default() });
        let request = Request::get("/settings").body(Body::empty()).unwrap();
        let reply = instance.send(request).await;
        assert_eq!(reply.status, 200);
        assert_eq!(
            reply.body,
            format!(
                r#"{{"config":{{"cairo.max.file.name.length":127,"ilp.proto.transports":{transports},"line.proto.support.versions":[1,2,3]}}}}"#
            )
        );
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_default_database_a_request_must_name_one() {
    let instance = WriteTestBed::new().instance();
    let reply = instance.post("/write?precision=n", "m v=1").await;
    let error =
        r#"{"error":"failed to deserialize db/rp/precision in request: missing field `db`"}"#;
    assert_eq!((reply.status, reply.body.as_str()), (400, error));
}
