//! Tests of gap filling through SQL.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampNanosecondType;
use datafusion::prelude::SessionConfig;

use super::GapFillLimit;
use crate::testing::{error, row_count, rows, session, session_with, table};

/// Two hours of `home`, in half-hour bins.
const RANGE: &str = "time >= '2024-01-01T08:00:00Z' AND time < '2024-01-01T10:00:00Z'";

#[tokio::test]
async fn every_group_has_every_bin() {
    insta::assert_snapshot!(table(&session(), &format!("
        SELECT date_bin_gapfill(INTERVAL '30 minutes', time) AS t, room, avg(temp) AS temp, count(*) AS n
        FROM home WHERE {RANGE} GROUP BY t, room ORDER BY room, t")).await, @r"
    | t                   | room        | temp | n |
    | 2024-01-01T08:00:00 | Kitchen     | 21.0 | 1 |
    | 2024-01-01T08:30:00 | Kitchen     |      | 0 |
    | 2024-01-01T09:00:00 | Kitchen     | 23.0 | 1 |
    | 2024-01-01T09:30:00 | Kitchen     |      | 0 |
    | 2024-01-01T08:00:00 | Living Room | 21.1 | 1 |
    | 2024-01-01T08:30:00 | Living Room |      | 0 |
    | 2024-01-01T09:00:00 | Living Room | 21.4 | 1 |
    | 2024-01-01T09:30:00 | Living Room |      | 0 |
    ");
}

#[tokio::test]
async fn without_other_groups_there_is_one_series() {
    insta::assert_snapshot!(table(&session(), &format!("
        SELECT date_bin_gapfill(INTERVAL '30 minutes', time) AS t, max(temp) FROM home WHERE {RANGE} GROUP BY 1")).await,
        @r"
    | t                   | max(home.temp) |
    | 2024-01-01T08:00:00 | 21.1           |
    | 2024-01-01T08:30:00 |                |
    | 2024-01-01T09:00:00 | 23.0           |
    | 2024-01-01T09:30:00 |                |
    ");
}

#[tokio::test]
async fn fills_carry_forward_and_interpolate() {
    insta::assert_snapshot!(table(&session(), &format!("
        SELECT date_bin_gapfill(INTERVAL '30 minutes', time) AS t, room, interpolate(avg(temp)) AS line,
               locf(avg(temp)) AS last, avg(temp) AS raw, locf(min(room)) AS text, interpolate(max(co)) AS int
        FROM home WHERE {RANGE} GROUP BY t, room ORDER BY room, t")).await, @r"
    | t                   | room        | line  | last | raw  | text        | int |
    | 2024-01-01T08:00:00 | Kitchen     | 21.0  | 21.0 | 21.0 | Kitchen     | 0   |
    | 2024-01-01T08:30:00 | Kitchen     | 22.0  | 21.0 |      | Kitchen     | 0   |
    | 2024-01-01T09:00:00 | Kitchen     | 23.0  | 23.0 | 23.0 | Kitchen     | 0   |
    | 2024-01-01T09:30:00 | Kitchen     |       | 23.0 |      | Kitchen     |     |
    | 2024-01-01T08:00:00 | Living Room | 21.1  | 21.1 | 21.1 | Living Room | 0   |
    | 2024-01-01T08:30:00 | Living Room | 21.25 | 21.1 |      | Living Room | 0   |
    | 2024-01-01T09:00:00 | Living Room | 21.4  | 21.4 | 21.4 | Living Room | 0   |
    | 2024-01-01T09:30:00 | Living Room |       | 21.4 |      | Living Room |     |
    ");
}

#[tokio::test]
async fn expressions_around_and_inside_fills_work() {
    insta::assert_snapshot!(table(&session(), &format!("
        SELECT date_bin_gapfill(INTERVAL '30 minutes', time) AS t,
               round(interpolate(avg(temp)) * 10) / 10 AS around, interpolate(max(temp) - min(temp)) AS inside,
               locf(coalesce(avg(temp), 0)) AS both, coalesce(avg(temp), -1) AS other,
               coalesce(locf(max(co)), 7) + count(*) AS several
        FROM home WHERE {RANGE} GROUP BY t ORDER BY t")).await, @r"
    | t                   | around | inside              | both  | other | several |
    | 2024-01-01T08:00:00 | 21.1   | 0.10000000000000142 | 21.05 | 21.05 | 2       |
    | 2024-01-01T08:30:00 | 21.6   | 0.8500000000000014  | 21.05 | -1.0  | 0       |
    | 2024-01-01T09:00:00 | 22.2   | 1.6000000000000014  | 22.2  | 22.2  | 2       |
    | 2024-01-01T09:30:00 |        |                     | 22.2  | -1.0  | 0       |
    ");
}

#[tokio::test]
async fn selectors_are_filled_as_structs_and_by_field() {
    insta::assert_snapshot!(table(&session(), &format!("
        SELECT date_bin_gapfill(INTERVAL '30 minutes', time) AS t,
               interpolate(selector_last(temp, time)) AS line, interpolate(selector_last(temp, time))['value'] AS v,
               interpolate(selector_last(temp, time)['value']) AS v2, locf(selector_first(temp, time))['time'] AS lt,
               selector_first(temp, time)['value'] AS raw
        FROM home WHERE room = 'Kitchen' AND {RANGE} GROUP BY t ORDER BY t")).await, @r"
    | t                   | line                                     | v    | v2   | lt                  | raw  |
    | 2024-01-01T08:00:00 | {value: 21.0, time: 2024-01-01T08:00:00} | 21.0 | 21.0 | 2024-01-01T08:00:00 | 21.0 |
    | 2024-01-01T08:30:00 | {value: 22.0, time: 2024-01-01T08:30:00} | 22.0 | 22.0 | 2024-01-01T08:00:00 |      |
    | 2024-01-01T09:00:00 | {value: 23.0, time: 2024-01-01T09:00:00} | 23.0 | 23.0 | 2024-01-01T09:00:00 | 23.0 |
    | 2024-01-01T09:30:00 |                                          |      |      | 2024-01-01T09:00:00 |      |
    ");
}

#[tokio::test]
async fn having_filters_filled_rows() {
    let session = session();
    insta::assert_snapshot!(table(&session, &format!("
        SELECT date_bin_gapfill(INTERVAL '30 minutes', time) AS t, room, locf(avg(temp)) AS temp FROM home
        WHERE {RANGE} GROUP BY t, room HAVING interpolate(avg(temp)) > 21.2 AND room <> 'Attic' ORDER BY t, room")).await,
        @r"
    | t                   | room        | temp |
    | 2024-01-01T08:30:00 | Kitchen     | 21.0 |
    | 2024-01-01T08:30:00 | Living Room | 21.1 |
    | 2024-01-01T09:00:00 | Kitchen     | 23.0 |
    | 2024-01-01T09:00:00 | Living Room | 21.4 |
    ");
    insta::assert_snapshot!(table(&session, &format!("
        SELECT date_bin_gapfill(INTERVAL '30 minutes', time) AS t, avg(temp) AS temp FROM home
        WHERE {RANGE} GROUP BY t HAVING count(*) > 0 ORDER BY t")).await, @r"
    | t                   | temp  |
    | 2024-01-01T08:00:00 | 21.05 |
    | 2024-01-01T09:00:00 | 22.2  |
    ");
}

#[tokio::test]
async fn window_functions_see_filled_rows() {
    insta::assert_snapshot!(table(&session(), &format!("
        SELECT date_bin_gapfill(INTERVAL '30 minutes', time) AS t, room,
               sum(locf(max(temp))) OVER (PARTITION BY room ORDER BY date_bin_gapfill(INTERVAL '30 minutes', time)) AS s,
               row_number() OVER (PARTITION BY room ORDER BY date_bin_gapfill(INTERVAL '30 minutes', time)) AS n
        FROM home WHERE {RANGE} GROUP BY t, room ORDER BY room, t")).await, @r"
    | t                   | room        | s    | n |
    | 2024-01-01T08:00:00 | Kitchen     | 21.0 | 1 |
    | 2024-01-01T08:30:00 | Kitchen     | 42.0 | 2 |
    | 2024-01-01T09:00:00 | Kitchen     | 65.0 | 3 |
    | 2024-01-01T09:30:00 | Kitchen     | 88.0 | 4 |
    | 2024-01-01T08:00:00 | Living Room | 21.1 | 1 |
    | 2024-01-01T08:30:00 | Living Room | 42.2 | 2 |
    | 2024-01-01T09:00:00 | Living Room | 63.6 | 3 |
    | 2024-01-01T09:30:00 | Living Room | 85.0 | 4 |
    ");
}

#[tokio::test]
async fn order_limit_and_distinct_apply_to_filled_rows() {
    let session = session();
    insta::assert_snapshot!(table(&session, &format!("
        SELECT date_bin_gapfill(INTERVAL '30 minutes', time) AS t, interpolate(avg(temp)) FROM home
        WHERE {RANGE} GROUP BY t ORDER BY interpolate(avg(temp)) DESC NULLS LAST, t DESC LIMIT 3")).await, @r"
    | t                   | interpolate(avg(home.temp)) |
    | 2024-01-01T09:00:00 | 22.2                        |
    | 2024-01-01T08:30:00 | 21.625                      |
    | 2024-01-01T08:00:00 | 21.05                       |
    ");
    insta::assert_snapshot!(table(&session, &format!("
        SELECT DISTINCT locf(avg(temp)) AS temp FROM home WHERE {RANGE} AND room = 'Kitchen'
        GROUP BY date_bin_gapfill(INTERVAL '30 minutes', time) ORDER BY temp")).await, @r"
    | temp |
    | 21.0 |
    | 23.0 |
    ");
}

#[tokio::test]
async fn subqueries_joins_and_unions_contain_gap_filling() {
    let session = session();
    insta::assert_snapshot!(table(&session, &format!("
        WITH k AS (SELECT date_bin_gapfill(INTERVAL '30 minutes', time) AS t, locf(avg(temp)) AS temp
                   FROM home WHERE {RANGE} AND room = 'Kitchen' GROUP BY t),
             l AS (SELECT date_bin_gapfill(INTERVAL '30 minutes', time) AS t, locf(avg(temp)) AS temp
                   FROM home WHERE {RANGE} AND room = 'Living Room' GROUP BY t)
        SELECT k.t, k.temp - l.temp AS difference FROM k JOIN l ON k.t = l.t ORDER BY k.t")).await, @r"
    | t                   | difference           |
    | 2024-01-01T08:00:00 | -0.10000000000000142 |
    | 2024-01-01T08:30:00 | -0.10000000000000142 |
    | 2024-01-01T09:00:00 | 1.6000000000000014   |
    | 2024-01-01T09:30:00 | 1.6000000000000014   |
    ");
    insta::assert_snapshot!(table(&session, &format!("
        SELECT room, count(*) AS bins, count(temp) AS filled FROM (
            SELECT date_bin_gapfill(INTERVAL '30 minutes', time) AS t, room, avg(temp) AS temp
            FROM home WHERE {RANGE} GROUP BY t, room)
        WHERE room = 'Kitchen' GROUP BY room UNION ALL SELECT 'units', count(*), 0 FROM units")).await, @r"
    | room    | bins | filled |
    | units   | 2    | 0      |
    | Kitchen | 4    | 2      |
    ");
}

#[tokio::test]
async fn time_bounds_are_recognized_in_many_forms() {
    let session = session();
    let bins = async |source: &str, condition: &str| {
        let sql = format!("
            SELECT min(t) AS first, max(t) AS last FROM (SELECT date_bin_gapfill(INTERVAL '30 minutes', time) AS t,
            count(*) AS n FROM {source} WHERE {condition} GROUP BY t)");
        let found = rows(&session, &sql).await;
        let at = |column: usize| {
            let time = found[0].column(column).as_primitive::<TimestampNanosecondType>();
            time.value_as_datetime(0).unwrap().format("%H:%M").to_string()
        };
        format!("{}-{}", at(0), at(1))
    };
    let ns = |seconds: i64| (1_704_096_000 + seconds) * 1_000_000_000;
    for (condition, expected) in [
        (
            "time >= '2024-01-01T08:10:00Z' AND time <= '2024-01-01T10:00:00Z'",
            "08:00-10:00",
        ),
        (
            "time > '2024-01-01 07:59:59.999999999' AND time < '2024-01-01 10:00:00.000000001'",
            "08:00-10:00",
        ),
        (
            "'2024-01-01T08:10:00Z' <= time AND '2024-01-01T10:00:00Z' > time",
            "08:00-09:30",
        ),
        ("time BETWEEN '2024-01-01T08:10:00Z' AND '2024-01-01T10:00:00Z'", "08:00-10:00"),
        (
            "time BETWEEN TIMESTAMP '2024-01-01T08:10:00Z' AND '2024-01-01T10:00:00Z'::timestamp",
            "08:00-10:00",
        ),
        (
            &format!("time::bigint >= {} AND {} > time::bigint", ns(600), ns(7200)),
            "08:00-09:30",
        ),
        (
            &format!("time >= to_timestamp({}) AND time < to_timestamp({})", ns(600), ns(7200)),
            "08:00-09:30",
        ),
        (
            "time >= to_timestamp_seconds(1704096000) AND time < to_timestamp_seconds(1704103200)",
            "08:00-09:30",
        ),
        ("time = '2024-01-01T09:00:00Z'", "09:00-09:00"),
        ("time >= '2024-01-01' AND time < DATE '2024-01-02'", "00:00-23:30"),
        (
            "time >= tz('2024-01-01T08:10:00') AND tz(time) < '2024-01-01T10:00:00Z'",
            "08:00-09:30",
        ),
        (
            "tz(time, 'Europe/Paris') >= '2024-01-01T09:10:00+01:00' AND time < '2024-01-01T10:00:00Z'",
            "08:00-09:30",
        ),
        // The tightest bound applies, also among conditions that do not bound the time.
        (
            "time >= '2023-01-01' AND (room = 'x' OR temp > 0) AND time < '2024-01-01T12:00:00Z' \
          AND time >= '2024-01-01T08:10:00Z' AND time <= '2024-01-01T10:29:00Z'",
            "08:00-10:00",
        ),
        (
            "time >= now() - INTERVAL '100 years' AND time >= '2024-01-01T08:00:00Z' \
          AND time < now() AND time < '2024-01-01T09:00:00Z'",
            "08:00-08:30",
        ),
    ] {
        assert_eq!(bins("home", condition).await, expected, "{condition}");
    }
    let both = "time >= '2024-01-01T08:00:00Z' AND time < '2024-01-01T10:00:00Z'";
    let of_h = both.replace("time", "h.time");
    for (source, condition) in [
        (format!("(SELECT * FROM home WHERE {both})"), "true"),
        (
            format!("(SELECT temp, time AS time FROM home WHERE {both} ORDER BY temp LIMIT 10)"),
            "temp > 0",
        ),
        (
            format!(
                "(SELECT room, time, avg(temp) FROM home WHERE {both} GROUP BY room, time) AS x"
            ),
            "true",
        ),
        (
            format!(
                "(SELECT DISTINCT h.time FROM home AS h JOIN units ON h.time = units.time WHERE {of_h})"
            ),
            "true",
        ),
    ] {
        let condition = format!("{condition} AND time < '2024-01-01T10:00:00Z'");
        assert_eq!(bins(&source, &condition).await, "08:00-09:30", "{source}");
    }
}

#[tokio::test]
async fn bounds_that_exclude_all_times_return_no_rows() {
    let session = session();
    for condition in [
        "time >= '2024-01-01T10:00:00Z' AND time < '2024-01-01T08:00:00Z'",
        "time >= '2020-01-01' AND time < '2021-01-01'",
        "time >= '2024-01-01' AND time < NULL::timestamp",
        "time >= '2024-01-01' AND time < '2024-01-02' AND room = 'Attic'",
    ] {
        let sql = format!("SELECT date_bin_gapfill(INTERVAL '1 hour', time) AS t, room, avg(temp), count(*) FROM home
            WHERE {condition} GROUP BY t, room");
        assert_eq!(row_count(&session, &sql).await, 0, "{condition}");
    }
}

#[tokio::test]
async fn lower_bound_before_all_times_starts_each_group_at_its_first_row() {
    insta::assert_snapshot!(table(&session(), "
        SELECT date_bin_gapfill(INTERVAL '30 minutes', time) AS t, room, count(*) AS n FROM home
        WHERE time >= arrow_cast(-9223372036854775808, 'Timestamp(ns)') AND time < '2024-01-01T10:00:00Z'
          AND (room = 'Kitchen' OR time >= '2024-01-01T09:00:00Z')
        GROUP BY t, room ORDER BY room, t").await, @r"
    | t                   | room        | n |
    | 2024-01-01T08:00:00 | Kitchen     | 1 |
    | 2024-01-01T08:30:00 | Kitchen     | 0 |
    | 2024-01-01T09:00:00 | Kitchen     | 1 |
    | 2024-01-01T09:30:00 | Kitchen     | 0 |
    | 2024-01-01T09:00:00 | Living Room | 1 |
    | 2024-01-01T09:30:00 | Living Room | 0 |
    ");
}

#[tokio::test]
async fn origin_months_and_zones_shape_the_bins() {
    let session = session();
    insta::assert_snapshot!(table(&session, "
        SELECT date_bin_gapfill(INTERVAL '1 hour', time, TIMESTAMP '2024-01-01T00:10:00') AS t, avg(temp) FROM home
        WHERE time >= '2024-01-01T08:00:00Z' AND time < '2024-01-01T10:00:00Z' GROUP BY t ORDER BY t").await, @r"
    | t                   | avg(home.temp) |
    | 2024-01-01T07:10:00 | 21.05          |
    | 2024-01-01T08:10:00 | 22.2           |
    | 2024-01-01T09:10:00 |                |
    ");
    insta::assert_snapshot!(table(&session, "
        SELECT date_bin_gapfill(INTERVAL '1 month', time) AS t, count(*) AS n FROM home
        WHERE time >= '2023-11-15' AND time < '2024-03-01' GROUP BY t ORDER BY t").await, @r"
    | t                   | n  |
    | 2023-11-01T00:00:00 | 0  |
    | 2023-12-01T00:00:00 | 0  |
    | 2024-01-01T00:00:00 | 26 |
    | 2024-02-01T00:00:00 | 0  |
    ");
    insta::assert_snapshot!(table(&session, "
        SELECT date_bin_gapfill(INTERVAL '12 hours', tz(time, 'Europe/Paris')) AS instants, count(*) AS n FROM home
        WHERE time >= '2024-01-01' AND time < '2024-01-02' GROUP BY 1 ORDER BY 1").await, @r"
    | instants                  | n  |
    | 2024-01-01T01:00:00+01:00 | 8  |
    | 2024-01-01T13:00:00+01:00 | 18 |
    ");
    insta::assert_snapshot!(table(&session, "
        SELECT date_bin_wallclock_gapfill(INTERVAL '12 hours', tz(time, 'Europe/Paris')) AS wall, count(*) AS n,
               locf(max(temp)) AS last
        FROM home WHERE time >= '2024-01-01T06:00:00Z' AND time < '2024-01-02T06:00:00Z' GROUP BY 1 ORDER BY 1").await,
        @r"
    | wall                      | n  | last |
    | 2024-01-01T00:00:00+01:00 | 6  | 23.0 |
    | 2024-01-01T12:00:00+01:00 | 20 | 23.3 |
    | 2024-01-02T00:00:00+01:00 | 0  | 23.3 |
    ");
    insta::assert_snapshot!(table(&session, "
        SELECT tz(date_bin_gapfill(INTERVAL '1 hour', time), 'Asia/Tokyo') AS t, avg(temp) AS temp FROM home
        WHERE time >= '2024-01-01T07:00:00Z' AND time < '2024-01-01T09:00:00Z' GROUP BY t ORDER BY t").await, @r"
    | t                         | temp  |
    | 2024-01-01T16:00:00+09:00 |       |
    | 2024-01-01T17:00:00+09:00 | 21.05 |
    ");
    insta::assert_snapshot!(table(&session, "
        SELECT date_bin_wallclock_gapfill(INTERVAL '1 day', t, TIMESTAMP '1970-01-01T06:00:00') AS day, count(*) AS n
        FROM (SELECT tz(time, 'America/New_York') AS t FROM home)
        WHERE t >= '2023-12-31T12:00:00-05:00' AND t < '2024-01-03' GROUP BY 1 ORDER BY 1").await, @r"
    | day                       | n  |
    | 2023-12-31T06:00:00-05:00 | 6  |
    | 2024-01-01T06:00:00-05:00 | 20 |
    | 2024-01-02T06:00:00-05:00 | 0  |
    ");
}

#[tokio::test]
async fn plan_sorts_once_and_pushes_group_predicates_down() {
    let sql = format!("
        EXPLAIN SELECT * FROM (SELECT date_bin_gapfill(INTERVAL '30 minutes', time) AS t, room, interpolate(avg(temp))
        FROM home WHERE {RANGE} GROUP BY t, room) WHERE room <> 'Attic' ORDER BY room, t");
    let plan = table(&session(), &sql).await;
    let lines = |operator: &str| plan.lines().filter(|line| line.contains(operator)).count();
    assert_eq!(
        (lines(" GapFill: "), lines("GapFillExec: "), lines(" SortExec: ")),
        (1, 1, 1),
        "{plan}"
    );
    assert!(plan.contains("AND room@0 != Attic"), "{plan}");
}

#[tokio::test]
async fn queries_without_both_bounds_are_refused() {
    let session = session();
    let query = |condition: &str| {
        format!(
            "SELECT date_bin_gapfill(INTERVAL '1 hour', time) AS t, avg(temp) FROM home WHERE {condition} GROUP BY t"
        )
    };
    insta::assert_snapshot!(error(&session, &query("true")).await, @"Error during planning: gap-filling query is missing both upper and lower time bounds");
    insta::assert_snapshot!(error(&session, &query("time >= '2024-01-01'")).await, @"Error during planning: gap-filling query is missing upper time bound");
    insta::assert_snapshot!(error(&session, &query("time < '2024-01-01'")).await, @"Error during planning: gap-filling query is missing lower time bound");
    insta::assert_snapshot!(error(&session, &query("time >= '2024-01-01' OR time < '2024-01-01'")).await, @"Error during planning: gap-filling query is missing both upper and lower time bounds");
    let other =
        query("tz(time, 'Europe/Paris') > '2024-01-01' AND date_trunc('day', time) < '2024-01-02'");
    insta::assert_snapshot!(error(&session, &other).await, @"Error during planning: gap-filling query is missing upper time bound");
}

#[tokio::test]
async fn misplaced_functions_are_refused() {
    let session = session();
    let refused = async |sql: &str| error(&session, &sql.replace("$RANGE", RANGE)).await;
    insta::assert_snapshot!(refused("SELECT date_bin_gapfill(INTERVAL '1 hour', time) FROM home WHERE $RANGE").await,
        @"Error during planning: date_bin_gapfill may only be used as a GROUP BY expression");
    insta::assert_snapshot!(refused("SELECT locf(temp) FROM home").await, @"Error during planning: locf may only be used around an aggregate of a gap-filling query");
    insta::assert_snapshot!(refused("SELECT room, interpolate(avg(temp)) FROM home WHERE $RANGE GROUP BY room").await,
        @"Error during planning: interpolate may only be used around an aggregate of a gap-filling query");
    insta::assert_snapshot!(refused("SELECT avg(locf(temp)) FROM home WHERE $RANGE
        GROUP BY date_bin_gapfill(INTERVAL '1 hour', time)").await, @"Error during planning: locf may only be used around an aggregate of a gap-filling query");
    insta::assert_snapshot!(refused("SELECT locf(interpolate(avg(temp))) FROM home WHERE $RANGE
        GROUP BY date_bin_gapfill(INTERVAL '1 hour', time)").await, @"Error during planning: interpolate may only be used around an aggregate of a gap-filling query");
    insta::assert_snapshot!(refused("SELECT locf(room) FROM home WHERE $RANGE
        GROUP BY room, date_bin_gapfill(INTERVAL '1 hour', time)").await, @"Error during planning: locf must be called on an aggregate in a gap-filling query");
    insta::assert_snapshot!(refused("SELECT interpolate(min(room)) FROM home WHERE $RANGE
        GROUP BY date_bin_gapfill(INTERVAL '1 hour', time)").await, @r"
    Error during planning: Execution error: Function 'interpolate' user-defined coercion failed with: Error during planning: interpolate takes numbers only, not Utf8. No function matches the given name and argument types 'interpolate(Utf8)'. You might need to add explicit type casts.
    	Candidate functions:
    	interpolate(UserDefined)
    ");
    insta::assert_snapshot!(refused("SELECT count(*) FROM home WHERE $RANGE
        GROUP BY date_bin_gapfill(INTERVAL '1 hour', time), date_bin_gapfill(INTERVAL '2 hours', time)").await, @"Error during planning: a query can have only one gap-filling GROUP BY expression");
    insta::assert_snapshot!(refused("SELECT count(*) FROM home WHERE $RANGE
        GROUP BY date_trunc('day', date_bin_gapfill(INTERVAL '1 hour', time))").await, @"Error during planning: the gap-filling function must be a GROUP BY expression of its own, not a part of one");
    insta::assert_snapshot!(refused("SELECT count(*) FROM home WHERE $RANGE
        GROUP BY ROLLUP (date_bin_gapfill(INTERVAL '1 hour', time))").await, @"Error during planning: the gap-filling function must be a GROUP BY expression of its own, not a part of one");
    insta::assert_snapshot!(refused("SELECT count(*) FROM home WHERE $RANGE
        GROUP BY date_bin_gapfill(INTERVAL '0 hours', time)").await, @"Error during planning: the interval of date_bin_gapfill must be positive and shorter than 292 years");
    insta::assert_snapshot!(refused("SELECT count(*) FROM home WHERE $RANGE
        GROUP BY date_bin_gapfill(INTERVAL '1 hour', temp)").await, @r#"
    Error during planning: Failed to coerce arguments to satisfy a call to 'date_bin_gapfill' function: coercion from Interval(MonthDayNano), Float64 to the signature OneOf(Exact(Interval(MonthDayNano), Timestamp(ns)), Exact(Interval(MonthDayNano), Timestamp(ns), Timestamp(ns)), Exact(Interval(MonthDayNano), Timestamp(ns, "+TZ")), Exact(Interval(MonthDayNano), Timestamp(ns, "+TZ"), Timestamp(ns, "+TZ")), Exact(Interval(MonthDayNano), Timestamp(ns), Timestamp(ns), Timestamp(ns), Timestamp(ns)), Exact(Interval(MonthDayNano), Timestamp(ns, "+TZ"), Timestamp(ns, "+TZ"), Timestamp(ns), Timestamp(ns))) failed. No function matches the given name and argument types 'date_bin_gapfill(Interval(MonthDayNano), Float64)'. You might need to add explicit type casts.
    	Candidate functions:
    	date_bin_gapfill(Interval(MonthDayNano), Timestamp(ns))
    	date_bin_gapfill(Interval(MonthDayNano), Timestamp(ns), Timestamp(ns))
    	date_bin_gapfill(Interval(MonthDayNano), Timestamp(ns, "+TZ"))
    	date_bin_gapfill(Interval(MonthDayNano), Timestamp(ns, "+TZ"), Timestamp(ns, "+TZ"))
    	date_bin_gapfill(Interval(MonthDayNano), Timestamp(ns), Timestamp(ns), Timestamp(ns), Timestamp(ns))
    	date_bin_gapfill(Interval(MonthDayNano), Timestamp(ns, "+TZ"), Timestamp(ns, "+TZ"), Timestamp(ns), Timestamp(ns))
    "#);
}

#[tokio::test]
async fn very_long_ranges_are_streamed() {
    let sql = "SELECT date_bin_gapfill(INTERVAL '1 nanosecond', time) AS t, avg(temp) FROM home
        WHERE time >= '2024-01-01T08:00:00Z' AND time < '2024-01-01T08:00:00.005Z' GROUP BY t LIMIT 20000";
    assert_eq!(row_count(&session(), sql).await, 20_000);
}

#[tokio::test]
async fn batches_have_the_batch_size_of_the_session() {
    let session = session_with(SessionConfig::new().with_target_partitions(1).with_batch_size(10));
    let sql = "SELECT date_bin_gapfill(INTERVAL '10 minutes', time) AS t, room, locf(avg(temp)) AS v FROM home
        WHERE time >= '2024-01-01T08:00:00Z' AND time < '2024-01-01T20:00:00Z' GROUP BY t, room";
    let batches = rows(&session, sql).await;
    assert!(batches.iter().all(|batch| batch.num_rows() <= 10));
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 2 * 12 * 6);
}

#[tokio::test]
async fn null_times_pass_through() {
    // A join can add NULL times above the predicate that bounds the time.
    insta::assert_snapshot!(table(&session(), "
        SELECT date_bin_gapfill(INTERVAL '30 minutes', u.time) AS t, count(*) AS n, locf(max(h.temp)) AS last
        FROM home AS h LEFT JOIN (SELECT time FROM units WHERE time >= '2024-01-01T08:00:00Z'
                                  AND time < '2024-01-01T09:30:00Z') AS u ON h.time = u.time
        GROUP BY 1 ORDER BY 1").await, @r"
    | t                   | n  | last |
    | 2024-01-01T08:00:00 | 2  | 21.1 |
    | 2024-01-01T08:30:00 | 0  | 21.1 |
    | 2024-01-01T09:00:00 | 2  | 23.0 |
    |                     | 22 | 23.3 |
    ");
}

#[tokio::test]
async fn bounds_can_be_arguments() {
    let rows = "(SELECT * FROM home WHERE time >= '2024-01-01T09:00:00Z' AND room = 'Kitchen')";
    insta::assert_snapshot!(table(&session(), &format!("
        SELECT date_bin_gapfill(INTERVAL '30 minutes', time, TIMESTAMP '1970-01-01', TIMESTAMP '2024-01-01T08:10:00',
                                TIMESTAMP '2024-01-01T09:59:59') AS t, max(co) AS co
        FROM {rows} WHERE time < '2024-01-01T09:20:00Z' GROUP BY t")).await, @r"
    | t                   | co |
    | 2024-01-01T08:00:00 |    |
    | 2024-01-01T08:30:00 |    |
    | 2024-01-01T09:00:00 | 0  |
    | 2024-01-01T09:30:00 |    |
    ");
}

#[tokio::test]
async fn the_number_of_bins_of_a_group_is_limited() {
    let limit = Arc::new(GapFillLimit(4));
    let session = session_with(SessionConfig::new().with_extension(limit));
    let bins = |function: &str, from: &str| {
        format!(
            "SELECT {function} AS t, max(co) FROM home WHERE time >= {from} AND time < '2024-01-01T10:00:00Z' GROUP BY t"
        )
    };
    let eight = "'2024-01-01T08:00:00Z'";
    let half_hours = bins("date_bin_gapfill(INTERVAL '30 minutes', time)", eight);
    let filled = rows(&session, &half_hours).await;
    assert_eq!(filled.iter().map(RecordBatch::num_rows).sum::<usize>(), 4);
    for function in [
        "date_bin_gapfill(INTERVAL '29 minutes', time)",
        "date_bin_wallclock_gapfill(INTERVAL '29 minutes', tz(time, 'Europe/Paris'))",
    ] {
        let text = error(&session, &bins(function, eight)).await;
        assert!(text.contains("5 windows of time for each series, more than 4"));
    }
    // Each group begins with its first row.
    let since_first = bins(
        "date_bin_gapfill(INTERVAL '20 minutes', time)",
        "'1677-09-21T00:12:43.145224192'",
    );
    insta::assert_snapshot!(error(&session, &since_first).await, @"Execution error: the query has 6 windows of time for each series, more than 4, the limit of this server; use longer windows, a shorter range of time, or windows without filling");
    let years = bins("date_bin_gapfill(INTERVAL '1 month', time)", "'2023-09-30'");
    insta::assert_snapshot!(error(&session, &years).await, @"Execution error: the query has 5 windows of time for each series, more than 4, the limit of this server; use longer windows, a shorter range of time, or windows without filling");
}
