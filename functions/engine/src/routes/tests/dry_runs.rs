//! Tests of dry runs, with a real interpreter.

use std::time::Duration;

use http::Method;

use super::{RoutesFixture, answer};

/// Returns the response of a dry run, without durations.
async fn dry_run(stage: &RoutesFixture, kind: &str, body: serde_json::Value) -> serde_json::Value {
    let path = format!("/api/v3/plugin_test/{kind}");
    let (status, body) = stage.json(Method::POST, &path, body).await;
    assert_eq!(status, 200, "{body}");
    let mut answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    for line in answer["log_lines"].as_array_mut().unwrap() {
        let text = line.as_str().unwrap().to_owned();
        for cut in ["finished execution in ", "scheduled time "] {
            if let Some((before, _)) = text.split_once(cut) {
                *line = format!("{before}{cut}…").into();
            }
        }
    }
    answer
}

#[tokio::test]
async fn a_dry_run_reports_the_effects_of_a_plugin_on_writes() {
    let stage = RoutesFixture::new(&[]).await;
    let database = stage.catalog.database_by_name("home", Duration::ZERO).await.unwrap();
    let columns = [("v".to_owned(), neap_schema::ColumnType::Integer)];
    let created = stage.catalog.create_table(database.unwrap(), "seen", &[], &columns);
    let before = created.await.unwrap();
    stage.plugin(
        "seen.py",
        "def process_writes(influxdb3_local, table_batches, args=None):
    influxdb3_local.info('args', args)
    for batch in table_batches:
        influxdb3_local.info('saw ' + batch['table_name'], batch['rows'])
    try:
        influxdb3_local.query('SELECT 1')
    except Exception as error:
        influxdb3_local.warn(error)
    line = LineBuilder('seen').int64_field('v', 1)
    influxdb3_local.write_sync(line, no_sync=True)
    influxdb3_local.write_to_db('new', LineBuilder('t').bool_field('b', True).time_ns(5))
    influxdb3_local.write(LineBuilder('seen').string_field('v', 'x'))
",
    );
    let body = serde_json::json!({
        "filename": "seen.py", "database": "home", "input_arguments": {"k": "v"}, "cache_name": null,
        "input_lp": "x,a=b v=1i 1704096000000000000\ny f=2.5 1\nx,a=c v=2i 1704096000000000001",
    });
    let answer = dry_run(&stage, "wal", body).await;
    let expected = serde_json::json!({
        "database_writes": {"home": ["seen v=1i", "seen v=\"x\""], "new": ["t b=t 5"]},
        "errors": [
            "line protocol parse error on write to db home: line 2: invalid column type for column 'v', expected iox::column_type::field::integer, got iox::column_type::field::string in 'seen v=\"x\"'",
        ],
        "log_lines": [
            "INFO: starting execution of wal plugin.", "INFO: args {'k': 'v'}",
            "INFO: saw x [{'a': 'b', 'v': 1, 'time': 1704096000000000000}, {'a': 'c', 'v': 2, 'time': 1704096000000000001}]",
            "INFO: saw y [{'f': 2.5, 'time': 1}]",
            "WARN: error: no answer to SELECT 1 executing query on home: SELECT 1",
            "INFO: finished execution in …",
        ],
    });
    assert_eq!(answer, expected);
    let after = stage.catalog.database(database.unwrap(), Duration::ZERO).await.unwrap();
    assert_eq!(after.version, before.version);
}

#[tokio::test]
async fn a_failed_dry_run_reports_the_reason() {
    let stage = RoutesFixture::new(&[]).await;
    stage.plugin("broken.py", "def nothing():\n    pass\n");
    stage.plugin(
        "raises.py",
        "def process_writes(influxdb3_local, table_batches, args=None):
    influxdb3_local.info('before')
    raise ValueError('boom')
",
    );
    let body = |filename: &str, lines: &str| serde_json::json!({"filename": filename, "database": "home", "input_lp": lines});
    let answers = [
        dry_run(&stage, "wal", body("broken.py", "x v=1i 1")).await,
        dry_run(&stage, "wal", body("raises.py", "x v=1i 1")).await,
        dry_run(&stage, "wal", body("raises.py", "x v=1i 1\nx v=oops")).await,
    ];
    let expected = serde_json::json!([
        {
            "database_writes": {},
            "errors": [
                "error executing plugin: the process_writes function is not present in the plugin. Should be defined as: process_writes(influxdb3_local, table_batches, args=None)",
            ],
            "log_lines": [],
        },
        {
            "database_writes": {}, "errors": ["error executing plugin: ValueError: boom"],
            "log_lines": ["INFO: before"],
        },
        {
            "database_writes": {},
            "errors": ["line protocol parse error: line 2: No fields were provided in 'x v=oops'"],
            "log_lines": [],
        },
    ]);
    assert_eq!(serde_json::to_value(answers).unwrap(), expected);
    let path = "/api/v3/plugin_test/wal";
    let missing = stage.json(Method::POST, path, body("none.py", "x v=1i 1")).await;
    let text = "Plugin error: reading plugin file: Plugin not found: <folder>/none.py";
    assert_eq!(missing, answer(400, text));
}

#[tokio::test]
async fn a_dry_run_of_a_schedule_uses_its_next_time() {
    let stage = RoutesFixture::new(&[]).await;
    stage.plugin(
        "counts.py",
        "def process_scheduled_call(influxdb3_local, call_time, args=None):
    influxdb3_local.info(type(call_time).__name__, call_time.minute, call_time.microsecond)
    influxdb3_local.write(LineBuilder('counts').int64_field('n', 1).time_ns(7))
",
    );
    let body = |database: &str, schedule: &str| serde_json::json!({"filename": "counts.py", "database": database, "schedule": schedule});
    let mut answer = dry_run(&stage, "schedule", body("home", "0 30 * * * *")).await;
    let time = answer["trigger_time"].as_str().unwrap().to_owned();
    assert!(time.ends_with(":30:00Z"), "{time}");
    answer["trigger_time"] = "…".into();
    let answers = [
        answer,
        dry_run(&stage, "schedule", body("none", "0 30 * * * *")).await,
        dry_run(&stage, "schedule", body("home", "often")).await,
        dry_run(&stage, "schedule", body("home", "0 0 0 1 1 * 2000")).await,
    ];
    let expected = serde_json::json!([
        {
            "database_writes": {"home": ["counts n=1i 7"]}, "errors": [],
            "log_lines": [
                "INFO: starting execution with scheduled time …", "INFO: datetime 30 0",
                "INFO: finished execution in …",
            ],
            "trigger_time": "…",
        },
        {
            "database_writes": {}, "errors": ["couldn't find db"], "log_lines": [],
            "trigger_time": null,
        },
        {
            "database_writes": {},
            "errors": [
                "invalid cron syntax: couldn't parse cron expression: The 'Seconds' field does not support using names. 'often' specified.",
            ],
            "log_lines": [], "trigger_time": null,
        },
        {
            "database_writes": {}, "errors": ["cron schedule never triggers: 0 0 0 1 1 * 2000"],
            "log_lines": [], "trigger_time": null,
        },
    ]);
    assert_eq!(serde_json::to_value(answers).unwrap(), expected);
}
