//! The series of a metric that a query selects, as SQL.

use std::sync::Arc;

use neap_schema::{
    TIME_COLUMN,
    prometheus::{HISTOGRAM_FIELD, NAME_LABEL, NON_FINITE_FIELD, VALUE_FIELD},
};

use super::{
    condition::{TimeRange, where_clause},
    matcher::Matcher,
    metric::Metric,
};
use crate::{quoted_name, quoted_text};

/// The series of a metric that a query selects. Its conditions become text only in a statement, because a request may
/// select all metrics with large conditions.
#[derive(Clone, Debug)]
pub struct MetricSelection {
    /// The metric.
    pub metric: Arc<Metric>,
    matchers: Arc<[Matcher]>,
    range: TimeRange,
}

/// Returns the name of the column with the values of a label in the rows of a [`MetricSelection`], by the position of the label in
/// [`Metric::tag_labels`]. It differs from the names of all columns with samples.
pub fn label_column(position: usize) -> String {
    format!("label {position}")
}

impl Metric {
    /// Selects the series that match; `None` if no series can match.
    pub fn select(
        self: &Arc<Self>,
        matchers: &Arc<[Matcher]>,
        range: TimeRange,
    ) -> Option<MetricSelection> {
        let may_match = matchers.iter().all(|matcher| match self.constant_label(&matcher.label) {
            Some(value) => matcher.matches(value),
            None => self.tag_of(&matcher.label).is_some() || matcher.matches(""),
        });
        let requires_name =
            |matcher: &Matcher| matcher.label == NAME_LABEL && matcher.requires(&self.name);
        let is_meant = !self.is_alias || matchers.iter().any(requires_name);
        (may_match && is_meant).then(|| MetricSelection {
            metric: Arc::clone(self),
            matchers: Arc::clone(matchers),
            range,
        })
    }
}

impl MetricSelection {
    fn label_columns(&self) -> Vec<String> {
        let tags = self.metric.tags().enumerate();
        tags.map(|(position, tag)| {
            let name = quoted_name(&label_column(position));
            format!("{} AS {name}", quoted_name(&tag.tag))
        })
        .collect()
    }

    /// Returns the columns with samples, with their names in the rows of [`samples_sql`](Self::samples_sql).
    fn sample_columns(&self) -> Vec<(&str, &'static str)> {
        let columns = &self.metric.columns;
        let value = columns.value.as_ref().map(|value| (value.as_str(), VALUE_FIELD));
        let fields = [
            (columns.has_non_finite, NON_FINITE_FIELD),
            (columns.has_histograms, HISTOGRAM_FIELD),
        ];
        let texts = fields.into_iter().filter(|(is_present, _)| *is_present);
        value.into_iter().chain(texts.map(|(_, field)| (field, field))).collect()
    }

    /// Returns the condition that a row has a sample of one of the metrics of a table.
    fn has_sample<'a>(same_table: impl IntoIterator<Item = &'a Self>) -> String {
        let columns = same_table.into_iter().flat_map(Self::sample_columns);
        let conditions = columns.map(|(column, _)| format!("{} IS NOT NULL", quoted_name(column)));
        format!("({})", conditions.collect::<Vec<_>>().join(" OR "))
    }

    /// Returns the `FROM` clause with the conditions on the rows.
    fn source(&self, last_conditions: impl IntoIterator<Item = String>) -> String {
        let mut conditions = self.range.conditions();
        conditions.extend(self.matchers.iter().filter_map(|matcher| {
            let tag = self.metric.tag_of(&matcher.label)?;
            Some(matcher.sql(tag))
        }));
        conditions.extend(last_conditions);
        let table = quoted_name(&self.metric.table.name);
        format!("FROM {table}{}", where_clause(&conditions))
    }

    /// Returns the statement that selects the rows with samples in the order of these tags and the time. The columns are the tags, the
    /// time and those of the samples, with their names in the table.
    pub(super) fn sorted_rows_sql<'a>(&self, tags: impl IntoIterator<Item = &'a str>) -> String {
        let names = tags.into_iter().chain([TIME_COLUMN]);
        let keys: Vec<String> = names.map(quoted_name).collect();
        let samples = self.sample_columns().into_iter().map(|(column, _)| quoted_name(column));
        let columns: Vec<String> = keys.iter().cloned().chain(samples).collect();
        let order: Vec<String> = keys.iter().map(|key| format!("{key} ASC NULLS FIRST")).collect();
        format!(
            "SELECT {} {} ORDER BY {}",
            columns.join(", "),
            self.source([Self::has_sample([self])]),
            order.join(", ")
        )
    }

    /// Returns the statement that selects the samples in the order of their series and times. The columns are the labels
    /// ([`label_column`]), `time`, and those of `value`, `non_finite` and `histogram` that exist.
    pub fn samples_sql(&self) -> String {
        let mut columns = self.label_columns();
        columns.push("\"time\"".to_owned());
        columns.extend(self.sample_columns().into_iter().map(|(column, name)| {
            let quoted = quoted_name(column);
            match name {
                VALUE_FIELD => format!("CAST({quoted} AS DOUBLE) AS \"{VALUE_FIELD}\""),
                _ => quoted,
            }
        }));
        // By the names of the output, because a tag may have the name of a column of it.
        let labels = (0..self.metric.tags().count()).map(label_column);
        let order: Vec<String> = labels
            .chain([TIME_COLUMN.to_owned()])
            .map(|key| format!("{} ASC NULLS FIRST", quoted_name(&key)))
            .collect();
        format!(
            "SELECT {} {} ORDER BY {}",
            columns.join(", "),
            self.source([Self::has_sample([self])]),
            order.join(", ")
        )
    }

    /// Returns the statement that selects the labels of the series; a row for each series.
    pub fn series_sql(&self) -> String {
        let labels = self.label_columns();
        let source = self.source([Self::has_sample([self])]);
        if labels.is_empty() {
            // A table without tags has one series.
            format!("SELECT \"time\" {source} LIMIT 1")
        } else {
            format!("SELECT DISTINCT {} {source}", labels.join(", "))
        }
    }

    /// Returns the statement that selects a text as the column `v` if there is a sample.
    fn text_sql(&self, text: &str) -> String {
        let (text, source) = (quoted_text(text), self.source([Self::has_sample([self])]));
        format!("SELECT {text} AS \"v\" {source} LIMIT 1")
    }
}

/// Returns statements that select the values of a label as the column `v`. One of them reads all metrics of a table.
pub fn values_sql(selections: &[MetricSelection], label: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut tagged = Vec::new();
    for selection in selections {
        match (selection.metric.constant_label(label), selection.metric.tag_of(label)) {
            (Some(value), _) => statements.push(selection.text_sql(value)),
            (None, Some(tag)) => tagged.push((&selection.metric.table.name, tag, selection)),
            (None, None) => {}
        }
    }
    tagged.sort_by_key(|(table, ..)| *table);
    for same_table in tagged.chunk_by(|(table, ..), (other, ..)| table == other) {
        if let Some((_, tag, selection)) = same_table.first() {
            let has_sample =
                MetricSelection::has_sample(same_table.iter().map(|(_, _, selection)| *selection));
            let column = quoted_name(tag);
            let source = selection.source([has_sample, format!("{column} IS NOT NULL")]);
            statements.push(format!("SELECT DISTINCT {column} AS \"v\" {source}"));
        }
    }
    statements
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use neap_schema::ColumnType;

    use super::*;
    use crate::promql::{LabelMatcher, MatcherKind, compile_matchers};

    fn matchers<const N: usize>(matchers: [(MatcherKind, &str, &str); N]) -> Arc<[Matcher]> {
        let matchers = matchers.map(|(kind, label, value)| LabelMatcher {
            kind,
            label: label.to_owned(),
            value: value.to_owned(),
        });
        compile_matchers(&[&matchers]).unwrap().remove(0)
    }

    fn schema(columns: &[(&str, ColumnType)]) -> Schema {
        let fields = columns.iter().map(|(name, kind)| kind.arrow_field(name));
        Schema::new(fields.collect::<Vec<_>>())
    }

    /// Returns the metrics of tables, each with its columns.
    fn metrics(tables: &[(&str, &[(&str, ColumnType)])]) -> Vec<Arc<Metric>> {
        let tables: Vec<(&str, Schema)> =
            tables.iter().map(|(name, columns)| (*name, schema(columns))).collect();
        Metric::of_tables(tables.iter().map(|(name, columns)| (*name, columns)), &[])
    }

    /// Returns the metric of a table of Prometheus's remote write.
    fn up() -> Arc<Metric> {
        let columns = [
            ("__name__", ColumnType::Tag),
            ("job", ColumnType::Tag),
            ("label_time", ColumnType::Tag),
            ("non_finite", ColumnType::String),
            ("time", ColumnType::Time),
            ("value", ColumnType::Integer),
        ];
        metrics(&[("up\"", &columns)]).remove(0)
    }

    #[test]
    fn each_field_with_numbers_or_booleans_is_a_metric() {
        let columns = [
            ("host", ColumnType::Tag),
            ("idle", ColumnType::Float),
            ("count", ColumnType::UInteger),
            ("is_on", ColumnType::Boolean),
            ("state", ColumnType::String),
            ("time", ColumnType::Time),
            ("value", ColumnType::Integer),
        ];
        let names = |tables: &[(&str, &[(&str, ColumnType)])]| {
            let names = metrics(tables).into_iter().map(|metric| metric.name.clone());
            names.collect::<Vec<_>>()
        };
        assert_eq!(names(&[("cpu", &columns)]), ["cpu", "cpu_count", "cpu_idle", "cpu_is_on"]);
        let texts = [("value", ColumnType::String), ("host", ColumnType::Tag)];
        assert!(names(&[("texts", &texts)]).is_empty());
        let histogram = [
            ("histogram", ColumnType::String),
            ("count", ColumnType::Float),
            ("sum", ColumnType::Float),
        ];
        assert_eq!(names(&[("latency", &histogram)]), ["latency"]);
        assert!(metrics(&[("latency", &histogram)])[0].has_histograms());
    }

    #[test]
    fn labels_are_tags_without_the_prefix_of_names_of_fields() {
        assert_eq!(up().labels(), ["__name__", "job", "time"]);
        assert_eq!(up().tag_of("time"), Some("label_time"));
        let columns = [
            ("label_value", ColumnType::Tag),
            ("value", ColumnType::Tag),
            ("load", ColumnType::Float),
        ];
        let metric = metrics(&[("m", &columns)]).remove(0);
        assert_eq!(metric.labels(), ["__name__", "label_value", "value"]);
        assert_eq!(metric.tag_of("value"), Some("value"));
    }

    #[test]
    fn metrics_of_the_same_name_have_the_label_of_their_table() {
        let tags = ("host", ColumnType::Tag);
        let first = [tags, ("usage_idle", ColumnType::Float)];
        let second = [tags, ("idle", ColumnType::Float)];
        let both = metrics(&[("cpu", &first), ("cpu_usage", &second)]);
        let labels: Vec<Vec<_>> =
            both.iter().map(|metric| metric.constant_labels().collect()).collect();
        let name = ("__name__", "cpu_usage_idle");
        assert_eq!(labels, [[name, ("__table__", "cpu")], [name, ("__table__", "cpu_usage")]]);
        let of_second = matchers([(MatcherKind::Equal, "__table__", "cpu_usage")]);
        let selected: Vec<bool> = both
            .iter()
            .map(|metric| metric.select(&of_second, TimeRange::ALL).is_some())
            .collect();
        assert_eq!(selected, [false, true]);
        let alone = metrics(&[("cpu", &first)]).remove(0);
        assert_eq!(alone.labels(), ["__name__", "host"]);
        assert!(alone.select(&of_second, TimeRange::ALL).is_none());
    }

    #[test]
    fn the_metric_of_a_table_keeps_its_labels_if_another_table_has_its_name() {
        let fields = [("idle", ColumnType::Float)];
        let value = [("value", ColumnType::Float)];
        let both = metrics(&[("cpu", &fields), ("cpu_idle", &value)]);
        let labels: Vec<_> = both.iter().map(|metric| metric.labels()).collect();
        assert_eq!(labels, [vec!["__name__", "__table__"], vec!["__name__"]]);
        let without_table = matchers([(MatcherKind::Equal, "__table__", "")]);
        let selected: Vec<bool> = both
            .iter()
            .map(|metric| metric.select(&without_table, TimeRange::ALL).is_some())
            .collect();
        assert_eq!(selected, [false, true]);
    }

    #[test]
    fn only_the_name_of_an_alias_chooses_its_metric() {
        let columns = schema(&[("value", ColumnType::Float)]);
        let metric = Metric::of_aliases([("up", &columns)], &[]).remove(0);
        let is_chosen = |kind, value| {
            let of_name = matchers([(kind, "__name__", value)]);
            metric.select(&of_name, TimeRange::ALL).is_some()
        };
        assert!(is_chosen(MatcherKind::Equal, "up"));
        assert!(!is_chosen(MatcherKind::Equal, "down"));
        assert!(!is_chosen(MatcherKind::Regex, "up"));
        assert!(!is_chosen(MatcherKind::NotEqual, "down"));
        assert!(metric.select(&Arc::from([]), TimeRange::ALL).is_none());
    }

    #[test]
    fn conditions_on_the_name_choose_metrics() {
        let columns = schema(&[("idle", ColumnType::Float), ("user", ColumnType::Float)]);
        let tables = || [("cpu", &columns), ("cpu_a", &columns), ("disk", &columns)];
        let names = |kind, value| {
            let matchers = matchers([(kind, "__name__", value), (kind, "host", "x")]);
            let metrics = Metric::of_tables(tables(), &matchers).into_iter();
            metrics.map(|metric| metric.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(MatcherKind::Equal, "cpu_a_idle"), ["cpu_a_idle"]);
        assert_eq!(names(MatcherKind::Regex, "cpu_(a_)?user"), ["cpu_a_user", "cpu_user"]);
        assert_eq!(names(MatcherKind::NotRegex, "cpu.*"), ["disk_idle", "disk_user"]);
    }

    #[test]
    fn matchers_become_conditions() {
        let range = TimeRange { start_ms: 0, end_ms: i64::MAX };
        let of_tag = matchers([
            (MatcherKind::Regex, "__name__", "up."),
            (MatcherKind::Equal, "time", "noon"),
            (MatcherKind::NotEqual, "absent", "x"),
        ]);
        let selection = up().select(&of_tag, range).unwrap();
        insta::assert_snapshot!(selection.samples_sql(), @r#"SELECT "job" AS "label 0", "label_time" AS "label 1", "time", CAST("value" AS DOUBLE) AS "value", "non_finite" FROM "up""" WHERE "time" >= TIMESTAMP '1970-01-01T00:00:00.000000000' AND "label_time" = 'noon' AND ("value" IS NOT NULL OR "non_finite" IS NOT NULL) ORDER BY "label 0" ASC NULLS FIRST, "label 1" ASC NULLS FIRST, "time" ASC NULLS FIRST"#);
        let all = up().select(&[].into(), TimeRange::ALL).unwrap();
        insta::assert_snapshot!(all.series_sql(), @r#"SELECT DISTINCT "job" AS "label 0", "label_time" AS "label 1" FROM "up""" WHERE ("value" IS NOT NULL OR "non_finite" IS NOT NULL)"#);
        insta::assert_snapshot!(all.sorted_rows_sql(["label_time", "job"]), @r#"SELECT "label_time", "job", "time", "value", "non_finite" FROM "up""" WHERE ("value" IS NOT NULL OR "non_finite" IS NOT NULL) ORDER BY "label_time" ASC NULLS FIRST, "job" ASC NULLS FIRST, "time" ASC NULLS FIRST"#);
        insta::assert_snapshot!(values_sql(std::slice::from_ref(&all), "job").join(";"), @r#"SELECT DISTINCT "job" AS "v" FROM "up""" WHERE ("value" IS NOT NULL OR "non_finite" IS NOT NULL) AND "job" IS NOT NULL"#);
        insta::assert_snapshot!(values_sql(std::slice::from_ref(&all), "__name__").join(";"), @r#"SELECT 'up"' AS "v" FROM "up""" WHERE ("value" IS NOT NULL OR "non_finite" IS NOT NULL) LIMIT 1"#);
        assert!(values_sql(&[all], "absent").is_empty());
    }

    #[test]
    fn values_of_labels_are_read_once_for_all_metrics_of_a_table() {
        let columns = [
            ("host", ColumnType::Tag),
            ("idle", ColumnType::Float),
            ("user", ColumnType::Float),
        ];
        let selections: Vec<_> = metrics(&[("cpu", &columns), ("disk", &columns)])
            .iter()
            .filter_map(|metric| metric.select(&[].into(), TimeRange::ALL))
            .collect();
        insta::assert_snapshot!(values_sql(&selections, "host").join("\n"), @r#"
        SELECT DISTINCT "host" AS "v" FROM "cpu" WHERE ("idle" IS NOT NULL OR "user" IS NOT NULL) AND "host" IS NOT NULL
        SELECT DISTINCT "host" AS "v" FROM "disk" WHERE ("idle" IS NOT NULL OR "user" IS NOT NULL) AND "host" IS NOT NULL
        "#);
    }

    #[test]
    fn a_metric_that_cannot_match_is_not_selected() {
        for (kind, label, value) in [
            (MatcherKind::Equal, "__name__", "down"),
            (MatcherKind::Equal, "absent", "x"),
            (MatcherKind::NotEqual, "absent", ""),
            (MatcherKind::Regex, "absent", ".+"),
        ] {
            let matchers = matchers([(kind, label, value)]);
            let selected = up().select(&matchers, TimeRange::ALL);
            assert!(selected.is_none(), "{label}");
        }
    }

    #[test]
    fn selections_share_their_conditions() {
        let matchers = matchers([(MatcherKind::Regex, "job", "a.*")]);
        let metric = up();
        let selected: Vec<_> =
            (0..9).filter_map(|_| metric.select(&matchers, TimeRange::ALL)).collect();
        assert_eq!(Arc::strong_count(&matchers), 1 + selected.len());
        assert_eq!(Arc::strong_count(&metric), 1 + selected.len());
    }
}
