//! The freshness of reads. Each kind of read must show another part of the acknowledged changes.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use super::{
    CheckReport, Promise, cached, deliveries,
    visibility::{Unexplained, VisibleChanges, explain},
    windows,
};
use crate::histories::history::{
    Cell, CellValues, Event, History, Operation, Outcome, ReadAnswer, ReadConsistency,
    ReadSelection, Stamp, Table, TableRead,
};

/// The changes that an answer shows, by time.
struct ShownByTime {
    /// Changes that were acknowledged before this time must be visible.
    acknowledged: Duration,
    answered: Duration,
}

impl VisibleChanges for ShownByTime {
    fn must_show(&self, _: usize, change: &Event) -> bool {
        change.is_acknowledged_before(self.acknowledged)
    }

    fn may_show(&self, _: usize, change: &Event) -> bool {
        change.may_be_visible_at(self.answered)
    }
}

/// The changes that an answer as of an earlier time shows: by time, and by stamp.
struct ShownAsOf {
    by_time: ShownByTime,
    mark: Stamp,
}

impl VisibleChanges for ShownAsOf {
    fn must_show(&self, place: usize, change: &Event) -> bool {
        let is_included = change.stamp().is_some_and(|stamp| stamp <= self.mark);
        is_included && self.by_time.must_show(place, change)
    }

    fn may_show(&self, place: usize, change: &Event) -> bool {
        let is_included = change.stamp().is_none_or(|stamp| stamp <= self.mark);
        is_included && self.by_time.may_show(place, change)
    }
}

/// The changes that an answer after a stamp shows: those of the session, and more.
struct ShownToSession<'a> {
    by_time: ShownByTime,
    covered: &'a HashSet<usize>,
}

impl VisibleChanges for ShownToSession<'_> {
    fn must_show(&self, place: usize, _: &Event) -> bool {
        self.covered.contains(&place)
    }

    fn may_show(&self, place: usize, change: &Event) -> bool {
        self.by_time.may_show(place, change)
    }
}

/// What a client has seen and written.
#[derive(Debug, Default)]
struct Session {
    /// The newest stamp that the client has received.
    stamp: Option<Stamp>,
    /// The changes that the client made or saw before it wrote with this stamp, and that write.
    covered: HashSet<usize>,
    /// The changes that the client saw since.
    seen: HashSet<usize>,
}

/// Checks all reads.
pub(super) fn check(history: &History, report: &mut CheckReport) {
    let mut sessions: BTreeMap<usize, Session> = BTreeMap::new();
    for (place, event) in history.events.iter().enumerate() {
        let session = sessions.entry(event.client).or_default();
        match &event.operation {
            Operation::Read(_) => check_read(history, event, session, report),
            Operation::Drop(_) => {}
            Operation::Write { .. } | Operation::Delete { .. } => {
                // Only a write that was ordered after the former one covers what the client saw before it.
                let stamp = event.stamp().filter(|_| event.is_acknowledged());
                if stamp.is_some() && event.after >= session.stamp {
                    let seen = std::mem::take(&mut session.seen);
                    session.covered.extend(seen);
                    session.covered.insert(place);
                    session.stamp = stamp;
                }
            }
        }
    }
}

fn check_read(history: &History, event: &Event, session: &mut Session, report: &mut CheckReport) {
    let (Operation::Read(request), Outcome::Answer(answer, mark)) =
        (&event.operation, &event.outcome)
    else {
        return;
    };
    if request.selection == ReadSelection::Deliveries {
        deliveries::check(history, answer, report);
        return;
    }
    let read = ReadCheck { history, event, request, answer };
    let by_time = |acknowledged| ShownByTime { acknowledged, answered: event.end };
    let sources = match request.consistency {
        ReadConsistency::Strong => {
            report.count("strong reads", 1);
            read.check(&by_time(event.begin), None, report)
        }
        ReadConsistency::Stale(age) => {
            report.count("stale reads", 1);
            read.check(&by_time(event.begin.saturating_sub(age)), None, report)
        }
        ReadConsistency::AsOf => {
            let Some(mark) = *mark else {
                report.add(Promise::Durability, "a read as of a stamp names no stamp".into());
                return;
            };
            report.count("reads as of a stamp", 1);
            let by_time = by_time(event.begin);
            read.check(&ShownAsOf { by_time, mark }, None, report);
            return;
        }
    };
    if event.after.is_some() && event.after == session.stamp {
        report.count("reads after a stamp", 1);
        let shown = ShownToSession { by_time: by_time(event.begin), covered: &session.covered };
        read.check(&shown, Some(Promise::Sessions), report);
    }
    session.seen.extend(sources);
    read.check_atomicity(report);
}

/// A read, with its answer.
struct ReadCheck<'a> {
    history: &'a History,
    event: &'a Event,
    request: &'a TableRead,
    answer: &'a ReadAnswer,
}

impl ReadCheck<'_> {
    /// Checks the answer, and returns the writes whose values were read. `as_promise` replaces the promise of a
    /// violation.
    fn check(
        &self,
        visible: &impl VisibleChanges,
        as_promise: Option<Promise>,
        report: &mut CheckReport,
    ) -> Vec<usize> {
        let (history, scope) = (self.history, (self.request.table, self.request.tag));
        let unexplained = match self.answer {
            ReadAnswer::Cells(values) => {
                let cells = match self.request.selection {
                    ReadSelection::Newest(count) => {
                        report.count("newest rows", 1);
                        if let Err(text) = cached::check_number(values, count) {
                            let text = format!("{text}; read {}", self.describe());
                            report.add(Promise::CacheRows, text);
                        }
                        cached::cells_of_newest(history, scope, values, count)
                    }
                    _ => cells_of_all(history, scope, values),
                };
                return self.check_cells(&cells, values, (visible, as_promise), report);
            }
            ReadAnswer::Tags(tags) => {
                report.count("sets of tags", 1);
                cached::check_tags(history, scope, tags, visible)
            }
            ReadAnswer::Windows(windows) => {
                let read = windows::WindowsOfRead { scope, windows };
                read.check(history, self.request.selection, visible, report)
            }
        };
        for (subject, unexplained) in unexplained {
            self.add(&subject, &unexplained, as_promise, report);
        }
        Vec::new()
    }

    /// Checks cells, and returns the writes whose values were read.
    fn check_cells(
        &self,
        cells: &[Cell],
        values: &CellValues,
        (visible, as_promise): (&impl VisibleChanges, Option<Promise>),
        report: &mut CheckReport,
    ) -> Vec<usize> {
        let mut sources = Vec::new();
        for cell in cells {
            let value = values.get(cell).copied();
            match explain(self.history, *cell, value, visible) {
                Ok(source) => sources.extend(source),
                Err(unexplained) => {
                    let subject = format!("{cell:?} is {value:?}");
                    self.add(&subject, &unexplained, as_promise, report);
                }
            }
        }
        report.count("cells", cells.len() as u64);
        sources
    }

    fn add(
        &self,
        subject: &str,
        unexplained: &Unexplained,
        as_promise: Option<Promise>,
        report: &mut CheckReport,
    ) {
        let change = unexplained.change.map(|place| &self.history.events[place]);
        let text = format!("{subject}, which contradicts {change:?}; read {}", self.describe());
        report.add(as_promise.unwrap_or(unexplained.promise), text);
    }

    /// Checks that the requests to the log are visible completely or not at all. Deletes of the log match whole
    /// requests.
    fn check_atomicity(&self, report: &mut CheckReport) {
        let (Table::Log, ReadAnswer::Cells(values)) = (self.request.table, self.answer) else {
            return;
        };
        let mut requests: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        for cell in self.history.cells(Table::Log, self.request.tag) {
            for (write, value) in self.history.writes_of(cell) {
                let (visible, all) = requests.entry(*write).or_default();
                *visible += usize::from(values.get(cell) == Some(value));
                *all += 1;
            }
        }
        for (write, (visible, all)) in requests {
            if visible != 0 && visible != all {
                let write = &self.history.events[write];
                let text = format!(
                    "{visible} of {all} rows of {write:?} are visible to {}",
                    self.describe()
                );
                report.add(Promise::Atomicity, text);
            }
        }
    }

    /// Describes the read without its rows.
    fn describe(&self) -> String {
        let Event { client, instance, after, begin, end, operation, .. } = self.event;
        format!(
            "{operation:?} by client {client} of {instance:?} after {after:?} from {begin:?} to {end:?}"
        )
    }
}

/// Returns the cells that were written or read.
fn cells_of_all(
    history: &History,
    (table, tag): (Table, Option<u32>),
    values: &CellValues,
) -> Vec<Cell> {
    let written = history.cells(table, tag);
    let unwritten = values.keys().filter(|cell| history.writes_of(cell).is_empty());
    written.chain(unwritten).copied().collect()
}
