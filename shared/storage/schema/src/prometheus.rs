//! The names under which samples of Prometheus are stored.
//!
//! ```text
//! http_requests_total{job="api",instance="a:80"} 5 @ 1700000000000
//! │                   │                          │
//! │                   tags job, instance         field value (float)
//! table http_requests_total
//! ```

mod histogram;
mod non_finite;

use std::borrow::Cow;

pub use histogram::{HistogramKind, HistogramNumber, StoredHistogram};
pub use non_finite::{NAN_BITS, STALE_BITS, non_finite_name, non_finite_value};

use crate::{ORDER_COLUMN, TIME_COLUMN};

/// The label with the name of the metric, which is the name of the table.
pub const NAME_LABEL: &str = "__name__";

/// The float field with the value of a sample.
pub const VALUE_FIELD: &str = "value";

/// The string field of a sample that is no finite number, see [`non_finite_name`]. Such a sample has no
/// [`VALUE_FIELD`].
pub const NON_FINITE_FIELD: &str = "non_finite";

/// The float field with the number of observations of a native histogram.
pub const COUNT_FIELD: &str = "count";

/// The float field with the sum of the observations of a native histogram.
pub const SUM_FIELD: &str = "sum";

/// The string field with a native histogram as JSON.
pub const HISTOGRAM_FIELD: &str = "histogram";

/// The table with the descriptions of metrics.
pub const METADATA_TABLE: &str = "prometheus_metadata";

/// The tag of [`METADATA_TABLE`] with the name of the metric.
pub const METADATA_METRIC_TAG: &str = "metric";

/// The string fields of [`METADATA_TABLE`]: type, help, unit.
pub const METADATA_FIELDS: [&str; 3] = ["type", "help", "unit"];

/// The table with the exemplars of all metrics.
pub const EXEMPLARS_TABLE: &str = "prometheus_exemplars";

/// The tags of [`EXEMPLARS_TABLE`]: the name of the metric, and the other labels of its series as JSON, sorted by name.
pub const EXEMPLARS_TAGS: [&str; 2] = ["metric", "series"];

/// The string fields of [`EXEMPLARS_TABLE`]: the labels of the exemplar as JSON, and its number as text. So they are no metrics.
pub const EXEMPLARS_FIELDS: [&str; 2] = ["labels", "value"];

/// The prefix of labels that have the name of another column.
const ESCAPE_PREFIX: &str = "label_";

/// Returns the tag of a label. Labels that have the name of a field or of a reserved column get the prefix `label_`.
///
/// # Examples
///
/// ```
/// use neap_schema::prometheus::{label_of_tag, tag_of_label};
///
/// assert_eq!(tag_of_label("job"), "job");
/// assert_eq!(tag_of_label("value"), "label_value");
/// assert_eq!(label_of_tag("label_value"), "value");
/// ```
#[inline]
pub fn tag_of_label(label: &str) -> Cow<'_, str> {
    if needs_prefix(label) {
        Cow::Owned(format!("{ESCAPE_PREFIX}{label}"))
    } else {
        Cow::Borrowed(label)
    }
}

/// Returns the label of a tag.
pub fn label_of_tag(tag: &str) -> &str {
    match tag.strip_prefix(ESCAPE_PREFIX) {
        Some(label) if needs_prefix(label) => label,
        _ => tag,
    }
}

/// Returns whether a label has the name of another column, or such a name with prefixes.
#[inline]
fn needs_prefix(label: &str) -> bool {
    let mut name = label;
    while let Some(rest) = name.strip_prefix(ESCAPE_PREFIX) {
        name = rest;
    }
    matches!(
        name,
        VALUE_FIELD
            | NON_FINITE_FIELD
            | COUNT_FIELD
            | SUM_FIELD
            | HISTOGRAM_FIELD
            | TIME_COLUMN
            | ORDER_COLUMN
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn labels_with_the_names_of_columns_get_a_prefix() {
        assert_eq!(tag_of_label("job"), "job");
        assert_eq!(tag_of_label("value"), "label_value");
        assert_eq!(tag_of_label("label_value"), "label_label_value");
        assert_eq!(tag_of_label("label_job"), "label_job");
        assert_eq!(label_of_tag("label_value"), "value");
        assert_eq!(label_of_tag("value"), "value");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn a_tag_leads_back_to_its_label(label in "(label_){0,3}(value|time|count|job|)") {
            let tag = tag_of_label(&label);
            prop_assert_eq!(label_of_tag(&tag), label.as_str());
        }
    }
}
