//! Whether the value of one cell is explained by the writes, deletes and drops that a read must or may have seen.

use super::Promise;
use crate::histories::history::{Cell, Event, History};

/// The changes that a read must show, and those that it may show.
pub(super) trait VisibleChanges {
    /// Whether the change at this position must be visible.
    fn must_show(&self, place: usize, change: &Event) -> bool;

    /// Whether the change at this position may be visible.
    fn may_show(&self, place: usize, change: &Event) -> bool;
}

/// A value that no visible set of changes explains.
#[derive(Debug)]
pub(super) struct Unexplained {
    pub(super) promise: Promise,
    /// The position of the change that the value contradicts.
    pub(super) change: Option<usize>,
}

impl Unexplained {
    fn by(promise: Promise, change: usize) -> Self {
        Self { promise, change: Some(change) }
    }
}

/// Explains the value of a cell. Returns the position of the write that it comes from.
pub(super) fn explain(
    history: &History,
    cell: Cell,
    value: Option<i64>,
    visible: &impl VisibleChanges,
) -> Result<Option<usize>, Unexplained> {
    match value {
        Some(value) => explain_value(history, cell, value, visible).map(Some),
        None => explain_absence(history, cell, visible).map(|()| None),
    }
}

fn explain_value(
    history: &History,
    cell: Cell,
    value: i64,
    visible: &impl VisibleChanges,
) -> Result<usize, Unexplained> {
    let event = |place: usize| &history.events[place];
    let writes = history.writes_of(&cell);
    let Some((source, _)) = writes.iter().find(|(_, written)| *written == value) else {
        return Err(Unexplained { promise: Promise::NoInvention, change: None });
    };
    let source = *source;
    if !visible.may_show(source, event(source)) {
        return Err(Unexplained::by(Promise::NoInvention, source));
    }
    // Whether a visible change is newer. Without both stamps, the order is not known.
    let wins = |place: usize| {
        let is_newer = event(place).stamp().zip(event(source).stamp());
        is_newer.is_some_and(|(change, source)| change > source)
            && visible.must_show(place, event(place))
    };
    if let Some((newer, _)) = writes.iter().find(|(write, _)| wins(*write)) {
        return Err(Unexplained::by(Promise::NewestWins, *newer));
    }
    if let Some(delete) = history.deletes_of(cell).find(|delete| wins(*delete)) {
        return Err(Unexplained::by(Promise::ExactDeletes, delete));
    }
    let removes = |drop: &usize| {
        visible.must_show(*drop, event(*drop))
            && event(source).is_acknowledged_before(event(*drop).begin)
    };
    match history.drops_of(cell.table).find(removes) {
        Some(drop) => Err(Unexplained::by(Promise::ExactDrops, drop)),
        None => Ok(source),
    }
}

fn explain_absence(
    history: &History,
    cell: Cell,
    visible: &impl VisibleChanges,
) -> Result<(), Unexplained> {
    let event = |place: usize| &history.events[place];
    for (write, _) in history.writes_of(&cell) {
        let write = *write;
        if !visible.must_show(write, event(write)) {
            continue;
        }
        let is_deleted = history.deletes_of(cell).any(|delete| {
            let stamps = event(delete).stamp().zip(event(write).stamp());
            visible.may_show(delete, event(delete))
                && stamps.is_none_or(|(delete, write)| delete >= write)
        });
        let is_dropped = || {
            history.drops_of(cell.table).any(|place| {
                let drop = event(place);
                let was_sent_before = !drop.is_acknowledged() || event(write).begin < drop.end;
                visible.may_show(place, drop) && was_sent_before
            })
        };
        if !is_deleted && !is_dropped() {
            let was_removed = history.deletes_of(cell).next().is_some();
            let promise = if was_removed {
                Promise::ExactDeletes
            } else {
                Promise::Durability
            };
            return Err(Unexplained::by(promise, write));
        }
    }
    Ok(())
}
