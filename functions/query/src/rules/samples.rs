//! The samples of rules as rows, in the form of remote write.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampNanosecondArray},
    error::ArrowError,
};
use neap_rows::columnar::{
    ColumnMapping, ColumnarRows, NumberedBatch, TablePart, TagColumns, TimeColumn,
};
use neap_rules::{LabelSet, RuleSample, SampleNumber};
use neap_schema::{
    TIME_COLUMN,
    prometheus::{NON_FINITE_FIELD, STALE_BITS, VALUE_FIELD, non_finite_name, tag_of_label},
};

use crate::promql::NANOS_PER_MILLI;

/// Maximum number of different labels of the samples of a metric. Each of them is a column of all samples.
const MAX_LABELS: usize = 1_000;

/// Returns samples at a time as rows of the tables of their metrics.
/// Fails if a name is not one of a table, or the samples have too many labels.
pub(super) fn sample_rows<'a>(
    samples: impl Iterator<Item = &'a RuleSample>,
    at_ms: i64,
) -> Result<ColumnarRows, String> {
    let mut by_metric: BTreeMap<&str, Vec<&RuleSample>> = BTreeMap::new();
    for sample in samples {
        by_metric.entry(&sample.metric).or_default().push(sample);
    }
    let tables = by_metric.into_iter().map(|(metric, samples)| {
        table_part(metric, &samples, at_ms).map_err(|error| error.to_string())
    });
    let parts = tables.collect::<Result<Vec<_>, _>>()?;
    ColumnarRows::from_parts(parts).map_err(|error| error.to_string())
}

fn table_part(metric: &str, samples: &[&RuleSample], at_ms: i64) -> Result<TablePart, ArrowError> {
    let labels: BTreeSet<&String> =
        samples.iter().flat_map(|sample| sample.labels.keys()).collect();
    if labels.len() > MAX_LABELS {
        return Err(ArrowError::InvalidArgumentError(format!(
            "the samples of {metric:?} have more than {MAX_LABELS} different labels"
        )));
    }
    let time = at_ms.saturating_mul(NANOS_PER_MILLI);
    let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![time; samples.len()]));
    let mut columns = vec![(TIME_COLUMN.to_owned(), times)];
    let mut tags = Vec::with_capacity(labels.len());
    for label in labels {
        let tag = tag_of_label(label).into_owned();
        columns.push((tag.clone(), label_values(samples, |labels| labels.get(label))));
        tags.push(tag);
    }
    let numbers = || samples.iter().map(|sample| float(sample.number));
    let finite = |number: f64| Some(number).filter(|it| it.is_finite());
    let values: Float64Array = numbers().map(finite).collect();
    columns.push((VALUE_FIELD.to_owned(), Arc::new(values) as ArrayRef));
    if numbers().any(|number| !number.is_finite()) {
        let names: StringArray = numbers().map(non_finite_name).collect();
        columns.push((NON_FINITE_FIELD.to_owned(), Arc::new(names)));
    }
    let nullable = columns.into_iter().map(|(name, values)| (name, values, true));
    Ok(TablePart {
        mapping: ColumnMapping {
            table: metric.to_owned(),
            tags: TagColumns::Named(tags),
            time: TimeColumn::default(),
        },
        batches: vec![NumberedBatch {
            first_row: 1,
            batch: RecordBatch::try_from_iter_with_nullable(nullable)?,
            refused: Vec::new(),
            has_tag_dictionaries: false,
        }],
    })
}

fn label_values<'a>(
    samples: &[&'a RuleSample],
    value: impl Fn(&'a LabelSet) -> Option<&'a String>,
) -> ArrayRef {
    let values = samples.iter().map(|sample| value(&sample.labels));
    Arc::new(values.collect::<StringArray>())
}

fn float(number: SampleNumber) -> f64 {
    match number {
        SampleNumber::Number(number) => number,
        SampleNumber::Stale => f64::from_bits(STALE_BITS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_with_too_many_labels_are_refused() {
        let samples: Vec<RuleSample> = (0..=MAX_LABELS)
            .map(|label| RuleSample {
                metric: "m".to_owned(),
                labels: LabelSet::from([(format!("l{label}"), "x".to_owned())]),
                number: SampleNumber::Number(1.0),
            })
            .collect();
        assert!(sample_rows(samples.iter().skip(1), 0).is_ok());
        let error = sample_rows(samples.iter(), 0).unwrap_err();
        assert!(error.contains("1000 different labels"), "{error}");
    }
}
