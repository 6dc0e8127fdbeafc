//! The progress of the rules of a database, in a register.

use std::collections::BTreeMap;

use neap_bucket::{
    Bucket, Key, ObjectFormat, RECENT_PUT_IDS, Register, RegisterValue, Stamp, formats,
};
use neap_catalog::{DatabaseCatalog, RuleGroup};
use neap_rollup::ViewClaim;
use neap_schema::DatabaseId;
use serde::{Deserialize, Serialize};

use crate::{AlertState, AlertUsage, RuleState};

/// Maximum bytes of the series of all rules that are kept, so that their ends are marked.
const MAX_SERIES_BYTES: usize = 1 << 20;

/// The progress of a group. (Rule A2)
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupState {
    /// The time of the last evaluation, in milliseconds since the Unix epoch: a multiple of the interval.
    pub evaluated_ms: i64,
    /// The interval at that time, in milliseconds.
    pub interval_ms: u64,
    /// How long the evaluation took, in milliseconds.
    pub duration_ms: u64,
    /// The states of the rules, in their order.
    pub rules: Vec<RuleState>,
}

impl GroupState {
    /// Returns the states of the rules of a group: those that it has had before, or new ones.
    pub fn rules_of(&self, group: &RuleGroup) -> Vec<RuleState> {
        let mut before: Vec<Option<&RuleState>> = self.rules.iter().map(Some).collect();
        let states = group.rules.iter().map(|rule| {
            let known = before.iter_mut().find(|state| state.is_some_and(|it| it.is_of(rule)));
            let state = known.and_then(Option::take);
            state.cloned().unwrap_or_else(|| RuleState::new(rule))
        });
        states.collect()
    }
}

/// The progress of all rules of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleProgress {
    /// The groups that were evaluated, by namespace and name.
    pub groups: BTreeMap<String, BTreeMap<String, GroupState>>,
    /// The claim of the process that evaluates the rules. (Rule A1)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ViewClaim>,
    /// The newest stamp of acknowledged writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_write: Option<Stamp>,
}

impl RegisterValue for RuleProgress {
    const FORMAT: ObjectFormat = formats::RULE_PROGRESS;
}

impl RuleProgress {
    /// Returns the state of a group, if it was evaluated.
    pub fn group(&self, namespace: &str, name: &str) -> Option<&GroupState> {
        self.groups.get(namespace)?.get(name)
    }

    /// Sets the state of a group.
    pub fn set_group(&mut self, namespace: &str, name: &str, state: GroupState) {
        let groups = self.groups.entry(namespace.to_owned()).or_default();
        groups.insert(name.to_owned(), state);
    }

    /// Removes the groups that the catalog does not have.
    pub fn forget_deleted_groups(&mut self, catalog: &DatabaseCatalog) {
        self.groups.retain(|namespace, groups| {
            let known = catalog.rules().get(namespace);
            groups.retain(|name, _| known.is_some_and(|known| known.contains_key(name)));
            !groups.is_empty()
        });
    }

    /// Limits the series of all rules.
    pub fn limit_series(&mut self) {
        limit_series(self.rules_mut());
    }

    /// Returns the alerts that may be added.
    pub fn free_alerts(&self) -> AlertUsage {
        AlertUsage::MAX.minus(AlertUsage::from_alerts(self.alerts().map(|(_, alert)| alert)))
    }

    /// Iterates over the alerts of all rules, each with the interval of its group in milliseconds.
    pub fn alerts(&self) -> impl Iterator<Item = (u64, &AlertState)> {
        let groups = self.groups.values().flat_map(BTreeMap::values);
        groups.flat_map(|group| {
            let alerts = group.rules.iter().flat_map(|rule| &rule.alerts);
            alerts.map(move |alert| (group.interval_ms, alert))
        })
    }

    /// Iterates over the alerts in the same order, to change them.
    pub(crate) fn alerts_mut(&mut self) -> impl Iterator<Item = &mut AlertState> {
        self.rules_mut().flat_map(|rule| rule.alerts.iter_mut())
    }

    fn rules_mut(&mut self) -> impl Iterator<Item = &mut RuleState> {
        let groups = self.groups.values_mut().flat_map(BTreeMap::values_mut);
        groups.flat_map(|group| group.rules.iter_mut())
    }
}

/// Forgets the series of the rules with most of them, until the rest has at most 1 MiB. Their ends are not marked.
pub fn limit_series<'a>(rules: impl IntoIterator<Item = &'a mut RuleState>) {
    let sized = rules.into_iter().map(|rule| (rule.series_bytes(), rule));
    let mut by_size: Vec<(usize, &mut RuleState)> = sized.collect();
    by_size.sort_by_key(|(bytes, _)| *bytes);
    let mut total: usize = by_size.iter().map(|(bytes, _)| *bytes).sum();
    while total > MAX_SERIES_BYTES {
        let Some((bytes, largest)) = by_size.pop() else {
            return;
        };
        total = total.saturating_sub(bytes);
        largest.series = Vec::new();
    }
}

/// Returns the register with the progress of the rules of a database.
pub fn rule_progress(bucket: &Bucket, database: DatabaseId) -> Register<RuleProgress> {
    Register::new(bucket.clone(), Key::RuleProgress(database), RECENT_PUT_IDS)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{RuleContext, RuleResult, parse_file};

    fn evaluated(series: usize) -> (Arc<RuleGroup>, GroupState) {
        let file = "groups: [{name: g, rules: [{record: r, expr: up}, {alert: A, expr: up}]}]";
        let group = Arc::clone(&parse_file(file).unwrap()["g"]);
        let mut rules = GroupState::default().rules_of(&group);
        for (rule, state) in group.rules.iter().zip(&mut rules) {
            let results = (0..series).map(|number| RuleResult {
                labels: [("job".to_owned(), format!("{number:0>90}"))].into(),
                value: 1.0,
            });
            let context = RuleContext {
                rule,
                at_ms: 60_000,
                max_results: usize::MAX,
                max_alerts: AlertUsage::MAX,
            };
            state.evaluate(&context, results.collect()).unwrap();
        }
        let state = GroupState {
            evaluated_ms: 60_000,
            interval_ms: 60_000,
            duration_ms: 5,
            rules,
        };
        (group, state)
    }

    #[test]
    fn format() {
        let file = "groups: [{name: g, rules: [{alert: A, expr: up}]}]";
        let group = Arc::clone(&parse_file(file).unwrap()["g"]);
        let mut rules = GroupState::default().rules_of(&group);
        rules[0].fail("no");
        let mut progress = RuleProgress {
            newest_write: Some(Stamp::from_u64(11)),
            ..RuleProgress::default()
        };
        let state = GroupState { rules, ..evaluated(0).1 };
        progress.set_group("n", "g", state);
        let expected = serde_json::json!({
            "groups": {"n": {"g": {
                "evaluated_ms": 60_000, "interval_ms": 60_000, "duration_ms": 5,
                "rules": [{"name": "A", "alerting": true, "error": "no"}],
            }}},
            "newest_write": 11,
        });
        assert_eq!(serde_json::to_value(progress).unwrap(), expected);
    }

    #[test]
    fn rules_keep_their_states_when_others_are_added() {
        let (group, state) = evaluated(1);
        let mut changed = RuleGroup::clone(&group);
        changed.rules.remove(0);
        changed.rules[0].expression = "up == 0".to_owned();
        let rules = state.rules_of(&changed);
        assert_eq!(rules, state.rules[1..]);
        let mut renamed = RuleGroup::clone(&group);
        renamed.rules[0].labels.insert("a".to_owned(), "b".to_owned());
        let rules = state.rules_of(&renamed);
        assert_eq!(rules[0], RuleState::new(&renamed.rules[0]));
    }

    #[test]
    fn the_series_of_all_rules_are_limited() {
        let (_, small) = evaluated(10);
        let (_, large) = evaluated(9_000);
        let mut progress = RuleProgress::default();
        progress.set_group("n", "small", small.clone());
        progress.set_group("n", "large", large);
        progress.limit_series();
        assert_eq!(progress.group("n", "small"), Some(&small));
        let large = progress.group("n", "large").unwrap();
        assert!(large.rules.iter().any(|rule| rule.series.is_empty()));
        assert_eq!(large.rules[1].alerts.len(), 9_000);
        assert_eq!(progress.free_alerts().count, 10_000 - 9_010);
    }
}
