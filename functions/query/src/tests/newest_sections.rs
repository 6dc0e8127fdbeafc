//! Queries of the last row of each series read no section of which another one has newer rows of all series, and answer as queries
//! that read all rows.

use std::{collections::BTreeSet, time::Duration};

use neap_bucket::{KeyClass, Operation};
use neap_test_inputs::cases;
use proptest::prelude::*;

use super::QueryTestInstance;

/// The time of the first day, in nanoseconds: 2023-11-14T00:00:00.
const FIRST: i64 = 1_699_920_000_000_000_000;

const DAY: i64 = 86_400_000_000_000;
const MINUTE: i64 = 60_000_000_000;

/// Length of a ULID in characters.
const ULID_CHARS: usize = 26;

const LAST: &str =
    "SELECT host, last_value(v ORDER BY time) AS v FROM t GROUP BY host ORDER BY host";

/// Writes and flushes a row of each host.
async fn section(one: &QueryTestInstance, hosts: &[&str], day: i64, minutes: &[i64]) {
    let lines = minutes.iter().flat_map(|minute| {
        let (v, time) = (day * 10 + minute, FIRST + day * DAY + minute * MINUTE);
        hosts.iter().map(move |host| format!("t,host={host},zone=z v={v}i {time}\n"))
    });
    one.write(&lines.collect::<String>()).await;
    one.flush().await;
}

/// Creates an instance with a section of three minutes for each of some days.
async fn days(hosts: &[&[&str]]) -> QueryTestInstance {
    let one = QueryTestInstance::alone().await;
    for (day, of_day) in (0..).zip(hosts) {
        section(&one, of_day, day, &[0, 1, 2]).await;
    }
    one
}

/// Returns the number of sections that the plan of a statement reads.
async fn sections(one: &QueryTestInstance, sql: &str) -> usize {
    let plan = one.plan(sql).await;
    let objects = plan.match_indices(".parquet@").map(|(end, _)| &plan[end - ULID_CHARS..end]);
    objects.collect::<BTreeSet<_>>().len()
}

#[tokio::test]
async fn only_the_newest_section_is_read_if_it_has_all_series() {
    let one = days(&[["a", "b"].as_slice(); 4]).await;
    let before = one.counting.counts();
    assert_eq!(one.sql(LAST).await, "host,v\na,32\nb,32\n");
    let requests = one.counting.counts() - before;
    // The footer, and the columns.
    let data = requests.of(Operation::Get, KeyClass::Data).requests;
    assert_eq!(data, 2);
}

#[tokio::test]
async fn sections_are_left_out_if_their_rows_can_be_no_last_ones() {
    let one = days(&[["a", "b"].as_slice(); 4]).await;
    let last = "SELECT host, last_value(v ORDER BY time) FROM t";
    for (sql, expected) in [
        (format!("{last} GROUP BY host"), 1),
        ("SELECT last_value(v ORDER BY time) FROM t".to_owned(), 1),
        (
            "SELECT zone, last_value(v ORDER BY time) FROM t GROUP BY zone".to_owned(),
            1,
        ),
        (
            "SELECT DISTINCT ON (host) host, v FROM t ORDER BY host, time DESC".to_owned(),
            1,
        ),
        (format!("{last} WHERE upper(host) = 'A' GROUP BY host"), 1),
        (format!("{last} WHERE host IS NOT NULL GROUP BY host"), 1),
        (
            format!("{last} WHERE host IS NOT NULL OR v IS NOT NULL GROUP BY host"),
            4,
        ),
        (
            format!("{last} WHERE time >= '2023-11-16' GROUP BY host"),
            1,
        ),
        // The last section has later rows, too.
        (
            format!("{last} WHERE time < '2023-11-17T00:01:30' GROUP BY host"),
            2,
        ),
        // Its rows are later.
        (format!("{last} WHERE time < '2023-11-17' GROUP BY host"), 1),
        // The newest row may not be the one that is needed.
        (format!("{last} WHERE v > 5 GROUP BY host"), 4),
        (format!("{last} WHERE v IS NOT NULL GROUP BY host"), 4),
        (
            "SELECT host, last_value(v ORDER BY time) IGNORE NULLS FROM t GROUP BY host".to_owned(),
            4,
        ),
        (
            "SELECT v, last_value(time ORDER BY time) FROM t GROUP BY v".to_owned(),
            4,
        ),
        // Any rows may be the limited ones, but not fewer.
        (
            "SELECT host, last_value(v ORDER BY time) FROM (SELECT * FROM t LIMIT 20) GROUP BY host"
                .to_owned(),
            4,
        ),
        // All rows are needed.
        (
            "SELECT host, last_value(v ORDER BY time), count(*) FROM t GROUP BY host".to_owned(),
            4,
        ),
        (
            "SELECT host, first_value(v ORDER BY time) FROM t GROUP BY host".to_owned(),
            4,
        ),
    ] {
        assert_eq!(sections(&one, &sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn few_series_are_read_from_the_newest_section() {
    let one = days(&[["a", "b"].as_slice(); 4]).await;
    let of_host = "SELECT host, last_value(v ORDER BY time) AS v FROM t WHERE host IN ('a', 'c') GROUP BY host";
    let plan = one.plan(of_host).await;
    assert!(plan.contains("SectionScanExec: sections=1,"), "{plan}");
    assert_eq!(one.sql(of_host).await, "host,v\na,32\n");
}

#[tokio::test]
async fn sections_with_other_series_are_read() {
    let one = days(&[&["a", "b"], &["a", "b", "c"], &["a", "b"], &["a", "b"]]).await;
    assert_eq!(sections(&one, LAST).await, 2);
    assert_eq!(one.sql(LAST).await, "host,v\na,32\nb,32\nc,12\n");
}

#[tokio::test]
async fn sections_that_overlap_the_newest_one_are_read() {
    let one = days(&[["a", "b"].as_slice(); 3]).await;
    section(&one, &["a", "b"], 2, &[1, 5]).await;
    // Both, and the newest one before them.
    assert_eq!(sections(&one, LAST).await, 3);
    assert_eq!(one.sql(LAST).await, "host,v\na,25\nb,25\n");
}

#[tokio::test]
async fn older_sections_that_overlap_are_left_out_together() {
    let one = days(&[["a", "b"].as_slice(); 3]).await;
    section(&one, &["a", "b"], 1, &[1, 2]).await;
    assert_eq!(sections(&one, LAST).await, 1);
    // No newer section has just the series of this one: its rows are merged with those that they replace.
    section(&one, &["a"], 0, &[1]).await;
    let plan = one.plan(LAST).await;
    assert_eq!(plan.matches("DedupExec").count(), 1, "{plan}");
    assert_eq!(one.sql(LAST).await, "host,v\na,22\nb,22\n");
}

#[tokio::test]
async fn a_section_with_deleted_rows_stands_for_no_older_one() {
    let one = days(&[["a", "b"].as_slice(); 4]).await;
    one.sql("DELETE FROM t WHERE host = 'a' AND time < '2023-11-14T00:01:30'").await;
    assert_eq!(sections(&one, LAST).await, 1, "the rows were older");
    one.sql("DELETE FROM t WHERE host = 'a' AND time >= '2023-11-17'").await;
    assert_eq!(sections(&one, LAST).await, 2);
    assert_eq!(one.sql(LAST).await, "host,v\na,22\nb,32\n");
}

#[tokio::test]
async fn columns_of_one_name_may_be_different_tags() {
    let one = days(&[["a", "b"].as_slice(); 3]).await;
    let renamed = "SELECT k, last_value(v ORDER BY time) AS v FROM \
                   (SELECT host AS k, v, time FROM t WHERE time >= '2023-11-15' UNION ALL \
                   SELECT zone AS k, v, time FROM t WHERE time < '2023-11-15') GROUP BY k ORDER BY k";
    assert_eq!(one.sql(renamed).await, "k,v\na,22\nb,22\nz,2\n");
}

#[tokio::test]
async fn a_section_of_another_table_stands_for_older_rows_of_the_same_groups() {
    let one = days(&[["a", "b"].as_slice(); 3]).await;
    let time = FIRST + 3 * DAY;
    one.write(&format!("u,host=a,zone=z v=7i {time}\nu,host=b,zone=z v=8i {time}\n"))
        .await;
    one.flush().await;
    let both = "(SELECT host, v, time, 't' AS origin FROM t UNION ALL SELECT host, v, time, 'u' AS origin FROM u)";
    let last = format!(
        "SELECT host, last_value(v ORDER BY time) AS v FROM {both} GROUP BY host ORDER BY host"
    );
    assert_eq!(sections(&one, &last).await, 1);
    assert_eq!(one.sql(&last).await, "host,v\na,7\nb,8\n");
    let of_each = format!(
        "SELECT origin, host, last_value(v ORDER BY time) AS v FROM {both} GROUP BY origin, host ORDER BY origin, host"
    );
    let expected = "origin,host,v\nt,a,22\nt,b,22\nu,a,7\nu,b,8\n";
    assert_eq!(one.sql(&of_each).await, expected);
}

#[tokio::test]
async fn a_renamed_tag_is_the_same_in_older_sections() {
    let one = days(&[["a", "b"].as_slice(); 2]).await;
    one.sql("ALTER TABLE t RENAME COLUMN host TO machine").await;
    section(&one, &["a", "b"], 2, &[0]).await;
    let last =
        "SELECT machine, last_value(v ORDER BY time) AS v FROM t GROUP BY machine ORDER BY machine";
    assert_eq!(sections(&one, last).await, 1);
    assert_eq!(one.sql(last).await, "machine,v\na,20\nb,20\n");
}

#[tokio::test]
async fn a_tag_that_was_added_later_makes_other_series_only_with_a_value() {
    let one = days(&[["a", "b"].as_slice(); 2]).await;
    let time = FIRST + 2 * DAY;
    let lines = format!("t,host=a,zone=z,rack=r v=7i {time}\nt,host=b,zone=z,rack=r v=8i {time}\n");
    one.write(&lines).await;
    one.flush().await;
    // The second section stands for the first one.
    assert_eq!(sections(&one, LAST).await, 2);
    assert_eq!(one.sql(LAST).await, "host,v\na,7\nb,8\n");
    section(&one, &["a", "b"], 3, &[0]).await;
    assert_eq!(sections(&one, LAST).await, 2);
    assert_eq!(one.sql(LAST).await, "host,v\na,30\nb,30\n");
    let of_racks =
        "SELECT rack, last_value(time ORDER BY time) AS t FROM t GROUP BY rack ORDER BY rack";
    assert_eq!(sections(&one, of_racks).await, 2);
    let expected = "rack,t\nr,2023-11-16T00:00:00\n,2023-11-17T00:00:00\n";
    assert_eq!(one.sql(of_racks).await, expected);
    for (condition, last_rows) in [
        ("rack IS NOT NULL", "host,v\na,7\nb,8\n"),
        ("rack IS NULL", "host,v\na,30\nb,30\n"),
        ("NOT (rack IS NULL) OR host = 'b'", "host,v\na,7\nb,30\n"),
    ] {
        let sql = LAST.replace("FROM t", &format!("FROM t WHERE {condition}"));
        assert_eq!(one.sql(&sql).await, last_rows, "{condition}");
    }
}

#[tokio::test]
async fn tables_without_tags_have_one_series() {
    let one = QueryTestInstance::alone().await;
    for day in 0..3 {
        one.write(&format!("t v={day}i {}\n", FIRST + day * DAY)).await;
        one.flush().await;
    }
    let last = "SELECT last_value(v ORDER BY time) AS v FROM t";
    assert_eq!(sections(&one, last).await, 1);
    assert_eq!(one.sql(last).await, "v\n2\n");
}

#[tokio::test]
async fn an_earlier_state_has_its_own_newest_section() {
    let one = days(&[["a", "b"].as_slice(); 3]).await;
    one.pass(Duration::from_secs(60));
    let (_, stamp, _) = one.sql_at(LAST, "2030-01-01T00:00:00Z").await;
    one.sql("DELETE FROM t WHERE host = 'a' AND time >= '2023-11-16'").await;
    section(&one, &["a", "b"], 3, &[0]).await;
    assert_eq!(one.sql(LAST).await, "host,v\na,30\nb,30\n");
    let (_, _, earlier) = one.sql_at(LAST, &stamp.unwrap()).await;
    assert_eq!(earlier, "host,v\na,22\nb,22\n");
}

/// A request, or what happens between requests.
#[derive(Clone, Debug)]
enum Step {
    /// Writes a row of each of these hosts, as bits, at a day and a minute, with a value of `v` or of `w`.
    Write(u8, i64, i64, bool),
    Flush,
    Merge,
    /// Deletes the rows of a host from a day on, or before it.
    Delete(u8, i64, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let hosts = prop_oneof![3 => Just(7_u8), 1 => 1..8_u8];
    let has_v = proptest::bool::weighted(0.8);
    prop_oneof![
        6 => (hosts, 0..4_i64, 0..5_i64, has_v)
            .prop_map(|(hosts, day, minute, has_v)| Step::Write(hosts, day, minute, has_v)),
        5 => Just(Step::Flush),
        1 => Just(Step::Merge),
        1 => (0..3_u8, 0..4_i64, any::<bool>())
            .prop_map(|(host, day, is_after)| Step::Delete(host, day, is_after)),
    ]
}

async fn take(one: &QueryTestInstance, step: Step, number: usize) {
    match step {
        Step::Write(hosts, day, minute, has_v) => {
            let time = FIRST + day * DAY + minute * MINUTE;
            let field = if has_v { "v" } else { "w" };
            let of_host = |host: u8| {
                // The rows of one minute are of series without a zone.
                let zone = if minute == 4 {
                    String::new()
                } else {
                    format!(",zone=z{}", host % 2)
                };
                format!("t,host=h{host}{zone} {field}={number}i {time}\n")
            };
            let written = (0..3).filter(|host| (hosts >> host) & 1 == 1);
            one.write(&written.map(of_host).collect::<String>()).await;
        }
        Step::Flush => {
            one.flush().await;
        }
        Step::Merge => {
            one.merge().await;
        }
        Step::Delete(host, day, is_after) => {
            let operator = if is_after { ">=" } else { "<" };
            let bound = format!("TIMESTAMP '2023-11-14T00:02:00' + INTERVAL '{day} days'");
            let delete =
                format!("DELETE FROM t WHERE host = 'h{host}' AND time {operator} {bound}");
            one.sql(&delete).await;
        }
    }
}

const CONDITIONS: [&str; 12] = [
    "true",
    "host <> 'h1'",
    "zone = 'z0'",
    "upper(zone) = 'Z1'",
    "zone IS NOT NULL",
    "zone IS NULL",
    "NOT (zone IS NULL) OR host = 'h0'",
    "time >= '2023-11-15T00:02:00'",
    "time < '2023-11-16T00:03:00'",
    "v IS NOT NULL",
    "v > 3",
    "w IS NULL AND host <> 'h0'",
];

async fn compare(one: &QueryTestInstance) -> Result<(), TestCaseError> {
    for condition in CONDITIONS {
        let last = format!(
            "SELECT host, last_value(v ORDER BY time) AS v, max(time) AS t FROM t WHERE {condition} GROUP BY host ORDER BY host"
        );
        let numbered = format!(
            "SELECT host, v, time AS t FROM (SELECT *, row_number() OVER (PARTITION BY host ORDER BY time DESC) AS n FROM t \
             WHERE {condition}) WHERE n = 1 ORDER BY host"
        );
        prop_assert_eq!(one.sql(&last).await, one.sql(&numbered).await, "{}", last);
        let newest = format!(
            "SELECT zone, last_value(time ORDER BY time) AS t FROM t WHERE {condition} GROUP BY zone ORDER BY zone"
        );
        let max = format!(
            "SELECT zone, max(time) AS t FROM t WHERE {condition} GROUP BY zone ORDER BY zone"
        );
        prop_assert_eq!(one.sql(&newest).await, one.sql(&max).await, "{}", newest);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(24)))]
    #[test]
    fn answers_are_those_of_all_sections(steps in proptest::collection::vec(step(), 6..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let first = format!("t,host=h0,zone=z0 v=0i,w=0i {FIRST}");
            let one = QueryTestInstance::with_rows(&first).await;
            for (number, step) in steps.into_iter().enumerate() {
                take(&one, step, number).await;
            }
            compare(&one).await
        })?;
    }
}
