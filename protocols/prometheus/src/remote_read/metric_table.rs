//! Tables as metrics.

use std::sync::Arc;

use arrow_schema::{DataType, Field};
use neap_query::ListedTable;
use neap_schema::{COLUMN_TYPE_METADATA_KEY, ColumnType};

use crate::{
    HISTOGRAM_FIELD, NAME_LABEL, NON_FINITE_FIELD, VALUE_FIELD, label_of_tag,
    remote_read::{
        condition::{TimeRange, quoted_name, quoted_text, where_clause},
        matcher::Matcher,
    },
    tag_of_label,
};

/// A table with the samples of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MetricTable {
    /// The name of the table and of the metric.
    pub(crate) name: String,
    /// The tag columns in the order of the series key.
    pub(crate) tags: Vec<String>,
    has_value: bool,
    has_non_finite: bool,
    pub(crate) has_histograms: bool,
}

/// The series of a table that a query selects. Its conditions become text only in a statement, because a request may
/// select all tables with large conditions.
#[derive(Clone, Debug)]
pub(crate) struct TableSelection {
    pub(crate) table: Arc<MetricTable>,
    matchers: Arc<[Matcher]>,
    range: TimeRange,
}

impl MetricTable {
    /// Returns the metric in a table; `None` if the table has no samples.
    pub(crate) fn from_listed(listed: &ListedTable) -> Option<Self> {
        let columns = listed.columns.as_ref()?;
        let mut table = Self {
            name: listed.name.clone(),
            tags: Vec::new(),
            has_value: false,
            has_non_finite: false,
            has_histograms: false,
        };
        for field in columns.fields() {
            let is_text = matches!(field.data_type(), DataType::Utf8 | DataType::Utf8View);
            match field.name().as_str() {
                // InfluxDB 1 stores the name of the metric as a tag, too.
                NAME_LABEL => {}
                name if is_tag(field) => table.tags.push(name.to_owned()),
                VALUE_FIELD => table.has_value = field.data_type().is_numeric(),
                NON_FINITE_FIELD => table.has_non_finite = is_text,
                HISTOGRAM_FIELD => table.has_histograms = is_text,
                _ => {}
            }
        }
        let has_samples = table.has_value || table.has_non_finite || table.has_histograms;
        has_samples.then_some(table)
    }

    /// Returns the labels of the series, in the order of their names.
    pub(crate) fn labels(&self) -> Vec<&str> {
        let tags = self.tags.iter().map(|tag| label_of_tag(tag));
        let mut labels: Vec<&str> = tags.chain([NAME_LABEL]).collect();
        labels.sort_unstable();
        labels
    }

    /// Returns the tag of a label; `None` if the table does not have it.
    pub(crate) fn tag_of(&self, label: &str) -> Option<&str> {
        let tag = tag_of_label(label);
        let found = self.tags.iter().find(|known| **known == tag);
        found.map(String::as_str)
    }

    /// Selects the series that match; `None` if no series of the table can match.
    pub(crate) fn select(
        self: &Arc<Self>,
        matchers: &Arc<[Matcher]>,
        range: TimeRange,
    ) -> Option<TableSelection> {
        let may_match = matchers.iter().all(|matcher| {
            if matcher.label == NAME_LABEL {
                return matcher.matches(&self.name);
            }
            self.tag_of(&matcher.label).is_some() || matcher.matches("")
        });
        may_match.then(|| TableSelection {
            table: Arc::clone(self),
            matchers: Arc::clone(matchers),
            range,
        })
    }

    /// Returns the condition of rows with a sample.
    fn has_sample(&self) -> String {
        let conditions = self.fields().into_iter().map(|field| format!("\"{field}\" IS NOT NULL"));
        format!("({})", conditions.collect::<Vec<_>>().join(" OR "))
    }

    fn fields(&self) -> Vec<&'static str> {
        let fields = [
            (self.has_value, VALUE_FIELD),
            (self.has_non_finite, NON_FINITE_FIELD),
            (self.has_histograms, HISTOGRAM_FIELD),
        ];
        let present = fields.into_iter().filter(|(is_present, _)| *is_present);
        present.map(|(_, field)| field).collect()
    }
}

fn is_tag(field: &Field) -> bool {
    match field.metadata().get(COLUMN_TYPE_METADATA_KEY) {
        Some(metadata) => metadata == ColumnType::Tag.metadata_value(),
        None => matches!(field.data_type(), DataType::Dictionary(..)),
    }
}

impl TableSelection {
    /// Returns the conditions on the rows in SQL.
    fn conditions(&self) -> Vec<String> {
        let mut conditions = self.range.conditions();
        let others = self.matchers.iter().filter(|matcher| matcher.label != NAME_LABEL);
        conditions.extend(others.filter_map(|matcher| {
            let tag = self.table.tag_of(&matcher.label)?;
            Some(matcher.sql(tag))
        }));
        conditions.push(self.table.has_sample());
        conditions
    }

    /// Returns the statement that selects the samples in the order of their series and times. The columns are the tags,
    /// `time`, and the fields that exist.
    pub(crate) fn samples_sql(&self) -> String {
        let table = &self.table;
        let tags: Vec<String> = table.tags.iter().map(|tag| quoted_name(tag)).collect();
        let mut columns = tags.clone();
        columns.push("\"time\"".to_owned());
        for field in table.fields() {
            columns.push(match field {
                VALUE_FIELD => "CAST(\"value\" AS DOUBLE) AS \"value\"".to_owned(),
                field => quoted_name(field),
            });
        }
        let order: Vec<String> = tags
            .iter()
            .map(|tag| format!("{tag} ASC NULLS FIRST"))
            .chain(["\"time\" ASC".to_owned()])
            .collect();
        format!(
            "SELECT {} FROM {}{} ORDER BY {}",
            columns.join(", "),
            quoted_name(&table.name),
            where_clause(&self.conditions()),
            order.join(", ")
        )
    }

    /// Returns the statement that selects the tags of the series; a row for each series.
    pub(crate) fn series_sql(&self) -> String {
        let table = &self.table;
        let tags: Vec<String> = table.tags.iter().map(|tag| quoted_name(tag)).collect();
        let (table, conditions) = (quoted_name(&table.name), where_clause(&self.conditions()));
        if tags.is_empty() {
            // A table without tags has one series.
            format!("SELECT \"time\" FROM {table}{conditions} LIMIT 1")
        } else {
            format!(
                "SELECT DISTINCT {} FROM {table}{conditions}",
                tags.join(", ")
            )
        }
    }

    /// Returns the statement that selects the name of the table as the column `v` if a row matches.
    pub(crate) fn name_sql(&self) -> String {
        format!(
            "SELECT {} AS \"v\" FROM {}{} LIMIT 1",
            quoted_text(&self.table.name),
            quoted_name(&self.table.name),
            where_clause(&self.conditions())
        )
    }

    /// Returns the statement that selects the values of a tag as the column `v`.
    pub(crate) fn values_sql(&self, tag: &str) -> String {
        let column = quoted_name(tag);
        let mut conditions = self.conditions();
        conditions.push(format!("{column} IS NOT NULL"));
        format!(
            "SELECT {column} AS \"v\" FROM {}{}",
            quoted_name(&self.table.name),
            where_clause(&conditions)
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::{LabelMatcher, MatcherType};
    use arrow_schema::Schema;

    use super::*;
    use crate::remote_read::matcher::compile_matchers;

    fn matchers<const N: usize>(matchers: [(MatcherType, &str, &str); N]) -> Arc<[Matcher]> {
        let messages = matchers.map(|(kind, label, value)| LabelMatcher {
            kind: kind.into(),
            name: label.to_owned(),
            value: value.to_owned(),
        });
        compile_matchers(&[&messages]).unwrap().remove(0)
    }

    fn listed(columns: &[(&str, ColumnType)]) -> ListedTable {
        let fields = columns.iter().map(|(name, kind)| kind.arrow_field(name));
        ListedTable {
            schema: "iox".to_owned(),
            name: "up\"".to_owned(),
            is_view: false,
            columns: Some(Arc::new(Schema::new(fields.collect::<Vec<_>>()))),
        }
    }

    fn table() -> Arc<MetricTable> {
        let columns = [
            ("__name__", ColumnType::Tag),
            ("job", ColumnType::Tag),
            ("label_time", ColumnType::Tag),
            ("non_finite", ColumnType::String),
            ("other", ColumnType::Float),
            ("time", ColumnType::Time),
            ("value", ColumnType::Integer),
        ];
        Arc::new(MetricTable::from_listed(&listed(&columns)).unwrap())
    }

    #[test]
    fn a_table_with_a_numeric_value_is_a_metric() {
        assert_eq!(table().tags, ["job", "label_time"]);
        assert_eq!(table().labels(), ["__name__", "job", "time"]);
        assert_eq!(table().tag_of("time"), Some("label_time"));
        let other = [("value", ColumnType::String), ("job", ColumnType::Tag)];
        assert_eq!(MetricTable::from_listed(&listed(&other)), None);
        let histogram = [("histogram", ColumnType::String)];
        assert!(MetricTable::from_listed(&listed(&histogram)).unwrap().has_histograms);
    }

    #[test]
    fn matchers_become_conditions() {
        let range = TimeRange {
            start_ms: 0,
            end_ms: i64::MAX,
        };
        let matchers = matchers([
            (MatcherType::Regex, "__name__", "up."),
            (MatcherType::Equal, "time", "noon"),
            (MatcherType::NotEqual, "absent", "x"),
        ]);
        let selection = table().select(&matchers, range).unwrap();
        insta::assert_snapshot!(selection.samples_sql(), @r#"SELECT "job", "label_time", "time", CAST("value" AS DOUBLE) AS "value", "non_finite" FROM "up""" WHERE "time" >= arrow_cast(0, 'Timestamp(Nanosecond, None)') AND "label_time" = 'noon' AND ("value" IS NOT NULL OR "non_finite" IS NOT NULL) ORDER BY "job" ASC NULLS FIRST, "label_time" ASC NULLS FIRST, "time" ASC"#);
        let all = table().select(&[].into(), TimeRange::ALL).unwrap();
        insta::assert_snapshot!(all.series_sql(), @r#"SELECT DISTINCT "job", "label_time" FROM "up""" WHERE ("value" IS NOT NULL OR "non_finite" IS NOT NULL)"#);
        insta::assert_snapshot!(all.values_sql("job"), @r#"SELECT "job" AS "v" FROM "up""" WHERE ("value" IS NOT NULL OR "non_finite" IS NOT NULL) AND "job" IS NOT NULL"#);
    }

    #[test]
    fn a_table_that_cannot_match_is_not_selected() {
        for (kind, label, value) in [
            (MatcherType::Equal, "__name__", "down"),
            (MatcherType::Equal, "absent", "x"),
            (MatcherType::NotEqual, "absent", ""),
            (MatcherType::Regex, "absent", ".+"),
        ] {
            let matchers = matchers([(kind, label, value)]);
            let selected = table().select(&matchers, TimeRange::ALL);
            assert!(selected.is_none(), "{label}");
        }
    }

    #[test]
    fn selections_share_their_conditions() {
        let matchers = matchers([(MatcherType::Regex, "job", "a.*")]);
        let table = table();
        let selected: Vec<_> =
            (0..9).filter_map(|_| table.select(&matchers, TimeRange::ALL)).collect();
        assert_eq!(Arc::strong_count(&matchers), 1 + selected.len());
        assert_eq!(Arc::strong_count(&table), 1 + selected.len());
    }
}
