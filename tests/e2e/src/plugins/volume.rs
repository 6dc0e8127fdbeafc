//! Large volumes: triggers, rows, bodies.

use serde_json::{Value, json};

use super::fixture::{DB, PluginServerFixture, TriggerDefinition};
use crate::harness::{Reply, StoreFixture};

#[test]
fn there_may_be_more_triggers_than_processes() {
    let stage = PluginServerFixture::on(StoreFixture::memory(), &["--max-plugin-processes", "2"]);
    let names: Vec<_> = (0..6).map(|n| format!("t{n}")).collect();
    for name in &names {
        let suffix = format!("_{name}");
        TriggerDefinition::new(name, "copy_rows.py", "table:home")
            .with(&[("suffix", &suffix)])
            .create(&stage);
    }
    TriggerDefinition::new("ask", "echo.py", "request:ask").create(&stage);
    for n in 0..3 {
        stage.server.write(DB, &format!("home n={n}i {n}"));
        assert_eq!(stage.ask("ask").status, 200);
    }
    for name in &names {
        let sql = format!("SELECT n FROM home_{name} ORDER BY n");
        stage.wait_for_rows(&sql, json!([{ "n": 0 }, { "n": 1 }, { "n": 2 }]));
    }
}

#[test]
fn a_large_batch_is_copied_row_by_row() {
    const ROWS: usize = 100_000;
    let stage = PluginServerFixture::new();
    TriggerDefinition::new("copy", "copy_rows.py", "table:home")
        .with(&[("tags", "host.ünit")])
        .create(&stage);
    let line = |n: usize| {
        let host = n % 7;
        format!(
            "home,host=h{host},ünit=a\\ b value={n}i,share=0.5,text=\"line\\nof text, ß\" {n}\n"
        )
    };
    stage.server.write(DB, &(0..ROWS).map(line).collect::<String>());
    let sums = |table: &str| {
        format!(
            "SELECT count(*) AS n, sum(value) AS value, count(DISTINCT host) AS hosts, min(\"ünit\") AS unit, \
             max(text) AS text, sum(share) AS share FROM {table}"
        )
    };
    let expected = stage.rows(&sums("home")).unwrap();
    assert_eq!(expected[0]["n"], json!(ROWS));
    stage.wait_for_rows(&sums("home_copy"), expected.into());
}

#[test]
fn a_large_body_and_a_large_answer_pass() {
    let stage = PluginServerFixture::new();
    TriggerDefinition::new("echo", "echo.py", "request:echo").create(&stage);
    let body = "0123456789".repeat(400_000);
    let request = stage.server.request("POST", "/api/v3/engine/echo");
    let reply = Reply::receive(request.body(body.clone())).unwrap();
    assert_eq!(reply.status, 200);
    let answer: Value = serde_json::from_slice(&reply.bytes).unwrap();
    assert_eq!(answer["body"], json!(body));

    // A body above the server's limit is refused before a run starts.
    let before = stage.log("echo").len();
    let request = stage.server.request("POST", "/api/v3/engine/echo");
    let refused = Reply::receive(request.body("x".repeat(64 << 20)));
    if let Ok(reply) = refused {
        assert_eq!(reply.status, 413, "{}", reply.text());
    }
    assert_eq!(stage.log("echo").len(), before);
}
