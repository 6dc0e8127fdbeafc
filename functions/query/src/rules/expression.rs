//! The results of expressions.

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type},
    error::ArrowError,
};
use futures::StreamExt;
use neap_catalog::{Rule, RuleLanguage};
use neap_formats::series::MEASUREMENT_COLUMN;
use neap_promql::{
    DEFAULT_LOOKBACK_MS, DEFAULT_SUBQUERY_STEP_MS, Evaluation, EvaluationLimits, EvaluationRange,
    NAME_LABEL, QueryResult, QueryValue, SampleValue,
};
use neap_rules::{LabelSet, MAX_RESULT_BYTES, RuleResult};
use neap_schema::{DatabaseId, prometheus::VALUE_FIELD};

use crate::{BatchStream, QueryEngine, QueryRequest, influxql};

/// Maximum number of results of an expression.
pub(super) const MAX_RESULTS: usize = 10_000;

/// A database whose rules are evaluated.
#[derive(Clone, Copy, Debug)]
pub(super) struct RuleDatabase<'a> {
    pub(super) id: DatabaseId,
    pub(super) name: &'a str,
}

/// Returns the results of the expression of a rule at a time in milliseconds since the Unix epoch. The request has the options
/// of the query. SQL and InfluxQL see the present rows.
/// Fails if the expression can't be evaluated, or its results have no labels and numbers.
pub(super) async fn results(
    engine: &QueryEngine,
    database: RuleDatabase<'_>,
    rule: &Rule,
    at_ms: i64,
    options: QueryRequest,
) -> Result<Vec<RuleResult>, String> {
    let request = QueryRequest { text: rule.expression.clone(), ..options };
    match rule.language {
        RuleLanguage::PromQl => {
            let evaluation = Evaluation {
                range: EvaluationRange::Instant { at_ms },
                lookback_ms: DEFAULT_LOOKBACK_MS,
                subquery_step_ms: DEFAULT_SUBQUERY_STEP_MS,
                limits: EvaluationLimits::default(),
                counts_samples: false,
            };
            let result = engine.evaluate_promql(database.id, request, evaluation).await;
            vector_results(result.map_err(|error| error.to_string())?)
        }
        RuleLanguage::Sql => {
            let rows = engine.query(database.id, request).await;
            row_results(rows.map_err(|error| error.to_string())?.batches).await
        }
        RuleLanguage::InfluxQl => {
            let rows = influxql::rule_rows(engine, database.name, database.id, request).await;
            row_results(rows.map_err(|error| error.to_string())?.batches).await
        }
    }
}

fn vector_results(evaluated: QueryResult) -> Result<Vec<RuleResult>, String> {
    let samples = match evaluated.value {
        QueryValue::Scalar { value, .. } => {
            return Ok(vec![RuleResult { labels: LabelSet::new(), value }]);
        }
        QueryValue::Vector(samples) => samples,
        QueryValue::Text { .. } | QueryValue::Matrix(_) => {
            return Err("rule result is not a vector or scalar".to_owned());
        }
    };
    check_count(samples.len())?;
    let result = |sample: neap_promql::VectorSample| {
        let SampleValue::Float(value) = sample.value else {
            return Err("rule result is a native histogram, which rules can't store".to_owned());
        };
        let labels = sample.labels.iter().filter(|(name, _)| *name != NAME_LABEL);
        let owned = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(RuleResult { labels: owned.collect(), value })
    };
    let results = samples.into_iter().map(result).collect::<Result<Vec<_>, _>>()?;
    check_bytes(results.iter().map(RuleResult::size_bytes).sum())?;
    Ok(results)
}

fn check_count(count: usize) -> Result<(), String> {
    if count > MAX_RESULTS {
        return Err(format!("the expression has more than {MAX_RESULTS} results"));
    }
    Ok(())
}

fn check_bytes(bytes: usize) -> Result<(), String> {
    if bytes > MAX_RESULT_BYTES {
        return Err(format!("the labels of the results have more than {MAX_RESULT_BYTES} bytes"));
    }
    Ok(())
}

/// Returns a result for each row: its texts are labels, and its number is the value.
async fn row_results(mut batches: BatchStream) -> Result<Vec<RuleResult>, String> {
    let mut results = Vec::new();
    let mut bytes = 0_usize;
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(|error| error.to_string())?;
        let known = results.len();
        check_count(known + batch.num_rows())?;
        add_rows(&batch, &mut results)?;
        let added = results.iter().skip(known).map(RuleResult::size_bytes);
        bytes = bytes.saturating_add(added.sum());
        check_bytes(bytes)?;
    }
    Ok(results)
}

fn add_rows(batch: &RecordBatch, results: &mut Vec<RuleResult>) -> Result<(), String> {
    let (mut texts, mut numbers) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let name = field.name().as_str();
        match column.data_type() {
            _ if [MEASUREMENT_COLUMN, NAME_LABEL].contains(&name) => {}
            data_type if is_text(data_type) => {
                texts.push((name, convert(column, &DataType::Utf8)?))
            }
            data_type if data_type.is_numeric() => numbers.push((name, column)),
            _ => {}
        }
    }
    let named = numbers.iter().find(|(name, _)| *name == VALUE_FIELD);
    let only = numbers.first().filter(|_| numbers.len() == 1);
    let Some((_, number)) = named.or(only) else {
        let text = if numbers.is_empty() {
            "the rows have no column with a number"
        } else {
            "the rows have several columns with numbers, and none is 'value'"
        };
        return Err(text.to_owned());
    };
    let values = convert(number, &DataType::Float64)?;
    for (index, value) in values.as_primitive::<Float64Type>().iter().enumerate() {
        let Some(value) = value else {
            continue;
        };
        let labels =
            texts.iter().filter(|(_, texts)| texts.is_valid(index)).map(|(name, texts)| {
                let text = texts.as_string::<i32>().value(index);
                ((*name).to_owned(), text.to_owned())
            });
        let present = labels.filter(|(_, text)| !text.is_empty());
        results.push(RuleResult { labels: present.collect(), value });
    }
    Ok(())
}

fn convert(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    cast(column, to).map_err(|error: ArrowError| error.to_string())
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => values.is_string(),
        other => other.is_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray, TimestampNanosecondArray};

    use super::*;

    fn rows(columns: Vec<(&str, ArrayRef)>) -> Result<Vec<String>, String> {
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, column)| (name, column, true)),
        );
        let mut results = Vec::new();
        add_rows(&batch.unwrap(), &mut results)?;
        Ok(results.iter().map(|one| format!("{:?} {}", one.labels, one.value)).collect())
    }

    #[test]
    fn a_row_has_texts_as_labels_and_a_number() {
        let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1, 2, 3]));
        let hosts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("c")]));
        let counts: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), None]));
        let columns = vec![
            (MEASUREMENT_COLUMN, Arc::clone(&hosts)),
            ("time", times),
            ("host", hosts),
            ("count", Arc::clone(&counts)),
        ];
        assert_eq!(rows(columns.clone()).unwrap(), [r#"{"host": "a"} 1"#, "{} 2"]);
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.5, 1.5, 2.5]));
        let with_value = [columns, vec![("value", floats)]].concat();
        assert_eq!(rows(with_value).unwrap()[0], r#"{"host": "a"} 0.5"#);
        let error = rows(vec![("a", Arc::clone(&counts)), ("b", counts)]).unwrap_err();
        assert!(error.contains("several columns"), "{error}");
        let hosts: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        let no_number = rows(vec![("host", hosts)]).unwrap_err();
        assert!(no_number.contains("no column with a number"), "{no_number}");
    }
}
