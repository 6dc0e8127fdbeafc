//! The states of the protocol that schedules reach.
//!
//! A state is what one request meets: who sends it, what it does to which kind of object, its outcome, and who changed
//! this object before. An example is `put of Manifest by merger: Refused, after flusher`. The number of states shows
//! what a distribution of schedules covers, and a seed that reaches new states is worth keeping.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use neap_bucket::{KeyClass, Operation};

/// Records the states that one schedule reaches.
#[derive(Debug, Default)]
pub(crate) struct CoverageRecorder(Mutex<ReachedStates>);

#[derive(Debug, Default)]
struct ReachedStates {
    states: BTreeSet<String>,
    /// Who changed each object last.
    changed_by: BTreeMap<String, String>,
}

impl CoverageRecorder {
    fn reached(&self) -> MutexGuard<'_, ReachedStates> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a read that the store answers.
    pub(crate) fn read(&self, machine: &str, operation: Operation, key: &str) {
        let reached = &mut *self.reached();
        let before = reached.changed_by.get(key).map_or("nobody", String::as_str);
        reached.states.insert(format!(
            "{operation} of {} by {}, after {before}",
            KeyClass::from_key(key).as_str(),
            role_of(machine)
        ));
    }

    /// Records a change that the store carries out or refuses. `outcome` begins with the store's answer.
    pub(crate) fn changed(&self, machine: &str, operation: Operation, key: &str, outcome: &str) {
        let reached = &mut *self.reached();
        let role = role_of(machine);
        let before = reached.changed_by.get(key).map_or("nobody", String::as_str);
        let outcome = without_details(outcome);
        reached.states.insert(format!(
            "{operation} of {} by {role}: {outcome}, after {before}",
            KeyClass::from_key(key).as_str()
        ));
        if !outcome.starts_with("Refused") {
            reached.changed_by.insert(key.to_owned(), role.to_owned());
        }
    }

    /// Records a fault that a request meets.
    pub(crate) fn fault(
        &self,
        machine: &str,
        what: impl fmt::Display,
        operation: Operation,
        key: &str,
    ) {
        self.reached().states.insert(format!(
            "{operation} of {} by {}: {what}",
            KeyClass::from_key(key).as_str(),
            role_of(machine)
        ));
    }

    /// Returns the states so far, and forgets them.
    pub(crate) fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.reached().states)
    }
}

/// The role of a machine: `flusher 0.3` is the third successor of the first flusher.
fn role_of(machine: &str) -> &str {
    machine.split([' ', '.']).next().unwrap_or_default()
}

/// Removes the values of variants: `Done("7"), LandsLate(3s)` becomes `Done, LandsLate`.
fn without_details(text: &str) -> String {
    let mut depth = 0_usize;
    let is_outside = |character: &char| {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => return depth == 0,
        }
        false
    };
    text.chars().filter(is_outside).collect()
}

/// The states that several schedules reach.
#[derive(Debug, Default)]
pub(crate) struct ProtocolStates {
    /// The number of schedules that reach each state.
    schedules: BTreeMap<String, usize>,
    /// The lowest seed that reaches each state.
    first: BTreeMap<String, u64>,
}

impl ProtocolStates {
    pub(crate) fn add(&mut self, seed: u64, states: BTreeSet<String>) {
        for state in states {
            *self.schedules.entry(state.clone()).or_default() += 1;
            let first = self.first.entry(state).or_insert(seed);
            *first = (*first).min(seed);
        }
    }

    /// The number of states.
    pub(crate) fn count(&self) -> usize {
        self.schedules.len()
    }

    /// The number of states that only one schedule reaches.
    pub(crate) fn once(&self) -> usize {
        let mut counts = self.schedules.values();
        counts.by_ref().filter(|count| **count == 1).count()
    }

    /// The seeds from `from` on that are the first to reach a state.
    pub(crate) fn discoverers(&self, from: u64) -> BTreeSet<u64> {
        let first = self.first.values().copied();
        first.filter(|seed| *seed >= from).collect()
    }
}

impl fmt::Display for ProtocolStates {
    /// A line for each state, with the number of schedules that reach it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (state, schedules) in &self.schedules {
            writeln!(f, "{schedules:8} {state}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_names_roles_and_kinds_and_no_details() {
        let recorder = CoverageRecorder::default();
        let manifest = neap_bucket::Key::Manifest(neap_schema::DatabaseId::new(1)).to_string();
        recorder.changed("flusher 0.1", Operation::Put, &manifest, r#"Done(ETag("7")), Done"#);
        recorder.changed("merger 1.0", Operation::Put, &manifest, "Refused, LandsLate(3.2s)");
        recorder.read("querier 0.0", Operation::Get, &manifest);
        recorder.read("collector 0.0", Operation::List, "tail/1/");
        recorder.fault("last", "Lost", Operation::Delete, &manifest);
        let mut states = ProtocolStates::default();
        states.add(7, recorder.take());
        states.add(3, recorder.take());
        insta::assert_snapshot!(states, @"
        1 delete of manifest by last: Lost
        1 get of manifest by querier, after flusher
        1 list of tail by collector, after nobody
        1 put of manifest by flusher: Done, Done, after nobody
        1 put of manifest by merger: Refused, LandsLate, after flusher
        ");
        assert_eq!((states.count(), states.once()), (5, 5));
        assert_eq!(states.discoverers(4), BTreeSet::from([7]));
    }
}
