//! What a check finds.

use std::fmt;

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Not as it should be, but no answer to a query is wrong.
    Warning,
    /// Data is lost, or queries fail or give wrong answers.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// An object that is named is not there.
    Missing,
    /// An object ends before what is named in it does.
    Truncated,
    /// The bytes of an object are not those that were written.
    Damaged,
    /// A damaged object that an operator has set aside.
    Quarantined,
    /// An object was written by a newer release.
    Newer,
    /// Data names a table that the catalog lacks.
    UnknownTable,
    /// Data names a column that the catalog lacks or has with another type.
    UnknownColumn,
    /// The catalog is older than the data.
    CatalogBehind,
    /// A register contradicts itself.
    Contradiction,
    /// Two sections claim the same table, day and stamp.
    Overlap,
    /// The manifest says something else of a section or page than what is in it.
    WrongStatistics,
    /// The rows of a section are not in the order of its series key.
    Unsorted,
    /// A section has a point twice.
    DuplicatePoint,
    /// A row delete is not applied any more, and rows that it removes are visible.
    ForgottenDelete,
    /// A stamp or mark is ahead of the store's clock.
    ClockAhead,
    /// The tail of a database is long or old: flushes are behind, or give up.
    NotFlushed,
    /// An object that nothing names.
    Orphan,
    /// Objects of a database that the root catalog lacks.
    UnknownDatabase,
    /// A key that is none of Neap's. It is never touched.
    AlienKey,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What kind of thing is wrong.
    pub kind: FindingKind,
    /// The object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The name of the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The name of the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// What is wrong, for people.
    pub message: String,
}

impl Finding {
    /// A finding that is about nothing in particular yet.
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

    pub(crate) fn error(kind: FindingKind, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, kind, message)
    }

    pub(crate) fn warning(kind: FindingKind, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, kind, message)
    }

    pub(crate) fn note(kind: FindingKind, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, kind, message)
    }

    /// About an object.
    pub(crate) fn at(self, key: impl fmt::Display) -> Self {
        Self {
            key: Some(key.to_string()),
            ..self
        }
    }

    /// About a table.
    pub(crate) fn of_table(self, table: impl Into<String>) -> Self {
        Self {
            table: Some(table.into()),
            ..self
        }
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
