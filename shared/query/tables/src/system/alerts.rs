//! `system.alerts`: the alerts of the rules of a database.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::{common::Result, logical_expr::Expr};
use neap_bucket::{Bucket, StoreTime};
use neap_manifest::Snapshot;
use neap_rules::{AlertState, LabelSet, RuleProgress, rule_progress};
use neap_scan::external;

use super::{
    columns::{millis, millis_or_null, table, views},
    source::SystemTableSource,
};

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
    let alerts = alerts_of(progress);
    let states = || alerts.iter().map(|(_, _, alert)| *alert);
    let time = |millis: i64| StoreTime::from_micros(millis.saturating_mul(1_000));
    table(vec![
        (
            "namespace",
            false,
            views(alerts.iter().map(|(namespace, _, _)| namespace)),
        ),
        (
            "group_name",
            false,
            views(alerts.iter().map(|(_, group, _)| group)),
        ),
        (
            "alert_name",
            false,
            views(states().map(|alert| alert.labels.get("alertname").map_or("", String::as_str))),
        ),
        (
            "state",
            false,
            views(states().map(|alert| alert.phase.as_str())),
        ),
        ("value", false, views(states().map(|alert| &alert.value))),
        (
            "labels",
            false,
            views(states().map(|alert| json(&alert.labels))),
        ),
        (
            "annotations",
            false,
            views(states().map(|alert| json(&alert.annotations))),
        ),
        (
            "active_at",
            false,
            millis(states().map(|alert| time(alert.active_ms))),
        ),
        (
            "fired_at",
            true,
            millis_or_null(states().map(|alert| alert.fired_ms.map(time))),
        ),
        (
            "resolved_at",
            true,
            millis_or_null(states().map(|alert| alert.resolved_ms.map(time))),
        ),
    ])
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
