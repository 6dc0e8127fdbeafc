//! The exemplars of the series that an expression selects.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{RecordBatch, cast::AsArray, types::TimestampNanosecondType};
use neap_promql::{parse, selector_matchers};
use neap_query::{
    promql::{LabelMatcher, Matcher, NANOS_PER_MILLI, TimeRange, compile_matchers},
    quoted_name,
};
use serde_json::{Map, Value, json};

use crate::{
    EXEMPLARS_FIELDS, EXEMPLARS_TABLE, EXEMPLARS_TAGS, NAME_LABEL, non_finite_value,
    remote_read::{
        answer::List,
        context::ReadContext,
        failure::{ReadFailure, ReadResult},
        list_texts::{ENTRY_BYTES, MAX_LIST_BYTES, text, text_column},
        params::{RequestParams, parse_time},
        result_stats::seconds_of,
        result_text::value_text,
    },
};

/// The parameters of a request for exemplars.
#[derive(Clone, Debug)]
pub(crate) struct ExemplarParams {
    /// The conditions on the labels of the series. One of the lists must be met.
    selectors: Vec<Arc<[Matcher]>>,
    range: TimeRange,
}

impl ExemplarParams {
    /// Reads the parameters of a request.
    ///
    /// # Errors
    /// The expression or a time is invalid, or the end is before the start.
    pub(crate) fn parse(params: &RequestParams) -> ReadResult<Self> {
        let time = |name: &'static str, default: i64| {
            let time = params.get(name).map(|text| parse_time(name, text));
            Ok::<_, ReadFailure>(time.transpose()?.unwrap_or(default))
        };
        let range = TimeRange {
            start_ms: time("start", TimeRange::ALL.start_ms)?,
            end_ms: time("end", TimeRange::ALL.end_ms)?,
        };
        if range.end_ms < range.start_ms {
            return Err(ReadFailure::ExemplarTimes);
        }
        let expression = parse(params.get("query").unwrap_or_default())?;
        let selectors: Vec<Vec<LabelMatcher>> = selector_matchers(&expression)?
            .iter()
            .map(|matchers| matchers.iter().map(LabelMatcher::from).collect())
            .collect();
        let messages: Vec<&[LabelMatcher]> = selectors.iter().map(Vec::as_slice).collect();
        Ok(Self { selectors: compile_matchers(&messages)?, range })
    }

    /// Returns the statement that selects the exemplars of the metrics, sorted by series and time.
    fn sql(&self) -> String {
        let [metric, series] = EXEMPLARS_TAGS;
        let of_selectors = self.selectors.iter().map(|matchers| {
            let names = matchers.iter().filter(|matcher| matcher.label == NAME_LABEL);
            let conditions: Vec<String> = names.map(|matcher| matcher.sql(metric)).collect();
            if conditions.is_empty() {
                "true".to_owned()
            } else {
                format!("({})", conditions.join(" AND "))
            }
        });
        let of_metrics = of_selectors.collect::<Vec<_>>().join(" OR ");
        let mut conditions = vec![format!("({of_metrics})")];
        conditions.extend(self.range.conditions());
        let [labels, value] = EXEMPLARS_FIELDS;
        let columns = [metric, series, "time", labels, value].map(quoted_name).join(", ");
        let order = [metric, series, "time"].map(quoted_name).join(", ");
        let table = quoted_name(EXEMPLARS_TABLE);
        let condition = conditions.join(" AND ");
        format!("SELECT {columns} FROM {table} WHERE {condition} ORDER BY {order}")
    }

    /// Returns the labels of a series; `None` if no selector selects it.
    fn select(&self, metric: &str, series: &str) -> Option<BTreeMap<String, String>> {
        let mut labels: BTreeMap<String, String> = serde_json::from_str(series).ok()?;
        labels.insert(NAME_LABEL.to_owned(), metric.to_owned());
        let is_met = |matcher: &Matcher| {
            matcher.matches(labels.get(&matcher.label).map_or("", String::as_str))
        };
        let is_selected = self.selectors.iter().any(|matchers| matchers.iter().all(is_met));
        is_selected.then_some(labels)
    }
}

/// The exemplars of series, one series after the other.
#[derive(Debug, Default)]
struct ExemplarSeries {
    data: Vec<Value>,
    /// The metric and the series of the last row.
    series: Option<(String, String)>,
    /// The labels of that series, and its exemplars; `None` if it is not selected.
    selected: Option<(BTreeMap<String, String>, Vec<Value>)>,
    bytes: usize,
}

impl ExemplarSeries {
    fn add(&mut self, params: &ExemplarParams, batch: &RecordBatch) -> ReadResult {
        let [metric, series] = EXEMPLARS_TAGS;
        let (metrics, all_series) = (text_column(batch, metric)?, text_column(batch, series)?);
        let [labels, value] = EXEMPLARS_FIELDS;
        let (all_labels, values) = (text_column(batch, labels)?, text_column(batch, value)?);
        let times = batch
            .column_by_name("time")
            .and_then(|column| column.as_primitive_opt::<TimestampNanosecondType>());
        for row in 0..batch.num_rows() {
            let (metric, series) = (text(&metrics, row), text(&all_series, row));
            let labels = text(&all_labels, row);
            let is_same = self.series.as_ref().is_some_and(|(last_metric, last_series)| {
                (last_metric.as_str(), last_series.as_str()) == (metric, series)
            });
            if !is_same {
                self.finish();
                self.keep(series.len())?;
                self.series = Some((metric.to_owned(), series.to_owned()));
                self.selected =
                    params.select(metric, series).map(|selected| (selected, Vec::new()));
            }
            let shown = times.and_then(|times| {
                let at_ms = times.value(row).div_euclid(NANOS_PER_MILLI);
                exemplar(labels, text(&values, row), at_ms)
            });
            if let Some(shown) = shown
                && let Some((_, exemplars)) = &mut self.selected
            {
                exemplars.push(shown);
                self.keep(labels.len())?;
            }
        }
        Ok(())
    }

    /// Counts memory.
    fn keep(&mut self, bytes: usize) -> ReadResult {
        self.bytes += 2 * bytes + ENTRY_BYTES;
        if self.bytes > MAX_LIST_BYTES {
            return Err(ReadFailure::TooLarge(MAX_LIST_BYTES));
        }
        Ok(())
    }

    /// Ends the current series.
    fn finish(&mut self) {
        if let Some((labels, exemplars)) = self.selected.take()
            && !exemplars.is_empty()
        {
            self.data.push(json!({ "seriesLabels": labels, "exemplars": exemplars }));
        }
    }
}

/// Returns an exemplar; `None` if its columns are not those of remote write.
fn exemplar(labels: &str, value: &str, at_ms: i64) -> Option<Value> {
    let labels: Map<String, Value> = serde_json::from_str(labels).ok()?;
    let number = non_finite_value(value).or_else(|| value.parse().ok())?;
    Some(json!({
        "labels": labels,
        "value": value_text(number).trim_matches('"'),
        "timestamp": seconds_of(at_ms),
    }))
}

/// Lists the exemplars of the series that an expression selects.
///
/// # Errors
/// The database can't be read, or there are too many exemplars.
pub(crate) async fn list(context: &ReadContext, params: &ExemplarParams) -> ReadResult<List> {
    let mut found = ExemplarSeries::default();
    if context.metrics().await?.has_exemplars && !params.selectors.is_empty() {
        context.for_each_batch(params.sql(), |batch| found.add(params, batch)).await?;
    }
    found.finish();
    Ok(List::of_data(Value::Array(found.data), false))
}
