//! The rows that a trigger has received. There is no time limit for the delivery of a row, so these rows are read when all
//! faults are over and the trigger has had time to receive the rest.

use super::{CheckReport, Promise};
use crate::histories::history::{Cell, Event, History, Operation, Outcome, ReadAnswer, Table};

/// Checks that each acknowledged row of the log was delivered, also if it was deleted since, and that each delivered row
/// was written and not refused.
pub(super) fn check(history: &History, answer: &ReadAnswer, report: &mut CheckReport) {
    let ReadAnswer::Cells(delivered) = answer else {
        return;
    };
    report.count("delivered cells", delivered.len() as u64);
    for event in history.events.iter().filter(|event| event.is_acknowledged()) {
        let missing: Vec<_> = rows_of(event)
            .filter(|(cell, value)| delivered.get(cell) != Some(value))
            .collect();
        if !missing.is_empty() {
            let text = format!("{missing:?} of {event:?} were not delivered");
            report.add(Promise::Deliveries, text);
        }
    }
    for (cell, value) in delivered {
        let mut sources = history.writes_of(cell).iter();
        let is_written = sources.any(|(write, written)| {
            written == value && history.events[*write].outcome != Outcome::Refused
        });
        if !is_written {
            let text = format!("{cell:?} was delivered as {value}, which was not written");
            report.add(Promise::Deliveries, text);
        }
    }
}

/// Returns the cells of the log that an event writes.
fn rows_of(event: &Event) -> impl Iterator<Item = (&Cell, &i64)> {
    let values = match &event.operation {
        Operation::Write { values, .. } => Some(values),
        _ => None,
    };
    let cells = values.into_iter().flatten();
    cells.filter(|(cell, _)| cell.table == Table::Log)
}
