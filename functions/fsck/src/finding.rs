//! The findings of a check.

use std::fmt;

use serde::Serialize;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, strum::Display)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// For information.
    Note,
    /// A problem that makes no query answer wrong.
    Warning,
    /// Data is lost, or queries fail or return wrong answers.
    Error,
}

/// The kind of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A referenced object does not exist.
    Missing,
    /// An object ends before a referenced range does.
    Truncated,
    /// The bytes of an object differ from those that were written.
    Damaged,
    /// A damaged object that an operator has quarantined.
    Quarantined,
    /// An object was written by a newer release.
    Newer,
    /// Data references a table that the catalog lacks.
    UnknownTable,
    /// Data references a column that the catalog lacks or has with another type.
    UnknownColumn,
    /// The catalog is older than the data.
    CatalogBehind,
    /// A register contradicts itself.
    Contradiction,
    /// Two sections claim the same table, day and stamp.
    Overlap,
    /// The statistics of a section or page in the manifest differ from its content.
    WrongStatistics,
    /// The rows of a section are not in the order of its series key.
    Unsorted,
    /// A section contains a point twice.
    DuplicatePoint,
    /// A row delete is no longer applied, and rows that it removes are visible.
    ForgottenDelete,
    /// A stamp or low-water mark is ahead of the store's clock.
    ClockAhead,
    /// The tail of a database is long or old, because flushes are late or fail.
    NotFlushed,
    /// A backup that can't be restored completely.
    DamagedBackup,
    /// An unreferenced object.
    Orphan,
    /// Objects of a database that the root catalog lacks.
    UnknownDatabase,
    /// A key that does not belong to Neap. It is never changed.
    AlienKey,
}

/// A problem or a remark that a check reports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The severity.
    pub severity: Severity,
    /// The kind of a finding.
    pub kind: FindingKind,
    /// The key of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The name of the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The name of the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The description.
    pub message: String,
}

impl Finding {
    /// Creates a finding without an object and a table.
    pub(crate) fn new(severity: Severity, kind: FindingKind, message: impl Into<String>) -> Self {
        Self {
            severity,
            kind,
            key: None,
            database: None,
            table: None,
            message: message.into(),
        }
    }

    /// Creates an error without an object and a table.
    pub fn error(kind: FindingKind, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, kind, message)
    }

    pub(crate) fn warning(kind: FindingKind, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, kind, message)
    }

    pub(crate) fn note(kind: FindingKind, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, kind, message)
    }

    /// Sets the object.
    pub(crate) fn at(self, key: impl fmt::Display) -> Self {
        Self { key: Some(key.to_string()), ..self }
    }

    /// Sets the table.
    pub(crate) fn of_table(self, table: impl Into<String>) -> Self {
        Self { table: Some(table.into()), ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:7} ", self.severity)?;
        if let Some(key) = &self.key {
            write!(f, " {key}")?;
        }
        match (&self.database, &self.table) {
            (Some(database), Some(table)) => write!(f, " ({database:?}.{table:?})")?,
            (Some(database), None) => write!(f, " ({database:?})")?,
            _ => {}
        }
        write!(f, ": {}", self.message)
    }
}
