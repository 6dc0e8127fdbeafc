//! Windows of random rows, compared with a model that counts row by row.

use std::{collections::BTreeMap, fmt::Write};

use proptest::{collection::btree_map, prelude::*, test_runner::TestRunner};

use crate::tests::instance::QueryTestInstance;

/// 2023-11-14T08:00:00Z, at which windows of all tested lengths begin.
const START: i64 = 1_699_948_800;
const MINUTES: i64 = 120;

/// The rows of a table by tag (the last one is missing) and minute; each row has one of the fields.
type WindowModelRows = BTreeMap<(usize, i64), WindowModelRow>;

#[derive(Clone, Copy, Debug)]
enum WindowModelRow {
    Value(i64),
    Other,
}

#[derive(Clone, Copy, Debug)]
enum FillCase {
    None,
    Null,
    Previous,
}

#[derive(Clone, Debug)]
struct WindowCase {
    rows: WindowModelRows,
    /// The length of windows and the range, in minutes.
    every: i64,
    lower: i64,
    upper: i64,
    fill: FillCase,
}

fn cases() -> impl Strategy<Value = WindowCase> {
    let row = prop_oneof![3 => (-9_i64..10).prop_map(WindowModelRow::Value), 1 => Just(WindowModelRow::Other)];
    let rows = btree_map((0_usize..3, 0..MINUTES), row, 1..40);
    let every = prop::sample::select(vec![5_i64, 10, 30, 60]);
    let fill = prop::sample::select(vec![FillCase::None, FillCase::Null, FillCase::Previous]);
    (rows, every, 0..MINUTES, 1..MINUTES, fill).prop_map(|(rows, every, lower, length, fill)| {
        WindowCase { rows, every, lower, upper: lower + length, fill }
    })
}

fn clock(minute: i64) -> String {
    let time = chrono::DateTime::from_timestamp(START + minute * 60, 0).unwrap();
    time.format("%H:%M:%S").to_string()
}

impl WindowCase {
    fn lines(&self) -> String {
        let mut lines = String::new();
        for ((tag, minute), row) in &self.rows {
            let tag = ["t,src=a", "t,src=b", "t"][*tag];
            let field = match row {
                WindowModelRow::Value(value) => format!("v={value}i"),
                WindowModelRow::Other => "other=1i".to_owned(),
            };
            writeln!(lines, "{tag} {field} {}", START + minute * 60).unwrap();
        }
        // Ensures that the field exists.
        writeln!(lines, "t v=0i {}", START + 100 * MINUTES * 60).unwrap();
        lines
    }

    fn statement(&self) -> String {
        let fill = match self.fill {
            FillCase::None => "none",
            FillCase::Null => "null",
            FillCase::Previous => "previous",
        };
        format!(
            "SELECT count(v), sum(v), first(v), max(v), mean(v) FROM t WHERE time >= {}s AND time < {}s \
             GROUP BY time({}m), src FILL({fill})",
            START + self.lower * 60,
            START + self.upper * 60,
            self.every
        )
    }

    fn answer(&self) -> String {
        let mut answer = String::new();
        for (tag, name) in ["a", "b", ""].into_iter().enumerate() {
            let values: Vec<(i64, i64)> = self
                .rows
                .iter()
                .filter_map(|((of, minute), row)| match row {
                    WindowModelRow::Value(value) if *of == tag => Some((*minute, *value)),
                    _ => None,
                })
                .filter(|(minute, _)| (self.lower..self.upper).contains(minute))
                .collect();
            if values.is_empty() {
                continue;
            }
            let mut before = ",,,,".to_owned();
            let first = self.lower - self.lower % self.every;
            for window in (first..self.upper).step_by(usize::try_from(self.every).unwrap()) {
                let inside =
                    |(minute, _): &&(i64, i64)| (window..window + self.every).contains(minute);
                let inside: Vec<i64> =
                    values.iter().filter(inside).map(|(_, value)| *value).collect();
                let row = match (inside.as_slice(), self.fill) {
                    ([], FillCase::None) => continue,
                    ([], FillCase::Null) => "0,,,,".to_owned(),
                    ([], FillCase::Previous) => before.clone(),
                    ([earliest, ..], _) => {
                        let sum: i64 = inside.iter().sum();
                        let most = inside.iter().max().unwrap();
                        let mean = sum as f64 / inside.len() as f64;
                        format!("{},{sum},{earliest},{most},{mean:?}", inside.len())
                    }
                };
                writeln!(answer, "t,{},{name},{row}", clock(window)).unwrap();
                before = row;
            }
        }
        if answer.is_empty() {
            answer
        } else {
            format!("m,time,src,count,sum,first,max,mean\n{answer}")
        }
    }
}

#[test]
fn windows_are_those_of_the_model() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(neap_test_inputs::cases(40))
    };
    let run = TestRunner::new(config).run(&cases(), |case| {
        let answer = runtime.block_on(async {
            let instance = QueryTestInstance::with_rows(&case.lines()).await;
            instance.selected(&case.statement()).await
        });
        prop_assert_eq!(answer, case.answer());
        Ok(())
    });
    run.unwrap();
}
