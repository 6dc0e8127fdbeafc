//! Plugins that monitor tables and send alerts.

use serde_json::json;

use super::{
    super::fixture::{DB, PluginServerFixture, TriggerDefinition},
    plugin, write_since,
};

#[test]
fn threshold_check_alerts_through_two_other_triggers() {
    let stage = PluginServerFixture::new();
    stage.server.write(DB, "home,room=Kitchen temp=20 1");
    TriggerDefinition::new("inbox", &plugin("inbox"), "request:inbox").create(&stage);
    TriggerDefinition::new("notify", &plugin("notifier"), "request:notify").create(&stage);
    let webhook = format!("{}/api/v3/engine/inbox", stage.server.url());
    let port = stage.server.url().rsplit_once(':').unwrap().1.to_owned();
    TriggerDefinition::new("check", &plugin("threshold_check"), "all_tables")
        .with(&[
            ("measurement", "home"),
            ("field_conditions", "temp>30-ERROR:state=='off'-INFO"),
            ("trigger_count", "2"),
            ("port_override", &port),
            ("webhook", &webhook),
        ])
        .create(&stage);
    stage.server.write(DB, "home,room=Kitchen temp=31 2");
    stage.server.write(
        DB,
        "home,room=Kitchen temp=32.5 3\nhome,room=Kitchen temp=20 4\nhome,room=Kitchen temp=33 5",
    );
    stage.server.write(DB, "home,room=Attic state=\"off\" 6\nhome,room=Attic state=\"off\" 7\nhome,room=Attic state=\"on\" 8");
    stage.wait_for_rows(
        "SELECT text FROM inbox ORDER BY time",
        json!([
            { "text": "[ERROR] temp > 30: 32.5 (temp:ERROR:room=Kitchen)" },
            { "text": "[INFO] state == off: off (state:INFO:room=Attic)" },
        ]),
    );
    stage.wait_for_log("check", "sent: {'http': True}");
}

#[test]
fn deadman_check_alerts_when_a_table_gets_no_rows() {
    let stage = PluginServerFixture::new();
    let state = "SELECT state FROM deadman ORDER BY time";
    TriggerDefinition::new("dead", &plugin("threshold_check"), "every:1s")
        .with(&[("measurement", "begin"), ("window_seconds", "8")])
        .create(&stage);
    stage.wait_for_rows(state, json!([{ "state": "dead" }]));
    stage.server.write(DB, &format!("begin value=2i {}", stage.now()));
    let all = json!([{ "state": "dead" }, { "state": "alive" }, { "state": "dead" }]);
    stage.wait_for_rows(state, all);
}

#[test]
fn state_change_alerts_on_values_and_changes() {
    let stage = PluginServerFixture::new();
    TriggerDefinition::new("writes", &plugin("state_change"), "table:machines")
        .with(&[("measurement", "machines"), ("field_thresholds", "state:fault:3")])
        .create(&stage);
    let begin = stage.now() - 60;
    for lines in [
        "machines,device=a state=\"fault\" 1\nmachines,device=b state=\"fault\" 1",
        "machines,device=a state=\"fault\" 2\nmachines,device=b state=\"fine\" 2",
        "machines,device=a state=\"fault\" 3\nmachines,device=b state=\"fault\" 3",
    ] {
        write_since(&stage, begin, lines);
    }
    let alerts = format!(
        "SELECT field, device, text, CAST(time AS BIGINT) / 1000000000 - {begin} AS at FROM alerts ORDER BY time, device"
    );
    let first = json!({ "field": "state", "device": "a", "text": "fault 3 times", "at": 3 });
    stage.wait_for_rows(&alerts, json!([first]));
    TriggerDefinition::new("times", &plugin("state_change"), "every:1s")
        .with(&[
            ("measurement", "machines"),
            ("field_change_count", "state:2"),
            ("window_seconds", "600"),
        ])
        .create(&stage);
    let second = json!({ "field": "state", "device": "b", "text": "2 changes", "at": 3 });
    stage.wait_for_rows(&alerts, json!([first, second]));
}

#[test]
fn outliers_are_far_from_the_median_of_the_last_values() {
    let stage = PluginServerFixture::new();
    TriggerDefinition::new("mad", &plugin("outliers"), "table:cpu")
        .with(&[("measurement", "cpu"), ("mad_thresholds", "load:3:5:2")])
        .create(&stage);
    for (at, load) in [10.0, 11.0, 10.0, 11.0, 10.0, 50.0, 60.0, 10.0, 90.0].iter().enumerate() {
        stage
            .server
            .write(DB, &format!("cpu,host=a load={load} {at}\ncpu,host=b load=1 {at}"));
    }
    stage.wait_for_rows(
        "SELECT series, value, median FROM outliers ORDER BY time",
        json!([{ "series": "host=a", "value": 60.0, "median": 11.0 }]),
    );
}

#[test]
fn forecast_error_compares_two_tables() {
    let Some(stage) = PluginServerFixture::with_packages() else {
        return;
    };
    let begin = stage.now() - 100;
    write_since(
        &stage,
        begin,
        "forecast,room=a value=10 0\nforecast,room=a value=10 10\nforecast,room=b value=7 10\nforecast,room=b value=7 20\n\
         actual,room=a temp=12 0\nactual,room=a temp=10.5 10\nactual,room=b temp=7 10\nactual,room=a temp=1 30",
    );
    TriggerDefinition::new("compare", &plugin("forecast_error"), "every:1s")
        .with(&[
            ("forecast_measurement", "forecast"),
            ("forecast_field", "value"),
            ("actual_measurement", "actual"),
            ("actual_field", "temp"),
            ("error_metric", "mae"),
            ("error_threshold", "1.5"),
            ("tags", "room"),
            ("window_seconds", "3600"),
        ])
        .create(&stage);
    let sql = format!(
        "SELECT room, error, is_outlier, CAST(time AS BIGINT) / 1000000000 - {begin} AS at FROM forecast_error ORDER BY at, room"
    );
    stage.wait_for_rows(
        &sql,
        json!([
            { "room": "a", "error": 2.0, "is_outlier": true, "at": 0 },
            { "room": "a", "error": 0.5, "is_outlier": false, "at": 10 },
            { "room": "b", "error": 0.0, "is_outlier": false, "at": 10 },
        ]),
    );
}
