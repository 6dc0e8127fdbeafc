//! Metrics in tables in memory.

use std::{collections::BTreeSet, sync::Arc};

use arrow::{
    array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray},
    datatypes::{DataType, Field, Schema, TimeUnit},
};
use async_trait::async_trait;
use datafusion::{
    datasource::{MemTable, provider_as_source},
    execution::SendableRecordBatchStream,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ident},
    prelude::{SessionConfig, SessionContext},
};
use futures::{StreamExt, stream};
use promql_parser::label::Matcher;

use crate::{
    DecodedColumn, FloatHistogram, LabelColumn, MetricSource, PromqlError, STALE_NAN_BITS,
    SampleTable, SampleTables,
};

/// The value of a sample in a table.
#[derive(Clone, Debug)]
enum StoredValue {
    Float(f64),
    Special(&'static str),
    /// The count of the observations from 1 to 2, and of those from 2 to 4.
    Histogram(f64, f64),
}

#[derive(Clone, Debug)]
pub(super) struct Metric {
    name: String,
    labels: Vec<(String, String)>,
    /// Milliseconds and values.
    samples: Vec<(i64, StoredValue)>,
}

impl Metric {
    pub(super) fn new(name: &str, labels: &[(&str, &str)]) -> Self {
        let labels = labels.iter();
        Self {
            name: name.to_owned(),
            labels: labels.map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            samples: Vec::new(),
        }
    }

    fn with(mut self, second: i32, value: StoredValue) -> Self {
        self.samples.push((i64::from(second) * 1_000, value));
        self
    }

    pub(super) fn floats(self, samples: impl IntoIterator<Item = (i32, f64)>) -> Self {
        samples
            .into_iter()
            .fold(self, |metric, (second, value)| metric.float(second, value))
    }

    /// Adds a sample. A number that is not finite is stored by its name.
    pub(super) fn float(self, second: i32, value: f64) -> Self {
        self.with(
            second,
            if value.is_nan() {
                StoredValue::Special("NaN")
            } else {
                StoredValue::Float(value)
            },
        )
    }

    pub(super) fn stale_at(self, second: i32) -> Self {
        self.with(second, StoredValue::Special("stale"))
    }

    /// Adds a histogram with buckets of the indexes 1 and 2, and a mean of 2.
    pub(super) fn histogram(self, second: i32, histogram: FloatHistogram) -> Self {
        let [(1, one), (2, two)] = histogram.positive.as_slice() else {
            panic!("other buckets");
        };
        self.with(second, StoredValue::Histogram(*one, *two))
    }
}

fn special_value(name: &str) -> Option<f64> {
    match name {
        "stale" => Some(f64::from_bits(STALE_NAN_BITS)),
        "NaN" => Some(f64::NAN),
        _ => None,
    }
}

fn histogram(text: &str) -> Option<FloatHistogram> {
    let (one, two) = text.split_once(' ')?;
    let (one, two): (f64, f64) = (one.parse().ok()?, two.parse().ok()?);
    Some(FloatHistogram {
        count: one + two,
        sum: 2.0 * (one + two),
        positive: vec![(1, one), (2, two)],
        ..FloatHistogram::default()
    })
}

/// Tables of metrics.
pub(super) struct TestSource {
    session: SessionContext,
    tables: Vec<SampleTable>,
}

impl TestSource {
    pub(super) fn new(metrics: &[Metric]) -> Self {
        Self::with_batches(metrics, 1_000, 8_192)
    }

    /// Reads tables that exist already.
    pub(super) fn of_tables(tables: Vec<SampleTable>) -> Self {
        Self { session: SessionContext::new(), tables }
    }

    /// Creates tables whose batches have a number of rows, and a session that reads batches of a number of rows.
    pub(super) fn with_batches(metrics: &[Metric], stored_rows: usize, read_rows: usize) -> Self {
        let names: BTreeSet<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
        let config = SessionConfig::new().with_batch_size(read_rows);
        let tables = names.into_iter().map(|name| {
            let of_name: Vec<&Metric> =
                metrics.iter().filter(|metric| metric.name == name).collect();
            table(name, &of_name, stored_rows)
        });
        Self {
            tables: tables.collect(),
            session: SessionContext::new_with_config(config),
        }
    }
}

/// Returns a table whose rows have the order that an evaluation expects.
fn sorted(table: &SampleTable) -> SampleTable {
    let labels = table.labels.iter().map(|label| label.column.as_str());
    let keys: Vec<&str> = labels.chain([table.time_column.as_str()]).collect();
    let special = table.special_value_column.as_ref().map(|decoded| decoded.column.as_str());
    let histogram = table.histogram_column.as_ref().map(|decoded| decoded.column.as_str());
    let samples = [table.value_column.as_deref(), special, histogram].into_iter().flatten();
    let columns: Vec<Expr> = keys.iter().copied().chain(samples).map(ident).collect();
    let order: Vec<_> = keys.iter().map(|key| ident(*key).sort(true, true)).collect();
    let plan = LogicalPlanBuilder::from(table.plan.clone())
        .project(columns)
        .and_then(|rows| rows.sort(order)?.build());
    SampleTable { plan: plan.unwrap(), ..table.clone() }
}

/// Returns the table of the series of a metric. The rows are those of one series after the other, from the last one.
fn table(name: &str, metrics: &[&Metric], batch_rows: usize) -> SampleTable {
    let labels: BTreeSet<&str> = metrics
        .iter()
        .flat_map(|metric| metric.labels.iter().map(|(label, _)| label.as_str()))
        .collect();
    let rows: Vec<(&Metric, &(i64, StoredValue))> = metrics
        .iter()
        .rev()
        .flat_map(|metric| metric.samples.iter().map(move |sample| (*metric, sample)))
        .collect();
    let text = |name: String| Field::new(name, DataType::Utf8, true);
    let mut fields: Vec<Field> = labels.iter().map(|label| text(format!("tag_{label}"))).collect();
    let time = DataType::Timestamp(TimeUnit::Millisecond, None);
    fields.extend([
        Field::new("time", time, false),
        Field::new("value", DataType::Float64, true),
        text("special".to_owned()),
        text("histogram".to_owned()),
    ]);
    let schema = Arc::new(Schema::new(fields));
    let batches = rows.chunks(batch_rows.max(1)).map(|rows| {
        let label = |name: &&str| -> ArrayRef {
            let values = rows.iter().map(|(metric, _)| {
                let label = metric.labels.iter().find(|(label, _)| label == name);
                label.map(|(_, value)| value.as_str())
            });
            Arc::new(values.collect::<StringArray>())
        };
        let mut columns: Vec<ArrayRef> = labels.iter().map(label).collect();
        columns.extend(value_columns(rows));
        RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
    });
    let partitions = vec![batches.collect()];
    let provider = Arc::new(MemTable::try_new(Arc::clone(&schema), partitions).unwrap());
    let scan = LogicalPlanBuilder::scan("samples", provider_as_source(provider), None).unwrap();
    SampleTable {
        plan: scan.build().unwrap(),
        constant_labels: vec![("__name__".to_owned(), name.to_owned())],
        labels: labels
            .iter()
            .map(|label| LabelColumn { label: (*label).to_owned(), column: format!("tag_{label}") })
            .collect(),
        time_column: "time".to_owned(),
        value_column: Some("value".to_owned()),
        special_value_column: Some(DecodedColumn {
            column: "special".to_owned(),
            decode: special_value,
        }),
        histogram_column: Some(DecodedColumn { column: "histogram".to_owned(), decode: histogram }),
    }
}

fn value_columns(rows: &[(&Metric, &(i64, StoredValue))]) -> [ArrayRef; 4] {
    let values = || rows.iter().map(|(_, (_, value))| value);
    let times = rows.iter().map(|(_, (time, _))| *time);
    let floats = values().map(|value| match value {
        StoredValue::Float(value) => Some(*value),
        _ => None,
    });
    let special = values().map(|value| match value {
        StoredValue::Special(name) => Some(*name),
        _ => None,
    });
    let histograms = values().map(|value| match value {
        StoredValue::Histogram(one, two) => Some(format!("{one} {two}")),
        _ => None,
    });
    [
        Arc::new(TimestampMillisecondArray::from_iter_values(times)),
        Arc::new(floats.collect::<Float64Array>()),
        Arc::new(special.collect::<StringArray>()),
        Arc::new(histograms.collect::<StringArray>()),
    ]
}

#[async_trait]
impl MetricSource for TestSource {
    async fn select<'a>(
        &'a self,
        _: &[Matcher],
        _: i64,
        _: i64,
    ) -> Result<SampleTables<'a>, PromqlError> {
        Ok(stream::iter(self.tables.iter().map(|table| Ok(sorted(table)))).boxed())
    }

    async fn execute(&self, plan: LogicalPlan) -> Result<SendableRecordBatchStream, PromqlError> {
        let rows = self.session.execute_logical_plan(plan).await?;
        Ok(rows.execute_stream().await?)
    }
}
