//! `system.alerts`: the alerts of the rules of a database.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::{common::Result, logical_expr::Expr};
use neap_bucket::{Bucket, StoreTime};
use neap_manifest::Snapshot;
use neap_rules::{AlertState, LabelSet, RuleProgress, rule_progress};
use neap_scan::external;

use super::{source::SystemTableSource, table_builder::SystemTableBuilder};

/// The alerts of a database.
#[derive(Debug)]
pub(super) struct AlertsSource {
    pub(super) bucket: Bucket,
    pub(super) snapshot: Arc<Snapshot>,
}

/// An alert with the names of its namespace and group.
type NamedAlert<'a> = (&'a String, &'a String, &'a AlertState);

fn alerts_of(progress: &RuleProgress) -> Vec<NamedAlert<'_>> {
    let mut alerts = Vec::new();
    for (namespace, groups) in &progress.groups {
        for (group, state) in groups {
            let of_group = state.rules.iter().flat_map(|rule| &rule.alerts);
            alerts.extend(of_group.map(|alert| (namespace, group, alert)));
        }
    }
    alerts
}

fn rows_of(progress: &RuleProgress) -> Result<RecordBatch> {
    let time = |millis: i64| StoreTime::from_micros(millis.saturating_mul(1_000));
    SystemTableBuilder::new(&alerts_of(progress))
        .views("namespace", |(namespace, _, _)| namespace)
        .views("group_name", |(_, group, _)| group)
        .views("alert_name", |(_, _, alert)| {
            alert.labels.get("alertname").map_or("", String::as_str)
        })
        .views("state", |(_, _, alert)| alert.phase.as_str())
        .views("value", |(_, _, alert)| &alert.value)
        .views("labels", |(_, _, alert)| json(&alert.labels))
        .views("annotations", |(_, _, alert)| json(&alert.annotations))
        .millis("active_at", |(_, _, alert)| time(alert.active_ms))
        .millis_or_null("fired_at", |(_, _, alert)| alert.fired_ms.map(time))
        .millis_or_null("resolved_at", |(_, _, alert)| alert.resolved_ms.map(time))
        .finish()
}

fn json(labels: &LabelSet) -> String {
    serde_json::to_string(labels).unwrap_or_default()
}

#[async_trait]
impl SystemTableSource for AlertsSource {
    async fn rows(&self, _: &[Expr]) -> Result<RecordBatch> {
        if self.snapshot.catalog.value.rules().is_empty() {
            return self.empty();
        }
        let register = rule_progress(&self.bucket, self.snapshot.database);
        let progress = register.read(None).await.map_err(external)?;
        rows_of(&progress.value)
    }

    fn empty(&self) -> Result<RecordBatch> {
        rows_of(&RuleProgress::default())
    }
}
