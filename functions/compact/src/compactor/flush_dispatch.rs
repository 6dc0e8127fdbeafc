//! Divides due tails between this invocation and others.

use std::time::Duration;

use neap_schema::DatabaseId;

use crate::tails::ListedTail;

/// Approximate time for a small tail: one second of requests, shared with 15 tails processed in parallel.
const VISIT_TIME: Duration = Duration::from_millis(60);

/// Flush rate that is certain even on a slow machine.
const MIN_FLUSH_BYTES_PER_MILLISECOND: u64 = 4 << 10;

/// Work of one invocation by these estimates: half of the time between two scheduled runs, so that it ends before the
/// next run starts.
pub(super) const INVOCATION_SHARE: Duration = Duration::from_secs(30);

/// Maximum number of databases in an order: fewer than an invocation can process, so that several invocations start.
pub(super) const MAX_DATABASES: usize = 100;

#[derive(Debug)]
pub(super) struct DueTail {
    pub(super) database: DatabaseId,
    pub(super) tail: ListedTail,
}

impl DueTail {
    fn work(&self) -> Duration {
        let reading = Duration::from_millis(self.tail.size.bytes / MIN_FLUSH_BYTES_PER_MILLISECOND);
        VISIT_TIME.saturating_add(reading)
    }
}

/// Divides tails into a group for this invocation, of at most `own` time, and groups for other invocations. Each group
/// has at least one tail; a large tail is alone.
pub(super) fn divide(tails: Vec<DueTail>, own: Duration) -> (Vec<DueTail>, Vec<Vec<DueTail>>) {
    let mut groups: Vec<(Duration, Vec<DueTail>)> = vec![(Duration::ZERO, Vec::new())];
    let mut limits = (own.min(INVOCATION_SHARE), usize::MAX);
    for tail in tails {
        let work = tail.work();
        if let Some((sum, group)) = groups.last_mut() {
            let fits = sum.saturating_add(work) <= limits.0 && group.len() < limits.1;
            if fits || group.is_empty() {
                *sum = sum.saturating_add(work);
                group.push(tail);
                continue;
            }
        }
        limits = (INVOCATION_SHARE, MAX_DATABASES);
        groups.push((work, vec![tail]));
    }
    let mut groups = groups.into_iter().map(|(_, group)| group);
    (groups.next().unwrap_or_default(), groups.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(number: u32, bytes: u64) -> DueTail {
        let mut tail = ListedTail::default();
        tail.size.bytes = bytes;
        DueTail { database: DatabaseId::new(number), tail }
    }

    fn sizes(tails: Vec<DueTail>, own: Duration) -> (usize, Vec<usize>) {
        let (own, others) = divide(tails, own);
        (own.len(), others.iter().map(Vec::len).collect())
    }

    #[test]
    fn small_tails_share_an_invocation_and_a_large_one_has_its_own() {
        let small = |numbers: std::ops::Range<u32>| numbers.map(|number| tail(number, 1_000));
        assert_eq!(sizes(small(0..400).collect(), INVOCATION_SHARE), (400, vec![]));
        let (own, others) = sizes(small(0..1_000).collect(), INVOCATION_SHARE);
        assert_eq!((own, others), (500, vec![100; 5]));
        let mixed = small(0..400)
            .chain([tail(1_000, 1 << 30), tail(1_001, 1 << 30)])
            .chain(small(400..410))
            .collect();
        assert_eq!(sizes(mixed, INVOCATION_SHARE), (400, vec![1, 1, 10]));
    }

    #[test]
    fn the_first_tail_is_always_flushed_locally_and_a_short_limit_takes_few() {
        assert_eq!(sizes(vec![tail(1, 1 << 40)], INVOCATION_SHARE), (1, vec![]));
        assert_eq!(sizes(Vec::new(), INVOCATION_SHARE), (0, vec![]));
        let tails = (0..5).map(|number| tail(number, 0)).collect();
        assert_eq!(sizes(tails, Duration::from_millis(120)), (2, vec![3]));
    }
}
