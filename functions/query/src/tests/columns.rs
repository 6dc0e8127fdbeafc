//! Renamed, dropped and added columns: statements over rows in the tail, in sections and in merged sections, with caches, views
//! and row deletes.

use std::time::Duration;

use super::{
    QueryTestInstance,
    caches::{create_distinct, create_last},
};

/// The clock starts at 1700000000 s.
const HOUR: i64 = 1_699_999_200;

const FOREVER: Duration = Duration::from_secs(1_000_000);

/// Returns a line of table `home` at a minute.
fn line(columns: &str, minute: i64) -> String {
    let time = (HOUR + minute * 60) * 1_000_000_000;
    format!("home,{columns} {time}")
}

/// Checks an answer over the tail, then over sections, then over merged sections.
async fn assert_everywhere(one: &QueryTestInstance, sql: &str, expected: &str) {
    assert_eq!(one.sql(sql).await, expected, "{sql}");
    one.flush().await;
    assert_eq!(one.sql(sql).await, expected, "flushed: {sql}");
    one.merge().await;
    assert_eq!(one.sql(sql).await, expected, "merged: {sql}");
}

#[tokio::test]
async fn a_renamed_column_has_its_values_from_before_and_after() {
    let one = QueryTestInstance::alone().await;
    one.write(&line("room=a temp=1i,hum=5i", 0)).await;
    one.flush().await;
    one.write(&line("room=b temp=2i,hum=6i", 1)).await;
    one.sql("ALTER TABLE home RENAME COLUMN temp TO celsius").await;
    one.sql("ALTER TABLE home RENAME COLUMN room TO place").await;
    one.write(&line("place=c celsius=3i", 2)).await;
    one.write(&line("room=d temp=4i", 3)).await;
    // A newer version of a point of a section.
    one.write(&line("place=a celsius=10i", 0)).await;
    let all = "SELECT * FROM home ORDER BY time";
    let expected = "celsius,hum,place,time\n\
                    10,5,a,2023-11-14T22:00:00\n2,6,b,2023-11-14T22:01:00\n\
                    3,,c,2023-11-14T22:02:00\n4,,d,2023-11-14T22:03:00\n";
    assert_everywhere(&one, all, expected).await;
    for (sql, expected) in [
        ("SELECT count(*) AS n FROM home", "n\n4\n"),
        ("SELECT hum FROM home WHERE place = 'b' AND celsius > 1", "hum\n6\n"),
        (
            "SELECT celsius + hum AS s, place FROM home WHERE place IN ('a', 'x')",
            "s,place\n15,a\n",
        ),
        (
            "SELECT place, max(celsius) AS m FROM home GROUP BY place ORDER BY m DESC LIMIT 1",
            "place,m\na,10\n",
        ),
        ("SELECT celsius FROM home ORDER BY time DESC LIMIT 1", "celsius\n4\n"),
    ] {
        assert_eq!(one.sql(sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn statements_name_a_column_by_an_alias_and_wildcards_leave_it_out() {
    let one = QueryTestInstance::alone().await;
    one.write(&line("room=a temp=1i", 0)).await;
    one.flush().await;
    one.sql("ALTER TABLE home RENAME COLUMN temp TO celsius").await;
    one.sql("ALTER TABLE home RENAME COLUMN room TO place").await;
    one.write(&line("place=b celsius=2i", 1)).await;
    for (sql, expected) in [
        ("SELECT temp FROM home ORDER BY time", "temp\n1\n2\n"),
        ("SELECT temp, celsius FROM home WHERE room = 'b'", "temp,celsius\n2,2\n"),
        (
            "SELECT room, sum(temp) AS s FROM home GROUP BY room ORDER BY room",
            "room,s\na,1\nb,2\n",
        ),
        ("SELECT * EXCEPT (time) FROM home WHERE temp = 2", "celsius,place\n2,b\n"),
        (
            "SELECT h.* FROM home AS h WHERE h.temp = 2",
            "celsius,place,time\n2,b,2023-11-14T22:01:00\n",
        ),
        (
            "SELECT * FROM (home JOIN (VALUES (2)) AS v(n) ON temp = n)",
            "celsius,place,time,n\n2,b,2023-11-14T22:01:00,2\n",
        ),
        (
            "WITH t AS (SELECT * FROM home) SELECT celsius AS temp FROM t ORDER BY temp",
            "temp\n1\n2\n",
        ),
    ] {
        assert_eq!(one.sql(sql).await, expected, "{sql}");
    }
    let rows = one.influxql("SELECT temp FROM home WHERE room = 'b'").await;
    assert!(rows.contains("\"temp\"") && rows.contains(",2]"), "{rows}");
    let rows = one.influxql("SELECT * FROM home WHERE temp = 2").await;
    assert!(rows.contains("celsius") && !rows.contains("\"temp\""), "{rows}");
    let keys = one.influxql("SHOW FIELD KEYS FROM home").await;
    assert!(keys.contains("celsius") && !keys.contains("temp"), "{keys}");
    let listed = "SELECT column_name, alias FROM system.aliases ORDER BY alias";
    assert_eq!(one.sql(listed).await, "column_name,alias\nplace,room\ncelsius,temp\n");
    one.sql("ALTER TABLE home DROP COLUMN ALIAS temp").await;
    one.rejected("SELECT temp FROM home").await;
    assert_eq!(one.rejected("ALTER TABLE home DROP COLUMN ALIAS temp").await.0, 404);
}

#[tokio::test]
async fn an_alias_within_another_word_is_not_a_column_of_the_statement() {
    let one = QueryTestInstance::alone().await;
    one.write(&line("host=a temp=1i,te\"mp=2i", 0)).await;
    one.sql("ALTER TABLE home RENAME COLUMN host TO hostname").await;
    one.sql("ALTER TABLE home RENAME COLUMN \"te\"\"mp\" TO second").await;
    let joined = "SELECT * EXCEPT (time) FROM home JOIN (SELECT hostname AS h FROM home) AS n ON hostname = h";
    for (sql, expected) in [
        (joined, "hostname,second,temp,h\na,2,1,a\n"),
        (
            "SELECT count(*) AS n FROM (SELECT * FROM home AS a JOIN home AS b ON a.hostname = b.hostname) AS j",
            "n\n1\n",
        ),
        (
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'home' AND column_name LIKE 'hostname%'",
            "column_name\nhostname\n",
        ),
        (
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'home' AND column_name IN ('host', 'hostname')",
            "column_name\nhostname\n",
        ),
        ("SELECT max(host) AS m FROM home", "m\na\n"),
        ("SELECT \"te\"\"mp\" AS m FROM home", "m\n2\n"),
    ] {
        assert_eq!(one.sql(sql).await, expected, "{sql}");
    }
    let rows = one.influxql("SELECT \"te\\\"mp\" FROM home").await;
    assert!(rows.contains(",2]"), "{rows}");
}

#[tokio::test]
async fn values_of_a_dropped_column_do_not_come_back() {
    let one = QueryTestInstance::alone().await;
    one.write(&line("room=a temp=1i,note=\"old\"", 0)).await;
    one.flush().await;
    one.write(&line("room=b temp=2i,note=\"old\"", 1)).await;
    one.sql("ALTER TABLE home DROP COLUMN note").await;
    let all = "SELECT * FROM home ORDER BY time";
    let rest = "room,temp,time\na,1,2023-11-14T22:00:00\nb,2,2023-11-14T22:01:00\n";
    assert_eq!(one.sql(all).await, rest);
    one.rejected("SELECT note FROM home").await;
    // The name is free for a column of another type: a tag.
    one.write(&line("room=a,note=new temp=3i", 2)).await;
    let expected = "note,room,temp,time\n,a,1,2023-11-14T22:00:00\n,b,2,2023-11-14T22:01:00\n\
                    new,a,3,2023-11-14T22:02:00\n";
    assert_everywhere(&one, all, expected).await;
    let of_note = "SELECT temp FROM home WHERE note = 'new'";
    assert_eq!(one.sql(of_note).await, "temp\n3\n");
    one.sql("DELETE FROM home WHERE note = 'new'").await;
    assert_everywhere(&one, of_note, "").await;
    assert_eq!(one.sql("SELECT count(*) AS n FROM home").await, "n\n2\n");
}

#[tokio::test]
async fn row_deletes_apply_to_a_renamed_tag_by_each_name() {
    let one = QueryTestInstance::alone().await;
    for (minute, room) in ["a", "b", "c"].into_iter().enumerate() {
        let minute = i64::try_from(minute).unwrap();
        one.write(&line(&format!("room={room} temp=1i"), minute)).await;
        if minute == 0 {
            one.flush().await;
        }
    }
    one.sql("DELETE FROM home WHERE room = 'a'").await;
    one.sql("ALTER TABLE home RENAME COLUMN room TO place").await;
    one.sql("DELETE FROM home WHERE place = 'b'").await;
    assert_everywhere(&one, "SELECT place FROM home", "place\nc\n").await;
    one.influxql("DELETE FROM home WHERE room = 'c'").await;
    assert_everywhere(&one, "SELECT place FROM home", "").await;
}

#[tokio::test]
async fn caches_follow_renames_and_drops() {
    let one = QueryTestInstance::alone().await;
    one.write(&line("room=a temp=1i,note=\"n\"", 0)).await;
    create_last(&one, "latest", &["room"], None, 1, FOREVER).await;
    create_distinct(&one, "rooms", &["room"], 100, FOREVER).await;
    one.flush().await;
    one.fill_caches().await;
    one.sql("ALTER TABLE home RENAME COLUMN room TO place").await;
    one.sql("ALTER TABLE home RENAME COLUMN temp TO celsius").await;
    one.sql("ALTER TABLE home DROP COLUMN note").await;
    one.write(&line("place=b celsius=2i", 1)).await;
    for _ in 0..2 {
        let latest = "SELECT place, celsius FROM last_cache('home', 'latest') ORDER BY place";
        assert_eq!(one.sql(latest).await, "place,celsius\na,1\nb,2\n");
        let one_place = "SELECT celsius FROM last_cache('home', 'latest') WHERE place = 'b'";
        assert_eq!(one.sql(one_place).await, "celsius\n2\n");
        let rooms = "SELECT place FROM distinct_cache('home', 'rooms') ORDER BY place";
        assert_eq!(one.sql(rooms).await, "place\na\nb\n");
        let distinct = "SELECT DISTINCT place FROM home ORDER BY place";
        assert_eq!(one.sql(distinct).await, one.sql_without_caches(distinct).await);
        one.flush().await;
        one.fill_caches().await;
    }
    create_last(&one, "of-celsius", &["place"], Some(&["celsius"]), 1, FOREVER).await;
    let (status, message) = one.rejected("ALTER TABLE home DROP COLUMN celsius").await;
    assert_eq!(status, 409, "{message}");
}

#[tokio::test]
async fn columns_of_caches_have_different_ids_after_a_drop() {
    let one = QueryTestInstance::alone().await;
    one.write(&line("room=a temp=1i,hum=2i,note=\"n\"", 0)).await;
    one.sql("ALTER TABLE home DROP COLUMN temp").await;
    create_last(&one, "latest", &["room"], Some(&["note"]), 1, FOREVER).await;
    let sql = "SELECT array_to_string(value_column_ids, ' ') AS ids, \
               array_to_string(value_column_names, ' ') AS names FROM system.last_caches";
    assert_eq!(one.sql(sql).await, "ids,names\n3 4,note time\n");
}

#[tokio::test]
async fn a_view_reads_a_renamed_column_by_its_alias() {
    let one = QueryTestInstance::alone().await;
    let query = "SELECT date_bin(INTERVAL '1 hour', time) AS time, room, max(temp) AS m FROM home GROUP BY 1, room";
    one.write(&line("room=a temp=1i", 0)).await;
    one.flush().await;
    one.create_view("hourly", query).await;
    one.refresh().await;
    one.sql("ALTER TABLE home RENAME COLUMN temp TO celsius").await;
    one.sql("ALTER TABLE home RENAME COLUMN room TO place").await;
    one.write(&line("place=a celsius=5i", 1)).await;
    one.flush().await;
    one.refresh().await;
    assert_eq!(one.sql("SELECT room, m FROM hourly").await, "room,m\na,5\n");
    for statement in [
        "ALTER TABLE home DROP COLUMN ALIAS temp",
        "ALTER TABLE home DROP COLUMN celsius",
        "ALTER TABLE hourly RENAME COLUMN m TO highest",
        "ALTER TABLE hourly DROP COLUMN m",
    ] {
        let (status, message) = one.rejected(statement).await;
        assert_eq!(status, 409, "{statement}: {message}");
        assert!(message.contains("materialized view 'hourly'"), "{message}");
    }
    let by_place = "SELECT place, max(celsius) AS m FROM home GROUP BY place";
    assert_eq!(one.sql(by_place).await, "place,m\na,5\n");
}

#[tokio::test]
async fn integers_of_a_widened_field_are_floats_everywhere() {
    let one = QueryTestInstance::alone().await;
    one.write(&line("room=a temp=1i,total=7u", 0)).await;
    one.write(&line("room=b temp=2i,total=8u", 1)).await;
    create_last(&one, "latest", &["room"], None, 1, FOREVER).await;
    one.flush().await;
    one.fill_caches().await;
    one.write(&line("room=c temp=300i", 2)).await;
    assert_eq!(one.sql("SELECT sum(temp) AS s FROM home").await, "s\n303\n");
    one.sql("ALTER TABLE home ALTER COLUMN temp TYPE double").await;
    one.sql("ALTER TABLE home ALTER COLUMN total SET DATA TYPE float64").await;
    let values = "SELECT room, temp, total FROM home ORDER BY time";
    let before = "room,temp,total\na,1.0,7.0\nb,2.0,8.0\nc,300.0,\n";
    assert_eq!(one.sql(values).await, before);
    one.write(&line("room=d temp=1.5", 3)).await;
    // A newer version of a point, one of whose fields stays.
    one.write(&line("room=b temp=2.5", 1)).await;
    let after = "room,temp,total\na,1.0,7.0\nb,2.5,8.0\nc,300.0,\nd,1.5,\n";
    let above = "SELECT room FROM home WHERE temp > 1.25 AND temp <> 300 ORDER BY room";
    let latest = "SELECT room, temp FROM last_cache('home', 'latest') ORDER BY room";
    for stage in ["tail", "sections", "merged"] {
        assert_eq!(one.sql(values).await, after, "{stage}");
        assert_eq!(one.sql(above).await, "room\nb\nd\n", "{stage}");
        let expected = "room,temp\na,1.0\nb,2.5\nc,300.0\nd,1.5\n";
        assert_eq!(one.sql(latest).await, expected, "{stage}");
        match stage {
            "tail" => _ = one.flush().await,
            _ => _ = one.merge().await,
        }
        one.fill_caches().await;
    }
    let total = one.influxql("SELECT sum(temp) FROM home").await;
    assert!(total.contains("305"), "{total}");
    for statement in [
        "ALTER TABLE home ALTER COLUMN temp TYPE bigint",
        "ALTER TABLE home ALTER COLUMN room TYPE double",
    ] {
        let (status, message) = one.rejected(statement).await;
        assert_eq!(status, 400, "{statement}: {message}");
    }
}

#[tokio::test]
async fn changes_that_are_not_possible_are_refused() {
    let one = QueryTestInstance::alone().await;
    one.write(&line("room=a temp=1i,hum=2i", 0)).await;
    for (statement, status) in [
        ("ALTER TABLE home DROP COLUMN room", 400),
        ("ALTER TABLE home DROP COLUMN time", 400),
        ("ALTER TABLE home RENAME COLUMN time TO at", 400),
        ("ALTER TABLE home RENAME COLUMN temp TO time", 400),
        ("ALTER TABLE home RENAME COLUMN temp TO hum", 409),
        ("ALTER TABLE home RENAME COLUMN missing TO x", 404),
        ("ALTER TABLE missing RENAME COLUMN temp TO x", 404),
        ("ALTER TABLE home DROP COLUMN missing", 404),
    ] {
        let (answered, message) = one.rejected(statement).await;
        assert_eq!(answered, status, "{statement}: {message}");
    }
    one.sql("ALTER TABLE home DROP COLUMN IF EXISTS missing").await;
    let expected = "hum,room,temp,time\n2,a,1,2023-11-14T22:00:00\n";
    assert_eq!(one.sql("SELECT * FROM home").await, expected);
}
