//! Plans of few rows have one partition, and rows are skipped where the plan says which ones a query needs.

use super::QueryTestInstance;

/// The time of the first row, in nanoseconds.
const FIRST: i64 = 1_700_000_000_000_000_000;

/// Returns `rows` lines of 100 hosts, a second apart.
fn lines(rows: i64) -> String {
    lines_of_day(0, rows)
}

/// Returns such lines of the day that is `day` days later.
fn lines_of_day(day: i64, rows: i64) -> String {
    let line = |row: i64| {
        let (host, time) = (row % 100, FIRST + (day * 86_400 + row) * 1_000_000_000);
        format!("cpu,host=h{host} v={row} {time}\n")
    };
    (0..rows).map(line).collect()
}

#[tokio::test]
async fn plans_of_few_rows_have_one_partition() {
    let one = QueryTestInstance::with_rows(&lines(100_000)).await;
    let all = "SELECT host, max(v) FROM cpu GROUP BY host";
    for place in ["tail", "section"] {
        let large = one.plan(all).await;
        assert!(large.contains("RepartitionExec"), "{place}: {large}");
        for small in [
            "SELECT host, max(v) FROM cpu WHERE host = 'h7' GROUP BY host",
            "SELECT host, max(v) FROM cpu WHERE host IN ('h7', 'h8') GROUP BY host",
            "SELECT host, max(v) FROM cpu WHERE time < '2023-11-14T22:30:00' GROUP BY host",
        ] {
            let plan = one.plan(small).await;
            assert!(!plan.contains("RepartitionExec"), "{place}: {small}\n{plan}");
        }
        // A join may have more rows than its inputs.
        let join = "SELECT a.host, count(*) FROM cpu a JOIN cpu b ON a.v = b.v \
                    WHERE a.host = 'h7' AND b.host = 'h8' GROUP BY a.host";
        let plan = one.plan(join).await;
        assert!(plan.contains("RepartitionExec"), "{place}: {plan}");
        one.flush().await;
    }
}

#[tokio::test]
async fn groups_of_many_rows_are_found_by_runs() {
    let one = QueryTestInstance::with_rows(&lines(100_000)).await;
    for place in ["tail", "section"] {
        let executed = "EXPLAIN ANALYZE SELECT host, max(v) FROM cpu GROUP BY host";
        let executed = one.sql(executed).await;
        // Without rows of its own, the operator has executed the aggregate below it.
        assert!(
            executed.contains("RunAggregateExec, metrics=[output_rows="),
            "{place}: {executed}"
        );
        one.flush().await;
    }
}

#[tokio::test]
async fn rows_are_sorted_by_ranks_of_their_tags() {
    let one = QueryTestInstance::with_rows(&lines(100_000)).await;
    for place in ["tail", "section"] {
        for (of_rows, count, by_rank) in
            [("v >= 0", 100_000, "100.0 K"), ("host = 'h7'", 1_000, "1.00 K")]
        {
            let sorted = format!("SELECT * FROM cpu WHERE {of_rows} ORDER BY host, time DESC");
            let executed = one.sql(&format!("EXPLAIN ANALYZE {sorted}")).await;
            let by_rank = format!("rows_by_rank={by_rank}");
            assert!(executed.contains(&by_rank), "{place}: {executed}");
            let rows = one.sql(&sorted).await;
            let keys: Vec<_> = rows
                .lines()
                .skip(1)
                .map(|row| {
                    let mut columns = row.split(',');
                    let host = columns.next().unwrap();
                    (host.to_owned(), std::cmp::Reverse(columns.next().unwrap().to_owned()))
                })
                .collect();
            assert_eq!(keys.len(), count);
            assert!(keys.is_sorted(), "{place}: {sorted}");
        }
        one.flush().await;
    }
}

#[tokio::test]
async fn conditions_are_applied_and_rows_are_pruned_by_them_once() {
    let one = QueryTestInstance::with_rows(&lines(1_000)).await;
    let of_hour = "SELECT max(v) FROM cpu WHERE host = 'h7' AND time >= '2023-11-14T22:20:00' AND \
                   time < '2023-11-14T22:25:00'";
    let tail = one.plan(of_hour).await;
    assert_eq!(tail.matches("FilterExec").count(), 1, "{tail}");
    one.flush().await;
    let section = one.plan(of_hour).await;
    assert_eq!(section.matches("FilterExec").count(), 1, "{section}");
    let keys = "SectionScanExec: sections=1, keys=[host IN (h7), time BETWEEN 1700000400000000000 AND 1700000699999999999]";
    assert!(section.contains(keys), "{section}");
    let of_hosts = one.plan("SELECT max(v) FROM cpu WHERE host > 'h7'").await;
    let (_, pruned_by) = of_hosts.split_once("file_type=parquet, predicate=").unwrap();
    let (pruned_by, _) = pruned_by.split_once(", pruning_predicate").unwrap();
    assert_eq!(pruned_by.matches("h7").count(), 1, "{of_hosts}");
    // The scan gets such a condition after it is planned.
    let newest =
        "SELECT max(v) FROM cpu WHERE time > (SELECT max(time) - INTERVAL '5 minutes' FROM cpu)";
    let subquery = one.plan(newest).await;
    assert!(subquery.contains("predicate=time@"), "{subquery}");
    // The merge has the rows of the overlap, so the scan of the tail filters the rest by time.
    one.write(&lines(1_500)).await;
    let all = "SELECT count(*) AS n FROM cpu WHERE host = 'h7'";
    let overlap = one.plan(all).await;
    assert!(overlap.contains("DedupExec"), "{overlap}");
    assert_eq!(one.sql(all).await, "n\n15\n");
}

/// The inputs of a merge are sorted and have one partition each. An operator above them would merge their rows one by one.
#[tokio::test]
async fn the_inputs_of_a_merge_are_read_as_they_are() {
    let one = QueryTestInstance::alone().await;
    for rows in [100_000, 50_000] {
        one.write(&lines(rows)).await;
        one.flush().await;
    }
    let plan = one.plan("SELECT host, max(v) FROM cpu GROUP BY host").await;
    let (above, inputs) = plan.split_once("DedupExec").unwrap();
    // They overlap in two days.
    assert_eq!(inputs.matches("SectionScanExec").count(), 4, "{plan}");
    for operator in ["SortPreservingMergeExec", "RepartitionExec"] {
        assert!(!inputs.contains(operator), "{plan}");
    }
    assert!(above.contains("RepartitionExec"), "{plan}");
}

/// A page with the rows of a host has those of other hosts, too.
#[tokio::test]
async fn rows_of_other_series_are_not_merged() {
    let one = QueryTestInstance::alone().await;
    for rows in [2_000, 1_000] {
        one.write(&lines_of_day(0, rows)).await;
        one.flush().await;
    }
    let of_host = "SELECT count(v) AS n, sum(v) AS sum FROM cpu WHERE host = 'h7'";
    let plan = one.plan(of_host).await;
    let (_, inputs) = plan.split_once("DedupExec").unwrap();
    assert_eq!(inputs.matches("filter=host@").count(), 2, "{plan}");
    let all = one
        .sql("SELECT count(v) AS n, sum(v) AS sum FROM cpu WHERE host || '' = 'h7'")
        .await;
    assert_eq!(one.sql(of_host).await, all);
}

/// All tags tell points apart, but few of them are read.
#[tokio::test]
async fn a_merge_outputs_the_columns_that_are_read() {
    let one = QueryTestInstance::alone().await;
    for rows in [2_000, 1_000] {
        one.write(&lines(rows)).await;
        one.flush().await;
    }
    for (sql, columns, answer) in [
        ("SELECT sum(v) AS n FROM cpu", "[v]", "n\n1999000.0\n"),
        ("SELECT count(DISTINCT host) AS n FROM cpu", "[host]", "n\n100\n"),
        ("SELECT count(*) AS n FROM cpu", "[]", "n\n2000\n"),
    ] {
        let plan = one.plan(sql).await;
        let (_, merge) = plan.split_once("DedupExec").unwrap();
        let (_, output) = merge.split_once("projection=").unwrap();
        assert!(output.starts_with(columns), "{sql}\n{plan}");
        assert_eq!(one.sql(sql).await, answer, "{sql}");
    }
}

/// Opening a section takes about as long as reading a page of it.
#[tokio::test]
async fn few_rows_of_many_sections_are_read_in_several_partitions() {
    let one = QueryTestInstance::alone().await;
    for number in 0..10 {
        one.write(&lines_of_day(number, 9_000)).await;
        one.flush().await;
    }
    let of_host = "SELECT host, max(v) FROM cpu WHERE host = 'h7'";
    let several = one.plan(&format!("{of_host} GROUP BY host")).await;
    assert!(several.contains("RepartitionExec"), "{several}");
    let days = "time < '2023-11-20' GROUP BY host";
    let few = one.plan(&format!("{of_host} AND {days}")).await;
    assert!(!few.contains("RepartitionExec"), "{few}");
}

#[tokio::test]
async fn last_rows_are_those_of_all_writes() {
    let one = QueryTestInstance::alone().await;
    let last = "SELECT host, last_value(v ORDER BY time) AS v, max(time) AS time FROM cpu \
                WHERE host IN ('h1', 'h2', 'h3') GROUP BY host ORDER BY host";
    one.write(&lines(1_000)).await;
    let explained = one.plan(last).await;
    assert_contains!(explained, "LastRowsExec: last by time, gby=[host]");
    let answer = |rows: [(&str, i64, &str); 3]| {
        let rows = rows.map(|(host, v, time)| format!("{host},{v}.0,2023-11-14T{time}\n"));
        format!("host,v,time\n{}", rows.concat())
    };
    let first = [("h1", 901, "22:28:21"), ("h2", 902, "22:28:22"), ("h3", 903, "22:28:23")];
    assert_eq!(one.sql(last).await, answer(first));
    one.flush().await;
    // A late row changes nothing, an overwrite and a new row do.
    let time = |second: i64| FIRST + second * 1_000_000_000;
    one.write(&format!("cpu,host=h1 v=-1 {}", time(5))).await;
    one.write(&format!("cpu,host=h2 v=-2 {}", time(902))).await;
    one.write(&format!("cpu,host=h3 v=-3 {}", time(2_000))).await;
    let second = [("h1", 901, "22:28:21"), ("h2", -2, "22:28:22"), ("h3", -3, "22:46:40")];
    for _ in ["tail", "section"] {
        assert_eq!(one.sql(last).await, answer(second));
        one.flush().await;
        one.merge().await;
    }
    one.sql("DELETE FROM cpu WHERE host = 'h3' AND time > '2023-11-14T22:40:00'")
        .await;
    let third = [second[0], second[1], first[2]];
    assert_eq!(one.sql(last).await, answer(third));
}

#[tokio::test]
async fn only_rows_of_a_series_are_read_from_the_tail() {
    let one = QueryTestInstance::with_rows(&lines(500)).await;
    let analyzed = one.plan("ANALYZE SELECT v FROM cpu WHERE host = 'h7'").await;
    // All rows that come to the filter pass it.
    assert!(analyzed.contains("selectivity=100% (5/5)"), "{analyzed}");
}

#[tokio::test]
async fn answers_about_a_series_are_those_of_section_and_tail() {
    let one = QueryTestInstance::with_rows(&lines(500)).await;
    one.flush().await;
    // The tail overlaps the section, and has a series of its own.
    one.write(&lines(300)).await;
    one.write("cpu,host=new v=1 1700000000000000000").await;
    for (condition, expected) in [
        ("host = 'h7'", "5,1035.0"),
        ("host IN ('h7', 'new')", "6,1036.0"),
        ("host = 'new' OR host = 'h7'", "6,1036.0"),
        ("host = 'new' AND time > '2023-11-14T22:13:20'", "0,"),
        ("host = 'absent'", "0,"),
        ("host <> 'new'", "500,124750.0"),
        ("host LIKE 'n%'", "1,1.0"),
        ("host IS NULL", "0,"),
        ("host = 'h7' AND v > 400", "1,407.0"),
        ("host = 'h7' OR v = 1", "7,1037.0"),
    ] {
        let sql = format!("SELECT count(v) AS n, sum(v) AS s FROM cpu WHERE {condition}");
        assert_eq!(one.sql(&sql).await, format!("n,s\n{expected}\n"), "{condition}");
    }
}
