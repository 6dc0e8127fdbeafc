//! Columns of tails, which are decoded when a query needs them.

use std::{sync::Arc, time::Duration};

use neap_compact::FlushResult;
use neap_scan::{StaleTail, TailSnapshot, TailView};
use neap_tables::QueryContext;

use super::{QueryTestInstance, instance::DATABASE};
use crate::QuerySettings;

async fn instance() -> QueryTestInstance {
    with_tail_bytes(1 << 30).await
}

/// Returns an instance whose tails have so much memory.
async fn with_tail_bytes(tail_bytes: usize) -> QueryTestInstance {
    let (store, clock) = QueryTestInstance::memory_store();
    let settings = QuerySettings { tail_bytes, ..QuerySettings::default() };
    QueryTestInstance::with(store, clock, settings).await
}

/// Returns the tail of table `home`.
async fn tail(one: &QueryTestInstance) -> TailView {
    let context = one.context().await;
    let table = context.snapshot.catalog.value.table("home").unwrap();
    let snapshot = TailSnapshot::from(context.snapshot.as_ref());
    let tails = &one.engine.tables().scan.tails;
    let tail = tails.image(&snapshot, table, &[], context.stale_tail);
    tail.unwrap()
}

/// Returns the columns of table `home` whose values are in memory.
async fn loaded(one: &QueryTestInstance) -> Vec<String> {
    let image = tail(one).await.image;
    let fields = image.schema().fields().iter().enumerate();
    let loaded = fields.filter(|(at, _)| image.has_columns(&[*at]));
    loaded.map(|(_, field)| field.name().clone()).collect()
}

const BY_ROOM: &str = "SELECT room, count(*) AS n FROM home GROUP BY room ORDER BY room";

/// Returns an hour of a room, a row per minute.
fn hour(room: &str, hour: i64) -> String {
    let line = |minute: i64| {
        let time = 1_699_900_000_000_000_000 + (hour * 60 + minute) * 60_000_000_000;
        format!(
            "home,room={room} temp={minute},hum={hour},co=7i,ok=true,note=\"n{minute}\" {time}\n"
        )
    };
    (0..60).map(line).collect()
}

#[tokio::test]
async fn only_the_columns_that_queries_need_are_in_memory() {
    let one = instance().await;
    one.write(&hour("a", 0)).await;
    let expect = async |sql: &str, answer: &str, columns: &[&str]| {
        assert_eq!(one.sql(sql).await, answer);
        assert_eq!(loaded(&one).await, columns, "{sql}");
    };
    let count = "SELECT count(*) AS n FROM home";
    expect(count, "n\n60\n", &["time"]).await;
    let before = one.engine.memory_stats().tails;
    let of_temp = "SELECT max(temp) AS m FROM home";
    expect(of_temp, "m\n59.0\n", &["temp", "time"]).await;
    let with_one = one.engine.memory_stats().tails;
    assert!((480..1_000).contains(&(with_one - before)));
    let of_both = "SELECT max(temp) AS m FROM home WHERE co > 6";
    expect(of_both, "m\n59.0\n", &["co", "temp", "time"]).await;
    // New rows get the same columns.
    one.write(&hour("b", 1)).await;
    expect(count, "n\n120\n", &["co", "temp", "time"]).await;
    // The rows of a series are found by its index.
    let of_room = "SELECT count(*) AS n FROM home WHERE room = 'a'";
    expect(of_room, "n\n60\n", &["co", "temp", "time"]).await;
    // A scan of all rows makes the tag of the index, and the next one finds it in memory.
    let rooms = "room,n\na,60\nb,60\n";
    expect(BY_ROOM, rooms, &["co", "temp", "time"]).await;
    expect(BY_ROOM, rooms, &["co", "room", "temp", "time"]).await;
    let of_all = "SELECT count(note) AS n, count(ok) AS o, sum(hum) AS h FROM home";
    let all = ["co", "hum", "note", "ok", "room", "temp", "time"];
    expect(of_all, "n,o,h\n120,120,60.0\n", &all).await;
}

#[tokio::test]
async fn an_image_has_the_columns_that_were_needed_since_the_flush_before() {
    let one = instance().await;
    let next = async |number: i64, sql: &str| {
        one.write(&hour("a", number)).await;
        one.sql(sql).await;
        let loaded = loaded(&one).await;
        one.pass(Duration::from_mins(1));
        one.flush().await;
        loaded
    };
    let temp = "SELECT max(temp) FROM home";
    let hum = "SELECT max(hum) FROM home";
    assert_eq!(next(0, temp).await, ["temp", "time"]);
    assert_eq!(next(1, hum).await, ["hum", "temp", "time"]);
    assert_eq!(next(2, hum).await, ["hum", "time"]);
    let count = "SELECT count(*) FROM home";
    assert_eq!(next(3, count).await, ["hum", "time"]);
    assert_eq!(next(4, count).await, ["time"]);
}

#[tokio::test]
async fn flushed_rows_leave_the_memory_although_no_query_reads_their_table() {
    // With little memory, some of them are spilled.
    for (tail_bytes, spills) in [(1 << 30, false), (48 << 10, true)] {
        let one = with_tail_bytes(tail_bytes).await;
        let other = "SELECT v FROM other";
        one.write("other v=1 1").await;
        assert_eq!(one.sql(other).await, "v\n1.0\n");
        let before = one.engine.memory_stats().tails;
        for number in 0..4 {
            one.write(&hour("a", number)).await;
            one.sql("SELECT max(temp), max(note) FROM home").await;
        }
        let runs: Vec<_> = tail(&one).await.runs.iter().map(Arc::downgrade).collect();
        assert_eq!(!runs.is_empty(), spills);
        let with_rows = one.engine.memory_stats().tails;
        assert!(spills || with_rows > before + 1_000);
        one.flush().await;
        assert_eq!(one.sql(other).await, "v\n1.0\n");
        let after = one.engine.memory_stats().tails;
        assert!(after < before, "{before}, {with_rows}, {after}");
        assert!(runs.iter().all(|run| run.upgrade().is_none()));
        // The next rows get the columns that queries needed before.
        one.write(&hour("a", 4)).await;
        assert_eq!(loaded(&one).await, ["note", "temp", "time"]);
        let count = "SELECT count(*) AS n FROM home";
        assert_eq!(one.sql(count).await, "n\n300\n");
    }
}

#[tokio::test]
async fn a_query_from_before_a_flush_does_not_disturb_those_after_it() {
    let one = instance().await;
    one.write("other v=1 1").await;
    one.write(&hour("a", 0)).await;
    let count = "SELECT count(*) AS n FROM home";
    assert_eq!(one.sql(count).await, "n\n60\n");
    let before = one.context().await;
    one.flush().await;
    // Drops the image.
    one.sql("SELECT v FROM other").await;
    let rows_of = |context: &QueryContext| {
        let table = context.snapshot.catalog.value.table("home").unwrap();
        let snapshot = TailSnapshot::from(context.snapshot.as_ref());
        let tails = &one.engine.tables().scan.tails;
        let tail = tails.image(&snapshot, table, &[], StaleTail::Fail);
        tail.unwrap().image.num_rows()
    };
    assert_eq!(rows_of(&before), 60);
    one.write(&hour("b", 1)).await;
    let after = one.context().await;
    assert_eq!(rows_of(&after), 60);
    assert_eq!(one.sql(count).await, "n\n120\n");
}

#[tokio::test]
async fn an_image_with_newer_rows_keeps_the_flushed_ones_until_it_is_read() {
    let one = instance().await;
    one.write("other v=1 1").await;
    one.write(&hour("a", 0)).await;
    one.pass(Duration::from_secs(10));
    one.write(&hour("b", 1)).await;
    let count = "SELECT count(*) AS n FROM home";
    assert_eq!(one.sql(count).await, "n\n120\n");
    let before = one.engine.memory_stats().tails;
    let flushed = one.flusher.flush(DATABASE).await.unwrap();
    assert!(matches!(flushed, FlushResult::Done { segments: 2, .. }));
    one.sql("SELECT v FROM other").await;
    assert_eq!(one.engine.memory_stats().tails, before);
    assert_eq!(one.sql(count).await, "n\n120\n");
    assert!(one.engine.memory_stats().tails < before);
}

#[tokio::test]
async fn columns_that_were_needed_without_new_rows_are_in_the_next_image() {
    let one = instance().await;
    one.write(&hour("a", 0)).await;
    let panels = ["temp", "hum", "co"].map(|field| format!("SELECT max({field}) FROM home"));
    for _ in 0..2 {
        for panel in &panels {
            one.sql(panel).await;
        }
    }
    one.pass(Duration::from_mins(1));
    one.flush().await;
    // The first panel adds the new rows, and the others find all that they need in memory.
    one.write(&hour("a", 1)).await;
    for panel in &panels {
        one.sql(panel).await;
        assert_eq!(loaded(&one).await, ["co", "hum", "temp", "time"]);
    }
    one.pass(Duration::from_mins(1));
    one.flush().await;
    one.write(&hour("a", 2)).await;
    assert_eq!(loaded(&one).await, ["co", "hum", "temp", "time"]);
}

#[tokio::test]
async fn tags_that_were_scanned_are_in_the_next_image() {
    let one = instance().await;
    let newest = "SELECT DISTINCT ON (room) room, temp FROM home ORDER BY room, time DESC";
    let mut answers = Vec::new();
    for (number, sql, expected) in [
        (0, BY_ROOM, &["time"][..]),
        (1, newest, &["room", "temp", "time"]),
        (2, newest, &["temp", "time"]),
        (3, BY_ROOM, &["temp", "time"]),
        (4, newest, &["room", "temp", "time"]),
    ] {
        one.write(&hour("a", number)).await;
        answers.push(one.sql(sql).await);
        assert_eq!(loaded(&one).await, expected, "{number}");
        one.pass(Duration::from_mins(1));
        one.flush().await;
    }
    let last = "room,temp\na,59.0\n";
    assert_eq!(answers, ["room,n\na,60\n", last, last, "room,n\na,240\n", last]);
}

#[tokio::test]
async fn scans_of_tags_are_remembered_when_rows_are_spilled() {
    let one = with_tail_bytes(64 << 10).await;
    one.write(&hour("a", 0)).await;
    one.sql(BY_ROOM).await;
    let mut hours = 1;
    while tail(&one).await.runs.is_empty() {
        assert!(hours < 100);
        one.write(&hour("a", hours)).await;
        hours += 1;
    }
    one.pass(Duration::from_mins(1));
    one.flush().await;
    one.write(&hour("a", hours)).await;
    assert_eq!(loaded(&one).await, ["room", "time"]);
}

#[tokio::test]
async fn columns_that_are_loaded_later_have_the_values_of_replaced_rows() {
    let one = instance().await;
    let times = "SELECT count(*) AS n FROM home";
    one.write("home,room=a temp=1,hum=2,co=3i 1\nhome,room=b temp=1 1").await;
    assert_eq!(one.sql(times).await, "n\n2\n");
    // Both rows of the point are in one request, and one has replaced another before.
    one.write("home,room=a temp=5 1\nhome,room=a co=6i 1\nhome,room=c hum=7 1")
        .await;
    assert_eq!(one.sql(times).await, "n\n3\n");
    one.sql("DELETE FROM home WHERE room = 'b'").await;
    one.write("home,room=b co=9i 1").await;
    assert_eq!(one.sql("SELECT max(temp) AS m FROM home").await, "m\n5.0\n");
    one.write("home,room=a hum=8 1").await;
    let all = "SELECT room, temp, hum, co FROM home ORDER BY room";
    let expected = "room,temp,hum,co\na,5.0,8.0,6\nb,,,9\nc,,7.0,\n";
    assert_eq!(one.sql(all).await, expected);
}

/// Returns 200 rows with this temperature, and texts that do not compress.
fn rows(temp: usize) -> String {
    let line = |row: usize| {
        let text = [temp, row, 1, 2].map(|part| {
            let mixed = (temp * 200 + row * 4 + part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            format!("{mixed:x}")
        });
        format!("home,room=r{row} temp={temp},note=\"{}\" 1699900000000000000\n", text.concat())
    };
    (0..200).map(line).collect()
}

#[tokio::test]
async fn segments_that_are_decoded_ahead_count_in_their_order() {
    // With little memory, they are spilled meanwhile.
    for tail_bytes in [1 << 30, 64 << 10] {
        let one = with_tail_bytes(tail_bytes).await;
        for temp in 0..12 {
            one.write(&rows(temp)).await;
        }
        let context = one.context().await;
        let segments = context.snapshot.tail.iter();
        let bytes: usize = segments.map(|segment| segment.size_bytes()).sum();
        assert!(bytes > 64 << 10, "{bytes}");
        let sql = "SELECT count(*) AS n, min(temp) AS one, max(temp) AS other FROM home";
        assert_eq!(one.sql(sql).await, "n,one,other\n200,11.0,11.0\n");
        let notes = one.sql("SELECT note FROM home ORDER BY note").await;
        let last = rows(11);
        let of_line = |line: &str| line.split('"').nth(1).unwrap_or_default().to_owned();
        let mut expected: Vec<String> = last.lines().map(of_line).collect();
        expected.sort_unstable();
        assert_eq!(notes, format!("note\n{}\n", expected.join("\n")));
    }
}

#[tokio::test]
async fn columns_are_loaded_for_the_rows_that_are_not_spilled() {
    let one = with_tail_bytes(64 << 10).await;
    // Two spilled parts, and two segments after them.
    one.write(&hour("a", 0)).await;
    let mut hours = 1;
    while tail(&one).await.runs.len() < 2 || tail(&one).await.image.num_rows() < 120 {
        assert!(hours < 100);
        one.write(&hour("a", hours)).await;
        hours += 1;
        let expected = format!("n\n{}\n", hours * 60);
        assert_eq!(one.sql("SELECT count(*) AS n FROM home").await, expected);
    }
    assert_eq!(loaded(&one).await, ["time"]);
    // The hour is the value of each of its rows.
    let sum = (0..hours).sum::<i64>() * 60;
    let sql = "SELECT sum(hum) AS s, count(note) AS n FROM home";
    let expected = format!("s,n\n{sum}.0,{}\n", hours * 60);
    assert_eq!(one.sql(sql).await, expected);
}

#[tokio::test]
async fn rows_after_deleted_ones_have_their_own_values_with_any_memory() {
    for tail_bytes in (8 << 10..48 << 10).step_by(1 << 10) {
        let one = with_tail_bytes(tail_bytes).await;
        one.write(&hour("a", 0)).await;
        one.pass(Duration::from_mins(1));
        one.flush().await;
        // Rows that overlap with a section are sorted.
        one.write(&hour("a", 0).replace("hum=0", "hum=1")).await;
        let count = "SELECT count(*) AS n FROM home";
        assert_eq!(one.sql(count).await, "n\n60\n", "{tail_bytes}");
        one.sql("DELETE FROM home WHERE room = 'a'").await;
        assert_eq!(one.sql(count).await, "n\n0\n", "{tail_bytes}");
        for _ in 0..4 {
            one.write(&hour("a", 0).replace("hum=0", "hum=2")).await;
            assert_eq!(one.sql(count).await, "n\n60\n", "{tail_bytes}");
        }
        let sum = one.sql("SELECT sum(hum) AS s FROM home").await;
        assert_eq!(sum, "s\n120.0\n", "{tail_bytes}");
    }
}

#[tokio::test]
async fn an_image_of_replaced_rows_with_long_texts_is_spilled() {
    let one = with_tail_bytes(1 << 20).await;
    let text = "x".repeat(10_000);
    one.write(&format!("home,room=a note=\"{text}\",temp=0 1")).await;
    for temp in 1..200 {
        one.write(&format!("home,room=a temp={temp} 1")).await;
        assert_eq!(one.sql("SELECT count(*) AS n FROM home").await, "n\n1\n");
        let bytes = one.engine.memory_stats().tails;
        assert!(bytes < 1 << 20, "{temp}: {bytes}");
    }
    // The rows after a spill copy nothing of the rows in its file.
    assert_eq!(tail(&one).await.runs.len(), 1);
    let sql = "SELECT temp, length(note) AS n FROM home";
    assert_eq!(one.sql(sql).await, "temp,n\n199.0,10000\n");
}
