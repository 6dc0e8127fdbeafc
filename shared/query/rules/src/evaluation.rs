//! The evaluation of a rule: from the results of its expression to samples and alerts, as in Prometheus.

use std::collections::{BTreeMap, BTreeSet};

use neap_catalog::{Rule, RuleAction};
use serde::{Deserialize, Serialize};

use crate::{
    AlertPhase, AlertState, AlertUsage, LabelSet, MAX_RESULT_BYTES, RuleResult, RuleSample,
    SampleNumber, label_set::ALERT_NAME_LABEL, rule_sample::format_number, template::expand,
};

#[cfg(test)]
mod tests;

/// Maximum bytes of the error of a rule.
const MAX_ERROR_BYTES: usize = 512;

/// Maximum bytes of the texts of an alert that templates make. What is beyond them is cut off.
const MAX_TEXT_BYTES: usize = 16 << 10;

/// An evaluation of a rule.
#[derive(Clone, Copy, Debug)]
pub struct RuleContext<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// The time of the evaluation, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Maximum number of results.
    pub max_results: usize,
    /// Maximum of the alerts of the rule.
    pub max_alerts: AlertUsage,
}

/// The series of a sample.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct StoredSeries {
    metric: String,
    labels: LabelSet,
}

/// What is known of a rule after its last evaluation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleState {
    /// The name of the metric, or that of the alerts.
    name: String,
    /// Whether it is a rule of alerts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    alerting: bool,
    /// The labels in its definition.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: LabelSet,
    /// Why the last evaluation failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The alerts that are active, or of which targets are still to be told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<AlertState>,
    /// The series that the last evaluation stored. One that is no longer there gets a marker of its end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) series: Vec<StoredSeries>,
}

impl RuleState {
    /// Creates the state of a rule that was never evaluated.
    #[must_use]
    pub fn new(rule: &Rule) -> Self {
        Self {
            name: rule.name().to_owned(),
            alerting: matches!(rule.action, RuleAction::Alert { .. }),
            labels: rule.labels.clone(),
            error: None,
            alerts: Vec::new(),
            series: Vec::new(),
        }
    }

    /// Returns whether this is the state of a rule. A rule whose expression was changed keeps its state, as in Prometheus.
    pub fn is_of(&self, rule: &Rule) -> bool {
        let alerting = matches!(rule.action, RuleAction::Alert { .. });
        self.name == rule.name() && self.alerting == alerting && self.labels == rule.labels
    }

    /// Records that an evaluation failed. Alerts stay as they are.
    pub fn fail(&mut self, error: &str) {
        let end = error.floor_char_boundary(MAX_ERROR_BYTES);
        self.error = error.get(..end).map(str::to_owned);
    }

    /// Updates the state by the results of the expression. Returns the samples to store.
    ///
    /// # Errors
    /// Two results have the same labels, or there are too many. The state is as before, except for its error.
    pub fn evaluate(
        &mut self,
        context: &RuleContext<'_>,
        results: Vec<RuleResult>,
    ) -> Result<Vec<RuleSample>, String> {
        let count = results.len();
        if count > context.max_results {
            let text = format!("exceeded limit of {} with {count} series", context.max_results);
            self.fail(&text);
            return Err(text);
        }
        let evaluated = match &context.rule.action {
            RuleAction::Record { metric } => self.record(context, metric, results),
            RuleAction::Alert { .. } => self.alert(context, results),
        };
        match evaluated {
            Ok(samples) => {
                self.error = None;
                Ok(self.with_ends(samples))
            }
            Err(text) => {
                self.fail(&text);
                Err(text)
            }
        }
    }

    fn record(
        &self,
        context: &RuleContext<'_>,
        metric: &str,
        results: Vec<RuleResult>,
    ) -> Result<Vec<RuleSample>, String> {
        let mut samples = Vec::with_capacity(results.len());
        let mut bytes = 0_usize;
        for result in results {
            let sample = RuleSample {
                metric: metric.to_owned(),
                labels: with_labels(result.labels, &context.rule.labels),
                number: SampleNumber::Number(result.value),
            };
            bytes = bytes.saturating_add(sample.size_bytes());
            if bytes > MAX_RESULT_BYTES {
                return Err(format!(
                    "the labels of the results have more than {MAX_RESULT_BYTES} bytes"
                ));
            }
            samples.push(sample);
        }
        let label_sets = samples.iter().map(|sample| &sample.labels);
        if label_sets.collect::<BTreeSet<_>>().len() < samples.len() {
            return Err(
                "vector contains metrics with the same labelset after applying rule labels"
                    .to_owned(),
            );
        }
        Ok(samples)
    }

    fn alert(
        &mut self,
        context: &RuleContext<'_>,
        results: Vec<RuleResult>,
    ) -> Result<Vec<RuleSample>, String> {
        let RuleAction::Alert { for_ms, keep_firing_for_ms, .. } = context.rule.action else {
            return Ok(Vec::new());
        };
        let too_many = || {
            let AlertUsage { count, bytes } = AlertUsage::MAX;
            format!("a database has at most {count} alerts with {bytes} bytes of labels and texts")
        };
        let mut present: BTreeMap<LabelSet, AlertState> = BTreeMap::new();
        let mut usage = AlertUsage::default();
        for result in results {
            let alert = pending_alert(context, &result);
            usage = usage.plus(AlertUsage::from_alerts([&alert]));
            if !usage.is_within(context.max_alerts) {
                return Err(too_many());
            }
            if present.insert(alert.labels.clone(), alert).is_some() {
                return Err(
                    "vector contains metrics with the same labelset after applying alert labels"
                        .to_owned(),
                );
            }
        }
        let mut alerts = Vec::new();
        for mut alert in self.alerts.iter().cloned() {
            let is_kept = match present.remove(&alert.labels) {
                Some(new) => {
                    alert.continue_with(new);
                    true
                }
                None => alert.end(context.at_ms, keep_firing_for_ms),
            };
            if is_kept {
                alerts.push(alert);
            }
        }
        alerts.extend(present.into_values());
        for alert in &mut alerts {
            alert.fire(context.at_ms, for_ms);
        }
        if !AlertUsage::from_alerts(&alerts).is_within(context.max_alerts) {
            // Targets that do not answer do not keep new alerts from being sent.
            alerts.retain(AlertState::is_active);
        }
        if !AlertUsage::from_alerts(&alerts).is_within(context.max_alerts) {
            return Err(too_many());
        }
        let active = alerts.iter().filter(|alert| alert.is_active());
        let samples = active.flat_map(alert_samples).collect();
        self.alerts = alerts;
        Ok(samples)
    }

    /// Adds markers of the ends of series, and notes the series.
    fn with_ends(&mut self, samples: Vec<RuleSample>) -> Vec<RuleSample> {
        let series = |sample: &RuleSample| StoredSeries {
            metric: sample.metric.clone(),
            labels: sample.labels.clone(),
        };
        let present: BTreeSet<StoredSeries> = samples.iter().map(series).collect();
        let before = std::mem::take(&mut self.series);
        let ended = before.into_iter().filter(|series| !present.contains(series));
        let ends = ended.map(|series| RuleSample {
            metric: series.metric,
            labels: series.labels,
            number: SampleNumber::Stale,
        });
        let stored = samples.into_iter().chain(ends).collect();
        self.series = present.into_iter().collect();
        stored
    }

    /// Returns the approximate bytes of the series.
    pub(crate) fn series_bytes(&self) -> usize {
        let bytes = self.series.iter().map(|series| {
            let labels = series.labels.iter().map(|(name, value)| name.len() + value.len() + 6);
            series.metric.len() + labels.sum::<usize>() + 24
        });
        bytes.sum()
    }
}

/// Returns labels with those of a rule, which replace those of the same name. Empty ones are absent.
fn with_labels(labels: LabelSet, of_rule: &LabelSet) -> LabelSet {
    let mut all = labels;
    all.extend(of_rule.iter().map(|(name, value)| (name.clone(), value.clone())));
    all.retain(|_, value| !value.is_empty());
    all
}

/// Returns the alert of a result that is seen for the first time.
fn pending_alert(context: &RuleContext<'_>, result: &RuleResult) -> AlertState {
    let value = format_number(result.value);
    let mut unused_bytes = MAX_TEXT_BYTES;
    let mut expand_all = |templates: &LabelSet| -> LabelSet {
        let texts = templates.iter().map(|(name, template)| {
            let text = expand(template, &result.labels, &value, unused_bytes);
            unused_bytes = unused_bytes.saturating_sub(text.len());
            (name.clone(), text)
        });
        texts.collect()
    };
    let mut own = expand_all(&context.rule.labels);
    own.insert(ALERT_NAME_LABEL.to_owned(), context.rule.name().to_owned());
    let annotations = match &context.rule.action {
        RuleAction::Alert { annotations, .. } => expand_all(annotations),
        RuleAction::Record { .. } => LabelSet::new(),
    };
    AlertState {
        labels: with_labels(result.labels.clone(), &own),
        annotations,
        value,
        phase: AlertPhase::Pending,
        active_ms: context.at_ms,
        fired_ms: None,
        gone_ms: None,
        resolved_ms: None,
        sent: BTreeMap::new(),
    }
}

/// Returns the samples of an active alert: `ALERTS` and `ALERTS_FOR_STATE`.
fn alert_samples(alert: &AlertState) -> [RuleSample; 2] {
    let mut labels = alert.labels.clone();
    labels.insert("alertstate".to_owned(), alert.phase.as_str().to_owned());
    // Seconds of this millennium are exact.
    let active_s = alert.active_ms.div_euclid(1_000) as f64;
    [
        RuleSample {
            metric: "ALERTS".to_owned(),
            labels,
            number: SampleNumber::Number(1.0),
        },
        RuleSample {
            metric: "ALERTS_FOR_STATE".to_owned(),
            labels: alert.labels.clone(),
            number: SampleNumber::Number(active_s),
        },
    ]
}
