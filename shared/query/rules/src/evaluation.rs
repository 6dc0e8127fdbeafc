//! The evaluation of a rule: from the results of its expression to samples and alerts, as in Prometheus.

use std::collections::{BTreeMap, BTreeSet};

use neap_catalog::{Rule, RuleAction};
use serde::{Deserialize, Serialize};

use crate::{
    AlertPhase, AlertState, AlertUsage, LabelSet, MAX_RESULT_BYTES, RuleResult, RuleSample,
    SampleNumber, rule_sample::format_number, template::expand,
};

/// The label with the name of an alert.
const ALERT_NAME_LABEL: &str = "alertname";

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
    #[must_use]
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
            let text = format!(
                "exceeded limit of {} with {count} series",
                context.max_results
            );
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
        let mut seen = BTreeSet::new();
        let mut samples = Vec::with_capacity(results.len());
        let mut bytes = 0_usize;
        for result in results {
            let labels = with_labels(result.labels, &context.rule.labels);
            if !seen.insert(labels.clone()) {
                return Err(
                    "vector contains metrics with the same labelset after applying rule labels"
                        .to_owned(),
                );
            }
            let sample = RuleSample {
                metric: metric.to_owned(),
                labels,
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
        Ok(samples)
    }

    fn alert(
        &mut self,
        context: &RuleContext<'_>,
        results: Vec<RuleResult>,
    ) -> Result<Vec<RuleSample>, String> {
        let RuleAction::Alert {
            for_ms,
            keep_firing_for_ms,
            ..
        } = context.rule.action
        else {
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
        let gone = before.into_iter().filter(|series| !present.contains(series));
        let ends = gone.map(|series| RuleSample {
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
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds of this millennium are exact"
    )]
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

#[cfg(test)]
mod tests {
    use neap_catalog::RuleLanguage;

    use super::*;
    use crate::{NotifyTarget, SentMark};

    const MINUTE: i64 = 60_000;

    fn labels(pairs: &[(&str, &str)]) -> LabelSet {
        let pairs = pairs.iter();
        pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn alert_rule(for_ms: u64, keep_firing_for_ms: u64) -> Rule {
        Rule {
            language: RuleLanguage::PromQl,
            expression: "up == 0".to_owned(),
            labels: labels(&[("severity", "page")]),
            action: RuleAction::Alert {
                name: "Down".to_owned(),
                for_ms,
                keep_firing_for_ms,
                annotations: labels(&[("summary", "{{ $labels.job }}={{ $value }}")]),
            },
        }
    }

    fn record_rule() -> Rule {
        Rule {
            action: RuleAction::Record {
                metric: "down".to_owned(),
            },
            ..alert_rule(0, 0)
        }
    }

    fn result(job: &str, value: f64) -> RuleResult {
        RuleResult {
            labels: labels(&[("job", job)]),
            value,
        }
    }

    fn evaluate(
        state: &mut RuleState,
        rule: &Rule,
        minute: i64,
        results: &[RuleResult],
    ) -> Result<Vec<String>, String> {
        let context = RuleContext {
            rule,
            at_ms: minute * MINUTE,
            max_results: 3,
            max_alerts: AlertUsage::MAX,
        };
        let samples = state.evaluate(&context, results.to_vec())?;
        let text = |sample: &RuleSample| {
            let job = sample.labels.get("job").map_or("", String::as_str);
            let phase = sample.labels.get("alertstate").map_or("", String::as_str);
            let number = match sample.number {
                SampleNumber::Number(number) => number.to_string(),
                SampleNumber::Stale => "stale".to_owned(),
            };
            format!("{} {job} {phase} {number}", sample.metric)
        };
        Ok(samples.iter().map(text).collect())
    }

    #[test]
    fn an_alert_is_pending_fires_and_is_resolved() {
        let rule = alert_rule(120_000, 0);
        let mut state = RuleState::new(&rule);
        let down = [result("api", 0.0)];
        let first = evaluate(&mut state, &rule, 1, &down).unwrap();
        assert_eq!(first, ["ALERTS api pending 1", "ALERTS_FOR_STATE api  60"]);
        evaluate(&mut state, &rule, 2, &down).unwrap();
        let firing = evaluate(&mut state, &rule, 3, &down).unwrap();
        let expected = [
            "ALERTS api firing 1",
            "ALERTS_FOR_STATE api  60",
            "ALERTS api pending stale",
        ];
        assert_eq!(firing, expected);
        assert_eq!(state.alerts[0].fired_ms, Some(3 * MINUTE));
        assert_eq!(state.alerts[0].annotations["summary"], "api=0");
        let expected = labels(&[("alertname", "Down"), ("job", "api"), ("severity", "page")]);
        assert_eq!(state.alerts[0].labels, expected);
        let ended = evaluate(&mut state, &rule, 4, &[]).unwrap();
        assert_eq!(
            ended,
            ["ALERTS api firing stale", "ALERTS_FOR_STATE api  stale"]
        );
        assert_eq!(state.alerts[0].phase, AlertPhase::Resolved);
        evaluate(&mut state, &rule, 5, &[]).unwrap();
        assert_eq!(state.alerts, []);
    }

    #[test]
    fn a_pending_alert_whose_series_ends_is_forgotten() {
        let rule = alert_rule(120_000, 0);
        let mut state = RuleState::new(&rule);
        evaluate(&mut state, &rule, 1, &[result("api", 0.0)]).unwrap();
        evaluate(&mut state, &rule, 2, &[]).unwrap();
        assert_eq!(state.alerts, []);
    }

    #[test]
    fn an_alert_fires_on_for_keep_firing_for() {
        let rule = alert_rule(0, 120_000);
        let mut state = RuleState::new(&rule);
        let down = [result("api", 0.0)];
        evaluate(&mut state, &rule, 1, &down).unwrap();
        for minute in [2, 3] {
            let kept = evaluate(&mut state, &rule, minute, &[]).unwrap();
            assert_eq!(kept[0], "ALERTS api firing 1", "{minute}");
        }
        evaluate(&mut state, &rule, 4, &[]).unwrap();
        assert_eq!(state.alerts[0].phase, AlertPhase::Resolved);
    }

    #[test]
    fn a_target_is_told_of_each_change_once() {
        let webhook: NotifyTarget = "webhook=http://receiver.example/hook".parse().unwrap();
        let manager: NotifyTarget = "alertmanager=http://manager.example".parse().unwrap();
        let rule = alert_rule(0, 0);
        let mut state = RuleState::new(&rule);
        evaluate(&mut state, &rule, 1, &[result("api", 0.0)]).unwrap();
        let sent = |resolved, minute| SentMark {
            resolved,
            at_ms: minute * MINUTE,
        };
        let due = |state: &RuleState, minute| {
            [&webhook, &manager].map(|target| state.alerts[0].is_due(target, minute * MINUTE))
        };
        assert_eq!(due(&state, 1), [true, true]);
        for target in [&webhook, &manager] {
            state.alerts[0].sent.insert(target.id().to_owned(), sent(false, 1));
        }
        assert_eq!(due(&state, 1), [false, false]);
        assert_eq!(due(&state, 2), [false, true], "Alertmanager forgets");
        evaluate(&mut state, &rule, 3, &[]).unwrap();
        assert_eq!(due(&state, 3), [true, true]);
        state.alerts[0].sent.insert(webhook.id().to_owned(), sent(true, 3));
        evaluate(&mut state, &rule, 4, &[]).unwrap();
        assert_eq!(due(&state, 4), [false, true]);
        evaluate(&mut state, &rule, 19, &[]).unwrap();
        assert_eq!(state.alerts, [], "after a quarter of an hour");
    }

    #[test]
    fn an_alert_that_returns_before_its_end_was_told_is_told_when_it_ends() {
        let webhook: NotifyTarget = "webhook=http://receiver.example/hook".parse().unwrap();
        let rule = alert_rule(60_000, 0);
        let mut state = RuleState::new(&rule);
        let down = [result("api", 0.0)];
        evaluate(&mut state, &rule, 1, &down).unwrap();
        evaluate(&mut state, &rule, 2, &down).unwrap();
        let mark = SentMark {
            resolved: false,
            at_ms: 2 * MINUTE,
        };
        state.alerts[0].sent.insert(webhook.id().to_owned(), mark);
        evaluate(&mut state, &rule, 3, &[]).unwrap();
        evaluate(&mut state, &rule, 4, &down).unwrap();
        assert_eq!(state.alerts[0].phase, AlertPhase::Pending);
        evaluate(&mut state, &rule, 5, &[]).unwrap();
        assert!(state.alerts[0].is_due(&webhook, 5 * MINUTE));
    }

    #[test]
    fn a_record_gets_the_labels_of_the_rule_and_ends_of_series() {
        let rule = record_rule();
        let mut state = RuleState::new(&rule);
        let both = [result("a", 1.0), result("b", 2.0)];
        let stored = evaluate(&mut state, &rule, 1, &both).unwrap();
        assert_eq!(stored, ["down a  1", "down b  2"]);
        let stored = evaluate(&mut state, &rule, 2, &both[1..]).unwrap();
        assert_eq!(stored, ["down b  2", "down a  stale"]);
        assert!(state.is_of(&rule));
        assert!(!state.is_of(&alert_rule(0, 0)));
    }

    #[test]
    fn the_labels_of_results_are_limited() {
        let long = "x".repeat(AlertUsage::MAX.bytes);
        for rule in [record_rule(), alert_rule(0, 0)] {
            let mut state = RuleState::new(&rule);
            evaluate(&mut state, &rule, 1, &[result("a", 0.0)]).unwrap();
            let before = state.clone();
            let error = evaluate(&mut state, &rule, 2, &[result(&long, 0.0)]).unwrap_err();
            assert!(error.contains("bytes"), "{error}");
            state.error = None;
            assert_eq!(state, before);
        }
    }

    #[test]
    fn the_texts_of_an_alert_are_cut_off() {
        let mut rule = alert_rule(0, 0);
        let RuleAction::Alert { annotations, .. } = &mut rule.action else {
            panic!("a rule of alerts");
        };
        let texts = (0..100).map(|number| (number.to_string(), "{{ $labels.job }}".to_owned()));
        annotations.extend(texts);
        let mut state = RuleState::new(&rule);
        let long = "x".repeat(1 << 10);
        evaluate(&mut state, &rule, 1, &[result(&long, 0.0)]).unwrap();
        let texts = state.alerts[0].annotations.values();
        assert!(texts.map(String::len).sum::<usize>() <= MAX_TEXT_BYTES);
        assert_eq!(state.alerts[0].labels["severity"], "page");
    }

    #[test]
    fn alerts_that_fire_on_count_as_those_of_the_database() {
        let rule = alert_rule(0, 3_600_000);
        let mut state = RuleState::new(&rule);
        let two = AlertUsage {
            count: 2,
            ..AlertUsage::MAX
        };
        let mut outcomes = Vec::new();
        for (minute, job) in ["a", "b", "c"].into_iter().enumerate() {
            let context = RuleContext {
                rule: &rule,
                at_ms: i64::try_from(minute).unwrap() * MINUTE,
                max_results: 3,
                max_alerts: two,
            };
            outcomes.push(state.evaluate(&context, vec![result(job, 0.0)]).is_ok());
        }
        assert_eq!(outcomes, [true, true, false]);
        assert_eq!(state.alerts.len(), 2);
    }

    #[test]
    fn resolved_alerts_are_forgotten_before_others_are_refused() {
        let webhook: NotifyTarget = "webhook=http://receiver.example/hook".parse().unwrap();
        let rule = alert_rule(0, 0);
        let mut state = RuleState::new(&rule);
        for (minute, job) in ["a", "b", "c"].into_iter().enumerate() {
            let context = RuleContext {
                rule: &rule,
                at_ms: i64::try_from(minute).unwrap() * MINUTE,
                max_results: 3,
                max_alerts: AlertUsage {
                    count: 2,
                    ..AlertUsage::MAX
                },
            };
            state.evaluate(&context, vec![result(job, 0.0)]).unwrap();
            for alert in &mut state.alerts {
                let mark = SentMark {
                    resolved: false,
                    at_ms: context.at_ms,
                };
                alert.sent.insert(webhook.id().to_owned(), mark);
            }
        }
        let jobs: Vec<&String> = state.alerts.iter().map(|alert| &alert.labels["job"]).collect();
        assert_eq!(jobs, ["c"]);
    }

    #[test]
    fn results_that_are_no_set_of_series_or_too_many_are_errors() {
        for rule in [record_rule(), alert_rule(0, 0)] {
            let mut state = RuleState::new(&rule);
            let twice = [result("a", 1.0), result("a", 2.0)];
            let error = evaluate(&mut state, &rule, 1, &twice).unwrap_err();
            assert!(error.contains("same labelset"), "{error}");
            assert_eq!(state.error, Some(error));
            let many = ["a", "b", "c", "d"].map(|job| result(job, 0.0));
            let error = evaluate(&mut state, &rule, 1, &many).unwrap_err();
            assert!(error.contains("limit of 3 with 4"), "{error}");
            evaluate(&mut state, &rule, 2, &[]).unwrap();
            assert_eq!(state.error, None);
        }
    }
}
