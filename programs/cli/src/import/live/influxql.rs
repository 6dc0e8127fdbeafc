//! Copies tables of InfluxDB 1 and 2 with InfluxQL.

use std::{collections::BTreeMap, fmt::Write};

use neap_rows::line_protocol::{LineError, LineErrorKind};
use neap_tsm::{TimeRange, ValueType};
use reqwest::Method;
use serde_json::Value;

use super::{
    influxql_answer::{Answer, AnswerSplitter, SeriesRows},
    line_writer::{FieldText, LineWriter, push_escaped, push_field},
    source::Source,
    source_table::{SliceCounts, SourceField, SourceTable},
};
use crate::{
    client::RefusedLines,
    import::{
        DatabaseNames, ImportError, ImportFilter,
        shards::schema::{ColumnAction, TablePlan},
    },
};

/// Number of rows of a chunk.
const CHUNK_ROWS: &str = "10000";
/// The times that InfluxDB accepts.
const TIMES: TimeRange = TimeRange { min: i64::MIN + 2, max: i64::MAX - 1 };

/// Lists the measurements of all databases and retention policies.
pub(super) async fn tables(
    source: &Source,
    filter: &ImportFilter,
    names: &DatabaseNames,
) -> Result<Vec<SourceTable>, ImportError> {
    let mut tables = Vec::new();
    for database in column(source, "", "SHOW DATABASES", "name").await? {
        let query = format!("SHOW RETENTION POLICIES ON {}", quoted(&database));
        let policies = column(source, &database, &query, "name").await?;
        let is_wanted = |policy: &String| filter.includes_database(&database, policy);
        let policies: Vec<String> = policies.into_iter().filter(is_wanted).collect();
        if policies.is_empty() {
            continue;
        }
        let query = format!("SHOW MEASUREMENTS ON {}", quoted(&database));
        for name in column(source, &database, &query, "name").await? {
            if !filter.includes_measurement(&name) {
                continue;
            }
            let fields = fields(source, &database, &name).await?;
            let (fields, mixed_numbers) = merge_numbers(fields);
            let (on, from) = (quoted(&database), quoted(&name));
            let query = format!("SHOW TAG KEYS ON {on} FROM {from}");
            let tags = column(source, &database, &query, "tagKey").await?;
            for policy in &policies {
                tables.push(SourceTable {
                    target: names.target(&database, policy)?,
                    database: database.clone(),
                    retention_policy: policy.clone(),
                    name: name.clone(),
                    tags: tags.clone(),
                    fields: fields.clone(),
                    mixed_numbers: mixed_numbers.clone(),
                });
            }
        }
    }
    Ok(tables)
}

async fn fields(
    source: &Source,
    database: &str,
    measurement: &str,
) -> Result<Vec<SourceField>, ImportError> {
    let (on, from) = (quoted(database), quoted(measurement));
    let query = format!("SHOW FIELD KEYS ON {on} FROM {from}");
    let mut fields = Vec::new();
    for series in query_all(source, database, &query).await? {
        for row in &series.values {
            let (name, text) =
                (text_at(&series, row, "fieldKey"), text_at(&series, row, "fieldType"));
            let value_type = ValueType::ALL
                .iter()
                .copied()
                .find(|value_type| value_type.as_str() == text)
                .ok_or_else(|| ImportError::Query {
                    query: query.clone(),
                    reason: format!("the unknown type '{text}' of {name}"),
                })?;
            fields.push(SourceField { name, value_type });
        }
    }
    // A column is named by its position in the query, so the order has to be the same in all queries.
    fields.sort();
    fields.dedup();
    Ok(fields)
}

/// Fields with several types.
type MixedFields = Vec<(String, Vec<ValueType>)>;

/// Replaces the types of a field that are numbers by floats, if there are several. InfluxQL converts between types of
/// numbers: `"v"::float` selects integers, too, so that the types cannot be told apart.
fn merge_numbers(fields: Vec<SourceField>) -> (Vec<SourceField>, MixedFields) {
    let mut types: BTreeMap<String, Vec<ValueType>> = BTreeMap::new();
    for field in &fields {
        let of = field.value_type;
        if matches!(of, ValueType::Float | ValueType::Integer | ValueType::Unsigned) {
            types.entry(field.name.clone()).or_default().push(of);
        }
    }
    types.retain(|_, types| types.len() > 1);
    let mut merged: Vec<SourceField> = fields
        .into_iter()
        .map(|mut field| {
            let numbers = types.get(&field.name);
            if numbers.is_some_and(|numbers| numbers.contains(&field.value_type)) {
                field.value_type = ValueType::Float;
            }
            field
        })
        .collect();
    merged.sort();
    merged.dedup();
    (merged, types.into_iter().collect())
}

/// Returns the texts in a column of an answer.
async fn column(
    source: &Source,
    database: &str,
    query: &str,
    name: &str,
) -> Result<Vec<String>, ImportError> {
    let mut texts = Vec::new();
    for series in query_all(source, database, query).await? {
        let rows = series.values.iter();
        texts.extend(rows.map(|row| text_at(&series, row, name)));
    }
    texts.sort();
    texts.dedup();
    Ok(texts)
}

fn text_at(series: &SeriesRows, row: &[Value], column: &str) -> String {
    let index = series.columns.iter().position(|name| name == column);
    let value = index.and_then(|index| row.get(index));
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Returns all rows of a query with a small answer.
async fn query_all(
    source: &Source,
    database: &str,
    query: &str,
) -> Result<Vec<SeriesRows>, ImportError> {
    let mut rows = Vec::new();
    let mut answers = Answers::start(source, database, query).await?;
    while let Some(series) = answers.next().await? {
        rows.extend(series);
    }
    Ok(rows)
}

/// The answer to a query in chunks.
struct Answers<'a> {
    source: &'a Source,
    query: String,
    response: reqwest::Response,
    splitter: AnswerSplitter,
    is_at_end: bool,
}

impl<'a> Answers<'a> {
    async fn start(source: &'a Source, database: &str, query: &str) -> Result<Self, ImportError> {
        let parameters = [("chunked", "true"), ("chunk_size", CHUNK_ROWS), ("epoch", "ns")];
        let response = source.send(|source| {
            // A statement may be longer than a URL.
            let request = source.request(Method::POST, "/query").query(&parameters);
            let request = if database.is_empty() {
                request
            } else {
                request.query(&[("db", database)])
            };
            request.form(&[("q", query)])
        });
        Ok(Self {
            source,
            query: query.to_owned(),
            response: response.await?,
            splitter: AnswerSplitter::default(),
            is_at_end: false,
        })
    }

    /// Returns the next rows; `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<SeriesRows>>, ImportError> {
        loop {
            let answer = self.splitter.next(self.is_at_end);
            if let Some(answer) = answer.map_err(|reason| self.error(reason))? {
                let series = Answer::into_series(answer);
                return series.map(Some).map_err(|reason| self.error(reason));
            }
            if self.is_at_end {
                return Ok(None);
            }
            let chunk = self.source.next_chunk(&mut self.response).await;
            match chunk.map_err(ImportError::Source)? {
                Some(bytes) => {
                    let pushed = self.splitter.push(&bytes);
                    pushed.map_err(|reason| self.error(reason))?;
                }
                None => self.is_at_end = true,
            }
        }
    }

    fn error(&self, reason: String) -> ImportError {
        ImportError::Query { query: self.query.clone(), reason }
    }
}

impl SourceTable {
    /// Returns the fields as they are selected.
    fn selected_fields(&self) -> impl Iterator<Item = String> {
        self.fields.iter().map(|field| {
            let others = self.fields.iter().filter(|other| other.name == field.name);
            let name = quoted(&field.name);
            let is_mixed = || self.mixed_numbers.iter().any(|(of, _)| *of == field.name);
            match (others.count() > 1 || is_mixed(), self.tags.contains(&field.name)) {
                (true, _) => format!("{name}::{}", field.value_type),
                (false, true) => format!("{name}::field"),
                (false, false) => name,
            }
        })
    }

    fn select(&self, columns: &str, range: TimeRange, end: &str) -> String {
        let (min, max) = (range.min.max(TIMES.min), range.max.min(TIMES.max));
        let (database, policy) = (quoted(&self.database), quoted(&self.retention_policy));
        let table = quoted(&self.name);
        format!(
            "SELECT {columns} FROM {database}.{policy}.{table} WHERE time >= {min} AND time <= {max} {end}"
        )
    }

    fn all_fields(&self) -> String {
        self.selected_fields().collect::<Vec<_>>().join(", ")
    }
}

/// Returns the first or the last time within a range; `None` without rows.
pub(super) async fn find_time(
    source: &Source,
    table: &SourceTable,
    range: TimeRange,
    is_last: bool,
) -> Result<Option<i64>, ImportError> {
    let order = if is_last {
        "ORDER BY time DESC LIMIT 1"
    } else {
        "ORDER BY time ASC LIMIT 1"
    };
    let query = table.select(&table.all_fields(), range, order);
    let rows = query_all(source, &table.database, &query).await?;
    let first = rows.iter().flat_map(|series| &series.values).next();
    Ok(first.and_then(|row| row.first()?.as_i64()))
}

/// Counts the values of each field within a range.
pub(super) async fn count(
    source: &Source,
    table: &SourceTable,
    range: TimeRange,
) -> Result<SliceCounts, ImportError> {
    let counts = table.selected_fields().map(|field| format!("count({field})"));
    let columns = counts.collect::<Vec<_>>().join(", ");
    let query = table.select(&columns, range, "");
    let rows = query_all(source, &table.database, &query).await?;
    let mut values = vec![0; table.fields.len()];
    for row in rows.iter().flat_map(|series| &series.values) {
        for (value, count) in values.iter_mut().zip(row.iter().skip(1)) {
            *value += count.as_u64().unwrap_or(0);
        }
    }
    Ok(SliceCounts { rows: None, values })
}

/// Copies the rows within a range, and counts their values.
pub(super) async fn copy(
    source: &Source,
    table: &SourceTable,
    range: TimeRange,
    plan: Option<&TablePlan>,
    writer: &mut LineWriter<'_>,
) -> Result<SliceCounts, ImportError> {
    let query = table.select(&table.all_fields(), range, "GROUP BY *");
    let mut answers = Answers::start(source, &table.database, &query).await?;
    let mut lines = RowLines { table, plan, values: vec![0; table.fields.len()], rows: 0 };
    while let Some(chunk) = answers.next().await? {
        for series in chunk {
            let head = lines.series_head(&series);
            if head.contains('\n') {
                writer.refuse(refused_series(&head, series.values.len()));
                lines.skip(&series.values);
                continue;
            }
            for row in &series.values {
                if let Some(line) = lines.encode(&head, row) {
                    writer.push(&line, 1).await?;
                }
            }
        }
    }
    writer.flush().await?;
    Ok(SliceCounts { rows: Some(lines.rows), values: lines.values })
}

/// Writes rows of an answer as lines.
struct RowLines<'a> {
    table: &'a SourceTable,
    plan: Option<&'a TablePlan>,
    /// Number of values of each field.
    values: Vec<u64>,
    rows: u64,
}

impl RowLines<'_> {
    /// Returns the measurement and tags of a series.
    fn series_head(&self, series: &SeriesRows) -> String {
        let mut head = String::new();
        push_escaped(&mut head, &self.table.name, ", ");
        for (tag, value) in series.tags.iter().filter(|(_, value)| !value.is_empty()) {
            head.push(',');
            let column = self.plan.map_or(tag.as_str(), |plan| plan.tag_column(tag));
            push_escaped(&mut head, column, ",= ");
            head.push('=');
            push_escaped(&mut head, value, ",= ");
        }
        head
    }

    /// Counts the values of rows that are refused.
    fn skip(&mut self, rows: &[Vec<Value>]) {
        for row in rows {
            for (value, count) in row.iter().skip(1).zip(&mut self.values) {
                *count += u64::from(!value.is_null());
            }
        }
    }

    /// Returns a line; `None` if all values are left out.
    fn encode(&mut self, head: &str, row: &[Value]) -> Option<String> {
        let (time, values) = row.split_first()?;
        let mut line = head.to_owned();
        let mut separator = ' ';
        for ((field, value), count) in self.table.fields.iter().zip(values).zip(&mut self.values) {
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            *count += 1;
            let action = self.plan.map(|plan| plan.action(&field.name, field.value_type));
            let (column, value_type) = match action {
                Some(ColumnAction::Skip) => continue,
                Some(ColumnAction::Keep { column }) => (column, field.value_type),
                Some(ColumnAction::Convert { column, to }) => (column, to),
                None => (field.name.clone(), field.value_type),
            };
            line.push(separator);
            separator = ',';
            let text = text.as_str();
            push_field(&mut line, &column, FieldText { text, value_type });
        }
        if separator == ' ' {
            return None;
        }
        self.rows += 1;
        writeln!(line, " {}", time.as_i64()?).ok()?;
        Some(line)
    }
}

/// Describes the rows of a series whose name or tags have a line break, which line protocol cannot write.
fn refused_series(head: &str, rows: usize) -> Option<RefusedLines> {
    let error = |row| LineError {
        line_number: row + 1,
        original_line: head.to_owned(),
        error_message: "a line break in a name or a tag".to_owned(),
        kind: LineErrorKind::Parse,
        conflict: None,
    };
    let errors: Vec<LineError> = (0..rows).map(error).collect();
    RefusedLines::of_rows(0, None, &errors)
}

/// Quotes a name for InfluxQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> SourceTable {
        let field = |name: &str, value_type| SourceField { name: name.to_owned(), value_type };
        SourceTable {
            database: "my \"db\"".to_owned(),
            retention_policy: "autogen".to_owned(),
            target: "my_db".to_owned(),
            name: "cpu x".to_owned(),
            tags: vec!["host".to_owned()],
            fields: vec![
                field("host", ValueType::String),
                field("v", ValueType::Float),
                field("v", ValueType::String),
                field("w", ValueType::Unsigned),
            ],
            mixed_numbers: Vec::new(),
        }
    }

    #[test]
    fn fields_in_conflict_are_selected_by_type() {
        let table = table();
        let query = table.select(&table.all_fields(), TimeRange::ALL, "LIMIT 1");
        assert_eq!(
            query,
            "SELECT \"host\"::field, \"v\"::float, \"v\"::string, \"w\" FROM \"my \\\"db\\\"\".\"autogen\".\"cpu x\" WHERE time >= -9223372036854775806 AND time <= 9223372036854775806 LIMIT 1"
        );
    }

    #[test]
    fn numbers_of_several_types_are_selected_once_as_floats() {
        let field = |name: &str, value_type| SourceField { name: name.to_owned(), value_type };
        let (fields, mixed_numbers) = merge_numbers(vec![
            field("a", ValueType::Integer),
            field("v", ValueType::Float),
            field("v", ValueType::Integer),
            field("v", ValueType::String),
            field("w", ValueType::Integer),
            field("w", ValueType::Unsigned),
        ]);
        let table = SourceTable { fields, mixed_numbers, ..table() };
        assert_eq!(table.all_fields(), r#""a", "v"::float, "v"::string, "w"::float"#);
        let types = vec![ValueType::Float, ValueType::Integer];
        assert_eq!(table.mixed_numbers[0], ("v".to_owned(), types));
    }

    #[test]
    fn rows_become_lines() {
        let table = table();
        let mut lines = RowLines { table: &table, plan: None, values: vec![0; 4], rows: 0 };
        let series: SeriesRows = serde_json::from_value(serde_json::json!({
            "name": "cpu x", "tags": {"host": "a b", "rack": ""}, "columns": [], "values": [],
        }))
        .unwrap();
        let head = lines.series_head(&series);
        let row = serde_json::json!([5, "x\ny", 1.5e300, "-7", 18_446_744_073_709_551_615_u64]);
        let Value::Array(row) = row else {
            panic!("a row");
        };
        assert_eq!(
            lines.encode(&head, &row).unwrap(),
            "cpu\\ x,host=a\\ b host=\"x\ny\",v=1.5e+300,v=\"-7\",w=18446744073709551615u 5\n"
        );
        let Value::Array(empty) = serde_json::json!([5, null, null, null, null]) else {
            panic!("a row");
        };
        assert_eq!(lines.encode(&head, &empty), None);
        assert_eq!((lines.rows, lines.values), (1, vec![1; 4]));
    }
}
