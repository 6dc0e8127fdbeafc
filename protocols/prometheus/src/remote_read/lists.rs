//! Lists of labels, series and descriptions of metrics.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow_array::RecordBatch;
use neap_query::{quoted_name, quoted_text};
use serde_json::{Map, Value, json};

use crate::{
    Label, METADATA_FIELDS, METADATA_METRIC_TAG, METADATA_TABLE,
    remote_read::{
        answer::List,
        context::ReadContext,
        failure::{ReadFailure, ReadResult},
        label_reader::{SeriesReader, ValueReader},
        list_params::{ListParams, MetadataParams},
        list_texts::{ENTRY_BYTES, MAX_LIST_BYTES, text, text_column},
        selector::parse_selectors,
    },
};

pub(crate) async fn label_names(context: &ReadContext, params: &ListParams) -> ReadResult<List> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    if params.selectors.is_empty() {
        let metrics = context.metrics().await?.metrics;
        let labels = metrics.iter().flat_map(|metric| metric.labels());
        names.extend(labels.map(str::to_owned));
    } else {
        for labels in select_series(context, params).await? {
            names.extend(labels.into_iter().map(|label| label.name));
        }
    }
    Ok(List::new(names.into_iter().map(Value::String), params.limit))
}

/// Lists the values of a label. Without matchers of other labels, the names of metrics are those of all tables, because
/// a search for samples of each metric takes long.
pub(crate) async fn label_values(
    context: &ReadContext,
    label: &str,
    params: &ListParams,
) -> ReadResult<List> {
    context.authorize().await?;
    let mut selectors = parse_selectors(&params.selectors).await?;
    if selectors.is_empty() {
        selectors.push([].into());
    }
    let reader = Arc::new(ValueReader::new(label, selectors, params.range));
    let text = match params.selectors.as_slice() {
        [] => format!("label_values({label})"),
        selectors => format!("label_values({}, {label})", selectors.join(" or ")),
    };
    context.read_metrics(text, Arc::clone(&reader) as _).await?;
    let values = reader.take()?.into_iter().map(Value::String);
    Ok(List::new(values, params.limit))
}

/// Lists the labels of series.
pub(crate) async fn series(context: &ReadContext, params: &ListParams) -> ReadResult<List> {
    if params.selectors.is_empty() {
        return Err(ReadFailure::NoMatch);
    }
    let series = select_series(context, params).await?;
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
    params: &ListParams,
) -> ReadResult<BTreeSet<Vec<Label>>> {
    context.authorize().await?;
    let selectors = parse_selectors(&params.selectors).await?;
    let reader = Arc::new(SeriesReader::new(selectors, params.range));
    let text = format!("series({})", params.selectors.join(" or "));
    context.read_metrics(text, Arc::clone(&reader) as _).await?;
    reader.take()
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
