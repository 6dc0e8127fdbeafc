//! A lookup by name beside a map by id: built when it is first asked, never stored.

use std::{collections::HashMap, sync::OnceLock};

/// Names and what they stand for. A clone starts empty, since clones are made to be changed.
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
    /// What `name` stands for; of equal names that `entries` gives, the last one counts.
    pub(crate) fn get<'a, E>(&self, name: &str, entries: impl FnOnce() -> E) -> Option<I>
    where
        E: Iterator<Item = (&'a str, I)>,
    {
        let index = self
            .0
            .get_or_init(|| entries().map(|(name, id)| (name.to_owned(), id)).collect());
        index.get(name).copied()
    }

    /// Takes in one more name.
    pub(crate) fn insert(&mut self, name: &str, id: I) {
        if let Some(index) = self.0.get_mut() {
            index.insert(name.to_owned(), id);
        }
    }

    /// Forgets everything, for the next question to build it again.
    pub(crate) fn reset(&mut self) {
        self.0 = OnceLock::new();
    }
}
