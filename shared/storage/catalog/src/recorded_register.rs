//! The registers whose creation a catalog records.

use std::collections::BTreeSet;

use neap_bucket::Key;
use serde::{Deserialize, Serialize};

/// A register whose creation is recorded in the catalog of its database, or in the root catalog if it belongs to the
/// cluster. If it is recorded and missing, it is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedRegister {
    /// The manifest of a database.
    Manifest,
    /// The documents of a database.
    Documents,
    /// The log of requests to delete rows.
    RowDeletes,
}

impl RecordedRegister {
    /// Returns the register with this key, if its creation is recorded.
    pub fn from_key(key: &Key) -> Option<Self> {
        match key {
            Key::Manifest(_) => Some(Self::Manifest),
            Key::Documents(_) => Some(Self::Documents),
            Key::RowDeletes => Some(Self::RowDeletes),
            _ => None,
        }
    }

    /// Returns the keys of the registers that a catalog records; none if the key is not that of a catalog.
    pub fn recorded_by(catalog: &Key) -> Vec<Key> {
        match catalog {
            Key::RootCatalog => vec![Key::RowDeletes],
            Key::DatabaseCatalog(database) => {
                vec![Key::Manifest(*database), Key::Documents(*database)]
            }
            _ => Vec::new(),
        }
    }
}

/// The registers whose creation a catalog records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordedRegisters(BTreeSet<RecordedRegister>);

impl RecordedRegisters {
    /// Returns whether the creation of a register is recorded.
    pub fn contains(&self, register: RecordedRegister) -> bool {
        self.0.contains(&register)
    }

    /// Returns whether no creation is recorded.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Records that a register was created. Returns whether this was not recorded.
    pub(crate) fn insert(&mut self, register: RecordedRegister) -> bool {
        self.0.insert(register)
    }

    /// Removes the record that a register was created. Returns whether there was one.
    pub(crate) fn remove(&mut self, register: RecordedRegister) -> bool {
        self.0.remove(&register)
    }
}

#[cfg(test)]
mod tests {
    use neap_bucket::AbsencePolicy;
    use neap_schema::DatabaseId;

    use super::*;

    #[test]
    fn the_registers_that_a_record_proves_are_recorded() {
        let keys = Key::one_of_each_kind(DatabaseId::new(1));
        let recorded: Vec<_> = keys.iter().flat_map(RecordedRegister::recorded_by).collect();
        for key in keys {
            let is_proven = key.absence() == AbsencePolicy::Recorded;
            let register = RecordedRegister::from_key(&key);
            assert_eq!(register.is_some(), is_proven, "{key}");
            assert_eq!(recorded.contains(&key), is_proven, "{key}");
        }
    }
}
