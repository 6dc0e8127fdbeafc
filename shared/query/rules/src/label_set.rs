//! The labels of samples and alerts.

use std::collections::BTreeMap;

/// Labels, or annotations, by name.
pub type LabelSet = BTreeMap<String, String>;

pub(crate) const ALERT_NAME_LABEL: &str = "alertname";

/// Approximate bytes of the places of a name and a text.
const ENTRY_BYTES: usize = 2 * size_of::<String>();

/// Returns the approximate memory size of labels, in bytes.
pub(crate) fn labels_size_bytes(labels: &LabelSet) -> usize {
    labels.iter().map(|(name, text)| name.len() + text.len() + ENTRY_BYTES).sum()
}
