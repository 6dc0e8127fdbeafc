//! A lookup by name for a map by id: built on first use, never stored.

use std::{collections::HashMap, sync::OnceLock};

/// Maps names to ids. A clone starts empty, because clones are made to be changed.
#[derive(Debug)]
pub(crate) struct NameIndex<I>(OnceLock<HashMap<String, I>>);

impl<I> Default for NameIndex<I> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<I> Clone for NameIndex<I> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<I: Copy> NameIndex<I> {
    /// Returns the id for `name`. If `entries` contains a name twice, the last entry counts.
    pub(crate) fn get<'a, E>(&self, name: &str, entries: impl FnOnce() -> E) -> Option<I>
    where
        E: Iterator<Item = (&'a str, I)>,
    {
        let index = self
            .0
            .get_or_init(|| entries().map(|(name, id)| (name.to_owned(), id)).collect());
        index.get(name).copied()
    }

    /// Adds a name.
    pub(crate) fn insert(&mut self, name: &str, id: I) {
        if let Some(index) = self.0.get_mut() {
            index.insert(name.to_owned(), id);
        }
    }

    /// Clears the index. The next lookup rebuilds it.
    pub(crate) fn reset(&mut self) {
        self.0 = OnceLock::new();
    }
}
