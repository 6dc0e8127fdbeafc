//! The data points of metrics.

use neap_rows::columnar::TableBatch;

use super::{
    ItemError, RowCollector,
    item_error::{check_attributes, required_time_ns, time_ns},
    metric_tags::{MetricTags, add_tag, last_first},
    number::{Number, NumberKind, bound_text, count_float},
    point_source::PointSource,
    prometheus_v1, prometheus_v2,
};
use crate::{
    encoding::{DecodeError, Field, Node},
    mapping::MetricSchema,
    messages::{
        CUMULATIVE, Exemplar, ExponentialPoint, HistogramPoint, KeyValue, MetricHeader,
        NO_RECORDED_VALUE, NumberPoint, SumHeader, SummaryPoint,
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

/// Returns the bounds of a histogram's buckets as text with the number of values up to each of them.
pub(super) fn cumulative_buckets(point: &HistogramPoint) -> Result<Vec<(String, f64)>, ItemError> {
    let (counts, bounds) = (&point.bucket_counts, &point.explicit_bounds);
    // The bucket without an upper bound may be missing.
    let fits = [0, bounds.len(), bounds.len() + 1].contains(&counts.len());
    if !fits {
        return Err(ItemError::Buckets { counts: counts.len(), bounds: bounds.len() });
    }
    let mut total = 0u64;
    let buckets = counts.iter().enumerate().map(|(index, count)| {
        total = total.saturating_add(*count);
        let bound = bounds.get(index).copied().unwrap_or(f64::INFINITY);
        (bound_text(bound), count_float(total))
    });
    Ok(buckets.collect())
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
    let mut points = MetricPoints { metric: &header.name, tags, schema, rows };
    let [gauge, sum, histogram, exponential, summary] =
        metric.children([GAUGE, SUM, HISTOGRAM, EXPONENTIAL_HISTOGRAM, SUMMARY])?;
    let within = |field: Field| move |error: DecodeError| error.within(field.name);
    if let Some(gauge) = gauge {
        let added =
            gauge.for_each(DATA_POINTS, |point| points.add_number(point, NumberKind::Gauge));
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
        let parts = PointParts { metric: self.metric, tags: self.tags, schema: self.schema };
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
            let Some(number) = Number::from_value(point.as_double, point.as_int)? else {
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
    let number = Number::from_value(exemplar.as_double, exemplar.as_int)?
        .ok_or(ItemError::Missing("the value of an exemplar"))?;
    let trace_id = super::ids::trace_id(&exemplar.trace_id)?;
    let span_id = super::ids::span_id(&exemplar.span_id)?;
    row.tag("trace_id", &trace_id.unwrap_or_default())?;
    row.tag("span_id", &span_id.unwrap_or_default())?;
    for (key, text) in last_first(&exemplar.filtered_attributes) {
        add_tag(row, key, &text)?;
    }
    Ok(number.add(field, row)?)
}
