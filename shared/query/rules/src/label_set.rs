//! The labels of samples and alerts.

use std::collections::BTreeMap;

/// Labels, or annotations, by name.
pub type LabelSet = BTreeMap<String, String>;
