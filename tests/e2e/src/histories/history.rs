//! Histories: the requests of all clients, with the times at which they began and were answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::Duration,
};

use strum::{IntoStaticStr, VariantArray};

/// The position of a write or delete in the order of all of them, from the header `x-neap-stamp`.
pub(super) type Stamp = u64;

/// The tables of a history. Each one shows other promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Table {
    /// Each point is written once, several in a request. Ranges of points are deleted.
    Log,
    /// Few points, overwritten field by field without strict order.
    Fields,
    /// Few points, overwritten and deleted in strict order.
    Registers,
    /// Each point is written once. The table is dropped again and again.
    Dropped,
    /// Few points, overwritten field by field in any order of their times. Ranges of points are deleted. The table has
    /// caches and materialized views.
    Samples,
}

impl Table {
    pub(super) const ALL: &'static [Self] = Self::VARIANTS;

    /// Returns the name of the table in its database.
    pub(super) fn name(self) -> &'static str {
        self.into()
    }
}

/// One field of one point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Cell {
    pub(super) table: Table,
    /// The value of the only tag.
    pub(super) tag: u32,
    /// The time of the point, in seconds.
    pub(super) time: u64,
    /// The number of the field.
    pub(super) field: u8,
}

/// The values of cells. Each value is written only once in a history.
pub(super) type CellValues = BTreeMap<Cell, i64>;

/// A window of time of one tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TagWindow {
    pub(super) tag: u32,
    /// The first second of the window.
    pub(super) start: u64,
}

/// The aggregates of the values of a window, of which there is at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WindowAggregates {
    pub(super) count: u64,
    pub(super) sum: i64,
    pub(super) least: i64,
    pub(super) most: i64,
}

/// The part of a table that a read returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadSelection {
    /// All rows.
    Rows,
    /// The newest rows of each tag, at most this number.
    Newest(usize),
    /// The tags that have rows.
    Tags,
    /// Aggregates of the first field, in windows of this length in seconds.
    Windows(u64),
    /// The rows that a trigger has received.
    Deliveries,
}

/// The source of the rows of a read. It makes no difference to the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadPath {
    /// A statement on the table, which caches and views may answer.
    Table,
    /// A statement on the table that no view answers.
    WithoutViews,
    /// A last value or distinct value cache.
    Cache,
    /// The table of a materialized view that has no pending windows.
    View,
}

/// What a read may leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadConsistency {
    /// Nothing that was acknowledged before the read began.
    Strong,
    /// What was acknowledged within this time before the read began.
    Stale(Duration),
    /// Exactly the requests with later stamps than the answer's.
    AsOf,
}

/// A read of a part of a table, of all its tags or of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TableRead {
    pub(super) table: Table,
    pub(super) tag: Option<u32>,
    pub(super) selection: ReadSelection,
    pub(super) path: ReadPath,
    pub(super) consistency: ReadConsistency,
}

impl TableRead {
    /// A read of all rows of a table, or of those with one tag.
    pub(super) fn rows(table: Table, tag: Option<u32>, consistency: ReadConsistency) -> Self {
        Self {
            table,
            tag,
            selection: ReadSelection::Rows,
            path: ReadPath::Table,
            consistency,
        }
    }

    /// A strong read of a part of a table, for all tags.
    pub(super) fn strong(table: Table, selection: ReadSelection, path: ReadPath) -> Self {
        Self {
            table,
            tag: None,
            selection,
            path,
            consistency: ReadConsistency::Strong,
        }
    }
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Write {
        values: CellValues,
        is_strict: bool,
    },
    /// Deletes the points of a table with this tag and times. Deletes always have strict order.
    Delete {
        table: Table,
        tag: u32,
        times: Range<u64>,
    },
    Drop(Table),
    Read(TableRead),
}

/// The rows of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ReadAnswer {
    /// Rows, the newest rows, or delivered rows.
    Cells(CellValues),
    Tags(BTreeSet<u32>),
    /// Windows without values are left out.
    Windows(BTreeMap<TagWindow, WindowAggregates>),
}

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The change was acknowledged.
    Acknowledged(Option<Stamp>),
    /// The rows of a read, and the stamp up to which a read as of an earlier time reaches.
    Answer(ReadAnswer, Option<Stamp>),
    /// The change may have taken effect, or may do so later. An answer that says so may have a stamp.
    Unknown(Option<Stamp>),
    /// The request has no effect.
    Refused,
}

/// A request and its result.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) client: usize,
    /// The process that answered, with a new number after each start; `None` if it is not known.
    pub(super) instance: Option<u64>,
    /// The stamp that the request was ordered after.
    pub(super) after: Option<Stamp>,
    pub(super) begin: Duration,
    pub(super) end: Duration,
    pub(super) operation: Operation,
    pub(super) outcome: Outcome,
}

impl Event {
    /// Returns the stamp of a write or delete.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        match self.outcome {
            Outcome::Acknowledged(stamp) | Outcome::Unknown(stamp) => stamp,
            Outcome::Answer(..) | Outcome::Refused => None,
        }
    }

    /// Whether the change was acknowledged.
    pub(super) fn is_acknowledged(&self) -> bool {
        matches!(self.outcome, Outcome::Acknowledged(_))
    }

    /// Whether the change was acknowledged before this time.
    pub(super) fn is_acknowledged_before(&self, time: Duration) -> bool {
        self.is_acknowledged() && self.end < time
    }

    /// Whether the change may be visible to a request that is answered at this time.
    pub(super) fn may_be_visible_at(&self, time: Duration) -> bool {
        self.begin < time && self.outcome != Outcome::Refused
    }

    /// Whether a delete removes a cell, if it is newer.
    fn deletes(&self, cell: &Cell) -> bool {
        match &self.operation {
            Operation::Delete { table, tag, times } => {
                (*table, *tag) == (cell.table, cell.tag) && times.contains(&cell.time)
            }
            _ => false,
        }
    }
}

/// A history, indexed for the checks.
#[derive(Debug)]
pub(super) struct History {
    pub(super) events: Vec<Event>,
    /// The writes of each cell, by their positions in `events`, with their values.
    writes: BTreeMap<Cell, Vec<(usize, i64)>>,
    /// The deletes by table and tag, and the drops by table.
    deletes: BTreeMap<(Table, u32), Vec<usize>>,
    drops: BTreeMap<Table, Vec<usize>>,
}

impl History {
    /// Indexes events, sorted by their beginnings.
    pub(super) fn new(mut events: Vec<Event>) -> Self {
        events.sort_by_key(|event| event.begin);
        let mut writes: BTreeMap<Cell, Vec<(usize, i64)>> = BTreeMap::new();
        let mut deletes: BTreeMap<(Table, u32), Vec<usize>> = BTreeMap::new();
        let mut drops: BTreeMap<Table, Vec<usize>> = BTreeMap::new();
        for (place, event) in events.iter().enumerate() {
            match &event.operation {
                Operation::Write { values, .. } => {
                    for (cell, value) in values {
                        writes.entry(*cell).or_default().push((place, *value));
                    }
                }
                Operation::Delete { table, tag, .. } => {
                    deletes.entry((*table, *tag)).or_default().push(place);
                }
                Operation::Drop(table) => drops.entry(*table).or_default().push(place),
                Operation::Read(_) => {}
            }
        }
        Self { events, writes, deletes, drops }
    }

    /// Returns the writes of a cell: their positions in the events, and their values.
    pub(super) fn writes_of(&self, cell: &Cell) -> &[(usize, i64)] {
        self.writes.get(cell).map_or(&[], Vec::as_slice)
    }

    /// Returns the deletes that match a cell, by their positions.
    pub(super) fn deletes_of(&self, cell: Cell) -> impl Iterator<Item = usize> {
        let deletes = self.deletes.get(&(cell.table, cell.tag)).into_iter().flatten().copied();
        deletes.filter(move |place| self.events[*place].deletes(&cell))
    }

    /// Returns the time from which on no request changes rows.
    pub(super) fn end_of_changes(&self) -> Duration {
        self.events
            .iter()
            .filter(|event| !matches!(event.operation, Operation::Read(_)))
            .map(|event| event.end)
            .max()
            .unwrap_or_default()
    }

    /// Returns the drops of a table, by their positions.
    pub(super) fn drops_of(&self, table: Table) -> impl Iterator<Item = usize> {
        self.drops.get(&table).into_iter().flatten().copied()
    }

    /// Returns all written cells of a table, or those with one tag.
    pub(super) fn cells(&self, table: Table, tag: Option<u32>) -> impl Iterator<Item = &Cell> {
        let cell = |tag, time, field| Cell { table, tag, time, field };
        let first = cell(tag.unwrap_or(0), 0, 0);
        let last = cell(tag.unwrap_or(u32::MAX), u64::MAX, u8::MAX);
        self.writes.range(first..=last).map(|(cell, _)| cell)
    }
}
