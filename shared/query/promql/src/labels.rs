//! The labels of series.

use std::sync::Arc;

/// The label with the name of the metric.
pub const NAME_LABEL: &str = "__name__";

/// The labels of a series, sorted by name. No label is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

impl Labels {
    /// Returns the value of a label; empty if the series does not have it.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        let position = self.0.binary_search_by(|(label, _)| (**label).cmp(name));
        let label = position.ok().and_then(|position| self.0.get(position));
        label.map_or("", |(_, value)| value)
    }

    /// Iterates over names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}
