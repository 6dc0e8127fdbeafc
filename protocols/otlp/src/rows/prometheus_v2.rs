//! The schema with one table, `prometheus`, and a field for each metric.

use std::borrow::Cow;

use neap_rows::columnar::TableBatch;

use super::{
    ItemError, RowCollector, RowRole,
    number::{Number, add_finite, bound_text, count_float},
    point_source::PointSource,
    prometheus_v1::add_exponential_fields,
};
use crate::messages::{ExponentialPoint, HistogramPoint, SummaryPoint};

const PROMETHEUS: &str = "prometheus";
const PROMETHEUS_EXEMPLAR: &str = "prometheus_exemplar";

/// A tag that a data point does not have itself.
type ExtraTag<'a> = Option<(&'a str, &'a str)>;

/// Adds a data point of a gauge or a sum.
pub(super) fn add_number(
    source: &PointSource<'_>,
    number: Number,
    rows: &mut RowCollector,
) -> Result<(), ItemError> {
    add_row(source, None, rows, |row| Ok(number.add(source.metric, row)?))
}

/// Adds a data point of a histogram: a row for its totals, and one for each bucket with its upper bound as the tag
/// `le`.
pub(super) fn add_histogram(
    source: &PointSource<'_>,
    point: &HistogramPoint,
    buckets: &[(String, f64)],
    rows: &mut RowCollector,
) -> Result<(), ItemError> {
    let metric = source.metric;
    add_row(source, None, rows, |row| {
        row.float(&format!("{metric}_count"), count_float(point.count))?;
        add_finite(row, &format!("{metric}_sum"), point.sum)?;
        add_finite(row, &format!("{metric}_min"), point.min)?;
        add_finite(row, &format!("{metric}_max"), point.max)
    })?;
    let field = format!("{metric}_bucket");
    for (bound, count) in buckets {
        add_row(source, Some(("le", bound)), rows, |row| Ok(row.float(&field, *count)?))?;
    }
    Ok(())
}

/// Adds a data point of an exponential histogram.
pub(super) fn add_exponential(
    source: &PointSource<'_>,
    point: &ExponentialPoint,
    rows: &mut RowCollector,
) -> Result<(), ItemError> {
    let name = |field| Cow::Owned(format!("{}_{field}", source.metric));
    add_row(source, None, rows, |row| add_exponential_fields(point, name, row))
}

/// Adds a data point of a summary: a row for its totals, and one for each quantile, which is the tag `quantile`.
pub(super) fn add_summary(
    source: &PointSource<'_>,
    point: &SummaryPoint,
    rows: &mut RowCollector,
) -> Result<(), ItemError> {
    let metric = source.metric;
    add_row(source, None, rows, |row| {
        row.float(&format!("{metric}_count"), count_float(point.count))?;
        add_finite(row, &format!("{metric}_sum"), Some(point.sum))
    })?;
    let values = point.quantile_values.iter();
    for value in values.filter(|value| value.value.is_finite()) {
        let quantile = bound_text(value.quantile);
        add_row(source, Some(("quantile", &quantile)), rows, |row| {
            Ok(row.float(metric, value.value)?)
        })?;
    }
    Ok(())
}

/// The table of exemplars, and the field with their values.
pub(super) fn exemplar_columns(metric: &str) -> (Cow<'_, str>, &str) {
    (Cow::Borrowed(PROMETHEUS_EXEMPLAR), metric)
}

fn add_row(
    source: &PointSource<'_>,
    extra_tag: ExtraTag<'_>,
    rows: &mut RowCollector,
    fill: impl Fn(&mut TableBatch) -> Result<(), ItemError>,
) -> Result<(), ItemError> {
    rows.add_row(PROMETHEUS, source.time_ns, RowRole::Item, |row| {
        // First, because the tags of the data point do not override it.
        if let Some((name, text)) = extra_tag {
            row.tag(name, text)?;
        }
        source.add_tags(row)?;
        source.add_start(row)?;
        fill(row)
    })
}
