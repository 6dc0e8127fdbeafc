//! Fields of tables as metrics.
//!
//! ```text
//! table cpu:  tags host, region   fields usage_idle, usage_user, value
//!                  │    │                │           │           └─► metric cpu
//!                  │    │                │           └─────────────► metric cpu_usage_user
//!                  └────┴── labels       └─────────────────────────► metric cpu_usage_idle
//! ```
//!
//! Texts are no samples, except in the fields of Prometheus's remote write ([`neap_schema::prometheus`]).

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use neap_schema::{
    COLUMN_TYPE_METADATA_KEY, ColumnType,
    prometheus::{
        COUNT_FIELD, HISTOGRAM_FIELD, NAME_LABEL, NON_FINITE_FIELD, SUM_FIELD, VALUE_FIELD,
        label_of_tag,
    },
};

use super::matcher::Matcher;

/// The label with the name of the table. Only metrics have it whose name fields of several tables have, except the metric of
/// the field `value`, whose name is that of its table.
pub const TABLE_LABEL: &str = "__table__";

/// A metric: the series of a field of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The name of the metric.
    pub name: String,
    pub(super) table: Arc<SeriesTable>,
    pub(super) columns: SampleColumns,
    /// Whether the series have [`TABLE_LABEL`].
    has_table_label: bool,
    /// Whether the name is made of an alias of the table. Only a condition that requires the name selects the metric.
    pub(super) is_alias: bool,
}

/// The table of a metric.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SeriesTable {
    pub(super) name: String,
    /// The tags in the order of the series key.
    pub(super) tags: Vec<SeriesTag>,
}

/// A tag as a label.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SeriesTag {
    pub(super) tag: String,
    pub(super) label: String,
}

/// The columns with the samples of a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SampleColumns {
    /// The column with numbers or booleans.
    pub(super) value: Option<String>,
    /// Whether [`NON_FINITE_FIELD`] has samples.
    pub(super) has_non_finite: bool,
    /// Whether [`HISTOGRAM_FIELD`] has samples.
    pub(super) has_histograms: bool,
}

impl Metric {
    /// Returns the metrics of tables whose names meet the conditions, sorted by name. Conditions on other labels are
    /// ignored.
    pub fn of_tables<'a>(
        tables: impl IntoIterator<Item = (&'a str, &'a Schema)>,
        matchers: &[Matcher],
    ) -> Vec<Arc<Self>> {
        let metrics = Self::named(tables, matchers).into_iter();
        metrics.map(Arc::new).collect()
    }

    /// Returns the metrics of tables under an alias each, in the same way.
    pub fn of_aliases<'a>(
        tables: impl IntoIterator<Item = (&'a str, &'a Schema)>,
        matchers: &[Matcher],
    ) -> Vec<Arc<Self>> {
        let aliased = Self::named(tables, matchers)
            .into_iter()
            .map(|metric| Self { is_alias: true, ..metric });
        aliased.map(Arc::new).collect()
    }

    fn named<'a>(
        tables: impl IntoIterator<Item = (&'a str, &'a Schema)>,
        matchers: &[Matcher],
    ) -> Vec<Self> {
        let of_name: Vec<&Matcher> =
            matchers.iter().filter(|matcher| matcher.label == NAME_LABEL).collect();
        let mut metrics: Vec<Self> = Vec::new();
        for (table, columns) in tables {
            if of_name.iter().all(|matcher| matcher.may_match_prefix(table)) {
                let of_table = Self::of_table(table, columns).into_iter();
                metrics.extend(
                    of_table.filter(|metric| {
                        of_name.iter().all(|matcher| matcher.matches(&metric.name))
                    }),
                );
            }
        }
        metrics.sort_by(|a, b| (&a.name, &a.table.name).cmp(&(&b.name, &b.table.name)));
        for same_name in metrics.chunk_by_mut(|a, b| a.name == b.name) {
            let is_shared = same_name.len() > 1;
            for metric in same_name {
                metric.has_table_label = is_shared && metric.name != metric.table.name;
            }
        }
        metrics
    }

    fn of_table(name: &str, columns: &Schema) -> Vec<Self> {
        let (tags, fields): (Vec<&Field>, Vec<&Field>) =
            columns.fields().iter().map(|field| &**field).partition(|field| is_tag(field));
        let has_text = |name: &str| {
            let mut named = fields.iter().filter(|field| field.name() == name);
            named.any(|field| matches!(field.data_type(), DataType::Utf8 | DataType::Utf8View))
        };
        let mut of_value = SampleColumns {
            value: None,
            has_non_finite: has_text(NON_FINITE_FIELD),
            has_histograms: has_text(HISTOGRAM_FIELD),
        };
        let table = Arc::new(SeriesTable { name: name.to_owned(), tags: series_tags(&tags) });
        let metric = |name: String, columns| Self {
            name,
            table: Arc::clone(&table),
            columns,
            has_table_label: false,
            is_alias: false,
        };
        let mut metrics = Vec::new();
        for field in fields {
            let is_sample =
                field.data_type().is_numeric() || matches!(field.data_type(), DataType::Boolean);
            let value = Some(field.name().clone()).filter(|_| is_sample);
            match field.name().as_str() {
                VALUE_FIELD => of_value.value = value,
                COUNT_FIELD | SUM_FIELD if of_value.has_histograms => {}
                field if is_sample => {
                    let columns = SampleColumns { value, ..SampleColumns::default() };
                    metrics.push(metric(format!("{name}_{field}"), columns));
                }
                _ => {}
            }
        }
        if of_value != SampleColumns::default() {
            metrics.push(metric(name.to_owned(), of_value));
        }
        metrics
    }

    /// Whether series may have native histograms.
    pub fn has_histograms(&self) -> bool {
        self.columns.has_histograms
    }

    /// Returns the tags that are labels, in the order of the series key.
    pub(super) fn tags(&self) -> impl Iterator<Item = &SeriesTag> {
        let tags = self.table.tags.iter();
        tags.filter(move |tag| self.constant_label(&tag.label).is_none())
    }

    /// Returns the labels that are tags, in the order of the series key.
    pub fn tag_labels(&self) -> impl Iterator<Item = &str> {
        self.tags().map(|tag| tag.label.as_str())
    }

    /// Returns the labels that all series have, with their values.
    pub fn constant_labels(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [NAME_LABEL, TABLE_LABEL].into_iter().filter_map(move |label| {
            let value = self.constant_label(label)?;
            Some((label, value))
        })
    }

    /// Returns the value of a label that all series have; `None` for other labels.
    pub(super) fn constant_label(&self, label: &str) -> Option<&str> {
        match label {
            NAME_LABEL => Some(&self.name),
            TABLE_LABEL if self.has_table_label => Some(&self.table.name),
            _ => None,
        }
    }

    /// Returns the labels of the series, in the order of their names.
    pub fn labels(&self) -> Vec<&str> {
        let constant = self.constant_labels().map(|(label, _)| label);
        let mut labels: Vec<&str> = self.tag_labels().chain(constant).collect();
        labels.sort_unstable();
        labels
    }

    /// Returns the tag of a label; `None` if the table does not have it.
    pub(super) fn tag_of(&self, label: &str) -> Option<&str> {
        let found = self.tags().find(|tag| tag.label == label)?;
        Some(&found.tag)
    }
}

/// Returns the tags as labels. InfluxDB 1 stores the name of a metric as a tag, too.
fn series_tags(tags: &[&Field]) -> Vec<SeriesTag> {
    let names = tags.iter().map(|field| field.name());
    let is_taken = |label: &str| names.clone().any(|name| name == label);
    let labels = names.clone().filter(|name| *name != NAME_LABEL).map(|tag| {
        let label = label_of_tag(tag);
        // Only tables of other clients have both the label and its prefixed name as tags.
        let label = if is_taken(label) { tag.as_str() } else { label };
        SeriesTag { tag: tag.clone(), label: label.to_owned() }
    });
    labels.collect()
}

fn is_tag(field: &Field) -> bool {
    if field.metadata().contains_key(COLUMN_TYPE_METADATA_KEY) {
        ColumnType::Tag.is_named_by(field)
    } else {
        matches!(field.data_type(), DataType::Dictionary(..))
    }
}
