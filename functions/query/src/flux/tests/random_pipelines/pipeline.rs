//! Random pipelines and the statements that do the same.

mod aggregates;

use std::fmt::Write;

use super::columns::{Choices, Column, Kind, instant, timestamp};

/// The columns of time, which all rows of a pipeline share.
const BOUNDS: [&str; 2] = ["_start", "_stop"];

/// The fields, sorted by table and name.
const FIELDS: [(&str, &str, Kind); 7] = [
    ("cpu", "load", Kind::Float),
    ("cpu", "n", Kind::Integer),
    ("cpu", "note", Kind::Text),
    ("cpu", "up", Kind::Boolean),
    ("cpu", "usage", Kind::Float),
    ("mem", "total", Kind::Unsigned),
    ("mem", "used", Kind::Float),
];

fn quoted<'a>(names: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    names.into_iter().map(|name| format!("\"{name}\"")).collect()
}

fn partition(groups: &[String]) -> String {
    if groups.is_empty() {
        String::new()
    } else {
        format!("PARTITION BY {}", groups.join(", "))
    }
}

/// A pipeline, and the statement that does the same. Each operation is one or more expressions `t0`, `t1` …, whose column `ord`
/// orders the rows of each table.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) flux: String,
    steps: Vec<String>,
    columns: Vec<Column>,
    pub(super) key: Vec<String>,
    fields: Vec<&'static str>,
    /// The range in seconds.
    range: (i64, i64),
    /// Whether the tables are still those of series.
    is_series: bool,
    /// Whether sums of floats do not depend on their order.
    is_exact: bool,
    has_window: bool,
}

impl Case {
    fn new(choices: &mut Choices) -> Self {
        let kind =
            choices.of(&[Kind::Float, Kind::Integer, Kind::Text, Kind::Boolean, Kind::Unsigned]);
        let of_kind: Vec<_> = FIELDS.into_iter().filter(|field| field.2 == kind).collect();
        let chosen = choices.below((1 << of_kind.len()) - 1) + 1;
        let is_chosen = |place: usize| chosen & (1 << place) != 0;
        let fields: Vec<_> = of_kind
            .into_iter()
            .enumerate()
            .filter_map(|(place, field)| is_chosen(place).then_some(field))
            .collect();
        let start = choices.of(&[0, 30, 55]);
        let stop = choices.of(&[600, 420, 301]);
        let (from, to) = (timestamp(start), timestamp(stop));
        let rows = fields.iter().map(|(table, field, _)| {
            let region = if *table == "cpu" { "region" } else { "NULL" };
            format!(
                "SELECT {from} AS \"_start\", {to} AS \"_stop\", time AS \"_time\", \"{field}\" AS \"_value\", '{field}' AS \
                 \"_field\", '{table}' AS \"_measurement\", CAST(host AS VARCHAR) AS host, CAST({region} AS VARCHAR) AS \
                 region FROM {table} WHERE time >= {from} AND time < {to} AND \"{field}\" IS NOT NULL"
            )
        });
        let union = rows.collect::<Vec<_>>().join(" UNION ALL ");
        let alternatives = fields.iter().map(|(_, field, _)| format!("r._field == \"{field}\""));
        let condition = alternatives.collect::<Vec<_>>().join(" or ");
        let mut region = Column::new("region", Kind::Text);
        region.is_optional = fields.iter().any(|field| field.0 == "mem");
        Self {
            flux: format!(
                "from(bucket: \"db\") |> range(start: {}, stop: {}) |> filter(fn: (r) => {condition})",
                instant(start),
                instant(stop)
            ),
            steps: vec![format!(
                "t0 AS (SELECT *, row_number() OVER (ORDER BY \"_time\") AS ord FROM ({union}))"
            )],
            columns: vec![
                Column::new("_start", Kind::Time),
                Column::new("_stop", Kind::Time),
                Column::new("_time", Kind::Time),
                Column::new("_value", kind),
                Column::new("_field", Kind::Text),
                Column::new("_measurement", Kind::Text),
                Column::new("host", Kind::Text),
                region,
            ],
            key: ["_start", "_stop", "_measurement", "_field", "host", "region"]
                .map(str::to_owned)
                .to_vec(),
            fields: fields.iter().map(|field| field.1).collect(),
            range: (start, stop),
            is_series: true,
            is_exact: true,
            has_window: false,
        }
    }

    pub(super) fn random(choices: &mut Choices) -> Self {
        let mut case = Self::new(choices);
        for _ in 0..choices.below(7) {
            case.step(choices);
        }
        case
    }

    pub(super) fn sql(&self) -> String {
        let (steps, last) = (self.steps.join(", "), self.last());
        format!("WITH {steps} SELECT {} FROM {last} ORDER BY ord", self.list())
    }

    fn step(&mut self, choices: &mut Choices) {
        let is_free = |case: &Self, name: &str| {
            case.column(name).is_some() && !case.key.iter().any(|key| key == name)
        };
        let mut operations: Vec<fn(&mut Self, &mut Choices)> =
            vec![Self::filter, Self::group, Self::sort, Self::limit, Self::map, Self::choose];
        if self.column("host").is_some() && self.column("machine").is_none() {
            operations.push(Self::rename);
        }
        if self.columns.iter().any(|column| !column.is_optional) {
            operations.push(Self::distinct);
        }
        if is_free(self, "_value") {
            operations.push(Self::aggregate);
            if is_free(self, "_time") {
                if !self.has_window {
                    operations.extend([Self::window as fn(&mut Self, &mut Choices); 3]);
                }
                if self.is_series {
                    operations.push(Self::pivot);
                }
            }
        }
        let operation = choices.of(&operations);
        operation(self, choices);
    }

    fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    fn last(&self) -> String {
        format!("t{}", self.steps.len() - 1)
    }

    fn list(&self) -> String {
        quoted(self.columns.iter().map(|column| &column.name)).join(", ")
    }

    fn pipe(&mut self, call: &str) {
        write!(self.flux, " |> {call}").unwrap();
    }

    /// Adds a step. `@` stands for the former one.
    fn add(&mut self, select: &str) {
        let over_last = select.replace('@', &self.last());
        self.steps.push(format!("t{} AS ({over_last})", self.steps.len()));
    }

    fn order(&mut self, order: &str) {
        let list = self.list();
        self.add(&format!("SELECT {list}, row_number() OVER (ORDER BY {order}) AS ord FROM @"));
    }

    /// Orders rows by their tables, before the tables change.
    fn order_by_tables(&mut self) {
        let key = quoted(&self.key).into_iter().map(|name| format!("{name} NULLS LAST"));
        let order: Vec<String> = key.chain(["ord".to_owned()]).collect();
        self.order(&order.join(", "));
    }

    fn condition(&self, choices: &mut Choices, depth: usize) -> (String, String) {
        let (operator, sql) = match choices.below(5) {
            3 if depth > 0 => ("and", "AND"),
            4 if depth > 0 => ("or", "OR"),
            2 if depth > 0 => {
                let (flux, sql) = self.condition(choices, depth - 1);
                return (format!("not ({flux})"), format!("NOT ({sql})"));
            }
            _ => return choices.of(&self.columns).condition(choices),
        };
        let one = self.condition(choices, depth - 1);
        let other = self.condition(choices, depth - 1);
        (
            format!("({} {operator} {})", one.0, other.0),
            format!("({} {sql} {})", one.1, other.1),
        )
    }

    fn filter(&mut self, choices: &mut Choices) {
        let (flux, sql) = self.condition(choices, 2);
        self.pipe(&format!("filter(fn: (r) => {flux})"));
        let list = self.list();
        self.add(&format!("SELECT {list}, ord FROM @ WHERE {sql}"));
    }

    fn group(&mut self, choices: &mut Choices) {
        self.order_by_tables();
        self.is_series = false;
        let all = ["host", "_field", "region", "_measurement"].map(str::to_owned);
        let named: Vec<String> = all
            .into_iter()
            .filter(|name| self.column(name).is_some() && choices.flip())
            .collect();
        if self.column("_value").is_some() && choices.below(4) == 3 {
            let mut others = named;
            others.extend(["_time", "_value"].map(str::to_owned));
            self.pipe(&format!("group(columns: {others:?}, mode: \"except\")"));
            let names = self.columns.iter().map(|column| column.name.clone());
            self.key = names.filter(|name| !others.contains(name)).collect();
        } else {
            self.pipe(&format!("group(columns: {named:?})"));
            self.key = named;
        }
    }

    fn sort(&mut self, choices: &mut Choices) {
        let mut names = vec![choices.of(&self.columns).name];
        let other = choices.of(&self.columns).name;
        if choices.flip() && !names.contains(&other) {
            names.push(other);
        }
        let (desc, direction) =
            choices.of(&[(false, "ASC NULLS LAST"), (true, "DESC NULLS FIRST")]);
        self.pipe(&format!("sort(columns: {names:?}, desc: {desc})"));
        let columns = quoted(&names).into_iter().map(|name| format!("{name} {direction}"));
        let order: Vec<String> = columns.chain(["ord".to_owned()]).collect();
        self.order(&order.join(", "));
    }

    fn limit(&mut self, choices: &mut Choices) {
        let (call, direction) = choices.of(&[("limit", "ASC"), ("tail", "DESC")]);
        let (rows, offset) = (choices.below(5) + 1, choices.below(3));
        self.pipe(&format!("{call}(n: {rows}, offset: {offset})"));
        let (list, tables) = (self.list(), partition(&quoted(&self.key)));
        self.add(&format!(
            "SELECT {list}, ord, row_number() OVER ({tables} ORDER BY ord {direction}) AS place FROM @"
        ));
        let last = offset + rows;
        self.add(&format!("SELECT {list}, ord FROM @ WHERE place > {offset} AND place <= {last}"));
    }

    /// A column that all tables have.
    fn anchor(&self) -> Option<&Column> {
        self.column("_value").or_else(|| self.column("_time"))
    }

    /// Chooses columns, among them one that all tables have.
    fn kept(&self, choices: &mut Choices) -> Vec<Column> {
        let anchor = self.anchor().map(|column| column.name.clone());
        let mut kept = self.columns.clone();
        kept.retain(|column| Some(&column.name) == anchor.as_ref() || choices.below(3) > 0);
        kept
    }

    fn choose(&mut self, choices: &mut Choices) {
        if self.anchor().is_none() {
            return;
        }
        self.order_by_tables();
        let kept = self.kept(choices);
        let names: Vec<&str> = kept.iter().map(|column| column.name.as_str()).collect();
        let all = self.columns.iter().map(|column| column.name.as_str());
        let dropped: Vec<&str> = all.filter(|name| !names.contains(name)).collect();
        let calls = [
            format!("keep(columns: {names:?})"),
            format!("drop(columns: {dropped:?})"),
            format!("keep(fn: (column) => contains(value: column, set: {names:?}))"),
        ];
        self.pipe(&choices.of(&calls));
        self.is_series = false;
        self.columns = kept;
        self.retain_key();
    }

    /// Removes columns that no longer exist from the group key.
    fn retain_key(&mut self) {
        let columns = &self.columns;
        self.key.retain(|key| columns.iter().any(|column| column.name == *key));
    }

    fn map(&mut self, choices: &mut Choices) {
        let is_bound = |column: &&Column| BOUNDS.contains(&column.name.as_str());
        let sources: Vec<Column> =
            self.columns.iter().filter(|it| !is_bound(it)).cloned().collect();
        if sources.is_empty() || self.anchor().is_none() {
            return;
        }
        let source = choices.of(&sources);
        let (flux, sql, kind) = source.computed(choices);
        let mut targets = vec!["x"];
        if !source.is_optional {
            let is_value = self.column("_value").is_some();
            targets.extend((is_value && kind != Kind::Time).then_some("_value"));
            targets.extend((kind == Kind::Text && self.column("host").is_some()).then_some("host"));
        }
        let mut target = Column::new(choices.of(&targets), kind);
        target.is_optional = source.is_optional;
        self.order_by_tables();
        let extends = choices.below(4) < 3;
        self.is_series &= extends && target.name != "host";
        let mut columns = if extends {
            self.columns.clone()
        } else {
            self.kept(choices)
        };
        let place = columns.iter().position(|column| column.name == target.name);
        match place {
            Some(place) => columns[place] = target.clone(),
            None => columns.push(target.clone()),
        }
        let value = |column: &Column, of_target: &str, of_other: String| {
            if column.name == target.name {
                of_target.to_owned()
            } else {
                of_other
            }
        };
        if extends {
            self.pipe(&format!("map(fn: (r) => ({{r with {}: {flux}}}))", target.name));
        } else {
            let properties = columns.iter().map(|column| {
                let other = format!("r[\"{}\"]", column.name);
                format!("{}: {}", column.name, value(column, &flux, other))
            });
            let record = properties.collect::<Vec<_>>().join(", ");
            self.pipe(&format!("map(fn: (r) => ({{{record}}}))"));
        }
        let exprs = columns.iter().map(|column| {
            let name = format!("\"{}\"", column.name);
            format!("{} AS {name}", value(column, &sql, name.clone()))
        });
        let list = exprs.collect::<Vec<_>>().join(", ");
        self.add(&format!("SELECT {list}, ord FROM @"));
        self.columns = columns;
        self.retain_key();
    }

    fn rename(&mut self, _: &mut Choices) {
        self.pipe("rename(columns: {host: \"machine\"})");
        let list = self.list().replace("\"host\"", "\"host\" AS \"machine\"");
        self.add(&format!("SELECT {list}, ord FROM @"));
        let names = self.columns.iter_mut().map(|column| &mut column.name);
        for name in names.chain(&mut self.key).filter(|name| *name == "host") {
            *name = "machine".to_owned();
        }
    }

    /// Makes the columns of the group key and these ones the columns.
    fn set_columns(&mut self, others: Vec<Column>) {
        let is_other = |name: &String| others.iter().any(|other| other.name == *name);
        let key = self.key.iter().filter(|name| !is_other(name));
        let of_key: Vec<Column> = key.filter_map(|name| self.column(name).cloned()).collect();
        self.columns = of_key.into_iter().chain(others).collect();
    }

    fn distinct(&mut self, choices: &mut Choices) {
        let all = self.columns.iter().filter(|column| !column.is_optional);
        let of = choices.of(&all.cloned().collect::<Vec<_>>());
        self.pipe(&format!("distinct(column: \"{}\")", of.name));
        self.key.retain(|key| key != "_value");
        self.is_series = false;
        let source = format!("\"{}\" AS \"_value\"", of.name);
        let list: Vec<String> = quoted(&self.key).into_iter().chain([source]).collect();
        self.add(&format!("SELECT DISTINCT {} FROM @", list.join(", ")));
        self.set_columns(vec![Column::new("_value", of.kind)]);
        self.order("\"_value\" NULLS LAST");
    }

    fn pivot(&mut self, _: &mut Choices) {
        self.pipe("pivot(rowKey: [\"_time\"], columnKey: [\"_field\"], valueColumn: \"_value\")");
        let kind = self.column("_value").map_or(Kind::Text, |column| column.kind);
        self.key.retain(|name| name != "_field");
        let key = &self.key;
        self.columns
            .retain(|column| column.name == "_time" || key.contains(&column.name));
        let groups = self.list();
        let values = self.fields.iter().map(|field| {
            format!("max(\"_value\") FILTER (WHERE \"_field\" = '{field}') AS \"{field}\"")
        });
        let of_fields = values.collect::<Vec<_>>().join(", ");
        self.add(&format!("SELECT {groups}, {of_fields} FROM @ GROUP BY {groups}"));
        for field in &self.fields {
            let mut column = Column::new(field, kind);
            column.is_optional = self.fields.len() > 1;
            self.columns.push(column);
        }
        self.is_series = false;
        self.order("\"_time\"");
    }
}
