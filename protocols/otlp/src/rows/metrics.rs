//! The data points of metrics.

use std::{borrow::Cow, collections::HashSet};

use neap_columnar::{ColumnConflict, TableBatch};

use super::{
    ItemError, RowCollector,
    item_error::{check_attributes, required_time_ns, time_ns},
    prometheus_v1, prometheus_v2,
};
use crate::{
    encoding::{DecodeError, Field, Node},
    mapping::MetricSchema,
    messages::{
        CUMULATIVE, Exemplar, ExponentialPoint, HistogramPoint, KeyValue, MetricHeader,
        NO_RECORDED_VALUE, NumberPoint, Resource, Scope, SumHeader, SummaryPoint,
    },
};

const DATA_POINTS: Field = field(1, "dataPoints");
const GAUGE: Field = field(5, "gauge");
const SUM: Field = field(7, "sum");
const HISTOGRAM: Field = field(9, "histogram");
const EXPONENTIAL_HISTOGRAM: Field = field(10, "exponentialHistogram");
const SUMMARY: Field = field(11, "summary");

const fn field(number: u32, name: &'static str) -> Field {
    Field { number, name }
}

/// A tag with a text that is not empty.
type Tag<'a> = (&'a str, Cow<'a, str>);

/// Returns the tags of a resource, without those that are overridden or empty.
pub(super) fn resource_tags(resource: &Resource) -> Vec<Tag<'_>> {
    distinct_tags(last_first(&resource.attributes))
}

/// Returns attributes from the last to the first, because later ones override earlier ones.
fn last_first(attributes: &[KeyValue]) -> impl Iterator<Item = Tag<'_>> {
    attributes.iter().rev().filter_map(|attribute| {
        let text = attribute.value.as_ref()?.text();
        Some((attribute.key.as_str(), text))
    })
}

/// Returns the first tag of each name. Empty tags are absent.
fn distinct_tags<'a>(tags: impl Iterator<Item = Tag<'a>>) -> Vec<Tag<'a>> {
    let mut names = HashSet::new();
    let present = tags.filter(|(name, text)| !name.is_empty() && !text.is_empty());
    present.filter(|(name, _)| names.insert(*name)).collect()
}

/// The tags that all data points of a scope have.
#[derive(Debug)]
pub(super) struct MetricTags<'a> {
    resource: &'a [Tag<'a>],
    /// Tags that override those of the resource.
    scope: Vec<Tag<'a>>,
    /// The reason why all data points of the scope are refused, if there is one.
    check: Result<(), ItemError>,
}

impl<'a> MetricTags<'a> {
    pub(super) fn new(
        resource: &'a [Tag<'a>],
        scope: &'a Scope,
        check: Result<(), ItemError>,
    ) -> Self {
        let library = [
            ("otel.library.version", Cow::Borrowed(&*scope.version)),
            ("otel.library.name", Cow::Borrowed(&*scope.name)),
        ];
        Self {
            resource,
            scope: distinct_tags(last_first(&scope.attributes).chain(library)),
            check,
        }
    }
}

/// A number of a data point or an exemplar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Float(f64),
    Integer(i64),
}

impl Number {
    /// Returns the number; `None`: there is none.
    fn of(as_double: Option<f64>, as_int: Option<i64>) -> Result<Option<Self>, ItemError> {
        match (as_double, as_int) {
            (Some(_), Some(_)) => Err(ItemError::SeveralValues),
            (Some(number), None) if !number.is_finite() => Err(ItemError::NotFinite(number)),
            (Some(number), None) => Ok(Some(Self::Float(number))),
            (None, Some(number)) => Ok(Some(Self::Integer(number))),
            (None, None) => Ok(None),
        }
    }

    pub(super) fn add(self, name: &str, row: &mut TableBatch) -> Result<(), ColumnConflict> {
        match self {
            Self::Float(number) => row.float(name, number),
            Self::Integer(number) => row.integer(name, number),
        }
    }
}

/// Whether a number may decrease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberKind {
    Gauge,
    Counter,
}

/// A data point without its values.
#[derive(Clone, Copy, Debug)]
pub(super) struct PointSource<'a> {
    /// The name of the metric.
    pub(super) metric: &'a str,
    tags: &'a MetricTags<'a>,
    attributes: &'a [KeyValue],
    pub(super) time_ns: i64,
    start_ns: i64,
}

impl PointSource<'_> {
    /// Adds the tags of a row. The row may have tags already, which override these.
    pub(super) fn add_tags(&self, row: &mut TableBatch) -> Result<(), ItemError> {
        for (key, text) in last_first(self.attributes) {
            add_tag(row, key, &text)?;
        }
        for (key, text) in self.tags.scope.iter().chain(self.tags.resource) {
            add_tag(row, key, text)?;
        }
        Ok(())
    }

    /// Adds the start of the time range that a row sums up, if it is known.
    pub(super) fn add_start(&self, row: &mut TableBatch) -> Result<(), ItemError> {
        match self.start_ns {
            0 => Ok(()),
            start => Ok(row.integer("start_time_unix_nano", start)?),
        }
    }
}

/// Adds a tag unless the row has it already.
fn add_tag(row: &mut TableBatch, key: &str, text: &str) -> Result<(), ItemError> {
    if key.is_empty() {
        return Ok(());
    }
    match row.tag(key, text) {
        Err(ColumnConflict::Repeated(_)) => Ok(()),
        added => Ok(added?),
    }
}

/// Adds a float field, unless the number is absent, infinite or not a number.
pub(super) fn add_finite(
    row: &mut TableBatch,
    name: &str,
    number: Option<f64>,
) -> Result<(), ItemError> {
    match number.filter(|number| number.is_finite()) {
        Some(number) => Ok(row.float(name, number)?),
        None => Ok(()),
    }
}

/// Converts a count to a float, as all counts of the prometheus schemas are stored.
#[expect(
    clippy::cast_precision_loss,
    reason = "the schemas store counts as floats"
)]
pub(super) fn count_float(count: u64) -> f64 {
    count as f64
}

/// Returns the bounds of a histogram's buckets as text with the number of values up to each of them.
pub(super) fn cumulative_buckets(point: &HistogramPoint) -> Result<Vec<(String, f64)>, ItemError> {
    let (counts, bounds) = (&point.bucket_counts, &point.explicit_bounds);
    // The bucket without an upper bound may be missing.
    let fits = [0, bounds.len(), bounds.len() + 1].contains(&counts.len());
    if !fits {
        return Err(ItemError::Buckets {
            counts: counts.len(),
            bounds: bounds.len(),
        });
    }
    let mut total = 0u64;
    let buckets = counts.iter().enumerate().map(|(index, count)| {
        total = total.saturating_add(*count);
        let bound = bounds.get(index).copied().unwrap_or(f64::INFINITY);
        (bound_text(bound), count_float(total))
    });
    Ok(buckets.collect())
}

/// Returns a bound or a quantile as text without an exponent.
pub(super) fn bound_text(bound: f64) -> String {
    match bound {
        _ if bound.is_finite() => bound.to_string(),
        _ if bound.is_nan() => "NaN".to_owned(),
        _ if bound > 0.0 => "+Inf".to_owned(),
        _ => "-Inf".to_owned(),
    }
}

/// Adds the data points of a metric.
///
/// # Errors
/// A list of data points is malformed, or the rows take too much memory.
pub(super) fn add_metric(
    metric: Node<'_>,
    tags: &MetricTags<'_>,
    schema: MetricSchema,
    rows: &mut RowCollector,
) -> Result<(), DecodeError> {
    let header: MetricHeader = match metric.decode_header() {
        Ok(header) => header,
        // Other metrics may be well-formed.
        Err(error) => return rows.add_item(|_| Err(error.into())),
    };
    let mut points = MetricPoints {
        metric: &header.name,
        tags,
        schema,
        rows,
    };
    let [gauge, sum, histogram, exponential, summary] =
        metric.children([GAUGE, SUM, HISTOGRAM, EXPONENTIAL_HISTOGRAM, SUMMARY])?;
    let within = |field: Field| move |error: DecodeError| error.within(field.name);
    if let Some(gauge) = gauge {
        let added = gauge.for_each(DATA_POINTS, |point| {
            points.add_number(point, NumberKind::Gauge)
        });
        added.map_err(within(GAUGE))?;
    }
    if let Some(sum) = sum {
        points.add_sum(sum).map_err(within(SUM))?;
    }
    if let Some(histogram) = histogram {
        let added = histogram.for_each(DATA_POINTS, |point| points.add_histogram(point));
        added.map_err(within(HISTOGRAM))?;
    }
    if let Some(histogram) = exponential {
        let added = histogram.for_each(DATA_POINTS, |point| points.add_exponential(point));
        added.map_err(within(EXPONENTIAL_HISTOGRAM))?;
    }
    if let Some(summary) = summary {
        let added = summary.for_each(DATA_POINTS, |point| points.add_summary(point));
        added.map_err(within(SUMMARY))?;
    }
    Ok(())
}

/// Adds the data points of one metric.
struct MetricPoints<'a> {
    metric: &'a str,
    tags: &'a MetricTags<'a>,
    schema: MetricSchema,
    rows: &'a mut RowCollector,
}

impl MetricPoints<'_> {
    fn add_sum(&mut self, sum: Node<'_>) -> Result<(), DecodeError> {
        let header: SumHeader = sum.decode_header()?;
        // The change since the last point may be anything.
        let is_total = header.is_monotonic && header.aggregation_temporality == CUMULATIVE;
        let kind = if is_total {
            NumberKind::Counter
        } else {
            NumberKind::Gauge
        };
        sum.for_each(DATA_POINTS, |point| self.add_number(point, kind))
    }

    /// Adds a data point. An error contains the name of the metric.
    fn add_point(
        &mut self,
        add: impl FnOnce(PointParts<'_>, &mut RowCollector) -> Result<(), ItemError>,
    ) -> Result<(), DecodeError> {
        let parts = PointParts {
            metric: self.metric,
            tags: self.tags,
            schema: self.schema,
        };
        self.rows.add_item(|rows| {
            parts.tags.check.clone()?;
            add(parts, rows).map_err(|error| error.of_metric(self.metric))
        })
    }

    fn add_number(&mut self, point: Node<'_>, kind: NumberKind) -> Result<(), DecodeError> {
        self.add_point(|parts, rows| {
            let point: NumberPoint = point.decode()?;
            if has_no_value(point.flags) {
                return Ok(());
            }
            let Some(number) = Number::of(point.as_double, point.as_int)? else {
                return Ok(());
            };
            let times = [point.time_unix_nano, point.start_time_unix_nano];
            let source = parts.source(&point.attributes, times)?;
            match parts.schema {
                MetricSchema::PrometheusV1 => {
                    prometheus_v1::add_number(&source, kind, number, rows)?;
                }
                MetricSchema::PrometheusV2 => prometheus_v2::add_number(&source, number, rows)?,
            }
            parts.add_exemplars(&source, &point.exemplars, rows);
            Ok(())
        })
    }

    fn add_histogram(&mut self, point: Node<'_>) -> Result<(), DecodeError> {
        self.add_point(|parts, rows| {
            let point: HistogramPoint = point.decode()?;
            if has_no_value(point.flags) {
                return Ok(());
            }
            let buckets = cumulative_buckets(&point)?;
            let times = [point.time_unix_nano, point.start_time_unix_nano];
            let source = parts.source(&point.attributes, times)?;
            match parts.schema {
                MetricSchema::PrometheusV1 => {
                    prometheus_v1::add_histogram(&source, &point, &buckets, rows)?;
                }
                MetricSchema::PrometheusV2 => {
                    prometheus_v2::add_histogram(&source, &point, &buckets, rows)?;
                }
            }
            parts.add_exemplars(&source, &point.exemplars, rows);
            Ok(())
        })
    }

    fn add_exponential(&mut self, point: Node<'_>) -> Result<(), DecodeError> {
        self.add_point(|parts, rows| {
            let point: ExponentialPoint = point.decode()?;
            if has_no_value(point.flags) {
                return Ok(());
            }
            let times = [point.time_unix_nano, point.start_time_unix_nano];
            let source = parts.source(&point.attributes, times)?;
            match parts.schema {
                MetricSchema::PrometheusV1 => {
                    prometheus_v1::add_exponential(&source, &point, rows)?;
                }
                MetricSchema::PrometheusV2 => {
                    prometheus_v2::add_exponential(&source, &point, rows)?;
                }
            }
            parts.add_exemplars(&source, &point.exemplars, rows);
            Ok(())
        })
    }

    fn add_summary(&mut self, point: Node<'_>) -> Result<(), DecodeError> {
        self.add_point(|parts, rows| {
            let point: SummaryPoint = point.decode()?;
            if has_no_value(point.flags) {
                return Ok(());
            }
            let times = [point.time_unix_nano, point.start_time_unix_nano];
            let source = parts.source(&point.attributes, times)?;
            match parts.schema {
                MetricSchema::PrometheusV1 => prometheus_v1::add_summary(&source, &point, rows),
                MetricSchema::PrometheusV2 => prometheus_v2::add_summary(&source, &point, rows),
            }
        })
    }
}

/// Returns whether a data point has no value, because its source ended.
fn has_no_value(flags: u32) -> bool {
    flags & NO_RECORDED_VALUE != 0
}

/// What the data points of a metric have in common.
#[derive(Clone, Copy, Debug)]
struct PointParts<'a> {
    metric: &'a str,
    tags: &'a MetricTags<'a>,
    schema: MetricSchema,
}

impl<'a> PointParts<'a> {
    fn source<'p>(
        &self,
        attributes: &'p [KeyValue],
        [time, start]: [u64; 2],
    ) -> Result<PointSource<'p>, ItemError>
    where
        'a: 'p,
    {
        if self.metric.is_empty() {
            return Err(ItemError::Missing("the name of the metric"));
        }
        check_attributes("the data point", attributes)?;
        Ok(PointSource {
            metric: self.metric,
            tags: self.tags,
            attributes,
            time_ns: required_time_ns("time_unix_nano", time)?,
            start_ns: time_ns("start_time_unix_nano", start)?,
        })
    }

    /// Adds the exemplars of a data point as rows of a table of their own.
    fn add_exemplars(
        &self,
        source: &PointSource<'_>,
        exemplars: &[Exemplar],
        rows: &mut RowCollector,
    ) {
        for exemplar in exemplars {
            let time = i64::try_from(exemplar.time_unix_nano).unwrap_or_default();
            let time_ns = if time == 0 { source.time_ns } else { time };
            let (table, field) = match self.schema {
                MetricSchema::PrometheusV1 => prometheus_v1::exemplar_columns(source.metric),
                MetricSchema::PrometheusV2 => prometheus_v2::exemplar_columns(source.metric),
            };
            rows.add_detail(&table, time_ns, |row| {
                add_exemplar(exemplar, field, row).map_err(|error| error.of_metric(self.metric))
            });
        }
    }
}

fn add_exemplar(exemplar: &Exemplar, field: &str, row: &mut TableBatch) -> Result<(), ItemError> {
    check_attributes("the exemplar", &exemplar.filtered_attributes)?;
    let number = Number::of(exemplar.as_double, exemplar.as_int)?;
    let number = number.ok_or(ItemError::Missing("the value of an exemplar"))?;
    let trace_id = super::ids::trace_id(&exemplar.trace_id)?;
    let span_id = super::ids::span_id(&exemplar.span_id)?;
    row.tag("trace_id", &trace_id.unwrap_or_default())?;
    row.tag("span_id", &span_id.unwrap_or_default())?;
    for (key, text) in last_first(&exemplar.filtered_attributes) {
        add_tag(row, key, &text)?;
    }
    Ok(number.add(field, row)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::AnyValue;

    #[test]
    fn tags_of_a_source_are_distinct_and_not_empty() {
        let value = |text: &str| -> AnyValue {
            serde_json::from_value(serde_json::json!({"stringValue": text})).unwrap()
        };
        let attribute = |key: &str, value| KeyValue {
            key: key.to_owned(),
            value,
        };
        let mut attributes = vec![attribute("a", Some(value("x"))); 500];
        attributes.push(attribute("a", Some(value("last"))));
        attributes.push(attribute("b", Some(value("y"))));
        attributes.push(attribute("a", Some(value(""))));
        attributes.push(attribute("c", None));
        attributes.push(attribute("", Some(value("z"))));
        let resource = Resource { attributes };
        let tags = resource_tags(&resource);
        let tags: Vec<_> = tags.iter().map(|(key, text)| (*key, &**text)).collect();
        assert_eq!(tags, [("b", "y"), ("a", "last")]);
        let scope = Scope::default();
        let tags = MetricTags::new(&[], &scope, Ok(()));
        assert!(tags.scope.is_empty(), "{tags:?}");
    }
}
