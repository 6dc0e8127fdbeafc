//! The event of a scheduler that refreshes materialized views and continuous queries, and evaluates rules.
//!
//! `{"event": "refresh_views"}`, as the whole event, or in the `detail` of an EventBridge event.

use std::time::Duration;

use neap_query::QueryEngine;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::runtime::EventFailure;

/// The name of the event.
pub(super) const REFRESH_VIEWS: &str = "refresh_views";

/// Maximum bytes of the event. Requests may be larger, and are not parsed twice.
const MAX_EVENT_BYTES: usize = 4 << 10;

/// Time before the deadline of an invocation at which no further windows are begun, because those that are begun must
/// still be computed and written. At most half of the time that is left.
const RESERVE: Duration = Duration::from_secs(75);

/// Time before the deadline of an invocation at which the work is abandoned, so that the failure can be reported.
const ANSWER_RESERVE: Duration = Duration::from_millis(300);

#[derive(Deserialize)]
struct RefreshEnvelope {
    event: Option<String>,
    detail: Option<RefreshDetail>,
}

#[derive(Deserialize)]
struct RefreshDetail {
    event: Option<String>,
}

/// Returns whether an event asks for a refresh.
pub(super) fn is_refresh(event: &str) -> bool {
    if event.len() > MAX_EVENT_BYTES {
        return false;
    }
    let Ok(envelope) = serde_json::from_str::<RefreshEnvelope>(event) else {
        return false;
    };
    let of_detail = envelope.detail.and_then(|detail| detail.event);
    envelope.event.or(of_detail).as_deref() == Some(REFRESH_VIEWS)
}

/// Refreshes the views of all databases, and evaluates their rules, within the time that is left. Later invocations continue.
///
/// # Errors
/// A view was not refreshed, or a rule not evaluated. Others may have been.
pub(super) async fn refresh_views(
    engine: &QueryEngine,
    left: Duration,
) -> Result<Value, EventFailure> {
    let world = engine.world();
    let started_at = world.clock_reading();
    let limit = left.saturating_sub(RESERVE.min(left / 2));
    let refresh = engine.refresh_all_views(limit);
    let refresh = world.timeout(left.saturating_sub(ANSWER_RESERVE), refresh);
    let failed = |message: String| EventFailure { kind: "Views", message };
    let mut report = refresh
        .await
        .ok_or_else(|| {
            failed(
                "the invocation timed out before windows were computed; others are kept".to_owned(),
            )
        })?
        .map_err(|error| failed(error.to_string()))?;
    // The windows that the refresh started are stored by now, so that rules may use the reserve for them.
    let rules_left = left.saturating_sub(world.elapsed(&started_at)).saturating_sub(ANSWER_RESERVE);
    // Boxed: the compiler limits the depth of a future.
    let evaluation = Box::pin(engine.evaluate_all_rules(rules_left / 2));
    let evaluation = world.timeout(rules_left, evaluation);
    let rules = evaluation
        .await
        .ok_or_else(|| failed("the invocation timed out before rules were evaluated".to_owned()))?
        .map_err(|error| failed(error.to_string()))?;
    report.failures.extend(rules.failures);
    report.unfinished |= rules.unfinished;
    for (database, reason) in &report.failures {
        tracing::warn!(%database, reason, "views not refreshed, or rules not evaluated");
    }
    tracing::info!(
        databases = report.databases,
        windows = report.windows,
        rows = report.rows,
        evaluations = rules.evaluations,
        notifications = rules.notifications,
        failures = report.failures.len(),
        unfinished = report.unfinished,
        "views refreshed, rules evaluated"
    );
    match report.failures.first() {
        // The invocation must fail, because Lambda's metrics count only failed invocations.
        Some((database, reason)) => {
            let others = report.failures.len() - 1;
            Err(failed(format!("database {database}: {reason}; and {others} more failures")))
        }
        None => Ok(json!({
            "databases": report.databases,
            "windows": report.windows,
            "rows": report.rows,
            "evaluations": rules.evaluations,
            "notifications": rules.notifications,
            "unfinished": report.unfinished,
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_event_is_whole_or_in_the_detail() {
        for event in [
            r#"{"event":"refresh_views"}"#,
            r#"{"source":"my.app","detail-type":"x","detail":{"event":"refresh_views"}}"#,
        ] {
            assert!(is_refresh(event), "{event}");
        }
        let large = format!(r#"{{"event":"refresh_views","x":"{}"}}"#, "x".repeat(5_000));
        for event in [
            "[]",
            r#"{"event":"collect"}"#,
            r#"{"version":"2.0","rawPath":"/query"}"#,
            r#"{"source":"aws.events","detail-type":"Scheduled Event","detail":{}}"#,
            &large,
        ] {
            assert!(!is_refresh(event), "{event}");
        }
    }
}
