//! The lists of rules and alerts.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use neap_catalog::{Rule, RuleAction, RuleGroup};
use neap_query::RuleList;
use neap_rules::{AlertPhase, AlertState, GroupState, RuleState};
use serde_json::{Value, json};

use crate::remote_read::{answer::List, params::RequestParams};

/// The time of what never happened.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Returns the groups of rules. The parameter `type` selects those of alerts (`alert`), or the others (`record`).
pub(crate) fn groups(list: &RuleList, params: &RequestParams) -> List {
    let wanted = params.get("type");
    let groups = list.catalog.rules().iter().flat_map(|(namespace, groups)| {
        groups.iter().map(move |(name, group)| {
            let state = list.progress.group(namespace, name);
            group_value((namespace, name), group, state, wanted)
        })
    });
    List::of_data(json!({ "groups": groups.collect::<Value>() }), false)
}

/// Returns the alerts that are active.
pub(crate) fn alerts(list: &RuleList) -> List {
    let active = list.progress.alerts().filter(|(_, alert)| alert.is_active());
    let alerts: Value = active.map(|(_, alert)| alert_value(alert)).collect();
    List::of_data(json!({ "alerts": alerts }), false)
}

fn group_value(
    (namespace, name): (&str, &str),
    group: &RuleGroup,
    state: Option<&GroupState>,
    wanted: Option<&str>,
) -> Value {
    let evaluated = state.map_or_else(|| NEVER.to_owned(), |state| time_text(state.evaluated_ms));
    let states = state.unwrap_or(&GroupState::default()).rules_of(group);
    let rules = group.rules.iter().zip(&states).filter(|(rule, _)| {
        let kind = match rule.action {
            RuleAction::Record { .. } => "record",
            RuleAction::Alert { .. } => "alert",
        };
        wanted.is_none_or(|wanted| wanted == kind)
    });
    let shown = rules.map(|(rule, of_rule)| {
        let health = match (state, &of_rule.error) {
            (None, _) => "unknown",
            (Some(_), None) => "ok",
            (Some(_), Some(_)) => "err",
        };
        let mut value = rule_value(rule, of_rule);
        if let Some(value) = value.as_object_mut() {
            value.insert("health".to_owned(), json!(health));
            value.insert("lastEvaluation".to_owned(), json!(evaluated));
            value.insert("evaluationTime".to_owned(), json!(0.0));
            if let Some(error) = &of_rule.error {
                value.insert("lastError".to_owned(), json!(error));
            }
        }
        value
    });
    json!({
        "name": name,
        "file": namespace,
        "interval": seconds(group.interval_ms),
        "limit": group.limit,
        "rules": shown.collect::<Value>(),
        "evaluationTime": seconds(state.map_or(0, |state| state.duration_ms)),
        "lastEvaluation": evaluated,
    })
}

fn rule_value(rule: &Rule, state: &RuleState) -> Value {
    match &rule.action {
        RuleAction::Record { metric } => json!({
            "name": metric,
            "query": rule.expression,
            "labels": rule.labels,
            "type": "recording",
        }),
        RuleAction::Alert { name, for_ms, keep_firing_for_ms, annotations } => {
            let active = state.alerts.iter().filter(|alert| alert.is_active());
            json!({
                "state": rule_phase(state),
                "name": name,
                "query": rule.expression,
                "duration": seconds(*for_ms),
                "keepFiringFor": seconds(*keep_firing_for_ms),
                "labels": rule.labels,
                "annotations": annotations,
                "alerts": active.map(alert_value).collect::<Value>(),
                "type": "alerting",
            })
        }
    }
}

/// Returns the phase of the alert of a rule that is closest to firing.
fn rule_phase(state: &RuleState) -> &'static str {
    let has = |phase| state.alerts.iter().any(|alert| alert.phase == phase);
    if has(AlertPhase::Firing) {
        "firing"
    } else if has(AlertPhase::Pending) {
        "pending"
    } else {
        "inactive"
    }
}

fn alert_value(alert: &AlertState) -> Value {
    let mut value = json!({
        "labels": alert.labels,
        "annotations": alert.annotations,
        "state": alert.phase.as_str(),
        "activeAt": time_text(alert.active_ms),
        "value": alert.value,
    });
    if let (Some(value), Some(gone_ms)) = (value.as_object_mut(), alert.gone_ms) {
        value.insert("keepFiringSince".to_owned(), json!(time_text(gone_ms)));
    }
    value
}

fn seconds(millis: u64) -> f64 {
    Duration::from_millis(millis).as_secs_f64()
}

fn time_text(millis: i64) -> String {
    let time = DateTime::from_timestamp_millis(millis).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
