//! Tests of evaluations.

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
        action: RuleAction::Record { metric: "down".to_owned() },
        ..alert_rule(0, 0)
    }
}

fn result(job: &str, value: f64) -> RuleResult {
    RuleResult { labels: labels(&[("job", job)]), value }
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
    let expected = ["ALERTS api firing 1", "ALERTS_FOR_STATE api  60", "ALERTS api pending stale"];
    assert_eq!(firing, expected);
    assert_eq!(state.alerts[0].fired_ms, Some(3 * MINUTE));
    assert_eq!(state.alerts[0].annotations["summary"], "api=0");
    let expected = labels(&[("alertname", "Down"), ("job", "api"), ("severity", "page")]);
    assert_eq!(state.alerts[0].labels, expected);
    let ended = evaluate(&mut state, &rule, 4, &[]).unwrap();
    assert_eq!(ended, ["ALERTS api firing stale", "ALERTS_FOR_STATE api  stale"]);
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
    let sent = |resolved, minute| SentMark { resolved, at_ms: minute * MINUTE };
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
    let mark = SentMark { resolved: false, at_ms: 2 * MINUTE };
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
    let two = AlertUsage { count: 2, ..AlertUsage::MAX };
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
            max_alerts: AlertUsage { count: 2, ..AlertUsage::MAX },
        };
        state.evaluate(&context, vec![result(job, 0.0)]).unwrap();
        for alert in &mut state.alerts {
            let mark = SentMark { resolved: false, at_ms: context.at_ms };
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
