//! Checks the order of writes.

use std::time::Duration;

use neap_bucket::SegmentName;

use super::{ClientWrite, Invariant, SimulationOracle};

impl SimulationOracle {
    /// Whether queries after the end of the schedule include the segment.
    pub(super) fn is_live(&self, name: &SegmentName) -> bool {
        let commit = self.current(self.segments[name].database);
        commit.taken.contains(name) || name.stamp > commit.mark()
    }

    /// At the end, checks I3: the order of stamps matches the order of requests as clients observed it. For deletes and
    /// strict writes, there is no exception.
    pub(crate) fn check_order(&mut self) {
        // If the stamp is not passed back, hosts that differ by 10 s and the limit A on both sides may invert writes
        // that are up to 21 s apart.
        const BOUND: Duration = Duration::from_secs(25);
        let placed: Vec<(ClientWrite, SegmentName)> = self
            .writes
            .iter()
            .filter_map(|write| Some((write.clone(), *self.of_request.get(&write.request)?)))
            .collect();
        for (first, first_name) in &placed {
            for (second, second_name) in &placed {
                let Some(until) = first.until.filter(|until| *until <= second.begin) else {
                    continue;
                };
                let excused = first.deceived && !first.acknowledged;
                if !second.acknowledged || first_name < second_name || excused {
                    continue;
                }
                let both = [first_name, second_name].map(|name| self.segments[name].database);
                if both[0] != both[1] || !self.is_live(first_name) {
                    continue;
                }
                // This holds regardless of clocks.
                let strict = first.acknowledged && second.is_strict;
                let told = first.client == second.client
                    && second.token.is_some_and(|token| token >= first_name.stamp);
                if strict || told || second.begin - until > BOUND {
                    let invariant = if first.acknowledged {
                        Invariant::LaterWins
                    } else {
                        Invariant::LaterWinsOverFailed
                    };
                    let text =
                        format!("{second:?} {second_name:?} loses to {first:?} {first_name:?}");
                    self.fail(invariant, text);
                }
            }
        }
    }
}
