//! Requests exactly as Telegraf's three outputs send them, byte for byte: the exchanges in `tests/clients/telegraf`.

use std::collections::BTreeSet;

use neap_test_inputs::{InputOrigin, skip};
use serde_json::{Value, json};

use super::{exchange::replay, serve};
use crate::harness::{NeapProcess, Reply, ServerClient, StoreFixture, gzip, repository, tests};

tests! {
    outputs_influxdb_is_served => replay("telegraf/influxdb.json");
    outputs_influxdb_v2_is_served => replay("telegraf/influxdb_v2.json");
    outputs_influxdb_v3_is_served => replay("telegraf/influxdb_v3.json");
}

/// Writes as Telegraf does: it halves a request that is too large and sends both halves again.
fn write_in_halves(server: &ServerClient, path: &str, lines: &[&str], sent: &mut usize) {
    *sent += 1;
    let body = gzip(lines.join("\n").as_bytes());
    let request = server.request("POST", path).header("content-encoding", "gzip");
    let reply = Reply::receive(request.body(body)).unwrap();
    match reply.status {
        413 => {
            assert!(lines.len() > 1, "one line is too large");
            let (one, other) = lines.split_at(lines.len() / 2);
            write_in_halves(server, path, one, sent);
            write_in_halves(server, path, other, sent);
        }
        status => assert_eq!(status, 204, "{}", reply.text()),
    }
}

#[test]
fn all_rows_of_telegraf_are_stored_if_requests_must_be_halved() {
    let path = repository().join("../shared/data/telegraf-metrics.lp");
    let Ok(text) = std::fs::read_to_string(&path) else {
        skip(InputOrigin::External, "shared/data/telegraf-metrics.lp: no recorded metrics");
        return;
    };
    let place = StoreFixture::memory();
    let (server, token) = serve(&place, &["--max-http-request-size", "60000"]);
    let server = server.with_token(&token);
    let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
    for path in ["/api/v2/write?bucket=v2&org=", "/api/v3/write_lp?db=v3", "/write?db=v1"] {
        let mut sent = 0;
        write_in_halves(&server, path, &lines, &mut sent);
        assert!(sent > 1, "{path}: nothing was too large");
    }
    let tables: BTreeSet<_> =
        lines.iter().filter_map(|line| line.split([',', ' ']).next()).collect();
    for table in tables {
        let count = |database: &str| {
            server.query(database, &format!("SELECT count(*) AS n FROM \"{table}\""))
        };
        assert!(count("v1")[0]["n"].as_u64() > Some(0), "{table}");
        assert_eq!(count("v2"), count("v1"), "{table}");
        assert_eq!(count("v3"), count("v1"), "{table}");
    }
}

#[test]
fn a_server_that_cannot_store_sends_telegraf_a_retry_after() {
    let place = StoreFixture::neap_s3_server();
    let server = NeapProcess::serve(&place);
    server.write("telegraf", "cpu,host=a usage=1 1");
    let line = "cpu,host=a usage=2 2000000000";
    let request = || {
        let request = server.request("POST", "/api/v2/write?bucket=telegraf&org=");
        Reply::receive(request.body(line)).unwrap()
    };
    let refused = place.without_store(request);
    assert_eq!(refused.status, 503, "{}", refused.text());
    let wait: f64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((0.0..=600.0).contains(&wait), "Telegraf waits 10 minutes at most");
    let body: Value = serde_json::from_slice(&refused.bytes).unwrap();
    assert_eq!(body["code"], "unavailable");
    assert_eq!(request().status, 204);
    let rows = server.query("telegraf", "SELECT count(*) AS n FROM cpu");
    assert_eq!(rows, [json!({ "n": 2 })]);
}
