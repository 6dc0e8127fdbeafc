//! The tables of a source.

use neap_tsm::ValueType;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceTable {
    pub(super) database: String,
    pub(super) retention_policy: String,
    /// The database to write to.
    pub(super) target: String,
    pub(super) name: String,
    pub(super) tags: Vec<String>,
    pub(super) fields: Vec<SourceField>,
    /// Fields that have several types of numbers in the source, and are copied as floats, with these types.
    pub(super) mixed_numbers: Vec<(String, Vec<ValueType>)>,
}

/// A field of a table. A field of several types occurs several times.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SourceField {
    pub(super) name: String,
    pub(super) value_type: ValueType,
}

impl SourceTable {
    /// Returns the name of the table in messages and in the state of an import.
    pub(super) fn unit_name(&self) -> String {
        let Self { database, retention_policy, name, .. } = self;
        format!("{database}/{retention_policy}/{name}")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SliceCounts {
    /// Number of rows; `None` if it is unknown.
    pub(super) rows: Option<u64>,
    /// Number of values of each field; empty if it is unknown.
    pub(super) values: Vec<u64>,
}

impl SliceCounts {
    /// Returns the number of values, or of rows if only that is known.
    pub(super) fn size(&self) -> u64 {
        let values: u64 = self.values.iter().sum();
        values.max(self.rows.unwrap_or(0))
    }

    /// Returns whether both are the same, as far as both are known.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        let has_rows = self.rows.is_some() && other.rows.is_some();
        self.values == other.values && (!has_rows || self.rows == other.rows)
    }
}
