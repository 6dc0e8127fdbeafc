//! The order of stamps: a later request has a greater stamp than an acknowledged earlier one, if it is strict, or of the
//! same instance, or later by more than the difference of the instances' clocks, or was sent with the earlier stamp.

use std::{collections::BTreeMap, time::Duration};

use super::{CheckReport, ClockMargin, Promise};
use crate::histories::history::{Event, History, Operation, Stamp};

/// Acknowledged changes by their ends, with the greatest stamp up to each.
#[derive(Debug, Default)]
struct NewestStamps(Vec<(Duration, Stamp)>);

impl NewestStamps {
    fn new<'a>(changes: impl Iterator<Item = &'a Event>) -> Self {
        let mut stamps: Vec<_> =
            changes.filter_map(|change| Some((change.end, change.stamp()?))).collect();
        stamps.sort_unstable();
        let mut newest = 0;
        for (_, stamp) in &mut stamps {
            newest = newest.max(*stamp);
            *stamp = newest;
        }
        Self(stamps)
    }

    /// Returns the greatest stamp acknowledged before this time.
    fn before(&self, time: Duration) -> Option<Stamp> {
        let count = self.0.partition_point(|(end, _)| *end < time);
        self.0[..count].last().map(|(_, stamp)| *stamp)
    }
}

/// Checks the stamps of all acknowledged writes and deletes.
pub(super) fn check(history: &History, margin: ClockMargin, report: &mut CheckReport) {
    let changes: Vec<&Event> = history
        .events
        .iter()
        .filter(|event| event.is_acknowledged() && event.stamp().is_some())
        .collect();
    let all = NewestStamps::new(changes.iter().copied());
    let mut instances: BTreeMap<u64, Vec<&Event>> = BTreeMap::new();
    for change in &changes {
        if let Some(instance) = change.instance {
            instances.entry(instance).or_default().push(change);
        }
    }
    let instances: BTreeMap<u64, NewestStamps> = instances
        .into_iter()
        .map(|(instance, changes)| (instance, NewestStamps::new(changes.into_iter())))
        .collect();
    for change in changes {
        let is_strict = match change.operation {
            Operation::Write { is_strict, .. } => is_strict,
            _ => true,
        };
        let own = change.instance.and_then(|number| instances.get(&number));
        let earlier = change.begin.saturating_sub(margin.between_instances);
        let bounds = [
            ("was acknowledged before it", all.before(change.begin).filter(|_| is_strict)),
            (
                "was acknowledged by the same instance before it",
                own.and_then(|own| own.before(change.begin)),
            ),
            ("was acknowledged long before it", all.before(earlier)),
            ("was sent with it", change.after),
        ];
        for (reason, bound) in bounds {
            let Some(bound) = bound else { continue };
            report.count("pairs of stamps", 1);
            if change.stamp() <= Some(bound) {
                let text = format!("{bound} {reason}, and is not below the stamp of {change:?}");
                report.add(Promise::StampOrder, text);
            }
        }
    }
}
