//! Lists of labels, series and descriptions of metrics.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow_array::{Array, RecordBatch, StringArray, cast::AsArray};
use arrow_cast::cast;
use arrow_schema::DataType;
use neap_query::{
    promql::{Metric, MetricSelection, values_sql},
    quoted_name, quoted_text,
};
use serde_json::{Map, Value, json};

use crate::{
    Label, METADATA_FIELDS, METADATA_METRIC_TAG, METADATA_TABLE, NAME_LABEL,
    remote_read::{
        answer::List,
        context::ReadContext,
        failure::{ReadFailure, ReadResult},
        list_params::{ListParams, MetadataParams},
        row_series::SeriesRows,
        selector::parse_selectors,
    },
};

/// Maximum memory of a list, in bytes.
pub(crate) const MAX_LIST_BYTES: usize = 64 << 20;

/// The memory of an entry of a list besides its texts, in bytes.
pub(crate) const ENTRY_BYTES: usize = 64;

/// Maximum number of scans of one statement.
const SCANS_PER_STATEMENT: usize = 50;

pub(crate) async fn label_names(context: &ReadContext, params: &ListParams) -> ReadResult<List> {
    let metrics = context.metrics().await?.metrics;
    let mut names: BTreeSet<String> = BTreeSet::new();
    if params.selectors.is_empty() {
        let labels = metrics.iter().flat_map(|metric| metric.labels());
        names.extend(labels.map(str::to_owned));
    } else {
        for labels in select_series(context, &metrics, params).await? {
            names.extend(labels.into_iter().map(|label| label.name));
        }
    }
    Ok(List::new(
        names.into_iter().map(Value::String),
        params.limit,
    ))
}

/// Lists the values of a label. Without matchers of other labels, the names of metrics are those of all tables, because
/// a search for samples of each metric takes long.
pub(crate) async fn label_values(
    context: &ReadContext,
    label: &str,
    params: &ListParams,
) -> ReadResult<List> {
    let metrics = context.metrics().await?.metrics;
    let mut selectors = parse_selectors(&params.selectors).await?;
    if selectors.is_empty() {
        selectors.push([].into());
    }
    let mut values = TextSet::default();
    for matchers in selectors {
        let tables = metrics.iter();
        let selected: Vec<MetricSelection> =
            tables.filter_map(|metric| metric.select(&matchers, params.range)).collect();
        if label == NAME_LABEL && matchers.iter().all(|matcher| matcher.label == NAME_LABEL) {
            for selection in selected {
                values.insert(&selection.metric.name)?;
            }
            continue;
        }
        for statements in values_sql(&selected, label).chunks(SCANS_PER_STATEMENT) {
            add_union(context, statements, &mut values).await?;
        }
    }
    let values = values.texts.into_iter().map(Value::String);
    Ok(List::new(values, params.limit))
}

/// Adds the values of the column `v` of several statements, which are executed as one.
async fn add_union(context: &ReadContext, parts: &[String], values: &mut TextSet) -> ReadResult {
    let union = parts
        .iter()
        .map(|part| format!("({part})"))
        .collect::<Vec<_>>()
        .join(" UNION ALL ");
    let statement = format!("SELECT DISTINCT \"v\" FROM ({union})");
    let add = |batch: &RecordBatch| {
        let texts = text_column(batch, "v")?;
        texts.iter().flatten().try_for_each(|text| values.insert(text))
    };
    context.for_each_batch(statement, add).await
}

/// Lists the labels of series.
pub(crate) async fn series(context: &ReadContext, params: &ListParams) -> ReadResult<List> {
    if params.selectors.is_empty() {
        return Err(ReadFailure::NoMatch);
    }
    let metrics = context.metrics().await?.metrics;
    let series = select_series(context, &metrics, params).await?;
    let objects = series.into_iter().map(|labels| {
        let labels = labels.into_iter();
        let object = labels.map(|label| (label.name, Value::String(label.value)));
        Value::Object(object.collect::<Map<_, _>>())
    });
    Ok(List::new(objects, params.limit))
}

/// Returns the labels of the series that match one of the selectors.
async fn select_series(
    context: &ReadContext,
    metrics: &[Arc<Metric>],
    params: &ListParams,
) -> ReadResult<BTreeSet<Vec<Label>>> {
    let mut series = BTreeSet::new();
    let mut bytes = 0;
    for matchers in parse_selectors(&params.selectors).await? {
        for metric in metrics {
            let Some(selection) = metric.select(&matchers, params.range) else {
                continue;
            };
            let add = |batch: &RecordBatch| {
                let rows = SeriesRows::new(metric, batch)?;
                for row in 0..rows.len() {
                    let labels = rows.labels(row);
                    let texts = labels.iter();
                    let size =
                        texts.map(|label| label.name.len() + label.value.len() + ENTRY_BYTES);
                    bytes += size.sum::<usize>();
                    if bytes > MAX_LIST_BYTES {
                        return Err(ReadFailure::TooLarge(MAX_LIST_BYTES));
                    }
                    series.insert(labels);
                }
                Ok(())
            };
            context.for_each_batch(selection.series_sql(), add).await?;
        }
    }
    Ok(series)
}

/// Lists the descriptions of metrics.
pub(crate) async fn metadata(context: &ReadContext, params: &MetadataParams) -> ReadResult<List> {
    let mut metrics: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    if context.metrics().await?.has_metadata {
        let mut bytes = 0;
        let add = |batch: &RecordBatch| {
            let metric_names = text_column(batch, METADATA_METRIC_TAG)?;
            let fields = METADATA_FIELDS.map(|field| text_column(batch, field));
            let [kinds, helps, units] = fields;
            let (kinds, helps, units) = (kinds?, helps?, units?);
            for (row, metric) in metric_names.iter().enumerate() {
                let texts = [text(&kinds, row), text(&helps, row), text(&units, row)];
                let metric = metric.unwrap_or_default();
                bytes += metric.len() + ENTRY_BYTES;
                bytes += texts.iter().map(|text| text.len() + ENTRY_BYTES).sum::<usize>();
                if bytes > MAX_LIST_BYTES {
                    return Err(ReadFailure::TooLarge(MAX_LIST_BYTES));
                }
                let [kind, help, unit] = texts;
                let description = json!({ "type": kind, "help": help, "unit": unit });
                metrics.entry(metric.to_owned()).or_default().push(description);
            }
            Ok(())
        };
        context.for_each_batch(metadata_sql(params), add).await?;
    }
    let per_metric = params.limit_per_metric.unwrap_or(usize::MAX);
    let all = metrics.len();
    let first = metrics.into_iter().take(params.limit.unwrap_or(usize::MAX));
    let data: Map<String, Value> = first
        .map(|(metric, mut descriptions)| {
            descriptions.truncate(per_metric);
            (metric, Value::Array(descriptions))
        })
        .collect();
    let is_truncated = data.len() < all;
    Ok(List::of_data(Value::Object(data), is_truncated))
}

/// Returns the statement that selects the descriptions of metrics, the newest first.
fn metadata_sql(params: &MetadataParams) -> String {
    let metric = quoted_name(METADATA_METRIC_TAG);
    let fields = METADATA_FIELDS.map(quoted_name).join(", ");
    let condition = params
        .metric
        .as_ref()
        .map(|value| format!(" WHERE {metric} = {}", quoted_text(value)));
    format!(
        "SELECT {metric}, {fields} FROM {}{} GROUP BY {metric}, {fields} ORDER BY {metric}, max(\"time\") DESC",
        quoted_name(METADATA_TABLE),
        condition.unwrap_or_default()
    )
}

/// Texts within a limit of memory.
#[derive(Debug, Default)]
struct TextSet {
    texts: BTreeSet<String>,
    bytes: usize,
}

impl TextSet {
    fn insert(&mut self, text: &str) -> ReadResult {
        if self.texts.contains(text) {
            return Ok(());
        }
        self.bytes += text.len() + ENTRY_BYTES;
        if self.bytes > MAX_LIST_BYTES {
            return Err(ReadFailure::TooLarge(MAX_LIST_BYTES));
        }
        self.texts.insert(text.to_owned());
        Ok(())
    }
}

/// Returns a column as texts; empty if it does not exist.
pub(crate) fn text_column(batch: &RecordBatch, name: &str) -> ReadResult<StringArray> {
    let Some(column) = batch.column_by_name(name) else {
        return Ok(StringArray::new_null(batch.num_rows()));
    };
    Ok(cast(column, &DataType::Utf8)?.as_string::<i32>().clone())
}

/// Returns a text of a column; empty if it is null.
pub(crate) fn text(column: &StringArray, row: usize) -> &str {
    if column.is_valid(row) {
        column.value(row)
    } else {
        ""
    }
}
