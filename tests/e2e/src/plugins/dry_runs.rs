//! Runs without effects.

use serde_json::{Value, json};

use super::fixture::{DB, PluginServerFixture};

fn test(stage: &PluginServerFixture, kind: &str, body: &Value) -> Value {
    let reply = stage.send("POST", &format!("/api/v3/plugin_test/{kind}"), body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    serde_json::from_slice(&reply.bytes).unwrap()
}

/// Returns the names of all tables.
fn tables(stage: &PluginServerFixture) -> Vec<Value> {
    let sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'iox' ORDER BY table_name";
    stage.rows(sql).unwrap()
}

#[test]
fn a_dry_run_on_writes_shows_lines_and_log() {
    let stage = PluginServerFixture::new();
    let before = tables(&stage);
    let body = json!({
        "filename": "copy_rows.py",
        "database": DB,
        "input_lp": "x,room=a v=1i 1704096000000000000\nx,room=b f=2.5,s=\"t\" 1704096000000000001\ny b=true 5",
        "cache_name": null,
        "input_arguments": { "tags": "room", "suffix": "_2" },
    });
    let answer = test(&stage, "wal", &body);
    assert_eq!(answer["errors"], json!([]));
    let lines = answer["database_writes"][DB].as_array().unwrap();
    let expected = [
        "x_2,room=a v=1i 1704096000000000000",
        "x_2,room=b f=2.5,s=\"t\" 1704096000000000001",
        "y_2 b=t 5",
    ];
    assert_eq!(lines, &expected);
    let log = answer["log_lines"].as_array().unwrap();
    assert_eq!(log[0], "INFO: starting execution of wal plugin.");
    assert!(log[1].as_str().unwrap().starts_with("INFO: finished execution in "), "{log:?}");
    assert_eq!(tables(&stage), before, "nothing was written");
}

#[test]
fn a_dry_run_on_a_schedule_reads_the_database() {
    let stage = PluginServerFixture::new();
    stage.put(
        "reads.py",
        "def process_scheduled_call(influxdb3_local, call_time, args=None):\n    \
         influxdb3_local.info('rows', influxdb3_local.query('SELECT value FROM begin'))\n    \
         influxdb3_local.write_to_db('elsewhere', LineBuilder('m').int64_field('hour', call_time.hour))\n    \
         influxdb3_local.write_sync(LineBuilder('now').string_field('a', args['a']), no_sync=False)\n",
    );
    let body = json!({
        "filename": "reads.py",
        "database": DB,
        "schedule": "0 30 7 * * *",
        "cache_name": null,
        "input_arguments": { "a": "b" },
    });
    let answer = test(&stage, "schedule", &body);
    assert_eq!(answer["errors"], json!([]), "{answer}");
    assert!(answer["trigger_time"].as_str().unwrap().contains("T07:30:00"), "{answer}");
    assert_eq!(answer["log_lines"][1], "INFO: rows [{'value': 1}]");
    let expected = json!({ "elsewhere": ["m hour=7i"], DB: ["now a=\"b\""] });
    assert_eq!(answer["database_writes"], expected);
    assert_eq!(super::fixture::rows(&stage.server, "elsewhere", "SELECT 1"), None);
    assert_eq!(stage.rows("SELECT * FROM now"), None);
}

#[test]
fn a_dry_run_that_fails_says_why() {
    let stage = PluginServerFixture::new();
    for (plugin, text) in [
        ("failing.py", "RuntimeError: not allowed yet"),
        (
            "misbehaving/has_no_entry.py",
            "the process_writes function is not present in the plugin",
        ),
        ("misbehaving/raises_on_import.py", "before anything"),
        ("misbehaving/no_python.py", "SyntaxError"),
    ] {
        let body = json!({ "filename": plugin, "database": DB, "input_lp": "x v=1i 1" });
        let answer = test(&stage, "wal", &body);
        assert!(answer["errors"].to_string().contains(text), "{plugin}: {answer}");
        assert_eq!(answer["database_writes"], json!({}), "{plugin}");
    }
    for (name, wrong) in [
        ("filename", json!("none.py")),
        ("filename", json!("../evil.py")),
        ("input_lp", json!("x v=")),
    ] {
        let mut body = json!({ "filename": "seen.py", "database": DB, "input_lp": "x v=1i 1" });
        body[name] = wrong;
        let reply = stage.send("POST", "/api/v3/plugin_test/wal", &body);
        let text = reply.text();
        let is_said = reply.status >= 400 || !text.contains("\"errors\":[]");
        assert!(is_said, "{name}: {} {text}", reply.status);
    }
}

#[test]
fn dry_runs_share_the_cache_that_they_name() {
    let stage = PluginServerFixture::new();
    let calls = |name: Option<&str>| {
        let body = json!({ "filename": "ticks.py", "database": DB, "cache_name": name });
        let answer = test(&stage, "schedule", &body);
        assert_eq!(answer["errors"], json!([]), "{answer}");
        let line = answer["database_writes"][DB][0].as_str().unwrap().to_owned();
        let calls = line.split("calls=").nth(1).unwrap();
        calls.split('i').next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!([calls(None), calls(None)], [1, 2]);
    assert_eq!([calls(Some("mine")), calls(Some("mine"))], [1, 2]);
    assert_eq!(calls(None), 3);
}
