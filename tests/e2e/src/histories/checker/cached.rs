//! The newest rows of each tag, and the tags that have rows: the contents of last value and distinct value caches.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Promise,
    visibility::{Unexplained, VisibleChanges, explain},
};
use crate::histories::history::{Cell, CellValues, History, Table};

/// Returns the times of the rows of each tag.
fn times_by_tag(values: &CellValues) -> BTreeMap<u32, BTreeSet<u64>> {
    let mut times: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
    for cell in values.keys() {
        times.entry(cell.tag).or_default().insert(cell.time);
    }
    times
}

/// Checks that no tag has more than `count` rows.
pub(super) fn check_number(values: &CellValues, count: usize) -> Result<(), String> {
    let times = times_by_tag(values);
    match times.iter().find(|(_, times)| times.len() > count) {
        Some((tag, times)) => Err(format!("{} of {count} rows of tag {tag}", times.len())),
        None => Ok(()),
    }
}

/// Returns the cells whose values the newest `count` rows of each tag show: the cells of these rows, and the absence of
/// newer rows. If a tag has fewer rows, it has no others at all.
pub(super) fn cells_of_newest(
    history: &History,
    (table, tag): (Table, Option<u32>),
    values: &CellValues,
    count: usize,
) -> Vec<Cell> {
    let times = times_by_tag(values);
    let oldest = |tag: u32| {
        let times = times.get(&tag).filter(|times| times.len() >= count);
        times.and_then(BTreeSet::first).copied().unwrap_or(0)
    };
    let written = history.cells(table, tag);
    let shown = written.filter(|cell| cell.time >= oldest(cell.tag));
    let unwritten = values.keys().filter(|cell| history.writes_of(cell).is_empty());
    shown.chain(unwritten).copied().collect()
}

/// Checks that each tag of an answer may have a row, and that each other tag may have none. Returns the tags for which
/// this is not so.
pub(super) fn check_tags(
    history: &History,
    (table, tag): (Table, Option<u32>),
    tags: &BTreeSet<u32>,
    visible: &impl VisibleChanges,
) -> Vec<(String, Unexplained)> {
    let mut cells: BTreeMap<u32, Vec<Cell>> = tags.iter().map(|tag| (*tag, Vec::new())).collect();
    for cell in history.cells(table, tag) {
        cells.entry(cell.tag).or_default().push(*cell);
    }
    let contradiction = |(tag, cells): (&u32, &Vec<Cell>)| {
        let unexplained = if tags.contains(tag) {
            presence(history, cells, visible).err()
        } else {
            let mut absences = cells.iter();
            absences.find_map(|cell| explain(history, *cell, None, visible).err())
        };
        let state = if tags.contains(tag) {
            "is among"
        } else {
            "is absent from"
        };
        Some((format!("tag {tag} {state} the tags with rows"), unexplained?))
    };
    cells.iter().filter_map(contradiction).collect()
}

/// Checks that at least one of the cells may have a value.
fn presence(
    history: &History,
    cells: &[Cell],
    visible: &impl VisibleChanges,
) -> Result<(), Unexplained> {
    let mut last = Unexplained { promise: Promise::NoInvention, change: None };
    for cell in cells {
        for (_, value) in history.writes_of(cell) {
            match explain(history, *cell, Some(*value), visible) {
                Ok(_) => return Ok(()),
                Err(unexplained) => last = unexplained,
            }
        }
    }
    Err(last)
}
