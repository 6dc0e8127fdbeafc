//! `system.store_requests`: the requests of the process to the store, by database.

use serde_json::{Value, json};

use super::ServerUnderTest;

async fn query(server: &ServerUnderTest, sql: &str) -> Vec<Value> {
    let body = json!({"db": "_internal", "q": sql}).to_string();
    let (status, body) = server.request("POST", "/api/v3/query_sql", &body).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn requests_to_the_store_are_shown_by_database() {
    let server = ServerUnderTest::new(&["--object-store", "memory", "--without-auth"]).await;
    for database in ["garden", "kitchen"] {
        let path = format!("/api/v3/write_lp?db={database}&precision=second");
        for time in 1..=3 {
            let line = format!("m v={time} {time}");
            let (status, body) = server.request("POST", &path, &line).await;
            assert_eq!(status, 204, "{body}");
        }
    }
    let segments = "SELECT database_name, requests, bytes > 100 AS has_bytes, since > '2024-01-01' AS is_recent \
                    FROM system.store_requests WHERE operation = 'put' AND class = 'tail' ORDER BY 1";
    let segments = query(&server, segments).await;
    assert_eq!(segments.len(), 2, "{segments:?}");
    for (row, database) in segments.iter().zip(["garden", "kitchen"]) {
        assert_eq!(row["database_name"], database);
        assert_eq!(row["requests"], 3);
        assert_eq!([&row["has_bytes"], &row["is_recent"]], [true, true]);
    }
    let root = "SELECT database_name FROM system.store_requests WHERE class = 'root_catalog' AND operation = 'put'";
    let root = query(&server, root).await;
    assert_eq!(root.len(), 1, "{root:?}");
    assert_eq!(root[0].get("database_name"), None);

    let all = "SELECT sum(requests) AS n FROM system.store_requests WHERE operation = 'put'";
    let all = query(&server, all).await[0]["n"].as_u64().unwrap();
    let (_, metrics) = server.request("GET", "/metrics", "").await;
    let counted = metrics.lines().filter_map(|line| {
        let count = line.strip_prefix("neap_store_requests_total{operation=\"put\"")?;
        count.rsplit_once(' ')?.1.parse::<u64>().ok()
    });
    assert_eq!(counted.sum::<u64>(), all);
}
