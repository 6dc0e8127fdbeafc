//! Tests of the tools for agents: each call has the rights of the agent's token, and passes the layers of all requests.

use serde_json::{Value, json};

use super::{ServerUnderTest, access::AuthTestServer, app};

async fn call(
    served: &ServerUnderTest,
    token: Option<&str>,
    tool: &str,
    arguments: Value,
) -> Result<Value, (u16, String)> {
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": tool, "arguments": arguments },
    });
    let mut headers = vec![
        ("host", "localhost"),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ];
    let bearer = token.map(|token| format!("Bearer {token}"));
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    let (status, text) = served.send("POST", "/mcp", &headers, &body.to_string()).await;
    match serde_json::from_str::<Value>(&text) {
        Ok(answer) if status == 200 => Ok(answer["result"].clone()),
        _ => Err((status, text)),
    }
}

#[tokio::test]
async fn tools_have_the_rights_of_the_token() {
    let guarded = AuthTestServer::new().await;
    let databases = async |token: &str| {
        let token = guarded.tokens.get(token).map(String::as_str);
        let result = call(&guarded.served, token, "list_databases", json!({})).await;
        result.unwrap()["structuredContent"]["databases"].clone()
    };
    assert_eq!(databases("admin").await, json!(["_internal", "other", "own"]));
    assert_eq!(databases("db:own,gone:read").await, json!(["own"]));
    let sample = async |token: &str| {
        let token = guarded.tokens.get(token).map(String::as_str);
        let arguments = json!({ "database": "own", "table": "m" });
        let result = call(&guarded.served, token, "sample", arguments).await.unwrap();
        (
            result["isError"] == true,
            result["structuredContent"]["error"]["status"].clone(),
        )
    };
    assert_eq!(sample("db:own,gone:read").await, (false, Value::Null));
    assert_eq!(sample("db:other:*").await, (true, json!(403)));
    let wrong = call(&guarded.served, Some("wrong"), "health", json!({})).await;
    assert_eq!(wrong.unwrap_err().0, 401);
    let none = call(&guarded.served, None, "health", json!({})).await;
    assert_eq!(none.unwrap_err().0, 401);
}

#[tokio::test]
async fn calls_of_tools_are_counted_as_the_requests_that_they_are() {
    let served = app(&["--object-store", "memory"]).await;
    call(&served, None, "health", json!({})).await.unwrap();
    let (_, metrics) = served.request("GET", "/metrics", "").await;
    for path in ["/mcp", "/health", "/ready", "/ping"] {
        assert!(metrics.contains(&format!("path=\"{path}\"")), "{path}");
    }
}

#[tokio::test]
async fn agents_write_only_where_the_operator_allows_it() {
    let arguments = || json!({ "database": "d", "lines": "m v=1 1" });
    let served = app(&["--object-store", "memory"]).await;
    let refused = call(&served, None, "write", arguments()).await.unwrap();
    assert_eq!(refused["structuredContent"]["error"]["kind"], "read_only");
    let served = app(&["--object-store", "memory", "--mcp-allow-writes"]).await;
    let written = call(&served, None, "write", arguments()).await.unwrap();
    assert_eq!(written["structuredContent"]["stored"], true);
    let query = json!({
        "database": "d", "statement": "SELECT v FROM m WHERE time >= '1970-01-01'",
    });
    let read = call(&served, None, "query", query).await.unwrap();
    assert_eq!(read["structuredContent"]["rows"], json!([{ "v": 1.0 }]));
}
