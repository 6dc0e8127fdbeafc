//! The metrics of a task, in a form that travels.
//!
//! The metrics of an operator are added up over its partitions. Kinds that do not add up, such as times of the day, are
//! left out.

use std::{borrow::Cow, sync::Arc, time::Duration};

use datafusion::physical_plan::metrics::{
    Count, Gauge, Metric, MetricValue, MetricsSet, PruningMetrics, Time,
};
use datafusion_distributed::{BytesCounterMetric, MaxLatencyMetric, TaskMetrics};
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TaskMetricsDocument {
    /// The metrics of each operator, in pre-order.
    plan: Vec<Vec<MetricDocument>>,
    /// The metrics of the task itself.
    task: Vec<MetricDocument>,
}

/// A metric. Times are in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MetricDocument {
    OutputRows(usize),
    OutputBytes(usize),
    OutputBatches(usize),
    ElapsedCompute(usize),
    SpillCount(usize),
    SpilledBytes(usize),
    SpilledRows(usize),
    CurrentMemoryUsage(usize),
    PeakMemoryUsage(String, usize),
    Count(String, usize),
    Gauge(String, usize),
    Time(String, usize),
    Bytes(String, usize),
    MaxLatency(String, usize),
    Pruning(String, usize, usize),
}

impl TaskMetricsDocument {
    pub(super) fn new(metrics: &TaskMetrics) -> Self {
        let plan = metrics.pre_order_plan_metrics.iter().map(documents);
        Self { plan: plan.collect(), task: documents(&metrics.task_metrics) }
    }

    pub(super) fn into_metrics(self) -> TaskMetrics {
        TaskMetrics {
            pre_order_plan_metrics: self.plan.into_iter().map(metrics_set).collect(),
            task_metrics: metrics_set(self.task),
        }
    }
}

fn documents(set: &MetricsSet) -> Vec<MetricDocument> {
    let set = set.aggregate_by_name().sorted_for_display();
    set.iter().filter_map(|metric| document(metric.value())).collect()
}

fn document(value: &MetricValue) -> Option<MetricDocument> {
    Some(match value {
        MetricValue::OutputRows(count) => MetricDocument::OutputRows(count.value()),
        MetricValue::OutputBytes(count) => MetricDocument::OutputBytes(count.value()),
        MetricValue::OutputBatches(count) => MetricDocument::OutputBatches(count.value()),
        MetricValue::ElapsedCompute(time) => MetricDocument::ElapsedCompute(time.value()),
        MetricValue::SpillCount(count) => MetricDocument::SpillCount(count.value()),
        MetricValue::SpilledBytes(count) => MetricDocument::SpilledBytes(count.value()),
        MetricValue::SpilledRows(count) => MetricDocument::SpilledRows(count.value()),
        MetricValue::CurrentMemoryUsage(gauge) => MetricDocument::CurrentMemoryUsage(gauge.value()),
        MetricValue::PeakMemoryUsage { name, gauge } => {
            MetricDocument::PeakMemoryUsage(name.to_string(), gauge.value())
        }
        MetricValue::Count { name, count } => {
            MetricDocument::Count(name.to_string(), count.value())
        }
        MetricValue::Gauge { name, gauge } => {
            MetricDocument::Gauge(name.to_string(), gauge.value())
        }
        MetricValue::Time { name, time } => MetricDocument::Time(name.to_string(), time.value()),
        MetricValue::PruningMetrics { name, pruning_metrics } => MetricDocument::Pruning(
            name.to_string(),
            pruning_metrics.pruned(),
            pruning_metrics.matched(),
        ),
        MetricValue::Custom { name, value } => {
            let value = value.as_any();
            if let Some(bytes) = value.downcast_ref::<BytesCounterMetric>() {
                MetricDocument::Bytes(name.to_string(), bytes.value())
            } else {
                let latency = value.downcast_ref::<MaxLatencyMetric>()?;
                MetricDocument::MaxLatency(name.to_string(), latency.value())
            }
        }
        _ => return None,
    })
}

fn metrics_set(documents: Vec<MetricDocument>) -> MetricsSet {
    let mut set = MetricsSet::new();
    for document in documents {
        set.push(Arc::new(Metric::new(value(document), None)));
    }
    set
}

fn value(document: MetricDocument) -> MetricValue {
    match document {
        MetricDocument::OutputRows(value) => MetricValue::OutputRows(count(value)),
        MetricDocument::OutputBytes(value) => MetricValue::OutputBytes(count(value)),
        MetricDocument::OutputBatches(value) => MetricValue::OutputBatches(count(value)),
        MetricDocument::ElapsedCompute(nanos) => MetricValue::ElapsedCompute(time(nanos)),
        MetricDocument::SpillCount(value) => MetricValue::SpillCount(count(value)),
        MetricDocument::SpilledBytes(value) => MetricValue::SpilledBytes(count(value)),
        MetricDocument::SpilledRows(value) => MetricValue::SpilledRows(count(value)),
        MetricDocument::CurrentMemoryUsage(value) => MetricValue::CurrentMemoryUsage(gauge(value)),
        MetricDocument::PeakMemoryUsage(name, value) => {
            MetricValue::PeakMemoryUsage { name: Cow::Owned(name), gauge: gauge(value) }
        }
        MetricDocument::Count(name, value) => {
            MetricValue::Count { name: Cow::Owned(name), count: count(value) }
        }
        MetricDocument::Gauge(name, value) => {
            MetricValue::Gauge { name: Cow::Owned(name), gauge: gauge(value) }
        }
        MetricDocument::Time(name, nanos) => {
            MetricValue::Time { name: Cow::Owned(name), time: time(nanos) }
        }
        MetricDocument::Bytes(name, bytes) => MetricValue::Custom {
            name: Cow::Owned(name),
            value: Arc::new(BytesCounterMetric::from_value(bytes)),
        },
        MetricDocument::MaxLatency(name, nanos) => MetricValue::Custom {
            name: Cow::Owned(name),
            value: Arc::new(MaxLatencyMetric::from_nanos(nanos)),
        },
        MetricDocument::Pruning(name, pruned, matched) => {
            let pruning_metrics = PruningMetrics::new();
            pruning_metrics.add_pruned(pruned);
            pruning_metrics.add_matched(matched);
            MetricValue::PruningMetrics { name: Cow::Owned(name), pruning_metrics }
        }
    }
}

fn count(value: usize) -> Count {
    let count = Count::new();
    count.add(value);
    count
}

fn gauge(value: usize) -> Gauge {
    let gauge = Gauge::new();
    gauge.set(value);
    gauge
}

fn time(nanos: usize) -> Time {
    let time = Time::new();
    time.add_duration(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)));
    time
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_survive_the_way_and_are_added_up_over_partitions() {
        let mut set = MetricsSet::new();
        for (partition, rows) in [(0, 3), (1, 4)] {
            let value = MetricValue::OutputRows(count(rows));
            set.push(Arc::new(Metric::new(value, Some(partition))));
        }
        set.push(Arc::new(Metric::new(
            value(MetricDocument::Bytes("bytes_read".to_owned(), 5)),
            None,
        )));
        let sent = TaskMetricsDocument::new(&TaskMetrics {
            pre_order_plan_metrics: vec![set, MetricsSet::new()],
            task_metrics: MetricsSet::new(),
        });
        let json = serde_json::to_string(&sent).unwrap();
        assert_eq!(
            json,
            r#"{"plan":[[{"output_rows":7},{"bytes":["bytes_read",5]}],[]],"task":[]}"#
        );
        let received: TaskMetricsDocument = serde_json::from_str(&json).unwrap();
        let metrics = received.into_metrics();
        assert_eq!(TaskMetricsDocument::new(&metrics), sent);
        assert_eq!(metrics.pre_order_plan_metrics.len(), 2);
    }
}
