//! Whether the strict writes, the deletes and the strong reads of one cell have an order that explains all answers, and
//! in which each takes effect between its request and its answer.
//!
//! The check follows the history through time and keeps every state that is possible: the value of the cell, and the open
//! requests that have taken effect. At the end of a request, only states in which it has taken effect remain. A request
//! without an answer stays open. It is left out if no read shows its value, because then it can be last, or never take
//! effect.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

use super::{CheckReport, Promise};
use crate::histories::history::{
    Cell, Event, History, Operation, Outcome, ReadAnswer, ReadConsistency, ReadSelection, Table,
    TableRead,
};

/// Maximum number of states. A history that exceeds it is counted as undecided.
const MAX_STATES: usize = 200_000;

/// The effect of a request on the cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CellEffect {
    Write(i64),
    Delete,
    Read(Option<i64>),
}

/// A request to the cell; `end` is `None` if its outcome is unknown.
#[derive(Clone, Copy, Debug)]
struct CellRequest {
    effect: CellEffect,
    begin: Duration,
    end: Option<Duration>,
}

/// The result of the check of one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OrderSearch {
    Ordered,
    /// No order explains the answers up to this time.
    Unordered(Duration),
    /// There are too many open requests to decide.
    Undecided,
}

/// Checks all cells of the registers.
pub(super) fn check(history: &History, report: &mut CheckReport) {
    for cell in history.cells(Table::Registers, None) {
        let requests = requests_of(history, *cell);
        report.count("requests to registers", requests.len() as u64);
        match search(&requests) {
            OrderSearch::Ordered => report.count("registers", 1),
            OrderSearch::Undecided => report.count("undecided registers", 1),
            OrderSearch::Unordered(time) => {
                let from = time.saturating_sub(Duration::from_secs(10));
                let near: Vec<_> = requests
                    .iter()
                    .filter(|request| {
                        request.begin <= time && request.end.is_none_or(|end| end >= from)
                    })
                    .map(|request| format!("\n    {request:?}"))
                    .collect();
                let text = format!("{cell:?} up to {time:?}:{}", near.concat());
                report.add(Promise::Linearizability, text);
            }
        }
    }
}

fn requests_of(history: &History, cell: Cell) -> Vec<CellRequest> {
    let effect = |event: &Event| match (&event.operation, &event.outcome) {
        (_, Outcome::Refused) => None,
        (Operation::Write { values, .. }, _) => {
            values.get(&cell).map(|value| CellEffect::Write(*value))
        }
        (Operation::Delete { table, tag, times }, _) => {
            let matches = (*table, *tag) == (cell.table, cell.tag) && times.contains(&cell.time);
            matches.then_some(CellEffect::Delete)
        }
        (
            Operation::Read(
                read @ TableRead {
                    selection: ReadSelection::Rows,
                    consistency: ReadConsistency::Strong,
                    ..
                },
            ),
            Outcome::Answer(ReadAnswer::Cells(values), _),
        ) => {
            let is_read = read.table == cell.table && read.tag.is_none_or(|tag| tag == cell.tag);
            is_read.then(|| CellEffect::Read(values.get(&cell).copied()))
        }
        _ => None,
    };
    let request = |event: &Event| {
        Some(CellRequest {
            effect: effect(event)?,
            begin: event.begin,
            end: (!matches!(event.outcome, Outcome::Unknown(_))).then_some(event.end),
        })
    };
    history.events.iter().filter_map(request).collect()
}

/// Searches for an order of the requests.
fn search(requests: &[CellRequest]) -> OrderSearch {
    let read: HashSet<i64> = requests
        .iter()
        .filter_map(|request| match request.effect {
            CellEffect::Read(value) => value,
            _ => None,
        })
        .collect();
    let matters = |request: &CellRequest| match request.effect {
        CellEffect::Write(value) => request.end.is_some() || read.contains(&value),
        _ => true,
    };
    // Beginnings come before ends at the same time, so that requests which touch may have either order.
    let mut steps: Vec<(Duration, bool, usize)> = Vec::new();
    for (place, request) in requests.iter().enumerate().filter(|(_, request)| matters(request)) {
        steps.push((request.begin, false, place));
        steps.extend(request.end.map(|end| (end, true, place)));
    }
    steps.sort_unstable();

    let mut states = BTreeSet::from([CellState::default()]);
    let mut open: BTreeMap<usize, CellRequest> = BTreeMap::new();
    for (time, is_end, place) in steps {
        if !is_end {
            open.insert(place, requests[place]);
            continue;
        }
        let Some(next) = take_effect(states, &open, place) else {
            return OrderSearch::Undecided;
        };
        if next.is_empty() {
            return OrderSearch::Unordered(time);
        }
        open.remove(&place);
        states = without_dominated(next, |place| requests[place].end.is_none());
    }
    OrderSearch::Ordered
}

/// A possible state: the value, and the open requests that have taken effect.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct CellState {
    value: Option<i64>,
    done: BTreeSet<usize>,
}

/// Returns all states in which a request has taken effect, from all states before. `None` if there are too many.
fn take_effect(
    states: BTreeSet<CellState>,
    open: &BTreeMap<usize, CellRequest>,
    ended: usize,
) -> Option<BTreeSet<CellState>> {
    let mut next = BTreeSet::new();
    let mut reached = states.clone();
    let mut left: Vec<CellState> = states.into_iter().collect();
    while let Some(state) = left.pop() {
        if state.done.contains(&ended) {
            let mut state = state;
            state.done.remove(&ended);
            next.insert(state);
            continue;
        }
        // Deletes of unknown outcome are interchangeable, so one of them stands for all, and only where it has an effect.
        let mut may_delete = state.value.is_some();
        for (place, request) in open {
            if state.done.contains(place) {
                continue;
            }
            if request.end.is_none() && request.effect == CellEffect::Delete {
                if !may_delete {
                    continue;
                }
                may_delete = false;
            }
            let value = match request.effect {
                CellEffect::Write(value) => Some(value),
                CellEffect::Delete => None,
                CellEffect::Read(value) if value == state.value => value,
                CellEffect::Read(_) => continue,
            };
            let mut done = state.done.clone();
            done.insert(*place);
            let state = CellState { value, done };
            if reached.insert(state.clone()) {
                left.push(state);
            }
        }
        if reached.len() > MAX_STATES {
            return None;
        }
    }
    Some(next)
}

/// Removes states that allow no more than others: those with the same value, in which further requests of unknown
/// outcome have taken effect.
fn without_dominated(
    states: BTreeSet<CellState>,
    is_unknown: impl Fn(usize) -> bool,
) -> BTreeSet<CellState> {
    let dominates = |one: &CellState, other: &CellState| {
        one.value == other.value
            && one.done.len() < other.done.len()
            && one.done.is_subset(&other.done)
            && other.done.difference(&one.done).all(|place| is_unknown(*place))
    };
    let is_kept = |state: &&CellState| !states.iter().any(|one| dominates(one, state));
    states.iter().filter(is_kept).cloned().collect()
}
