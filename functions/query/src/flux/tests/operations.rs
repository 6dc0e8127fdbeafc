//! The operations, each by an example.

use super::home;
use crate::tests::instance::QueryTestInstance;

const TEMP: &str = "filter(fn: (r) => r._field == \"temp\")";

#[tokio::test]
async fn aggregates_keep_the_group_key_and_selectors_keep_the_row() {
    let one = home().await;
    insta::assert_snapshot!(one.home_flux(&format!("{TEMP} |> mean()")).await, @r"
    ,result,table,_value,_field,_measurement
    ,_result,0,20.5,temp,home

    ,result,table,_value,_field,_measurement,room
    ,_result,1,22,temp,home,Kitchen
    ,_result,2,21.1,temp,home,Living Room
    ");
    insta::assert_snapshot!(one.home_flux(&format!("{TEMP} |> last()")).await, @r"
    ,result,table,_time,_value,_field,_measurement
    ,_result,0,2024-01-01T08:00:00.000000001Z,20.5,temp,home

    ,result,table,_time,_value,_field,_measurement,room
    ,_result,1,2024-01-01T09:00:00Z,23,temp,home,Kitchen
    ,_result,2,2024-01-01T08:00:00Z,21.1,temp,home,Living Room
    ");
    // The table has the rows of the former tables one after the other, and its columns are those of all of them.
    insta::assert_snapshot!(one.home_flux(&format!("{TEMP} |> group() |> first()")).await, @r"
    ,result,table,_time,_value,_field,_measurement,room
    ,_result,0,2024-01-01T08:00:00Z,21,temp,home,Kitchen
    ");
    insta::assert_snapshot!(one.home_flux(&format!("{TEMP} |> group(columns: [\"_measurement\"]) |> min()")).await, @r"
    ,result,table,_time,_value,_field,_measurement,room
    ,_result,0,2024-01-01T08:00:00.000000001Z,20.5,temp,home,
    ");
    insta::assert_snapshot!(one.home_flux("filter(fn: (r) => r._field == \"co\") |> group() |> sum()").await, @r"
    ,result,table,_value
    ,_result,0,1
    ");
}

#[tokio::test]
async fn rows_are_sorted_limited_and_chosen() {
    let one = home().await;
    insta::assert_snapshot!(one.home_flux(&format!("{TEMP} |> group() |> sort(columns: [\"_value\"], desc: true) |> limit(n: 2, offset: 1)")).await, @r"
    ,result,table,_time,_value,_field,_measurement,room
    ,_result,0,2024-01-01T08:00:00Z,21.1,temp,home,Living Room
    ,_result,0,2024-01-01T08:00:00Z,21,temp,home,Kitchen
    ");
    insta::assert_snapshot!(one.home_flux(&format!("{TEMP} |> limit(n: 1) |> keep(columns: [\"_value\", \"room\"])")).await, @r"
    ,result,table,_value
    ,_result,0,20.5

    ,result,table,_value,room
    ,_result,1,21,Kitchen
    ,_result,2,21.1,Living Room
    ");
    insta::assert_snapshot!(one.home_flux(&format!("{TEMP} |> group() |> tail(n: 2) |> drop(fn: (column) => column =~ /^_[^v]/)")).await, @r"
    ,result,table,_value,room
    ,_result,0,21.1,Living Room
    ,_result,0,20.5,
    ");
    insta::assert_snapshot!(one.home_flux(&format!("{TEMP} |> group() |> top(n: 1) |> keep(columns: [\"_value\"])")).await, @r"
    ,result,table,_value
    ,_result,0,23
    ");
    insta::assert_snapshot!(one.home_flux(&format!("{TEMP} |> group() |> distinct(column: \"room\")")).await, @r"
    ,result,table,_value
    ,_result,0,Kitchen
    ,_result,0,Living Room
    ,_result,0,
    ");
}

#[tokio::test]
async fn columns_of_several_fields_may_be_equal() {
    let one = home().await;
    let filter = "filter(fn: (r) => r._measurement == \"home\" and exists r.room)";
    insta::assert_snapshot!(one.home_flux(&format!("{filter} |> distinct(column: \"room\")")).await, @r"
    ,result,table,_value,_field,_measurement,room
    ,_result,0,Kitchen,co,home,Kitchen
    ,_result,1,Kitchen,temp,home,Kitchen
    ,_result,2,Living Room,temp,home,Living Room
    ");
}

#[tokio::test]
async fn maps_compute_columns() {
    let one = home().await;
    let map = "map(fn: (r) => ({r with _value: r._value * 2.0, warm: r._value > 21.05, \
               place: if exists r.room then r.room + \"!\" else \"?\", n: int(v: r._value), none: r.nothing}))";
    insta::assert_snapshot!(one.home_flux(&format!("{TEMP} |> {map} |> group() |> drop(columns: [\"_start\", \"_stop\", \"_time\", \"_field\"])")).await, @r"
    ,result,table,_value,_measurement,room,warm,place,n
    ,_result,0,42,home,Kitchen,false,Kitchen!,21
    ,_result,0,46,home,Kitchen,true,Kitchen!,23
    ,_result,0,42.2,home,Living Room,true,Living Room!,21
    ,_result,0,41,home,,false,?,20
    ");
    let record = "map(fn: (r) => ({_time: r._time, _value: string(v: r._value)}))";
    insta::assert_snapshot!(one.home_flux(&format!("filter(fn: (r) => r._field == \"co\") |> {record}")).await, @r"
    ,result,table,_time,_value
    ,_result,0,2024-01-01T08:00:00Z,0
    ,_result,0,2024-01-01T09:00:00Z,1
    ");
}

#[tokio::test]
async fn pivots_make_columns_of_fields_of_all_types() {
    let one = home().await;
    let pivot = "pivot(rowKey: [\"_time\"], columnKey: [\"_field\"], valueColumn: \"_value\")";
    insta::assert_snapshot!(one.home_flux(pivot).await, @r#"
    ,result,table,_time,_measurement,floor,room,clean,note
    ,_result,0,2024-01-01T08:00:00Z,air,1,Kitchen,true,"ok, so"

    ,result,table,_time,_measurement,co,temp
    ,_result,1,2024-01-01T08:00:00.000000001Z,home,,20.5

    ,result,table,_time,_measurement,room,co,temp
    ,_result,2,2024-01-01T08:00:00Z,home,Kitchen,0,21
    ,_result,2,2024-01-01T09:00:00Z,home,Kitchen,1,23
    ,_result,3,2024-01-01T08:00:00Z,home,Living Room,,21.1
    "#);
    let windows = format!(
        "filter(fn: (r) => r._measurement == \"home\") |> aggregateWindow(every: 1h, fn: last, createEmpty: false) |> {pivot}"
    );
    insta::assert_snapshot!(one.home_flux(&windows).await, @r"
    ,result,table,_time,_measurement,co,temp
    ,_result,0,2024-01-01T09:00:00Z,home,,20.5

    ,result,table,_time,_measurement,room,co,temp
    ,_result,1,2024-01-01T09:00:00Z,home,Kitchen,0,21
    ,_result,1,2024-01-01T10:00:00Z,home,Kitchen,1,23
    ,_result,2,2024-01-01T09:00:00Z,home,Living Room,,21.1
    ");
}

/// The rows of Flux's own tests of `aggregateWindow()`.
const CPU: &str = "\
cpu,cpu=cpu-total,host=host.local usage_idle=91.7364670583823 1527018806000000000
cpu,cpu=cpu-total,host=host.local usage_idle=89.51118889861233 1527018816000000000
cpu,cpu=cpu-total,host=host.local usage_idle=91.0977744436109 1527018826000000000
cpu,cpu=cpu-total,host=host.local usage_idle=91.02836436336374 1527018836000000000
cpu,cpu=cpu-total,host=host.local usage_idle=68.304576144036 1527018846000000000
cpu,cpu=cpu-total,host=host.local usage_idle=87.88598574821853 1527018856000000000";

#[tokio::test]
async fn windows_are_those_of_the_tests_of_flux() {
    let one = QueryTestInstance::with_rows(CPU).await;
    let cases = [
        ("count", ["1", "3", "2", "0"]),
        ("first", ["91.7364670583823", "89.51118889861233", "68.304576144036", ""]),
        ("last", ["91.7364670583823", "91.02836436336374", "87.88598574821853", ""]),
        ("min", ["91.7364670583823", "89.51118889861233", "68.304576144036", ""]),
        ("max", ["91.7364670583823", "91.0977744436109", "87.88598574821853", ""]),
    ];
    let times = [
        "2018-05-22T19:53:30Z",
        "2018-05-22T19:54:00Z",
        "2018-05-22T19:54:30Z",
        "2018-05-22T19:55:00Z",
    ];
    for (function, values) in cases {
        for group in ["", "|> group(columns: [\"_field\", \"_measurement\", \"cpu\"])"] {
            let query = format!(
                "from(bucket: \"db\") |> range(start: 2018-05-22T19:53:26Z, stop: 2018-05-22T19:55:00Z) {group} \
                 |> aggregateWindow(every: 30s, fn: {function}) |> keep(columns: [\"_time\", \"_value\"])"
            );
            let rows = times
                .iter()
                .zip(values)
                .map(|(time, value)| format!(",_result,0,{time},{value}\n"));
            let expected = format!(",result,table,_time,_value\n{}\n", rows.collect::<String>());
            assert_eq!(one.flux(&query).await, expected, "{query}");
            let filled = query.replace("fn:", "createEmpty: false, fn:");
            let without_last =
                expected.replace(&format!(",_result,0,{},{}\n", times[3], values[3]), "");
            assert_eq!(one.flux(&filled).await, without_last, "{filled}");
        }
    }
}

#[tokio::test]
async fn windows_of_a_table_without_values_are_empty() {
    let one = QueryTestInstance::alone().await;
    one.write(CPU).await;
    one.write("cpu,cpu=cpu-0,region=a usage_idle=1 1527018806000000000").await;
    for function in ["first", "last"] {
        let query = format!(
            "from(bucket: \"db\") |> range(start: 2018-05-22T19:53:30Z, stop: 2018-05-22T19:54:30Z) |> filter(fn: (r) => r.cpu == \"cpu-total\") \
             |> group(columns: [\"cpu\"]) |> map(fn: (r) => ({{r with _value: r[\"region\"] == \"a\"}})) |> tail(n: 1) \
             |> aggregateWindow(every: 30s, fn: {function}) |> keep(columns: [\"_time\", \"host\", \"_value\"])"
        );
        assert_eq!(
            one.flux(&query).await,
            ",result,table,_time,_value,host\n,_result,0,2018-05-22T19:54:00Z,,\n,_result,0,2018-05-22T19:54:30Z,,\n\n"
        );
    }
}

#[tokio::test]
async fn windows_are_also_of_columns_that_are_the_same_in_all_rows() {
    let one = QueryTestInstance::alone().await;
    one.write("m,host=a v=1 1527018806000000000").await;
    for column in ["_measurement", "_start", "host", "_time", "_value"] {
        let query = format!(
            "from(bucket: \"db\") |> range(start: 2018-05-22T19:53:00Z, stop: 2018-05-22T19:54:00Z) \
             |> aggregateWindow(every: 30s, fn: first, column: \"{column}\") |> keep(columns: [\"_time\", \"_value\"])"
        );
        assert_eq!(
            one.flux(&query).await,
            ",result,table,_time,_value\n,_result,0,2018-05-22T19:53:30Z,1\n,_result,0,2018-05-22T19:54:00Z,\n\n",
            "{column}"
        );
    }
}

#[tokio::test]
async fn windows_are_of_months_and_have_offsets_and_starts() {
    let one = home().await;
    one.write("home,room=Kitchen temp=1 1706745600000000000").await;
    let months = "from(bucket: \"db\") |> range(start: 2023-12-15T00:00:00Z, stop: 2024-02-15T00:00:00Z) \
                  |> filter(fn: (r) => r._field == \"temp\" and r.room == \"Kitchen\") |> aggregateWindow(every: 1mo, fn: count) \
                  |> keep(columns: [\"_time\", \"_value\"])";
    assert_eq!(
        one.flux(months).await,
        ",result,table,_time,_value\n,_result,0,2024-01-01T00:00:00Z,0\n,_result,0,2024-02-01T00:00:00Z,2\n\
         ,_result,0,2024-02-15T00:00:00Z,1\n\n"
    );
    let offset = format!(
        "{TEMP} |> filter(fn: (r) => r.room == \"Kitchen\") |> aggregateWindow(every: 1h, offset: 30m, fn: sum, timeSrc: \"_start\") |> drop(columns: [\"_field\", \"_measurement\", \"room\"])"
    );
    insta::assert_snapshot!(one.home_flux(&offset).await, @r"
    ,result,table,_time,_value
    ,_result,0,2024-01-01T08:00:00Z,21
    ,_result,0,2024-01-01T08:30:00Z,23
    ,_result,0,2024-01-01T09:30:00Z,
    ");
    let too_many = "from(bucket: \"db\") |> range(start: 0, stop: 2024-02-01T00:00:00Z) |> filter(fn: (r) => r._field == \"temp\") \
                    |> aggregateWindow(every: 1s, fn: mean)";
    let message = one.flux_error(too_many).await;
    assert_contains!(message, "more than 5000000, the limit of this server");
}

#[tokio::test]
async fn conditions_follow_the_types_of_values() {
    let one = home().await;
    let count = async |condition: &str| {
        let calls = format!(
            "filter(fn: (r) => {condition}) |> keep(columns: [\"_field\", \"room\"]) |> group() |> count(column: \"_field\")"
        );
        let answer = one.home_flux(&calls).await;
        answer
            .lines()
            .nth(1)
            .map_or(0, |line| line.rsplit(',').next().unwrap().parse::<u32>().unwrap())
    };
    for (condition, rows) in [
        ("r._value > 21", 2),
        ("r._value > 21.0", 2),
        ("r._value >= 0", 6),
        ("r._value == 1", 1),
        ("r._value == true", 1),
        ("r._value == \"ok, so\"", 1),
        ("r._value =~ /so$/", 1),
        ("r._value > 100 or r._field == \"co\"", 2),
        // A column that a row lacks is null, which satisfies no comparison.
        ("r.room != \"Kitchen\"", 1),
        ("not exists r.room", 1),
        ("r.nothing == \"a\" or r.floor == \"1\"", 2),
        ("r.room =~ /^K/ and r._measurement !~ /^h/", 2),
        (
            "contains(value: r.room, set: [\"Kitchen\", \"Bath\"]) and r._field == \"temp\"",
            2,
        ),
        ("r._time > 2024-01-01T08:00:00Z", 3),
        ("r._measurement == \"none\"", 0),
    ] {
        assert_eq!(count(condition).await, rows, "{condition}");
    }
}

#[tokio::test]
async fn lists_of_names_are_those_of_the_series_in_the_range() {
    let one = home().await;
    one.write("old,room=Attic temp=1 1000000000").await;
    let list = async |call: &str| {
        let query = format!(
            "import \"influxdata/influxdb/schema\"\nimport \"influxdata/influxdb/v1\"\n{call}"
        );
        let answer = one.flux(&query).await;
        let rows = answer.lines().skip(1).filter(|line| !line.is_empty());
        rows.map(|line| line.rsplit(',').next().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let range = "start: 2024-01-01, stop: 2024-01-02";
    let pairs = r#"
        schema.measurements(bucket: "db", RANGE) ==> air home
        v1.measurements(bucket: "db", start: 0) ==> old
        schema.measurements(bucket: "db") ==>
        schema.fieldKeys(bucket: "db", RANGE) ==> clean co note temp
        schema.measurementFieldKeys(bucket: "db", measurement: "home", RANGE) ==> co temp
        schema.fieldKeys(bucket: "db", predicate: (r) => r.room == "Living Room", RANGE) ==> temp
        schema.tagKeys(bucket: "db", RANGE) ==> _field _measurement _start _stop floor room
        schema.measurementTagKeys(bucket: "db", measurement: "home", RANGE) ==> _field _measurement _start _stop room
        schema.tagValues(bucket: "db", tag: "room", RANGE) ==> Kitchen Living Room
        schema.tagValues(bucket: "db", tag: "room", predicate: (r) => r._field == "co", RANGE) ==> Kitchen
        schema.measurementTagValues(bucket: "db", measurement: "air", tag: "floor", RANGE) ==> 1
        v1.tagValues(bucket: "db", tag: "nothing", RANGE) ==>
    "#;
    for (call, expected) in neap_test_inputs::text_pairs(pairs) {
        assert_eq!(list(&call.replace("RANGE", range)).await, expected, "{call}");
    }
}

#[tokio::test]
async fn operations_that_types_do_not_allow_are_refused_with_their_position() {
    let one = home().await;
    let error = async |calls: &str| {
        one.flux_error(&format!(
            "from(bucket: \"db\") |> range(start: 2024-01-01, stop: 2024-01-02)\n|> {calls}"
        ))
        .await
    };
    let pairs = r#"
        mean() ==> error @2:4-2:10: unsupported input type for mean aggregate: bool
        max(column: "x") ==> error @2:4-2:20: max: column "x" does not exist
        group() ==> error @2:4-2:11: schema collision: cannot group bool and string types together (column "_value")
        filter(fn: (r) => r._time) ==> error @2:22-2:29: the function of filter() must return a bool
        limit(n: 1) |> map(fn: (r) => ({r with x: r._value * 2})) ==> error @2:46-2:58: unsupported binary expression bool * int
        limit(n: 1) |> range(start: 0) ==> error @2:19-2:34: range() is supported only before other functions than filter()
        count() |> aggregateWindow(every: 1h, fn: sum) ==> error @2:15-2:50: missing time column "_time"
        count() |> sum() |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value") ==> error @2:24-2:94: specified column does not exist in table: _time
        rename(columns: {_time: "_value"}) ==> error @2:4-2:38: column "_value" already exists
    "#;
    for (calls, expected) in neap_test_inputs::text_pairs(pairs) {
        assert_eq!(error(calls).await, expected, "{calls}");
    }
}
