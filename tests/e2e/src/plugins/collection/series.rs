//! Plugins that generate or fill series.

use serde_json::json;

use super::{
    super::fixture::{DB, PluginServerFixture, TriggerDefinition, eventually},
    plugin, post,
};

#[test]
fn system_metrics_are_collected() {
    let Some(stage) = PluginServerFixture::with_packages() else {
        return;
    };
    TriggerDefinition::new("metrics", &plugin("system_metrics"), "every:1s")
        .with(&[("hostname", "here"), ("include_network", "false")])
        .create(&stage);
    let twice = "SELECT count(*) > 1 AND sum(\"user\") IS NOT NULL AND min(cores) > 0 AS fine FROM system_cpu WHERE host = 'here'";
    stage.wait_for_rows(twice, json!([{ "fine": true }]));
    let memory = "SELECT min(total) > max(used) AND min(percent) > 0 AS fine FROM system_memory";
    stage.wait_for_rows(memory, json!([{ "fine": true }]));
    let own = "SELECT min(rss) > 0 AS fine FROM system_memory_own";
    stage.wait_for_rows(own, json!([{ "fine": true }]));
    assert_eq!(stage.rows("SELECT * FROM system_network"), None);
    stage.wait_for_log("metrics", "collected in");
}

#[test]
fn gap_fill_puts_values_between_values() {
    let Some(stage) = PluginServerFixture::with_packages() else {
        return;
    };
    stage.server.write(
        DB,
        "tank,site=a level=1,n=10i,state=\"full\" 100\ntank,site=a level=2,n=20i 110\n\
         tank,site=a level=4,n=41i 130\ntank,site=a level=5,n=50i 140\ntank,site=b level=7 100\ntank,site=b level=7 140",
    );
    TriggerDefinition::new("fill", &plugin("gap_fill"), "request:fill").create(&stage);
    let mut body = json!({
        "measurement": "tank",
        "interval_s": 10,
        "start": "1970-01-01T00:00:00Z",
        "end": "1970-01-02T00:00:00Z",
    });
    let (status, answer) = post(&stage, "fill", &body);
    assert_eq!((status, &answer["points"]), (200, &json!(4)), "{answer}");
    stage.wait_for_rows(
        "SELECT site, level, n, CAST(time AS BIGINT) / 1000000000 AS at FROM tank WHERE site = 'a' OR time < '1970-01-01T00:02:00Z' \
         ORDER BY site, time",
        json!([
            { "site": "a", "level": 1.0, "n": 10, "at": 100 },
            { "site": "a", "level": 2.0, "n": 20, "at": 110 },
            { "site": "a", "level": 3.0, "n": 30, "at": 120 },
            { "site": "a", "level": 4.0, "n": 41, "at": 130 },
            { "site": "a", "level": 5.0, "n": 50, "at": 140 },
            { "site": "b", "level": 7.0, "at": 100 },
            { "site": "b", "level": 7.0, "at": 110 },
        ]),
    );
    stage.wait_for_rows(
        "SELECT site, points, seconds FROM gaps ORDER BY site",
        json!([{ "site": "a", "points": 1, "seconds": 20.0 }, { "site": "b", "points": 3, "seconds": 40.0 }]),
    );
    body["measurement"] = "no_such".into();
    assert_eq!(post(&stage, "fill", &body).0, 404);
}

#[test]
fn signal_generator_writes_points_without_gaps() {
    let stage = PluginServerFixture::new();
    TriggerDefinition::new("wave", &plugin("signal_generator"), "every:1s")
        .with(&[
            ("waveforms", "[{\"type\": \"square\", \"period\": 4, \"amplitude\": 2}, {\"type\": \"constant\", \"amplitude\": 10}]"),
            ("tags", "kind:demo,unit:V"),
            ("points_per_second", "4"),
            ("measurement", "wave"),
            ("target_database", "signals"),
        ])
        .create(&stage);
    let enough = "SELECT count(*) >= 8 AS enough FROM wave WHERE kind = 'demo' AND unit = 'V'";
    stage.shows_in("signals", enough, json!([{ "enough": true }]));
    let span = "SELECT (CAST(max(time) AS BIGINT) - CAST(min(time) AS BIGINT)) / 250000000 + 1 - count(*) AS missing FROM wave";
    stage.shows_in("signals", span, json!([{ "missing": 0 }]));
    let values = "SELECT count(DISTINCT value) AS n FROM wave WHERE value IN (8.0, 12.0)";
    eventually("values", true, || {
        let rows = super::super::fixture::rows(&stage.server, "signals", values).unwrap();
        rows[0]["n"].as_u64() > Some(0)
    });
}
