//! A cache, as a request creates it, and its definition as SQL over its table.

use serde_json::{Value, json};

/// A last value or distinct value cache of a table.
#[derive(Clone, Debug)]
pub(crate) struct CacheDefinition {
    pub(super) table: &'static str,
    pub(super) name: &'static str,
    rows: CacheRowSelection,
    /// The maximum age of rows, in seconds.
    age: u64,
}

#[derive(Clone, Debug)]
enum CacheRowSelection {
    Last {
        keys: Vec<&'static str>,
        /// `None` means all columns that are not in the key.
        values: Option<Vec<&'static str>>,
        count: u64,
    },
    Distinct {
        columns: Vec<&'static str>,
        most: u64,
    },
}

/// The columns of a table, both sorted by name. Tests name tags in the order in which they are created, which is the
/// order of the series key.
#[derive(Clone, Debug, Default)]
pub(super) struct TableColumns {
    pub(super) tags: Vec<String>,
    pub(super) fields: Vec<String>,
}

/// One hour, in seconds: much longer than a test.
const AGE: u64 = 3_600;

impl CacheDefinition {
    /// A cache of the newest row of each key, with all columns.
    pub(crate) fn last(table: &'static str, name: &'static str, keys: &[&'static str]) -> Self {
        let rows = CacheRowSelection::Last { keys: keys.to_vec(), values: None, count: 1 };
        Self { table, name, rows, age: AGE }
    }

    /// A cache of the distinct combinations of values of columns.
    pub(crate) fn distinct(
        table: &'static str,
        name: &'static str,
        columns: &[&'static str],
    ) -> Self {
        let rows = CacheRowSelection::Distinct { columns: columns.to_vec(), most: 1_000 };
        Self { table, name, rows, age: AGE }
    }

    /// Limits the cache to these columns, in addition to the key.
    pub(crate) fn of(mut self, columns: &[&'static str]) -> Self {
        if let CacheRowSelection::Last { values, .. } = &mut self.rows {
            *values = Some(columns.to_vec());
        }
        self
    }

    /// Sets the maximum number of rows of each key, or of combinations.
    pub(crate) fn limited_to(mut self, number: u64) -> Self {
        match &mut self.rows {
            CacheRowSelection::Last { count, .. } => *count = number,
            CacheRowSelection::Distinct { most, .. } => *most = number,
        }
        self
    }

    /// Sets the maximum age of rows, in seconds.
    pub(super) fn with_max_age(mut self, seconds: u64) -> Self {
        self.age = seconds;
        self
    }

    /// Returns `last_cache` or `distinct_cache`.
    pub(super) fn kind(&self) -> &'static str {
        match self.rows {
            CacheRowSelection::Last { .. } => "last_cache",
            CacheRowSelection::Distinct { .. } => "distinct_cache",
        }
    }

    /// Returns the body of the request that creates the cache.
    pub(super) fn body(&self, database: &str) -> Value {
        let mut body = json!({ "db": database, "table": self.table, "name": self.name });
        match &self.rows {
            CacheRowSelection::Last { keys, values, count } => {
                body["key_columns"] = json!(keys);
                body["count"] = json!(count);
                body["ttl"] = json!(self.age);
                if let Some(values) = values {
                    body["value_columns"] = json!(values);
                }
            }
            CacheRowSelection::Distinct { columns, most } => {
                body["columns"] = json!(columns);
                body["max_cardinality"] = json!(most);
                body["max_age"] = json!(self.age);
            }
        }
        body
    }

    /// Returns the arguments of the `neap` command that creates the cache.
    pub(super) fn command(&self, database: &str) -> Vec<String> {
        let mut command = vec!["create".to_owned(), self.kind().to_owned(), self.name.to_owned()];
        let mut flag = |name: &str, value: String| command.extend([format!("--{name}"), value]);
        flag("database", database.to_owned());
        flag("table", self.table.to_owned());
        match &self.rows {
            CacheRowSelection::Last { keys, values, count } => {
                flag("key-columns", keys.join(","));
                flag("count", count.to_string());
                flag("ttl", format!("{}s", self.age));
                if let Some(values) = values {
                    flag("value-columns", values.join(","));
                }
            }
            CacheRowSelection::Distinct { columns, most } => {
                flag("columns", columns.join(","));
                flag("max-cardinality", most.to_string());
                flag("max-age", format!("{}s", self.age));
            }
        }
        command
    }

    /// Returns the statement that reads the cache.
    pub(super) fn query(&self) -> String {
        format!("SELECT * FROM {}", self.call())
    }

    /// Returns the call of the table function that reads the cache.
    pub(super) fn call(&self) -> String {
        format!("{}('{}', '{}')", self.kind(), self.table, self.name)
    }

    /// Returns the definition of the cache: a statement over its table with the same result.
    pub(super) fn definition(&self, columns: &TableColumns) -> String {
        let (table, young) =
            (self.table, format!("time >= now() - INTERVAL '{} seconds'", self.age));
        match &self.rows {
            CacheRowSelection::Last { keys, values, count } => {
                let others = || columns.tags.iter().chain(&columns.fields);
                let others = || others().map(String::as_str).filter(|name| !keys.contains(name));
                let mut sorted: Vec<&str> = others().collect();
                sorted.sort_unstable();
                let shown = keys.iter().copied().chain(values.clone().unwrap_or(sorted));
                let shown = list(shown.chain(["time"]), "");
                let tags = columns.tags.iter().map(String::as_str);
                let newest = format!("time DESC, {}", list(tags, " NULLS FIRST"));
                let (mut partition, mut order) = (String::new(), newest.clone());
                if !keys.is_empty() {
                    partition = format!("PARTITION BY {}", list(keys.iter().copied(), ""));
                    order = format!("{}, {newest}", list(keys.iter().copied(), ""));
                }
                let keyed: String =
                    keys.iter().map(|key| format!(" AND \"{key}\" IS NOT NULL")).collect();
                format!(
                    "SELECT {shown} FROM (SELECT *, row_number() OVER ({partition} ORDER BY {newest}) AS place \
                     FROM {table} WHERE {young}{keyed}) WHERE place <= {count} ORDER BY {order}"
                )
            }
            CacheRowSelection::Distinct { columns: names, most } => {
                let shown = list(names.iter().copied(), "");
                let sorted = list(names.iter().copied(), " NULLS FIRST");
                format!(
                    "SELECT {shown} FROM (SELECT {shown}, max(time) AS seen FROM {table} WHERE {young} \
                     GROUP BY {shown} ORDER BY seen DESC, {sorted} LIMIT {most}) ORDER BY {sorted}"
                )
            }
        }
    }
}

fn list<'a>(columns: impl Iterator<Item = &'a str>, after: &str) -> String {
    let columns: Vec<String> = columns.map(|name| format!("\"{name}\"{after}")).collect();
    columns.join(", ")
}
