//! Random pipelines, whose tables are those of SQL that the test builds beside them.

mod columns;
mod pipeline;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt::Write,
};

use proptest::{collection::vec, prelude::*, test_runner::TestRunner};

use crate::tests::instance::QueryTestInstance;
use columns::{Choices, FIRST};
use pipeline::Case;

/// Returns rows of two tables. Series have rows with equal times, lack tags, and lack some fields. Sums of floats are exact.
fn lines() -> Vec<String> {
    let mut lines = Vec::new();
    for i in 0..120_i64 {
        let nanos = (FIRST + i / 4 * 19) * 1_000_000_000;
        let host = ["a", "b", "c"][usize::try_from(i % 3).unwrap()];
        let region = [",region=x", ",region=y", ""][usize::try_from(i / 3 % 3).unwrap()];
        let usage = i * 37 % 40 - 20;
        let mut fields = format!("usage={}", usage as f64 / 4.0);
        if i % 2 == 0 {
            write!(fields, ",load={}", (i % 7) as f64 / 2.0).unwrap();
        }
        if i % 3 != 1 {
            write!(fields, ",n={}i,up={}", i * 11 % 30 - 15, i % 5 < 2).unwrap();
        }
        if i % 4 != 2 {
            write!(fields, ",note=\"n{}\"", i % 4).unwrap();
        }
        lines.push(format!("cpu,host={host}{region} {fields} {nanos}"));
    }
    for i in 0..40_i64 {
        let nanos = (FIRST + i / 2 * 29) * 1_000_000_000;
        let host = ["a", "d"][usize::try_from(i % 2).unwrap()];
        let used = i * 13 % 30;
        lines.push(format!("mem,host={host} used={},total={}u {nanos}", used as f64 / 4.0, i % 9));
    }
    lines
}

/// The values of columns. Values that are null are left out.
type Row = BTreeMap<String, String>;

/// The rows of tables by their group keys.
type Tables = BTreeMap<Row, Vec<Row>>;

/// Returns a text that is the same for equal values.
fn canonical(text: &str) -> String {
    match text.parse::<f64>() {
        // Both zeros are the same text.
        Ok(number) => format!("{:?}", number + 0.0),
        Err(_) => text.trim_end_matches('Z').to_owned(),
    }
}

fn tables_of_csv(answer: &str) -> Tables {
    let mut tables: BTreeMap<Row, (&str, Vec<Row>)> = BTreeMap::new();
    let (mut names, mut is_key): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for line in answer.lines().filter(|line| !line.is_empty()) {
        let cells: Vec<&str> = line.split(',').collect();
        match cells[0] {
            "#group" => is_key = cells,
            "" if cells[1] == "result" => names = cells,
            "" => {
                let present = (3..cells.len()).filter(|place| !cells[*place].is_empty());
                let value = |place: usize| (names[place].to_owned(), canonical(cells[place]));
                let key = present.clone().filter(|place| is_key[*place] == "true").map(value);
                let row: Row = present.clone().map(value).collect();
                match tables.entry(key.collect()) {
                    Entry::Vacant(entry) => _ = entry.insert((cells[2], vec![row])),
                    Entry::Occupied(mut entry) => {
                        assert_eq!(
                            entry.get().0,
                            cells[2],
                            "two tables with the same key:\n{answer}"
                        );
                        entry.get_mut().1.push(row);
                    }
                }
            }
            _ => {}
        }
    }
    tables.into_iter().map(|(key, (_, rows))| (key, rows)).collect()
}

fn tables_of_json(answer: &str, key: &[String]) -> Tables {
    let rows: Vec<BTreeMap<String, serde_json::Value>> = serde_json::from_str(answer).unwrap();
    let mut tables = Tables::new();
    for row in rows {
        let present = row.into_iter().filter_map(|(name, value)| match value {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some((name, canonical(&text))),
            other => Some((name, canonical(&other.to_string()))),
        });
        let row: Row = present.collect();
        let of_key = row.iter().filter(|(name, _)| key.contains(name));
        let table = of_key.map(|(name, value)| (name.clone(), value.clone())).collect();
        tables.entry(table).or_default().push(row);
    }
    tables
}

#[test]
fn pipelines_answer_as_the_equal_sql() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let one = runtime.block_on(async {
        let one = QueryTestInstance::alone().await;
        let lines = lines();
        for part in 0..3 {
            let of_part: Vec<&str> =
                lines.iter().skip(part).step_by(3).map(String::as_str).collect();
            one.write(&of_part.join("\n")).await;
            // The last rows stay in the tail.
            if part < 2 {
                one.flush().await;
            }
        }
        one
    });
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(neap_test_inputs::cases(3000))
    };
    let run = TestRunner::new(config).run(&vec(any::<u16>(), 0..200), |numbers| {
        let case = Case::random(&mut Choices(numbers.into_iter()));
        let sql = case.sql();
        let (answer, expected) = runtime
            .block_on(async { (one.annotated(&case.flux).await, one.sql_as(&sql, "json").await) });
        let expected = tables_of_json(&expected, &case.key);
        prop_assert_eq!(tables_of_csv(&answer), expected, "{}\n{}", case.flux, sql);
        Ok(())
    });
    run.unwrap();
}
