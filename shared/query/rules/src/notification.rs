//! The forms of notifications.

use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

use crate::{AlertPhase, AlertState, LabelSet, label_set::ALERT_NAME_LABEL, target::TargetKind};

/// Alertmanager considers an alert resolved if it is not told of it for this many intervals, as Prometheus tells it.
const LIFETIME_INTERVALS: u64 = 4;

/// Minimum interval for this lifetime, in milliseconds.
const MIN_INTERVAL_MS: u64 = 60_000;

/// A message about an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AlertNotice {
    /// The position of the alert among those of its database.
    pub(crate) index: usize,
    pub(crate) is_firing: bool,
    labels: LabelSet,
    annotations: LabelSet,
    starts_ms: i64,
    /// When it was resolved, or until when it is valid.
    ends_ms: i64,
}

impl AlertNotice {
    pub(crate) fn new(index: usize, alert: &AlertState, interval_ms: u64, now_ms: i64) -> Self {
        let is_firing = alert.phase == AlertPhase::Firing;
        let lifetime = interval_ms.max(MIN_INTERVAL_MS).saturating_mul(LIFETIME_INTERVALS);
        let valid_until = now_ms.saturating_add_unsigned(lifetime);
        Self {
            index,
            is_firing,
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
            starts_ms: alert.fired_ms.unwrap_or(alert.active_ms),
            ends_ms: if is_firing {
                valid_until
            } else {
                alert.resolved_ms.unwrap_or(now_ms)
            },
        }
    }

    fn status(&self) -> &'static str {
        if self.is_firing { "firing" } else { "resolved" }
    }

    /// Returns the alert in one line: its status, name and summary.
    fn line(&self) -> String {
        let name = self.labels.get(ALERT_NAME_LABEL).map_or("", String::as_str);
        let texts = ["summary", "description", "message"];
        let text = texts.iter().find_map(|name| self.annotations.get(*name));
        match text {
            Some(text) => format!("[{}] {name}: {text}", self.status()),
            None => format!("[{}] {name} {}", self.status(), labels_text(&self.labels)),
        }
    }
}

/// The body of a notification, and its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AlertMessage {
    pub(crate) content_type: &'static str,
    pub(crate) title: Option<String>,
    pub(crate) body: String,
}

impl AlertMessage {
    pub(crate) fn new(kind: TargetKind, notices: &[AlertNotice]) -> Self {
        let json = |body: Value| Self {
            content_type: "application/json",
            title: None,
            body: body.to_string(),
        };
        match kind {
            TargetKind::Alertmanager => json(notices.iter().map(manager_alert).collect()),
            TargetKind::Webhook => json(webhook_body(notices)),
            TargetKind::Slack => {
                // Slack's three characters of markup.
                let text = lines(notices).replace('&', "&amp;").replace('<', "&lt;");
                json(json!({ "text": text.replace('>', "&gt;") }))
            }
            TargetKind::Ntfy => Self {
                content_type: "text/plain; charset=utf-8",
                title: Some(title(notices)),
                body: lines(notices),
            },
        }
    }
}

/// Returns the name that Alertmanager permits for a name, because it refuses messages with others.
fn manager_name(name: &str) -> String {
    let permitted = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let replaced = name.replace(|char: char| !permitted(char), "_");
    if replaced.starts_with(|char: char| char.is_ascii_digit()) {
        format!("_{replaced}")
    } else {
        replaced
    }
}

fn manager_alert(notice: &AlertNotice) -> Value {
    let renamed = |texts: &LabelSet| -> LabelSet {
        let texts = texts.iter().map(|(name, text)| (manager_name(name), text.clone()));
        texts.collect()
    };
    json!({
        "labels": renamed(&notice.labels),
        "annotations": renamed(&notice.annotations),
        "startsAt": time_text(notice.starts_ms),
        "endsAt": time_text(notice.ends_ms),
    })
}

/// Returns the message of an Alertmanager to a webhook, version 4.
fn webhook_body(notices: &[AlertNotice]) -> Value {
    let status = if notices.iter().any(|notice| notice.is_firing) {
        "firing"
    } else {
        "resolved"
    };
    let alerts = notices.iter().map(|notice| {
        // The year 1 stands for no end.
        let ends = if notice.is_firing {
            "0001-01-01T00:00:00Z".to_owned()
        } else {
            time_text(notice.ends_ms)
        };
        json!({
            "status": notice.status(),
            "labels": notice.labels,
            "annotations": notice.annotations,
            "startsAt": time_text(notice.starts_ms),
            "endsAt": ends,
        })
    });
    json!({
        "version": "4",
        "receiver": "neap",
        "status": status,
        "alerts": alerts.collect::<Value>(),
        "groupLabels": {},
        "commonLabels": common(notices, |notice| &notice.labels),
        "commonAnnotations": common(notices, |notice| &notice.annotations),
        "truncatedAlerts": 0,
    })
}

/// Returns the entries that all alerts have.
fn common(notices: &[AlertNotice], of: impl Fn(&AlertNotice) -> &LabelSet) -> LabelSet {
    let Some((first, others)) = notices.split_first() else {
        return LabelSet::new();
    };
    let mut common = of(first).clone();
    common.retain(|name, value| others.iter().all(|other| of(other).get(name) == Some(value)));
    common
}

fn lines(notices: &[AlertNotice]) -> String {
    let lines: Vec<String> = notices.iter().map(AlertNotice::line).collect();
    lines.join("\n")
}

fn title(notices: &[AlertNotice]) -> String {
    let firing = notices.iter().filter(|notice| notice.is_firing).count();
    format!("{firing} firing, {} resolved", notices.len() - firing)
}

fn labels_text(labels: &LabelSet) -> String {
    let labels = labels.iter().filter(|(name, _)| *name != ALERT_NAME_LABEL);
    let texts: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
    texts.join(" ")
}

fn time_text(millis: i64) -> String {
    let time = DateTime::from_timestamp_millis(millis).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn notices() -> Vec<AlertNotice> {
        let alert = |job: &str, phase| AlertState {
            labels: [("alertname", "Down"), ("job", job)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            annotations: BTreeMap::new(),
            value: "0".to_owned(),
            phase,
            active_ms: 0,
            fired_ms: Some(60_000),
            gone_ms: None,
            resolved_ms: (phase == AlertPhase::Resolved).then_some(120_000),
            sent: BTreeMap::new(),
        };
        let mut firing = alert("<api>", AlertPhase::Firing);
        firing.annotations.insert("summary".to_owned(), "<api> & co".to_owned());
        vec![
            AlertNotice::new(0, &firing, 15_000, 120_000),
            AlertNotice::new(1, &alert("web", AlertPhase::Resolved), 15_000, 120_000),
        ]
    }

    #[test]
    fn an_alertmanager_gets_alerts_with_their_ends() {
        let message = AlertMessage::new(TargetKind::Alertmanager, &notices());
        let body: Value = serde_json::from_str(&message.body).unwrap();
        assert_eq!(body[0]["startsAt"], "1970-01-01T00:01:00.000Z");
        assert_eq!(body[0]["endsAt"], "1970-01-01T00:06:00.000Z");
        assert_eq!(body[1]["endsAt"], "1970-01-01T00:02:00.000Z");
        assert_eq!(body[1]["labels"]["job"], "web");
    }

    #[test]
    fn an_alertmanager_gets_names_that_it_permits() {
        for (name, expected) in [("job", "job"), ("a b-ü", "a_b__"), ("5xx", "_5xx"), ("_x", "_x")]
        {
            assert_eq!(manager_name(name), expected);
        }
    }

    #[test]
    fn a_webhook_gets_the_message_of_an_alertmanager() {
        let message = AlertMessage::new(TargetKind::Webhook, &notices());
        let body: Value = serde_json::from_str(&message.body).unwrap();
        assert_eq!((&body["version"], &body["status"]), (&json!("4"), &json!("firing")));
        assert_eq!(body["commonLabels"], json!({ "alertname": "Down" }));
        assert_eq!(body["alerts"][1]["status"], "resolved");
        assert_eq!(body["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z");
    }

    #[test]
    fn people_get_a_line_for_each_alert() {
        let ntfy = AlertMessage::new(TargetKind::Ntfy, &notices());
        assert_eq!(ntfy.body, "[firing] Down: <api> & co\n[resolved] Down job=web");
        assert_eq!(ntfy.title.as_deref(), Some("1 firing, 1 resolved"));
        let slack = AlertMessage::new(TargetKind::Slack, &notices());
        let body: Value = serde_json::from_str(&slack.body).unwrap();
        let expected = "[firing] Down: &lt;api&gt; &amp; co\n[resolved] Down job=web";
        assert_eq!(body["text"], expected);
    }
}
