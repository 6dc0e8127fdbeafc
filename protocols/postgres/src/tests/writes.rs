//! Rows that clients write.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::SinkExt;
use tokio_postgres::types::Type;

use super::test_bed::{ListenerTestBed, connect, state, texts};

#[tokio::test]
async fn inserted_rows_are_read_by_the_next_statement() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    let statement = client
        .prepare("INSERT INTO cpu (time, host, usage, n) VALUES ($1, $2, $3, $4)")
        .await
        .unwrap();
    assert_eq!(statement.params(), [Type::TIMESTAMP, Type::TEXT, Type::FLOAT8, Type::INT8]);
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(9);
    let count = client.execute(&statement, &[&time, &"z", &7.5_f64, &9_i64]).await.unwrap();
    assert_eq!(count, 1);
    let rows = texts(&client, "SELECT time, host, usage, n FROM cpu WHERE host = 'z'").await;
    assert_eq!(rows, [["1970-01-01 00:00:09", "z", "7.5", "9"]]);
    let twice = "INSERT INTO cpu (time, host, n) SELECT time, 'y', n FROM cpu WHERE host = 'a'";
    assert_eq!(client.execute(twice, &[]).await.unwrap(), 2);
}

#[tokio::test]
async fn decimals_are_stored_as_the_numbers_of_their_columns() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    let create = "CREATE TABLE numbers (f DOUBLE PRECISION, i BIGINT, u BIGINT UNSIGNED)";
    client.batch_execute(create).await.unwrap();
    let insert = "INSERT INTO numbers (time, f, i, u) VALUES (now(), '0.1'::NUMERIC, \
                  '-9007199254740993'::NUMERIC, '18446744073709551615'::NUMERIC)";
    client.batch_execute(insert).await.unwrap();
    let expected = [["0.1", "-9007199254740993", "18446744073709551615"]];
    assert_eq!(texts(&client, "SELECT f, i, u FROM numbers").await, expected);
    let condition =
        "SELECT f, i, u FROM numbers WHERE u = 18446744073709551615::NUMERIC AND i < -1.5::NUMERIC";
    assert_eq!(texts(&client, condition).await, expected);
}

#[tokio::test]
async fn a_table_is_created_written_and_deleted_from() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    let create =
        "CREATE TABLE rooms (time TIMESTAMP, room TAG, temp DOUBLE PRECISION, open BOOLEAN)";
    client.batch_execute(create).await.unwrap();
    let error = client.simple_query(create).await.unwrap_err();
    assert_eq!(state(&error), "42P07");
    let create = create.replace("TABLE", "TABLE IF NOT EXISTS");
    client.batch_execute(&create).await.unwrap();
    let named = "INSERT INTO rooms (time, room, temp, open) VALUES ('2024-01-01 00:00:00', 'attic', 21.5, true)";
    client.batch_execute(named).await.unwrap();
    assert_eq!(texts(&client, "SELECT room, open FROM rooms").await, [["attic", "t"]]);
    client.batch_execute("DELETE FROM rooms WHERE room = 'attic'").await.unwrap();
    assert!(texts(&client, "SELECT * FROM rooms").await.is_empty());
    client.batch_execute("DROP TABLE rooms").await.unwrap();
    for sql in ["SELECT * FROM rooms", "DROP TABLE rooms"] {
        let error = client.simple_query(sql).await.unwrap_err();
        assert_eq!(state(&error), "42P01", "{sql}");
    }
    client.batch_execute("DROP TABLE IF EXISTS rooms").await.unwrap();
}

#[tokio::test]
async fn a_database_is_created_connected_to_and_dropped() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    client.batch_execute("CREATE DATABASE \"Lab\"").await.unwrap();
    let other = connect(bed.config().dbname("Lab")).await.unwrap();
    assert_eq!(texts(&other, "SELECT current_database()").await, [["Lab"]]);
    for (sql, code) in [
        ("CREATE DATABASE \"Lab\"", "42P04"),
        ("DROP DATABASE home", "55006"),
        ("DROP DATABASE missing", "3D000"),
        ("DROP DATABASE _internal", "0A000"),
    ] {
        let error = client.simple_query(sql).await.unwrap_err();
        assert_eq!(state(&error), code, "{sql}: {error:?}");
    }
    client.batch_execute("DROP DATABASE \"Lab\"").await.unwrap();
    let error = connect(bed.config().dbname("Lab")).await.unwrap_err();
    assert_eq!(state(&error), "3D000");
    client.batch_execute("DROP DATABASE IF EXISTS \"Lab\"").await.unwrap();
}

#[tokio::test]
async fn a_table_is_renamed() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    client.batch_execute("ALTER TABLE cpu RENAME TO cpus").await.unwrap();
    assert_eq!(texts(&client, "SELECT count(*) FROM cpus").await, [["3"]]);
}

#[tokio::test]
async fn invalid_rows_are_refused_with_a_code() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    for (sql, code) in [
        ("INSERT INTO missing (time) VALUES (now())", "42P01"),
        ("INSERT INTO cpu (missing) VALUES (1)", "42703"),
        ("INSERT INTO cpu (time, usage) VALUES (now())", "42601"),
        ("INSERT INTO cpu (time, usage) VALUES ('soon', 1)", "22P02"),
        ("INSERT INTO cpu (time, n) VALUES (now(), 1.5)", "22003"),
        ("INSERT INTO cpu (time, n) VALUES (now(), 1.5::NUMERIC)", "22003"),
        (
            "INSERT INTO cpu (time, n) VALUES (now(), '9223372036854775808'::NUMERIC)",
            "22003",
        ),
    ] {
        let error = client.simple_query(sql).await.unwrap_err();
        assert_eq!(state(&error), code, "{sql}: {error:?}");
    }
    assert_eq!(texts(&client, "SELECT count(*) FROM cpu").await, [["3"]]);
}

#[tokio::test]
async fn rows_are_copied_in_as_text_and_csv() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    for (options, rows) in [
        ("", "1970-01-01 00:00:07\tt\t1.5\n1970-01-01 00:00:08\tt\t2.5\n"),
        (
            "(FORMAT csv, HEADER)",
            "time,host,usage\n1970-01-01T00:00:07Z,c,1.5\n1970-01-01T00:00:08Z,c,2\n",
        ),
    ] {
        let copy = format!("COPY cpu (time, host, usage) FROM STDIN {options}");
        let sink = client.copy_in(&copy).await.unwrap();
        futures::pin_mut!(sink);
        for byte in rows.bytes() {
            sink.send(Bytes::copy_from_slice(&[byte])).await.unwrap();
        }
        assert_eq!(sink.finish().await.unwrap(), 2);
    }
    let rows = texts(
        &client,
        "SELECT host, usage FROM cpu WHERE host IN ('t', 'c') ORDER BY host, time",
    )
    .await;
    assert_eq!(rows, [["c", "1.5"], ["c", "2"], ["t", "1.5"], ["t", "2.5"]]);
}

#[tokio::test]
async fn an_error_of_copied_rows_names_their_line() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    let good = "1970-01-01T00:00:07Z\tt";
    for (columns, rows, code, place) in [
        (
            "time, host, usage",
            format!("{good}\t1\nsoon\tx\t1\n{good}\t1\n"),
            "22P02",
            "COPY cpu, line 2, column time",
        ),
        (
            "time, host, n",
            format!("{good}\t1\n{good}\t2\n{good}\tx\n"),
            "22P02",
            "COPY cpu, line 3, column n",
        ),
        ("time, host, n", format!("{good}\t1\n{good}\n"), "22P04", "COPY cpu, line 2"),
        (
            "time, host, n",
            format!("{good}\t1\n{good}\t\\N\n"),
            "22000",
            "COPY cpu, line 2",
        ),
    ] {
        let copy = format!("COPY cpu ({columns}) FROM STDIN");
        let sink = client.copy_in(&copy).await.unwrap();
        futures::pin_mut!(sink);
        sink.send(Bytes::from(rows)).await.ok();
        let error = sink.finish().await.unwrap_err();
        assert_eq!(state(&error), code, "{error:?}");
        let refusal = error.as_db_error().unwrap();
        assert_eq!(refusal.where_(), Some(place));
        assert!(!refusal.message().contains("row 2"), "{refusal:?}");
        assert_eq!(texts(&client, "SELECT 1").await, [["1"]]);
    }
}
