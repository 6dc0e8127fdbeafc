//! The file that a `COPY` statement writes: its name, format and options.

use datafusion::{
    common::{Result, plan_err},
    sql::{parser::CopyToStatement, sqlparser::ast::Value},
};
use neap_bucket::{ExportName, UploadMode};

/// The option that lets a statement replace a file.
const OVERWRITE: &str = "overwrite";

/// The format of an exported file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyFormat {
    /// An Apache Parquet file.
    Parquet,
    /// Comma-separated values with a header line.
    Csv,
    /// One JSON object per line.
    JsonLines,
    /// An Arrow IPC file.
    Arrow,
}

impl CopyFormat {
    /// Returns the format of a name in `STORED AS`, or of a file extension.
    fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "parquet" => Some(Self::Parquet),
            "csv" => Some(Self::Csv),
            "json" | "jsonl" | "ndjson" => Some(Self::JsonLines),
            "arrow" => Some(Self::Arrow),
            _ => None,
        }
    }

    /// The content type of the file.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Csv => "text/csv",
            Self::JsonLines => "application/jsonl",
            Self::Arrow => "application/vnd.apache.arrow.file",
        }
    }
}

/// The file that a `COPY` statement writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CopyTarget {
    /// The name below the exports of the database.
    pub(crate) name: ExportName,
    pub(crate) format: CopyFormat,
    /// Whether it may replace a file.
    pub(crate) mode: UploadMode,
}

impl CopyTarget {
    /// Returns the target of a statement.
    /// Fails if the name can't be used, the format is unknown, or an option does not exist.
    pub(crate) fn from_statement(statement: &CopyToStatement) -> Result<Self> {
        let name: ExportName = match statement.target.parse() {
            Ok(name) => name,
            Err(error) => return plan_err!("COPY TO: {error}"),
        };
        if let Some(column) = statement.partitioned_by.first() {
            return plan_err!(
                "COPY writes one file, so PARTITIONED BY ({column}) is not supported; `neap export` writes a file for \
                 each day"
            );
        }
        Ok(Self {
            format: format_of(statement, &name)?,
            mode: mode_of(&statement.options)?,
            name,
        })
    }
}

/// Returns the format that the statement names, or else that of the extension of the name.
fn format_of(statement: &CopyToStatement, name: &ExportName) -> Result<CopyFormat> {
    const FORMATS: &str = "PARQUET, CSV, JSON or ARROW";
    if let Some(named) = &statement.stored_as {
        return match CopyFormat::from_name(named) {
            Some(format) => Ok(format),
            None => plan_err!("COPY ... STORED AS {named} is not supported: use {FORMATS}"),
        };
    }
    let extension = name.as_str().rsplit_once('.');
    match extension.and_then(|(_, extension)| CopyFormat::from_name(extension)) {
        Some(format) => Ok(format),
        None => plan_err!(
            "COPY TO '{name}': add STORED AS {FORMATS}, because the name ends with none of .parquet, .csv, .json, \
             .jsonl, .arrow"
        ),
    }
}

fn mode_of(options: &[(String, Value)]) -> Result<UploadMode> {
    let mut mode = UploadMode::Create;
    for (key, value) in options {
        if !key.eq_ignore_ascii_case(OVERWRITE) {
            return plan_err!("COPY has no option '{key}'; it has '{OVERWRITE}'");
        }
        let text = match value {
            Value::SingleQuotedString(text) => text.to_ascii_lowercase(),
            other => other.to_string().to_ascii_lowercase(),
        };
        mode = match text.as_str() {
            "true" => UploadMode::Replace,
            "false" => UploadMode::Create,
            _ => return plan_err!("COPY: the option '{OVERWRITE}' is 'true' or 'false'"),
        };
    }
    Ok(mode)
}
