//! The schema with a table for each metric.

use std::borrow::Cow;

use neap_rows::columnar::TableBatch;

use super::{
    ItemError, RowCollector, RowRole,
    number::{Number, NumberKind, add_finite, bound_text, count_float},
    point_source::PointSource,
};
use crate::messages::{ExponentialBuckets, ExponentialPoint, HistogramPoint, SummaryPoint};

/// Adds a data point of a gauge or a sum.
pub(super) fn add_number(
    source: &PointSource<'_>,
    kind: NumberKind,
    number: Number,
    rows: &mut RowCollector,
) -> Result<(), ItemError> {
    let name = match kind {
        NumberKind::Gauge => "gauge",
        NumberKind::Counter => "counter",
    };
    add_row(source, rows, |row| Ok(number.add(name, row)?))
}

/// Adds a data point of a histogram. The name of a bucket's field is its upper bound.
pub(super) fn add_histogram(
    source: &PointSource<'_>,
    point: &HistogramPoint,
    buckets: &[(String, f64)],
    rows: &mut RowCollector,
) -> Result<(), ItemError> {
    add_row(source, rows, |row| {
        row.float("count", count_float(point.count))?;
        add_finite(row, "sum", point.sum)?;
        add_finite(row, "min", point.min)?;
        add_finite(row, "max", point.max)?;
        for (bound, count) in buckets {
            row.float(bound, *count)?;
        }
        Ok(())
    })
}

/// Adds a data point of an exponential histogram.
pub(super) fn add_exponential(
    source: &PointSource<'_>,
    point: &ExponentialPoint,
    rows: &mut RowCollector,
) -> Result<(), ItemError> {
    add_row(source, rows, |row| add_exponential_fields(point, Cow::Borrowed, row))
}

/// Adds the fields of an exponential histogram with the names that `name` returns.
pub(super) fn add_exponential_fields<'n>(
    point: &ExponentialPoint,
    name: impl Fn(&'static str) -> Cow<'n, str>,
    row: &mut TableBatch,
) -> Result<(), ItemError> {
    row.float(&name("count"), count_float(point.count))?;
    add_finite(row, &name("sum"), point.sum)?;
    add_finite(row, &name("min"), point.min)?;
    add_finite(row, &name("max"), point.max)?;
    row.integer(&name("scale"), point.scale.into())?;
    row.float(&name("zero_count"), count_float(point.zero_count))?;
    add_finite(row, &name("zero_threshold"), Some(point.zero_threshold))?;
    let sides = [
        ("positive_offset", "positive_bucket_counts", &point.positive),
        ("negative_offset", "negative_bucket_counts", &point.negative),
    ];
    for (offset, counts, buckets) in sides {
        let buckets = buckets.as_ref();
        if let Some(buckets) = buckets.filter(|buckets| !buckets.bucket_counts.is_empty()) {
            row.integer(&name(offset), buckets.offset.into())?;
            row.string(&name(counts), &counts_json(buckets))?;
        }
    }
    Ok(())
}

/// Returns the counts of buckets as a JSON list.
fn counts_json(buckets: &ExponentialBuckets) -> String {
    let counts = buckets.bucket_counts.iter().map(u64::to_string);
    format!("[{}]", counts.collect::<Vec<_>>().join(","))
}

/// Adds a data point of a summary. The name of a field is its quantile.
pub(super) fn add_summary(
    source: &PointSource<'_>,
    point: &SummaryPoint,
    rows: &mut RowCollector,
) -> Result<(), ItemError> {
    add_row(source, rows, |row| {
        row.float("count", count_float(point.count))?;
        add_finite(row, "sum", Some(point.sum))?;
        for value in &point.quantile_values {
            add_finite(row, &bound_text(value.quantile), Some(value.value))?;
        }
        Ok(())
    })
}

/// The table of exemplars, and the field with their values.
pub(super) fn exemplar_columns(metric: &str) -> (Cow<'_, str>, &str) {
    (Cow::Owned(format!("{metric}_exemplar")), "gauge")
}

fn add_row(
    source: &PointSource<'_>,
    rows: &mut RowCollector,
    fill: impl Fn(&mut TableBatch) -> Result<(), ItemError>,
) -> Result<(), ItemError> {
    rows.add_row(source.metric, source.time_ns, RowRole::Item, |row| {
        source.add_tags(row)?;
        source.add_start(row)?;
        fill(row)
    })
}
