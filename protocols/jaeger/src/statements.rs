//! The statements in SQL.

use arrow_schema::Schema;
use neap_query::{promql::TimeRange, quoted_name, quoted_text};

use crate::{
    search::TraceSearch,
    trace_set::{MAX_EVENTS, MAX_SPANS},
};

/// The table of spans.
pub(crate) const SPANS: &str = "spans";

/// The table of the events of spans, and of log records.
pub(crate) const EVENTS: &str = "logs";

/// Maximum number of services, and of operations of a service, that are listed.
const MAX_LISTED: usize = 1_000;

fn has(columns: &Schema, name: &str) -> bool {
    columns.column_with_name(name).is_some()
}

/// Returns the statement of the names of services; `None` if no span has one.
pub(crate) fn services(columns: &Schema, range: TimeRange) -> Option<String> {
    has(columns, "service.name").then(|| {
        let mut conditions = range.conditions();
        conditions.push(r#""service.name" IS NOT NULL"#.to_owned());
        format!(
            r#"SELECT DISTINCT "service.name" AS name FROM {SPANS} WHERE {} ORDER BY name LIMIT {MAX_LISTED}"#,
            conditions.join(" AND ")
        )
    })
}

/// Returns the statement of the names and kinds of the spans of a service; `None` if no span has a service or a name.
pub(crate) fn operations(columns: &Schema, service: &str, range: TimeRange) -> Option<String> {
    if !has(columns, "service.name") || !has(columns, "span.name") {
        return None;
    }
    let kind = if has(columns, "span.kind") {
        r#""span.kind""#
    } else {
        "''"
    };
    let mut conditions = range.conditions();
    conditions.push(equals("service.name", service));
    Some(format!(
        r#"SELECT DISTINCT "span.name" AS name, {kind} AS kind FROM {SPANS} WHERE {} ORDER BY name, kind LIMIT {MAX_LISTED}"#,
        conditions.join(" AND ")
    ))
}

/// Returns the statement of the ids of the traces that have a span which matches a search, newest first.
pub(crate) fn search(search: &TraceSearch, columns: &Schema) -> String {
    let mut conditions = search.range.conditions();
    let named = [
        ("service.name", Some(&search.service)),
        ("span.name", search.operation.as_ref()),
    ];
    for (column, value) in named {
        if let Some(value) = value {
            conditions.push(if has(columns, column) {
                equals(column, value)
            } else {
                "FALSE".to_owned()
            });
        }
    }
    let duration = if has(columns, "duration_nano") {
        "\"duration_nano\""
    } else {
        "0"
    };
    conditions.extend(search.min_duration_ns.map(|least| format!("{duration} >= {least}")));
    conditions.extend(search.max_duration_ns.map(|most| format!("{duration} <= {most}")));
    conditions.extend(search.tags.iter().map(|(name, value)| tag(columns, name, value)));
    format!(
        r#"SELECT "trace_id", max("time") AS newest FROM {SPANS} WHERE {} GROUP BY "trace_id" ORDER BY newest DESC, "trace_id" LIMIT {}"#,
        conditions.join(" AND "),
        search.limit
    )
}

/// Returns the statement of the spans of traces, by time.
pub(crate) fn spans(ids: &[String], range: TimeRange) -> String {
    rows_of_traces(SPANS, ids, range, MAX_SPANS)
}

/// Returns the statement of the events and log records of traces, by time.
pub(crate) fn events(ids: &[String], range: TimeRange) -> String {
    rows_of_traces(EVENTS, ids, range, MAX_EVENTS)
}

fn rows_of_traces(table: &str, ids: &[String], range: TimeRange, limit: usize) -> String {
    let list = ids.iter().map(|id| quoted_text(id)).collect::<Vec<_>>().join(", ");
    let mut conditions = range.conditions();
    conditions.push(format!(r#""trace_id" IN ({list})"#));
    format!(
        r#"SELECT * FROM {table} WHERE {} ORDER BY "time" LIMIT {limit}"#,
        conditions.join(" AND ")
    )
}

fn equals(column: &str, value: &str) -> String {
    format!("{} = {}", quoted_name(column), quoted_text(value))
}

/// Returns the condition of a tag: a column, or an attribute.
fn tag(columns: &Schema, name: &str, value: &str) -> String {
    match name {
        "error" if has(columns, "otel.status_code") => {
            let is_error = r#"coalesce("otel.status_code" = 'Error', FALSE)"#;
            format!("{is_error} = {}", value == "true")
        }
        "span.kind" if has(columns, name) => {
            format!(r#"lower("span.kind") = {}"#, quoted_text(&value.to_lowercase()))
        }
        _ if has(columns, name) => {
            format!("CAST({} AS VARCHAR) = {}", quoted_name(name), quoted_text(value))
        }
        _ if has(columns, "attributes") => {
            format!(r#"("attributes" ->> {}) = {}"#, quoted_text(name), quoted_text(value))
        }
        _ => "FALSE".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::{DataType, Field};

    use super::*;

    fn columns(names: &[&str]) -> Schema {
        let fields = names.iter().map(|name| Field::new(*name, DataType::Utf8, true));
        Schema::new(fields.collect::<Vec<_>>())
    }

    fn search_for(tags: &[(&str, &str)]) -> TraceSearch {
        TraceSearch {
            service: "it's".to_owned(),
            operation: None,
            range: TimeRange::ALL,
            min_duration_ns: Some(5),
            max_duration_ns: None,
            tags: tags.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            limit: 3,
        }
    }

    #[test]
    fn names_and_values_are_quoted_and_missing_columns_match_nothing() {
        let known =
            columns(&["service.name", "attributes", "otel.status_code", "rack", "duration_nano"]);
        let tags = [("http.route", "/a'b"), ("error", "true"), ("rack", "7")];
        assert_eq!(
            search(&search_for(&tags), &known),
            r#"SELECT "trace_id", max("time") AS newest FROM spans WHERE "service.name" = 'it''s' AND "duration_nano" >= 5 AND ("attributes" ->> 'http.route') = '/a''b' AND coalesce("otel.status_code" = 'Error', FALSE) = true AND CAST("rack" AS VARCHAR) = '7' GROUP BY "trace_id" ORDER BY newest DESC, "trace_id" LIMIT 3"#
        );
        let none = search(&search_for(&[("a", "b")]), &columns(&[]));
        assert!(none.contains("WHERE FALSE AND 0 >= 5 AND FALSE GROUP BY"), "{none}");
        assert_eq!(services(&columns(&[]), TimeRange::ALL), None);
        assert_eq!(operations(&known, "a", TimeRange::ALL), None);
    }
}
