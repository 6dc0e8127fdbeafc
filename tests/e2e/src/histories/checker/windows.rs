//! Aggregates of windows of time, from the rows or from a materialized view.
//!
//! Each cell of a window may have one of several values, because some changes may be visible or not. The aggregates of a
//! window are explained if a choice of one value for each cell has them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    CheckReport, Promise,
    visibility::{Unexplained, VisibleChanges, explain},
};
use crate::histories::history::{
    Cell, Event, History, Operation, Outcome, ReadAnswer, ReadConsistency, ReadPath, ReadSelection,
    Table, TagWindow, WindowAggregates,
};

/// Maximum number of possible aggregates of a window. A window that exceeds it is counted as undecided.
const MAX_AGGREGATES: usize = 100_000;

/// The field whose values are aggregated.
const FIELD: u8 = 0;

/// The windows of an answer, and the table and the tag that were read.
pub(super) struct WindowsOfRead<'a> {
    pub(super) scope: (Table, Option<u32>),
    pub(super) windows: &'a BTreeMap<TagWindow, WindowAggregates>,
}

/// The aggregates that a window may have. `None` stands for no values.
type PossibleAggregates = BTreeSet<Option<WindowAggregates>>;

impl WindowsOfRead<'_> {
    /// Checks all windows with rows or aggregates. Returns those that no choice of values explains.
    pub(super) fn check(
        &self,
        history: &History,
        selection: ReadSelection,
        visible: &impl VisibleChanges,
        report: &mut CheckReport,
    ) -> Vec<(String, Unexplained)> {
        let ReadSelection::Windows(seconds) = selection else {
            return Vec::new();
        };
        let mut cells: BTreeMap<TagWindow, Vec<Cell>> =
            self.windows.keys().map(|window| (*window, Vec::new())).collect();
        let (table, tag) = self.scope;
        for cell in history.cells(table, tag).filter(|cell| cell.field == FIELD) {
            let window = TagWindow { tag: cell.tag, start: cell.time / seconds * seconds };
            cells.entry(window).or_default().push(*cell);
        }
        let mut unexplained = Vec::new();
        for (window, cells) in &cells {
            let aggregates = self.windows.get(window).copied();
            let Some(possible) = possible_aggregates(history, cells, visible) else {
                report.count("undecided windows", 1);
                continue;
            };
            report.count("windows", 1);
            if !possible.contains(&aggregates) {
                let some: Vec<_> = possible.iter().take(5).collect();
                let text = format!("{window:?} is {aggregates:?}, and one of {some:?} is expected");
                let promise = Promise::Views;
                unexplained.push((text, Unexplained { promise, change: None }));
            }
        }
        unexplained
    }
}

/// Returns the aggregates of all choices of values. `None` if there are too many.
fn possible_aggregates(
    history: &History,
    cells: &[Cell],
    visible: &impl VisibleChanges,
) -> Option<PossibleAggregates> {
    let mut possible = PossibleAggregates::from([None]);
    for cell in cells {
        let written = history.writes_of(cell).iter().map(|(_, value)| Some(*value));
        let values: BTreeSet<Option<i64>> = written
            .chain([None])
            .filter(|value| explain(history, *cell, *value, visible).is_ok())
            .collect();
        let next = possible.iter().flat_map(|before| {
            values.iter().map(|value| match value {
                Some(value) => Some(with_value(*before, *value)),
                None => *before,
            })
        });
        possible = next.collect();
        if possible.len() > MAX_AGGREGATES {
            return None;
        }
    }
    Some(possible)
}

fn with_value(before: Option<WindowAggregates>, value: i64) -> WindowAggregates {
    let before =
        before.unwrap_or(WindowAggregates { count: 0, sum: 0, least: i64::MAX, most: i64::MIN });
    WindowAggregates {
        count: before.count + 1,
        sum: before.sum + value,
        least: before.least.min(value),
        most: before.most.max(value),
    }
}

/// Checks that a view without pending windows has the result of its query in all processes. From the first read of a
/// view on that begins after all changes, the strong reads of windows with the same length have one answer.
pub(super) fn check_settled_views(history: &History, report: &mut CheckReport) {
    let end_of_changes = history.end_of_changes();
    let mut settled: BTreeMap<u64, &Event> = BTreeMap::new();
    for event in &history.events {
        let Some((seconds, path, windows)) = settled_windows(event, end_of_changes) else {
            continue;
        };
        match settled.get(&seconds) {
            None if path == ReadPath::View => drop(settled.insert(seconds, event)),
            None => {}
            Some(first) => {
                report.count("comparisons with views", 1);
                let expected =
                    settled_windows(first, end_of_changes).map(|(_, _, windows)| windows);
                if expected != Some(windows) {
                    let text = format!("{event:?} differs from {first:?}");
                    report.add(Promise::Views, text);
                }
            }
        }
    }
}

/// Returns the windows of a strong read of all tags after all changes: their length, their source, and their aggregates.
fn settled_windows(
    event: &Event,
    end_of_changes: Duration,
) -> Option<(u64, ReadPath, &BTreeMap<TagWindow, WindowAggregates>)> {
    let (Operation::Read(read), Outcome::Answer(ReadAnswer::Windows(windows), _)) =
        (&event.operation, &event.outcome)
    else {
        return None;
    };
    let ReadSelection::Windows(seconds) = read.selection else {
        return None;
    };
    let is_settled = event.begin > end_of_changes
        && read.tag.is_none()
        && read.consistency == ReadConsistency::Strong;
    is_settled.then_some((seconds, read.path, windows))
}
