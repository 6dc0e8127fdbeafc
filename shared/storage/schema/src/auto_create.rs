//! Which missing tables and columns a write may create.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The tables and columns that writes to a database may create. It restricts neither the creation of a table by a request of
/// its own nor the columns of a table that the same write creates.
///
/// # Examples
///
/// ```
/// use neap_schema::AutoCreate;
///
/// assert_eq!("columns".parse(), Ok(AutoCreate::Columns));
/// assert!(!AutoCreate::Columns.allows_tables() && AutoCreate::Columns.allows_columns());
/// assert!("some".parse::<AutoCreate>().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AutoCreate {
    /// Tables and columns.
    #[default]
    All,
    /// Columns of existing tables.
    Columns,
    /// Nothing: rows with other tables or columns are refused.
    None,
}

impl AutoCreate {
    /// Returns whether a write may create tables.
    pub fn allows_tables(self) -> bool {
        self == Self::All
    }

    /// Returns whether a write may add columns to existing tables.
    pub fn allows_columns(self) -> bool {
        self != Self::None
    }

    /// Returns the name of the setting, as options and requests write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Columns => "columns",
            Self::None => "none",
        }
    }
}

impl fmt::Display for AutoCreate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Error for text that names no setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`all`, `columns` or `none` is expected")]
pub struct UnknownAutoCreate;

impl FromStr for AutoCreate {
    type Err = UnknownAutoCreate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut settings = [Self::All, Self::Columns, Self::None].into_iter();
        settings.find(|setting| setting.as_str() == text).ok_or(UnknownAutoCreate)
    }
}

/// A table or column that a write needs, and that it may not create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreationRefused {
    /// The table.
    pub table: String,
    /// The column; `None`: the table does not exist.
    pub column: Option<String>,
    /// The setting of the database.
    pub auto_create: AutoCreate,
}

impl fmt::Display for CreationRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, column, auto_create } = self;
        match column {
            None => write!(
                f,
                "table '{table}' does not exist, and writes to this database create no tables (auto-create: {auto_create})"
            ),
            Some(column) => write!(
                f,
                "column '{column}' of table '{table}' does not exist, and writes to this database create no columns (auto-create: {auto_create})"
            ),
        }
    }
}

impl std::error::Error for CreationRefused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_read_as_it_is_shown() {
        for setting in [AutoCreate::All, AutoCreate::Columns, AutoCreate::None] {
            assert_eq!(setting.to_string().parse(), Ok(setting));
        }
        assert_eq!("All".parse::<AutoCreate>(), Err(UnknownAutoCreate));
    }
}
