//! Answers are the same whatever the types of integers are in segments and in memory.

use std::{collections::BTreeMap, fmt::Write as _};

use super::QueryTestInstance;

/// Enough rows for a segment with compressed columns, whose integers are narrow.
const ROWS: u32 = 2_000;

#[derive(Debug, Default)]
struct WrittenPoints(BTreeMap<(u32, u32), (Option<i64>, Option<u64>)>);

impl WrittenPoints {
    /// Returns rows of ten hosts from a second on, with integers of so many bits, and remembers them.
    fn lines(&mut self, start: u32, bits: u32, has_unsigned: bool) -> String {
        let mut lines = String::new();
        for row in 0..ROWS {
            let (host, time) = (row % 10, start + row / 10);
            let number = u64::from(row).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits);
            let signed = -1 - number.cast_signed() / 2;
            let is_given = row % 7 > 0;
            _ = write!(lines, "t,host=h{host} ok=true");
            let point = self.0.entry((host, time)).or_default();
            if is_given {
                _ = write!(lines, ",v={signed}i");
                point.0 = Some(signed);
            }
            if has_unsigned {
                _ = write!(lines, ",u={number}u");
                point.1 = Some(number);
            }
            _ = writeln!(lines, " {time}");
        }
        lines
    }

    /// Returns the rows that [`rows`] should return.
    fn expected(&self) -> String {
        let text = |number: Option<String>| number.unwrap_or_default();
        let mut expected = "host,time,v,u\n".to_owned();
        for ((host, time), (v, u)) in &self.0 {
            let (v, u) = (v.map(|v| v.to_string()), u.map(|u| u.to_string()));
            _ = writeln!(expected, "h{host},{time},{},{}", text(v), text(u));
        }
        expected
    }
}

async fn rows(one: &QueryTestInstance) -> String {
    one.sql("SELECT host, arrow_cast(time, 'Int64') / 1000000000 AS time, v, u FROM t ORDER BY host, time")
        .await
}

#[tokio::test]
async fn integers_of_all_widths_are_read_from_tails_merges_and_sections() {
    let one = QueryTestInstance::alone().await;
    let mut points = WrittenPoints::default();
    // Later rows replace earlier ones, and copy the values that they lack.
    for (start, bits, has_unsigned) in [
        (0, 7, true),
        (100, 15, false),
        (250, 31, true),
        (300, 63, true),
        (350, 20, false),
    ] {
        one.write(&points.lines(start, bits, has_unsigned)).await;
        assert_eq!(rows(&one).await, points.expected(), "{bits} bits in the tail");
    }
    // Many rows are read through the order of all, few by their numbers.
    let host = "SELECT count(v) AS v, max(u) AS u, min(v) AS m FROM t WHERE host = 'h3' AND time > '1970-01-01T00:03:20Z'";
    let limited = "SELECT v FROM t WHERE u > 1000000 ORDER BY host, time LIMIT 3";
    let of_tail = [one.sql(host).await, one.sql(limited).await];
    one.flush().await;
    assert_eq!(rows(&one).await, points.expected(), "in sections");
    assert_eq!([one.sql(host).await, one.sql(limited).await], of_tail);
    one.write(&points.lines(320, 12, true)).await;
    assert_eq!(rows(&one).await, points.expected(), "in a merge");
}
