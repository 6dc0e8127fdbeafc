//! The routes with a query and a write function on a store in memory.

use std::sync::Arc;

use axum::{Extension, Router, body::Body};
use http::Request;
use http_body_util::BodyExt;
use neap_http::Caller;
use neap_sql_changes::testing::MemoryServer;
use neap_write::{WriteOptions, WriteSettings};
use tower::ServiceExt;

use crate::{QuestDbRoutes, router};

const BOUNDARY: &str = "XyZ";

/// A server without authentication.
pub(crate) struct HttpTestBed {
    routes: Router,
}

impl HttpTestBed {
    pub(crate) async fn new() -> Self {
        Self::with(WriteSettings::default()).await
    }

    pub(crate) async fn with(settings: WriteSettings) -> Self {
        let MemoryServer { queries, writes, .. } = MemoryServer::new(settings).unwrap();
        let routes = router(QuestDbRoutes {
            queries: Some(queries),
            writes: Some(Arc::clone(&writes)),
            default_database: Some("home".to_owned()),
        });
        let lines = "trades,side=buy price=1.5,n=3i 1700000000000000000\n\
                     trades,side=sell price=2.5 1700000001000000000";
        let options = WriteOptions::default();
        writes.write("home", lines.into(), options).await.unwrap();
        Self { routes: routes.layer(Extension(Caller::unrestricted())) }
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        self.send(request).await
    }

    pub(crate) async fn post(&self, path: &str, form: &str) -> (u16, String) {
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        let request = Request::post(path).header("content-type", content_type);
        self.send(request.body(Body::from(form.to_owned())).unwrap()).await
    }

    async fn send(&self, request: Request<Body>) -> (u16, String) {
        let answer = self.routes.clone().oneshot(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
    }
}

/// Returns a form with these parts.
pub(crate) fn form(parts: &[(&str, &str)]) -> String {
    let part = |(name, content): &(&str, &str)| {
        format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n"
        )
    };
    parts.iter().map(part).collect::<String>() + &format!("--{BOUNDARY}--\r\n")
}

#[tokio::test]
async fn statements_of_clients_and_tools_are_answered() {
    let fixture = HttpTestBed::new().await;
    let pairs = r#"
        SELECT 1 AS one ==> [[1]]
        SHOW TABLES ==> [["trades"]]
        tables() ==> [[1,"trades","time","DAY",true,true]]
        select count(*) from tables() ==> [[1]]
        select side, price, n from 'trades' order by price desc; ==> [["sell",2.5,null],["buy",1.5,3]]
        trades ==> [[3,1.5,"buy","2023-11-14T22:13:20.000000000Z"],[null,2.5,"sell","2023-11-14T22:13:21.000000000Z"]]
    "#;
    for (query, dataset) in neap_test_inputs::text_pairs(pairs) {
        let path = format!("/exec?nm=true&query={}", query.replace(' ', "%20").replace('"', "%22"));
        let (status, answer) = fixture.get(&path).await;
        assert_eq!(status, 200, "{query}: {answer}");
        assert!(answer.starts_with(&format!(r#"{{"dataset":{dataset},"#)), "{query}: {answer}");
    }
    let (_, answer) = fixture.get("/exec?query=select%20side,time%20from%20trades&limit=1").await;
    insta::assert_snapshot!(answer, @r#"{"query":"select side,time from trades","columns":[{"name":"side","type":"SYMBOL"},{"name":"time","type":"TIMESTAMP_NS"}],"timestamp":1,"dataset":[["buy","2023-11-14T22:13:20.000000000Z"]],"count":1}"#);
    let (_, answer) = fixture.get("/exec?query=SHOW%20COLUMNS%20FROM%20trades&nm=true").await;
    insta::assert_snapshot!(answer, @r#"{"dataset":[["n","Int64",false],["price","Float64",false],["side","Dictionary(Int32, Utf8)",false],["time","Timestamp(ns)",true]],"count":4}"#);
}

#[tokio::test]
async fn changes_are_answered_as_by_questdb() {
    let fixture = HttpTestBed::new().await;
    let pairs = r#"
        CREATE TABLE fees (time TIMESTAMP, side SYMBOL, fee DOUBLE) ==> {"ddl":"OK"}
        INSERT INTO fees (time, side, fee) VALUES ('2023-11-14T22:13:20Z', 'buy', 0.5) ==> {"dml":"OK"}
        DROP TABLE fees; ==> {"ddl":"OK"}
        INSERT INTO trades (time, side, price) SELECT time, 'both', price FROM 'trades' WHERE side = 'buy' ==> {"dml":"OK"}
    "#;
    for (query, answer) in neap_test_inputs::text_pairs(pairs) {
        let path = format!("/exec?query={}", query.replace(' ', "%20"));
        assert_eq!(fixture.get(&path).await, (200, answer.to_owned()), "{query}");
    }
    let (_, answer) = fixture.get("/exec?nm=true&query=select%20count(*)%20from%20trades").await;
    assert!(answer.starts_with(r#"{"dataset":[[3]],"#), "{answer}");
}

#[tokio::test]
async fn changes_of_web_pages_are_refused() {
    let fixture = HttpTestBed::new().await;
    let path = "/exec?query=DROP%20TABLE%20trades";
    let of_page = Request::get(path).header("sec-fetch-site", "cross-site");
    let (status, _) = fixture.send(of_page.body(Body::empty()).unwrap()).await;
    assert_eq!(status, 403);
    let (status, _) = fixture.get("/exec?query=select%20*%20from%20trades").await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn errors_name_the_query_and_a_position() {
    let fixture = HttpTestBed::new().await;
    for (path, status, reason) in [
        ("/exec?query=select%20*%20from%20missing", 400, "missing"),
        ("/exec?query=selec", 400, "selec"),
        ("/exec?query=update%20trades%20set%20n%20=%201", 400, "UPDATE"),
        ("/exec?query=insert%20into%20trades%20values%20(1)", 400, "4 target columns"),
        ("/exec?query=create%20table%20trades%20(v%20double)", 400, "already exists"),
        ("/exec?query=select%201&limit=x", 400, "'limit'"),
        ("/exec?query=select%201&db=missing", 400, "database not found"),
        ("/exec", 400, "empty query"),
    ] {
        let (answered, body) = fixture.get(path).await;
        assert_eq!(answered, status, "{path}: {body}");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let error = body["error"].as_str().unwrap();
        assert!(error.contains(reason), "{path}: {error}");
        assert_eq!(body["position"], 0);
        assert!(body["query"].is_string());
    }
}
