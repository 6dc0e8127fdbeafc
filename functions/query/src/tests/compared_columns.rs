//! Conditions that compare one column several times, with the column on the left and on the right.

use neap_test_inputs::cases;
use proptest::{prelude::*, sample::select};

use super::QueryTestInstance;

/// The time of row 0, in nanoseconds: 2023-11-14T22:13:20.
const FIRST: i64 = 1_700_000_000_000_000_000;

/// The number of rows. The values of all columns grow with the number of the row.
const ROWS: i64 = 8;

/// A column of the table, with all ways to write its value in a row as a literal.
#[derive(Clone, Copy, Debug)]
enum Column {
    Tag,
    Time,
    Integer,
    Unsigned,
    Float,
    Text,
    Boolean,
}

const COLUMNS: [Column; 7] = [
    Column::Tag,
    Column::Time,
    Column::Integer,
    Column::Unsigned,
    Column::Float,
    Column::Text,
    Column::Boolean,
];

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::Tag => "host",
            Self::Time => "time",
            Self::Integer => "n",
            Self::Unsigned => "u",
            Self::Float => "f",
            Self::Text => "s",
            Self::Boolean => "b",
        }
    }

    fn literals(self, row: i64) -> Vec<String> {
        match self {
            Self::Tag => vec![
                format!("'h{row}'"),
                format!("CAST('h{row}' AS VARCHAR)"),
                format!("concat('h', '{row}')"),
            ],
            Self::Time => vec![
                format!("'2023-11-14T22:13:{}Z'", 20 + row),
                format!("TIMESTAMP '2023-11-14T22:13:{}'", 20 + row),
                format!("to_timestamp({})", FIRST + row * 1_000_000_000),
            ],
            Self::Integer | Self::Unsigned => vec![
                row.to_string(),
                format!("CAST({row} AS INT)"),
                format!("({row} + 0)"),
                format!("CAST({row} AS DOUBLE)"),
            ],
            Self::Float => vec![
                format!("{row}.5"),
                format!("CAST('{row}.5' AS DOUBLE)"),
                format!("({}.0 / 2)", 2 * row + 1),
            ],
            Self::Text => vec![
                format!("'s{row}'"),
                format!("CAST('s{row}' AS VARCHAR)"),
                format!("concat('s', '{row}')"),
            ],
            Self::Boolean => {
                let value = Self::is_true(row);
                vec![value.to_string(), format!("(NOT {})", !value)]
            }
        }
    }

    fn is_true(row: i64) -> bool {
        row >= ROWS / 2
    }

    /// Returns a number with the order of the values of two rows.
    fn order(self, row: i64) -> i64 {
        match self {
            Self::Boolean => i64::from(Self::is_true(row)),
            _ => row,
        }
    }
}

/// The operators, with those of the exchanged sides.
const OPERATORS: [(&str, &str); 6] =
    [("=", "="), ("<", ">"), ("<=", ">="), (">", "<"), (">=", "<="), ("<>", "<>")];

/// The comparison of a column with its value in a row.
#[derive(Clone, Debug)]
struct Comparison {
    column: Column,
    operator: usize,
    row: i64,
    literal: String,
    is_column_first: bool,
}

impl Comparison {
    fn sql(&self) -> String {
        let (column, literal) = (self.column.name(), &self.literal);
        let (operator, exchanged) = OPERATORS[self.operator];
        if self.is_column_first {
            format!("{column} {operator} {literal}")
        } else {
            format!("{literal} {exchanged} {column}")
        }
    }

    fn is_met(&self, row: i64) -> bool {
        let (value, bound) = (self.column.order(row), self.column.order(self.row));
        match OPERATORS[self.operator].0 {
            "=" => value == bound,
            "<" => value < bound,
            "<=" => value <= bound,
            ">" => value > bound,
            ">=" => value >= bound,
            _ => value != bound,
        }
    }
}

fn comparison(column: Column) -> impl Strategy<Value = Comparison> {
    // A few rows, so that many comparisons have the same value.
    let parts = (0..OPERATORS.len(), 3..6_i64, any::<bool>());
    parts.prop_flat_map(move |(operator, row, is_column_first)| {
        select(column.literals(row)).prop_map(move |literal| Comparison {
            column,
            operator,
            row,
            literal,
            is_column_first,
        })
    })
}

/// Returns a query with the conditions in one filter, or in nested ones.
fn query(conditions: &[Comparison], is_nested: bool) -> String {
    let conditions: Vec<String> = conditions.iter().map(Comparison::sql).collect();
    match conditions.split_first() {
        Some((first, rest)) if is_nested => format!(
            "SELECT n FROM (SELECT * FROM t WHERE {}) AS d WHERE {first} ORDER BY n",
            rest.join(" AND ")
        ),
        _ => format!("SELECT n FROM t WHERE {} ORDER BY n", conditions.join(" AND ")),
    }
}

async fn filled() -> QueryTestInstance {
    let one = QueryTestInstance::alone().await;
    let line = |row: i64| {
        let (value, time) = (Column::is_true(row), FIRST + row * 1_000_000_000);
        format!("t,host=h{row} n={row}i,u={row}u,f={row}.5,s=\"s{row}\",b={value} {time}\n")
    };
    one.write(&(0..ROWS / 2).map(line).collect::<String>()).await;
    one.flush().await;
    one.write(&(ROWS / 2..ROWS).map(line).collect::<String>()).await;
    one
}

/// Returns the answer with these rows as CSV.
fn answer(rows: impl Iterator<Item = i64>) -> String {
    let mut answer: String = rows.map(|row| format!("{row}\n")).collect();
    if !answer.is_empty() {
        answer.insert_str(0, "n\n");
    }
    answer
}

#[tokio::test]
async fn an_equality_and_its_exchanged_form_select_the_row() {
    let one = filled().await;
    for column in COLUMNS {
        let selected = || (0..ROWS).filter(|row| column.order(*row) == column.order(5));
        let name = column.name();
        for first in column.literals(5) {
            for second in column.literals(5) {
                for condition in [
                    format!("{name} = {first} AND {second} = {name}"),
                    format!("{first} = {name} AND {second} = {name}"),
                    format!("{name} = {first} AND {name} = {second}"),
                ] {
                    let sql = format!("SELECT n FROM t WHERE {condition} ORDER BY n");
                    assert_eq!(one.sql(&sql).await, answer(selected()), "{sql}");
                }
            }
        }
    }
}

#[test]
fn conditions_on_one_column_select_the_rows_that_meet_each() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let one = runtime.block_on(filled());
    let conditions = select(COLUMNS.to_vec())
        .prop_flat_map(|column| proptest::collection::vec(comparison(column), 2..5));
    proptest!(
        ProptestConfig::with_cases(cases(256)),
        |(conditions in conditions, is_nested in any::<bool>())| {
            let sql = query(&conditions, is_nested);
            let is_selected = |row: &i64| conditions.iter().all(|one| one.is_met(*row));
            let expected = answer((0..ROWS).filter(is_selected));
            prop_assert_eq!(runtime.block_on(one.sql(&sql)), expected, "{}", sql);
        }
    );
}
