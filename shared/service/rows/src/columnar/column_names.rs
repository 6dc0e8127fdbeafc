//! Finds the columns of a table by their names.

use ahash::RandomState;
use hashbrown::HashTable;

/// The number of names that are compared one after the other. Most tables have few columns and few rows, for which building a
/// hash table takes longer.
const MAX_COMPARED: usize = 8;

/// The positions of columns by their names. The names are those of the columns that the caller has.
#[derive(Debug)]
pub(crate) struct ColumnNames {
    /// All positions, or none while there are few.
    positions: HashTable<usize>,
    hasher: RandomState,
}

impl ColumnNames {
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self { positions: HashTable::new(), hasher }
    }

    /// Returns the position of a name. `columns` are all columns, and `name_of` is their name.
    pub(crate) fn find<C>(
        &self,
        name: &str,
        columns: &[C],
        name_of: impl Fn(&C) -> &str,
    ) -> Option<usize> {
        if self.positions.is_empty() {
            return columns.iter().position(|column| name_of(column) == name);
        }
        let is_it = |at: &usize| columns.get(*at).is_some_and(|it| name_of(it) == name);
        let hash = self.hasher.hash_one(name);
        self.positions.find(hash, is_it).copied()
    }

    /// Adds the last one of the columns.
    pub(crate) fn add_last<C>(&mut self, columns: &[C], name_of: impl Fn(&C) -> &str) {
        let Self { positions, hasher } = self;
        if positions.is_empty() && columns.len() <= MAX_COMPARED {
            return;
        }
        let first = if positions.is_empty() {
            0
        } else {
            columns.len() - 1
        };
        let hash_of = |at: &usize| hasher.hash_one(columns.get(*at).map_or("", &name_of));
        for at in first..columns.len() {
            positions.insert_unique(hash_of(&at), at, hash_of);
        }
    }

    /// Removes the column at a position. All behind it are removed, too, before another one is added.
    pub(crate) fn remove(&mut self, name: &str, position: usize) {
        let hash = self.hasher.hash_one(name);
        if let Ok(entry) = self.positions.find_entry(hash, |at| *at == position) {
            entry.remove();
        }
    }

    /// Removes all columns.
    pub(crate) fn clear(&mut self) {
        self.positions.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_while_others_are_added_and_removed() {
        for count in [1, MAX_COMPARED, MAX_COMPARED + 1, 100] {
            let mut names = ColumnNames::new(RandomState::new());
            let mut columns: Vec<String> = Vec::new();
            for added in [0..count, count / 2..count] {
                for position in added {
                    assert_eq!(names.find(&position.to_string(), &columns, |it| it), None);
                    columns.push(position.to_string());
                    names.add_last(&columns, |it| it);
                }
                for (position, name) in columns.iter().enumerate() {
                    assert_eq!(names.find(name, &columns, |it| it), Some(position));
                }
                let removed: Vec<String> = columns.drain(count / 2..).collect();
                for (offset, name) in removed.iter().enumerate() {
                    names.remove(name, count / 2 + offset);
                    assert_eq!(names.find(name, &columns, |it| it), None);
                }
            }
            names.clear();
            assert_eq!(names.find("0", &[] as &[String], |it| it), None);
        }
    }
}
