//! Databases that keep the values of earlier rows: answers do not depend on when rows are flushed and merged.

use neap_schema::OnDuplicate;

use super::{DATABASE, QueryTestInstance};

/// A change of the table.
enum Change {
    Write(&'static str),
    Delete(&'static str),
}

use Change::{Delete, Write};

/// Changes, each with the rows afterwards.
const CHANGES: [(Change, &str); 6] = [
    (Write("m,host=x a=1 1"), "x,1.0,\n"),
    (Write("m,host=x a=9,b=2 1\nm,host=x b=8 1"), "x,1.0,2.0\n"),
    (
        Write("m,host=y a=3 1\nm,host=x a=7,b=7 1"),
        "x,1.0,2.0\ny,3.0,\n",
    ),
    (Delete("DELETE FROM m WHERE host = 'x'"), "y,3.0,\n"),
    (
        Write("m,host=x b=4 1\nm,host=y a=6,b=6 1"),
        "x,,4.0\ny,3.0,6.0\n",
    ),
    (Write("m,host=x a=5,b=5 1"), "x,5.0,4.0\ny,3.0,6.0\n"),
];

/// The changes after which there is a flush: one bit for each, the first change has the lowest.
const FLUSHES: [u32; 8] = [
    0b000_000, 0b111_111, 0b000_001, 0b000_110, 0b010_101, 0b101_010, 0b001_000, 0b110_111,
];

#[tokio::test]
async fn the_first_value_of_each_field_is_kept_whenever_rows_are_flushed_and_merged() {
    for flushes in FLUSHES {
        let one = QueryTestInstance::alone().await;
        let id = one.catalog.create_database("db", None).await.unwrap();
        assert_eq!(id, DATABASE);
        one.catalog.set_on_duplicate(id, OnDuplicate::Keep).await.unwrap();
        let mut last = String::new();
        for (at, (change, rows)) in CHANGES.iter().enumerate() {
            match change {
                Write(lines) => {
                    one.write(lines).await;
                }
                Delete(sql) => {
                    one.sql(sql).await;
                }
            }
            if flushes & (1 << at) != 0 {
                one.flush().await;
            }
            last = format!("host,a,b\n{rows}");
            assert_eq!(content(&one).await, last, "{flushes:b} {at}");
        }
        one.flush().await;
        assert_eq!(content(&one).await, last, "{flushes:b}");
        one.merge().await;
        assert_eq!(content(&one).await, last, "{flushes:b}");
    }
}

async fn content(one: &QueryTestInstance) -> String {
    // Before the first value of `b`, the table has no such column.
    let columns = one
        .sql("SELECT column_name FROM information_schema.columns WHERE table_name = 'm'")
        .await;
    let b = if columns.lines().any(|column| column == "b") {
        "b"
    } else {
        "CAST(NULL AS DOUBLE) AS b"
    };
    one.sql(&format!("SELECT host, a, {b} FROM m ORDER BY host")).await
}
