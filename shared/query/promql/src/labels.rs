//! The labels of series.

use std::{fmt, sync::Arc};

/// The label with the name of the metric.
pub const NAME_LABEL: &str = "__name__";

/// The labels that describe a metric. What is computed from the metric does not have them.
const METADATA_LABELS: [&str; 3] = [NAME_LABEL, "__type__", "__unit__"];

type Label = (Arc<str>, Arc<str>);

/// The labels of a series, sorted by name. No label is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Arc<[Label]>);

impl Labels {
    /// Returns the value of a label; empty if the series does not have it.
    pub fn get(&self, name: &str) -> &str {
        let position = self.0.binary_search_by(|(label, _)| (**label).cmp(name));
        let label = position.ok().and_then(|position| self.0.get(position));
        label.map_or("", |(_, value)| value)
    }

    /// Iterates over names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Creates labels of different names. Empty labels are left out.
    pub(crate) fn from_pairs(pairs: impl IntoIterator<Item = Label>) -> Self {
        let mut labels: Vec<Label> =
            pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        labels.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Self(labels.into())
    }

    fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        if self.0.iter().all(|(name, _)| keep(name)) {
            return self.clone();
        }
        Self(self.0.iter().filter(|(name, _)| keep(name)).cloned().collect())
    }

    /// Returns the labels that do not describe the metric.
    pub(crate) fn remove_metadata(&self) -> Self {
        self.filtered(|name| !METADATA_LABELS.contains(&name))
    }

    pub(crate) fn select(&self, names: &[String]) -> Self {
        self.filtered(|name| names.iter().any(|kept| kept == name))
    }

    /// Returns the labels of other names.
    pub(crate) fn remove(&self, names: &[String]) -> Self {
        self.filtered(|name| !names.iter().any(|removed| removed == name))
    }

    /// Returns the labels of other names, without the name of the metric.
    pub(crate) fn remove_with_name(&self, names: &[String]) -> Self {
        self.filtered(|name| name != NAME_LABEL && !names.iter().any(|removed| removed == name))
    }

    /// Returns the labels with another value of one of them. An empty value removes it.
    pub(crate) fn set(&self, name: &str, value: &str) -> Self {
        let others = self.0.iter().filter(|(label, _)| &**label != name).cloned();
        Self::from_pairs(others.chain([(name.into(), value.into())]))
    }

    /// Returns the bytes that the labels take in memory. Texts that series share are counted for each of them.
    pub(crate) fn memory_size(&self) -> usize {
        let texts = self.0.iter().map(|(_, value)| value.len());
        size_of_val(&*self.0) + texts.sum::<usize>()
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (position, (name, value)) in self.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())))
    }

    #[test]
    fn labels_are_sorted_and_not_empty() {
        let job = labels(&[("job", "api"), ("zone", ""), ("__name__", "up")]);
        assert_eq!(job.to_string(), r#"{__name__="up", job="api"}"#);
        assert_eq!(job.get("job"), "api");
        assert_eq!(job.get("zone"), "");
    }

    #[test]
    fn labels_are_kept_removed_and_set_by_name() {
        let job = labels(&[("__name__", "up"), ("job", "api"), ("zone", "a")]);
        let zone = ["zone".to_owned()];
        assert_eq!(job.select(&zone).to_string(), r#"{zone="a"}"#);
        assert_eq!(job.remove(&zone).to_string(), r#"{__name__="up", job="api"}"#);
        assert_eq!(job.remove_with_name(&zone).to_string(), r#"{job="api"}"#);
        assert_eq!(job.remove_metadata().to_string(), r#"{job="api", zone="a"}"#);
        assert_eq!(job.set("job", "").remove_metadata(), job.select(&zone));
        assert_eq!(job.set("b", "1").get("b"), "1");
    }
}
