//! The manifest of an export: what is exported, and the parts that are finished.

use serde::{Deserialize, Serialize};

use super::{ExportCompression, ExportError, ExportFormat, ExportResult, TimeRange};

/// The version of the manifest.
const VERSION: u32 = 1;

/// Maximum number of parts. A part takes about 300 bytes of memory.
const MAX_PARTS: usize = 1_000_000;

/// What is exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ExportSource {
    /// All tables of the database.
    Database,
    /// These tables.
    Tables(Vec<String>),
    /// The rows of an SQL query.
    Query(String),
}

/// The options of an export that determine the contents of its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExportRequest {
    pub(crate) database: String,
    /// What is exported.
    pub(crate) source: ExportSource,
    /// The format of the files.
    pub(crate) format: ExportFormat,
    /// The compression of the files.
    pub(crate) compression: ExportCompression,
    /// The times of the rows; all times for a query.
    pub(crate) times: TimeRange,
    /// The time or stamp as of which the user wants the rows.
    pub(crate) as_of: Option<String>,
}

impl ExportRequest {
    /// Returns the first option in which two requests differ.
    fn difference(&self, other: &Self) -> Option<&'static str> {
        [
            (self.database != other.database, "database"),
            (self.source != other.source, "choice of tables or query"),
            (self.format != other.format, "format"),
            (self.compression != other.compression, "compression"),
            (self.times != other.times, "time range"),
            (self.as_of != other.as_of, "--as-of"),
        ]
        .into_iter()
        .find_map(|(differs, name)| differs.then_some(name))
    }
}

/// A finished part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartRecord {
    /// The table; `None` for a query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) table: Option<String>,
    /// The times of the rows.
    pub(super) times: TimeRange,
    /// The file relative to the directory of the export; `None` if there are no rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
    /// The number of rows.
    pub(super) rows: u64,
    /// The number of bytes of the file.
    pub(super) bytes: u64,
    /// The SHA-256 of the file as hexadecimal digits.
    pub(super) sha256: String,
}

/// The manifest of an export, in `export.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ExportManifest {
    version: u32,
    /// The options.
    pub(super) request: ExportRequest,
    /// The stamp as of which all parts are; `None` before the first query, and for servers without stamps.
    pub(super) as_of: Option<u64>,
    /// Whether all parts are finished.
    pub(super) complete: bool,
    /// The finished parts.
    pub(super) parts: Vec<PartRecord>,
}

impl ExportManifest {
    /// Creates the manifest of an export that has not begun.
    pub(super) fn new(request: ExportRequest) -> Self {
        Self {
            version: VERSION,
            request,
            as_of: None,
            complete: false,
            parts: Vec::new(),
        }
    }

    /// Decodes a manifest.
    ///
    /// # Errors
    /// The text is not a manifest of this version. The error is the cause.
    pub(super) fn decode(text: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        match manifest.version {
            VERSION => Ok(manifest),
            other => {
                Err(format!("it has version {other}, and this release reads version {VERSION}"))
            }
        }
    }

    /// Encodes the manifest.
    ///
    /// # Errors
    /// The error is the cause.
    pub(super) fn encode(&self) -> Result<Vec<u8>, String> {
        serde_json::to_vec_pretty(self).map_err(|error| error.to_string())
    }

    /// Checks that the manifest is one of a request.
    ///
    /// # Errors
    /// Another request.
    pub(super) fn check(&self, request: &ExportRequest, directory: &str) -> ExportResult {
        match self.request.difference(request) {
            None => Ok(()),
            Some(difference) => {
                Err(ExportError::OtherExport { directory: directory.to_owned(), difference })
            }
        }
    }

    /// Adds a finished part.
    ///
    /// # Errors
    /// Too many parts.
    pub(super) fn add(&mut self, part: PartRecord) -> ExportResult {
        if self.parts.len() >= MAX_PARTS {
            return Err(ExportError::TooManyParts(MAX_PARTS));
        }
        self.parts.push(part);
        Ok(())
    }

    /// Returns the times of the finished parts of a table.
    pub(super) fn finished(&self, table: &str) -> Vec<TimeRange> {
        self.parts
            .iter()
            .filter(|part| part.table.as_deref() == Some(table))
            .map(|part| part.times)
            .collect()
    }
}

#[cfg(test)]
pub(super) fn request() -> ExportRequest {
    ExportRequest {
        database: "garden".to_owned(),
        source: ExportSource::Database,
        format: ExportFormat::Parquet,
        compression: ExportCompression::Zstd,
        times: TimeRange::ALL,
        as_of: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let mut manifest = ExportManifest::new(request());
        manifest.as_of = Some(u64::MAX);
        let part = PartRecord {
            table: Some("cpu \"1\"".to_owned()),
            times: TimeRange::ALL,
            path: Some("cpu/day=2026-11-01/part-00000000000000.parquet".to_owned()),
            rows: 7,
            bytes: 8,
            sha256: "ab".to_owned(),
        };
        manifest.add(part).unwrap();
        let text = manifest.encode().unwrap();
        assert_eq!(ExportManifest::decode(&text), Ok(manifest));
    }

    #[test]
    fn other_versions_and_other_text_are_refused() {
        let mut manifest = ExportManifest::new(request());
        manifest.version = 2;
        let error = ExportManifest::decode(&manifest.encode().unwrap()).unwrap_err();
        assert_eq!(error, "it has version 2, and this release reads version 1");
        assert!(ExportManifest::decode(b"{}").is_err());
        assert!(ExportManifest::decode(b"").is_err());
    }

    #[test]
    fn an_export_with_other_options_is_named_by_the_option() {
        let manifest = ExportManifest::new(request());
        assert!(manifest.check(&request(), "d").is_ok());
        let other = ExportRequest { format: ExportFormat::Csv, ..request() };
        let error = manifest.check(&other, "d").unwrap_err().to_string();
        assert!(error.starts_with("d has an export with another format: "), "{error}");
    }
}
