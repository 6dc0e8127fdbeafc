//! Tests of databases whose writes create no tables, by protocol.

use super::{ServerUnderTest, access::AuthTestServer, app, request};

const LOCK: &str = r#"{"db":"d","auto_create":"none"}"#;

/// A CSV file as the part `data` of a form.
const FORM: &str = "--b\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\n\
    timestamp,v\n2026-01-01T00:00:00Z,1\n\r\n--b--\r\n";

const LOGS: &str = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[
    {"timeUnixNano":"1","body":{"stringValue":"x"}}]}]}]}"#;

async fn locked_server() -> ServerUnderTest {
    let served = app(&["--object-store", "memory"]).await;
    let written = request(&served, "POST", "/api/v3/write_lp?db=d", "m v=1 1").await;
    assert_eq!(written.0, 204);
    let json = [("content-type", "application/json")];
    let locked = served.send("PUT", "/api/v3/configure/database", &json, LOCK).await;
    assert_eq!(locked.0, 200, "{}", locked.1);
    served
}

#[tokio::test]
async fn each_protocol_names_the_table_that_it_may_not_create() {
    let served = locked_server().await;
    let query = "SELECT+v+INTO+new+FROM+m";
    for (path, content_type, body) in [
        ("/api/v3/write_lp?db=d".to_owned(), "", "new v=1 1"),
        ("/api/v2/write?bucket=d".to_owned(), "", "new v=1 1"),
        ("/write?db=d".to_owned(), "", "new v=1 1"),
        ("/write?db=d&precision=n".to_owned(), "", "new v=1 1"),
        (
            "/api/v3/write_file?db=d&table=new&format=csv".to_owned(),
            "",
            "time,v\n2026-01-01T00:00:00Z,1\n",
        ),
        (
            "/imp?db=d&name=new&fmt=json".to_owned(),
            "multipart/form-data; boundary=b",
            FORM,
        ),
        ("/v1/logs?db=d".to_owned(), "application/json", LOGS),
        (format!("/query?db=d&q={query}"), "", ""),
    ] {
        let header = [("content-type", content_type)];
        let headers = &header[usize::from(content_type.is_empty())..];
        let (_, answer) = served.send("POST", &path, headers, body).await;
        assert!(
            answer.contains("does not exist, and writes to this database"),
            "{path}: {answer}"
        );
        assert!(answer.contains("(auto-create: none)"), "{path}: {answer}");
    }
    let tables = request(&served, "GET", "/query?db=d&q=SHOW+MEASUREMENTS", "").await.1;
    assert!(tables.contains(r#""values":[["m"]]"#), "{tables}");
}

#[tokio::test]
async fn tables_of_a_locked_database_are_created_by_tokens_with_that_permission() {
    let guarded = AuthTestServer::new().await;
    let lock = r#"{"db":"own","auto_create":"none"}"#;
    let path = "/api/v3/configure/database";
    for token in ["db:own,gone:write", "db:*:create"] {
        assert_eq!(guarded.send(Some(token), "PUT", path, lock).await.0, 403);
    }
    assert_eq!(guarded.send(Some("admin"), "PUT", path, lock).await.0, 200);
    let create = async |token: &str, table: &str| {
        let body = format!(
            r#"{{"db":"own","table":"{table}","tags":[],"fields":[{{"name":"v","type":"float64"}}]}}"#
        );
        guarded.send(Some(token), "POST", "/api/v3/configure/table", &body).await.0
    };
    assert_eq!(create("db:own,gone:write", "a").await, 403);
    assert_eq!(create("db:own,gone:create", "a").await, 200);
    let write = async |table: &str| {
        let line = format!("{table} v=1 1");
        let token = Some("db:own,gone:write");
        guarded.send(token, "POST", "/api/v3/write_lp?db=own", &line).await.0
    };
    assert_eq!(write("a").await, 204);
    assert_eq!(write("b").await, 400);
}
