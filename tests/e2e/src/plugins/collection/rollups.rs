//! Plugins that aggregate or transform tables.

use serde_json::json;

use super::{
    super::fixture::{DB, PluginServerFixture, TriggerDefinition, eventually},
    plugin, post, write_since,
};
use crate::harness::{NeapProcess, Reply, StoreFixture};

const HOUR: i64 = 3600;

/// Writes the rows of two rooms: one with a row every ten minutes for two hours, one with a single row.
fn rooms(stage: &PluginServerFixture, table: &str, begin: i64) {
    let kitchen =
        (0..12).map(|n| format!("{table},room=Kitchen temp={n}.0,hum={n}i,ok=true {}", n * 600));
    let living = format!("{table},room=Living\\ Room temp=10,hum=1i 60");
    let lines: Vec<_> = kitchen.chain([living]).collect();
    write_since(stage, begin, &lines.join("\n"));
}

#[test]
fn downsampler_aggregates_windows_on_request() {
    let stage = PluginServerFixture::new();
    rooms(&stage, "old", 0);
    TriggerDefinition::new("down", &plugin("downsampler"), "request:downsample").create(&stage);
    let mut body = json!({
        "source_measurement": "old",
        "target_measurement": "old_hourly",
        "target_database": "rolled",
        "interval": "1h",
        "calculations": "temp:avg.hum:sum",
        "backfill_start": "1970-01-01T00:00:00+00:00",
        "backfill_end": "1970-01-01T03:00:00+00:00",
        "batch_size": "1h",
    });
    let completed = json!({ "message": "completed", "rows": 3 });
    assert_eq!(post(&stage, "downsample", &body), (200, completed));
    stage.shows_in(
        "rolled",
        "SELECT time, room, temp_avg, hum_sum, record_count, time_from, time_to FROM old_hourly ORDER BY time, room",
        json!([
            { "time": "1970-01-01T00:00:00", "room": "Kitchen", "temp_avg": 2.5, "hum_sum": 15, "record_count": 6,
              "time_from": 0, "time_to": 3_000_000_000_000_u64 },
            { "time": "1970-01-01T00:00:00", "room": "Living Room", "temp_avg": 10.0, "hum_sum": 1, "record_count": 1,
              "time_from": 60_000_000_000_u64, "time_to": 60_000_000_000_u64 },
            { "time": "1970-01-01T01:00:00", "room": "Kitchen", "temp_avg": 8.5, "hum_sum": 51, "record_count": 6,
              "time_from": 3_600_000_000_000_u64, "time_to": 6_600_000_000_000_u64 },
        ]),
    );
    body["source_measurement"] = "no_such".into();
    assert_eq!(post(&stage, "downsample", &body).0, 400);
    assert_eq!(stage.ask("downsample").status, 200, "a request without a body");
}

#[test]
fn downsampler_aggregates_on_a_schedule_by_configuration_file() {
    let stage = PluginServerFixture::new();
    let begin = (stage.now() / HOUR - 5) * HOUR;
    rooms(&stage, "home", begin);
    TriggerDefinition::new("down", &plugin("downsampler"), "every:1s")
        .with(&[("config_file_path", "collection/downsampler.toml")])
        .create(&stage);
    let sql = format!(
        "SELECT CAST(time AS BIGINT) / 1000000000 - {begin} AS at, room, temp_max, hum_first_value \
         FROM home_by_file ORDER BY time, room"
    );
    stage.wait_for_rows(
        &sql,
        json!([
            { "at": 0, "room": "Kitchen", "temp_max": 5.0, "hum_first_value": 0 },
            { "at": 0, "room": "Living Room", "temp_max": 10.0, "hum_first_value": 1 },
            { "at": HOUR, "room": "Kitchen", "temp_max": 11.0, "hum_first_value": 6 },
        ]),
    );
    stage.wait_for_log("down", "downsampled {'rows': 3");

    // Uses arguments instead of the file, and one room.
    TriggerDefinition::new("room", &plugin("downsampler"), "every:1s")
        .with(&[
            ("source_measurement", "home"),
            ("target_measurement", "living"),
            ("window", "1d"),
            ("interval", "1w"),
            ("calculations", "count"),
            ("tag_values", "room:'Living Room'@Attic"),
            ("excluded_fields", "room"),
        ])
        .create(&stage);
    stage.wait_for_rows(
        "SELECT temp_count, hum_count FROM living",
        json!([{ "temp_count": 1, "hum_count": 1 }]),
    );
}

#[test]
fn transformation_changes_names_and_values() {
    let stage = PluginServerFixture::new();
    let arguments = [
        ("measurement", "raw"),
        ("target_measurement", "clean"),
        ("target_database", "other"),
        ("names_transformations", "Sensor:\"lower\".roomTemp:\"snake\".Note:\"lower\""),
        (
            "values_transformations",
            "temp:\"convert_degC_to_degF\".Note:\"upper space_to_underscore\".n:\"no_such\"",
        ),
        ("window", "1h"),
    ];
    TriggerDefinition::new("writes", &plugin("transformation"), "all_tables")
        .with(&arguments)
        .create(&stage);
    let now = stage.now();
    stage.server.write(DB, &format!("raw,Sensor=A roomTemp=1.5,temp=100,Note=\"hi you\",n=1i,ok=false {}\nraw other=1 {now}", now - 10));
    let sql = "SELECT sensor, room_temp, temp, note, n, ok, other FROM clean ORDER BY time";
    let expected = json!([
        { "sensor": "A", "room_temp": 1.5, "temp": 212.0, "note": "HI_YOU", "n": 1, "ok": false },
        { "other": 1.0 },
    ]);
    stage.shows_in("other", sql, expected.clone());
    assert_eq!(
        stage.wait_for_log("writes", "WARN").split_once("] ").unwrap().1,
        "no transformation: no_such"
    );
    let path = "/api/v3/configure/table?db=other&table=clean";
    assert_eq!(Reply::receive(stage.server.request("DELETE", path)).unwrap().status, 200);

    TriggerDefinition::new("times", &plugin("transformation"), "every:1s")
        .with(&arguments)
        .create(&stage);
    stage.shows_in("other", sql, expected);
}

#[test]
fn schema_validator_passes_on_what_a_schema_allows() {
    let Some(stage) = PluginServerFixture::with_packages() else {
        return;
    };
    TriggerDefinition::new("check", &plugin("schema_validator"), "all_tables")
        .with(&[("config_file_path", "collection/schema_validator.toml")])
        .create(&stage);
    stage.server.write(
        DB,
        "readings,device=a,unit=C value=1.5,count=2i,extra=1 1\n\
         readings,device=b,unit=K value=2 2\n\
         readings,unit=F value=3 3\n\
         readings,device=c count=4i 4\n\
         readings,device=d value=5,ok=true 5\n\
         elsewhere value=6 6",
    );
    stage.shows_in(
        "clean",
        "SELECT * FROM valid_readings ORDER BY time",
        json!([
            { "count": 2, "device": "a", "time": "1970-01-01T00:00:01", "unit": "C", "value": 1.5 },
            { "device": "d", "ok": true, "time": "1970-01-01T00:00:05", "value": 5.0 },
        ]),
    );
    stage.shows_in(
        "clean",
        "SELECT reason FROM _schema_rejections ORDER BY time",
        json!([
            { "reason": "Tag 'unit' value 'K' is not allowed" },
            { "reason": "Required tag 'device' is missing" },
            { "reason": "Required field 'value' is missing" },
        ]),
    );
    stage.wait_for_log("check", "2 accepted, 3 rejected");
    stage.server.write(DB, "readings,device=e value=7 7");
    stage.wait_for_log("check", "1 accepted, 0 rejected");
    let log = stage.log("check");
    let loaded = log.iter().filter(|line| line.contains("Loaded schema"));
    assert_eq!(loaded.count(), 1, "the second run had it from the cache");
}

#[test]
fn value_counter_counts_since_the_last_call() {
    let Some(stage) = PluginServerFixture::with_packages() else {
        return;
    };
    write_since(
        &stage,
        1,
        "http,host=a status=200i,method=\"GET\" 0\nhttp,host=a status=404i,method=\"GET\" 1\n\
         http,host=a status=200i,method=\"POST\" 2\nhttp,host=b status=200i 3",
    );
    TriggerDefinition::new("count", &plugin("value_counter"), "every:1s")
        .with(&[("table", "http"), ("fields", "status method"), ("from_the_start", "yes")])
        .create(&stage);
    stage.wait_for_rows(
        "SELECT host, \"status_200\", \"status_404\", \"method_GET\", \"method_POST\" FROM http_valuecounts ORDER BY time, host",
        json!([
            { "host": "a", "status_200": 2, "status_404": 1, "method_GET": 2, "method_POST": 1 },
            { "host": "b", "status_200": 1 },
        ]),
    );
}

#[test]
fn replicator_forwards_rows_and_keeps_refused_ones() {
    // The plugin keeps rows in a file of the plugin folder, which belongs to the user of the tests.
    let flags = ["--plugin-write-path", "FOLDER", "--plugin-user", "0"];
    let Some(stage) = PluginServerFixture::with_packages_and(&flags) else {
        return;
    };
    let remote = NeapProcess::serve(&StoreFixture::memory());
    remote.write("far", "home v=\"text\" 1");
    TriggerDefinition::new("send", &plugin("replicator"), "table:home")
        .with(&[("host", remote.url()), ("database", "far"), ("unique_file_suffix", "one")])
        .create(&stage);
    stage.server.write(DB, "home,room=a v=1i,f=2,s=\"x y\",b=true 1");
    stage.wait_for_log("send", "WARN kept 1 lines: HTTPError");
    let drop = remote.request("DELETE", "/api/v3/configure/table?db=far&table=home");
    assert_eq!(Reply::receive(drop).unwrap().status, 200);
    stage.server.write(DB, "home,room=b v=2i 2");
    stage.wait_for_log("send", "INFO sent 2 lines");
    let rows = remote.query("far", "SELECT room, v, f, s, b FROM home ORDER BY time");
    assert_eq!(
        rows,
        [
            json!({ "room": "a", "v": 1, "f": 2.0, "s": "x y", "b": true }),
            json!({ "room": "b", "v": 2 })
        ]
    );
    eventually("queue", false, || stage.folder().join("queue_one.gz").exists());
}
