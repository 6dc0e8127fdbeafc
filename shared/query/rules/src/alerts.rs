//! The states of alerts.
//!
//! ```text
//!   series is present ─► pending ── `for` is over ─► firing ── series is gone, `keep_firing_for` is over ─► resolved
//!                           └── series is gone ─► forgotten                              told, or 15 minutes ─► forgotten
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{LabelSet, label_set::labels_size_bytes, target::NotifyTarget};

/// Time for which a resolved alert is kept, so that its targets are told, in milliseconds, as in Prometheus.
const RESOLVED_RETENTION_MS: i64 = 15 * 60_000;

/// Time after which an Alertmanager is told again of an alert that fires, in milliseconds, as in Prometheus: it forgets
/// alerts that are not repeated.
const RESEND_MS: i64 = 60_000;

/// The phase of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertPhase {
    /// Its series has not been present for long enough.
    Pending,
    /// It fires.
    Firing,
    /// It no longer fires.
    Resolved,
}

impl AlertPhase {
    /// Returns the name of the phase. That of an alert that is not resolved is the value of its label `alertstate`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// The last notification that a target has acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentMark {
    /// Whether it said that the alert is resolved.
    pub resolved: bool,
    /// When it was sent, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// A number of alerts, and their approximate memory size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlertUsage {
    /// The number of alerts.
    pub count: usize,
    /// Their size in bytes.
    pub bytes: usize,
}

impl AlertUsage {
    /// Maximum of the alerts of a database. All of them are read and written by each evaluation.
    pub const MAX: Self = Self { count: 10_000, bytes: 16 << 20 };

    /// Returns the usage of alerts.
    #[must_use]
    pub fn from_alerts<'a>(alerts: impl IntoIterator<Item = &'a AlertState>) -> Self {
        alerts.into_iter().fold(Self::default(), |usage, alert| Self {
            count: usage.count + 1,
            bytes: usage.bytes + alert.size_bytes(),
        })
    }

    /// Returns the sum of two usages.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    /// Returns the part of a usage that is left after another one.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_sub(other.count),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    /// Returns whether this is at most a maximum.
    #[must_use]
    pub fn is_within(self, maximum: Self) -> bool {
        self.count <= maximum.count && self.bytes <= maximum.bytes
    }
}

/// An alert. Times are in milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertState {
    /// The labels, with `alertname`. They identify the alert.
    pub labels: LabelSet,
    /// The texts for people.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: LabelSet,
    /// The last value, as text, because JSON has no infinity.
    pub value: String,
    /// The phase.
    pub phase: AlertPhase,
    /// Since when its series is present.
    pub active_ms: i64,
    /// Since when it fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fired_ms: Option<i64>,
    /// Since when its series is gone although it still fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_ms: Option<i64>,
    /// When it was resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_ms: Option<i64>,
    /// What targets know, by the id of the target.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sent: BTreeMap<String, SentMark>,
}

impl AlertState {
    /// Returns whether its series is present, or it still fires.
    pub fn is_active(&self) -> bool {
        self.phase != AlertPhase::Resolved
    }

    /// Returns the approximate memory size, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        let texts = labels_size_bytes(&self.labels) + labels_size_bytes(&self.annotations);
        let targets = self.sent.keys().map(|id| id.len() + size_of::<(String, SentMark)>());
        size_of::<Self>() + self.value.len() + texts + targets.sum::<usize>()
    }

    /// Returns whether a target must be told of the alert. (Rule A3)
    pub fn is_due(&self, target: &NotifyTarget, now_ms: i64) -> bool {
        let mark = self.sent.get(target.id());
        match self.phase {
            AlertPhase::Firing => mark.is_none_or(|mark| {
                let is_old = now_ms.saturating_sub(mark.at_ms) >= RESEND_MS;
                mark.resolved || target.needs_repeats() && is_old
            }),
            AlertPhase::Pending | AlertPhase::Resolved => mark.is_some_and(|mark| !mark.resolved),
        }
    }

    /// Returns whether a target has last acknowledged that the alert fires.
    fn has_firing_mark(&self) -> bool {
        self.sent.values().any(|mark| !mark.resolved)
    }

    /// Updates the alert for an evaluation that its series is in.
    pub(crate) fn continue_with(&mut self, new: Self) {
        if self.is_active() {
            self.value = new.value;
            self.annotations = new.annotations;
            self.gone_ms = None;
        } else {
            let sent = std::mem::take(&mut self.sent);
            *self = Self { sent, ..new };
        }
    }

    /// Updates the alert for an evaluation that its series is not in. Returns whether it is kept.
    pub(crate) fn end(&mut self, at_ms: i64, keep_firing_for_ms: u64) -> bool {
        if self.phase == AlertPhase::Firing && keep_firing_for_ms > 0 {
            let gone_ms = *self.gone_ms.get_or_insert(at_ms);
            if since(gone_ms, at_ms) < keep_firing_for_ms {
                return true;
            }
        }
        if self.phase == AlertPhase::Pending && !self.has_firing_mark() {
            return false;
        }
        if self.is_active() {
            self.phase = AlertPhase::Resolved;
            self.resolved_ms = Some(at_ms);
            return true;
        }
        let resolved_ms = self.resolved_ms.unwrap_or(at_ms);
        self.has_firing_mark() && at_ms.saturating_sub(resolved_ms) <= RESOLVED_RETENTION_MS
    }

    /// Lets the alert fire if its series has been present for long enough.
    pub(crate) fn fire(&mut self, at_ms: i64, for_ms: u64) {
        if self.phase == AlertPhase::Pending && since(self.active_ms, at_ms) >= for_ms {
            self.phase = AlertPhase::Firing;
            self.fired_ms = Some(at_ms);
        }
    }
}

/// Returns the milliseconds from one time to a later one.
fn since(earlier_ms: i64, later_ms: i64) -> u64 {
    u64::try_from(later_ms.saturating_sub(earlier_ms)).unwrap_or_default()
}
