//! The answer to an upload, as JSON or text.

use std::fmt::Write;

use arrow::datatypes::SchemaRef;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use neap_http::{ApiError, Kind};
use neap_write::{DuplicateRows, LineError};
use serde_json::{Value, json};

use crate::column_types::type_name;

/// Maximum number of refused rows that the answer shows.
const MAX_SHOWN_ERRORS: usize = 100;

/// The result of an upload.
#[derive(Debug)]
pub(crate) struct ImportOutcome {
    pub(crate) table: String,
    /// The column with the times.
    pub(crate) time: String,
    /// The number of stored rows.
    pub(crate) imported: usize,
    /// The number of refused rows.
    pub(crate) rejected: usize,
    /// The refused rows, at most those that the write function reports.
    pub(crate) errors: Vec<LineError>,
    /// The stored rows that replace each other, if they are many and the table has no tags.
    pub(crate) duplicates: Option<DuplicateRows>,
    pub(crate) columns: Vec<ImportedColumn>,
}

/// A column of the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ImportedColumn {
    pub(crate) name: String,
    /// The type in QuestDB's terms.
    pub(crate) kind: &'static str,
}

/// Describes the columns of a file.
pub(crate) fn columns(
    names: &[String],
    types: &Option<SchemaRef>,
    symbols: &[String],
    time: &str,
) -> Vec<ImportedColumn> {
    let kind = |name: &String| {
        if name == time {
            return "TIMESTAMP_NS";
        }
        if symbols.contains(name) {
            return "SYMBOL";
        }
        let field = types.as_ref().and_then(|types| types.field_with_name(name).ok());
        field.map_or("VARCHAR", |field| type_name(field.data_type()))
    };
    let describe = |name: &String| ImportedColumn { name: name.clone(), kind: kind(name) };
    names.iter().map(describe).collect()
}

/// Builds the answer.
pub(crate) fn respond(outcome: Result<ImportOutcome, ApiError>, as_json: bool) -> Response {
    match outcome {
        Ok(outcome) if as_json => with_type(StatusCode::OK, JSON, outcome.as_json().to_string()),
        Ok(outcome) => with_type(StatusCode::OK, TEXT, outcome.as_text()),
        Err(error) if matches!(error.kind(), Kind::Unauthenticated | Kind::Forbidden) => {
            error.into_response()
        }
        Err(error) => {
            let status = error.kind().status();
            if as_json {
                with_type(status, JSON, json!({ "status": error.message() }).to_string())
            } else {
                with_type(status, TEXT, error.message().to_owned())
            }
        }
    }
}

const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

fn with_type(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let mut response = (status, body).into_response();
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

impl ImportOutcome {
    fn as_json(&self) -> Value {
        let columns = self.columns.iter().map(
            |column| json!({ "name": column.name, "type": column.kind, "size": 0, "errors": 0 }),
        );
        let errors = self
            .errors
            .iter()
            .take(MAX_SHOWN_ERRORS)
            .map(|error| json!({ "row": error.line_number, "error": error.error_message }));
        let mut answer = json!({
            "status": "OK",
            "location": self.table,
            "rowsRejected": self.rejected,
            "rowsImported": self.imported,
            "header": true,
            "partitionBy": "DAY",
            "timestamp": self.time,
            "columns": columns.collect::<Value>(),
            "errors": errors.collect::<Value>(),
        });
        if let (Some(duplicates), Some(answer)) = (self.duplicates, answer.as_object_mut()) {
            answer.insert("warning".to_owned(), json!(duplicates.to_string()));
        }
        answer
    }

    fn as_text(&self) -> String {
        let mut text = String::new();
        let rows = [
            ("Location", self.table.clone()),
            ("Partition by", "DAY".to_owned()),
            ("Timestamp", self.time.clone()),
            ("Rows handled", (self.imported + self.rejected).to_string()),
            ("Rows imported", self.imported.to_string()),
            ("Rows rejected", self.rejected.to_string()),
        ];
        let columns =
            self.columns.iter().map(|column| (column.name.as_str(), column.kind.to_owned()));
        let errors = self.errors.iter().take(MAX_SHOWN_ERRORS);
        let rule = format!("+{}+\n", "-".repeat(66));
        text.push_str(&rule);
        for (name, value) in rows.into_iter().chain(columns) {
            // Writing to a string does not fail.
            writeln!(text, "| {name:>30} | {value:>31} |").ok();
        }
        text.push_str(&rule);
        if let Some(duplicates) = self.duplicates {
            writeln!(text, "warning: {duplicates}").ok();
        }
        for error in errors {
            writeln!(text, "row {}: {}", error.line_number, error.error_message).ok();
        }
        text
    }
}
