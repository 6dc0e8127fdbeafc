//! Histories that break each promise are found, and similar ones that keep all promises are accepted.

mod derived_data;

use std::time::Duration;

use super::{ClockMargin, Promise, check};
use crate::histories::history::{
    Cell, CellValues, Event, History, Operation, Outcome, ReadAnswer, ReadConsistency, Stamp,
    Table, TableRead,
};

const SECOND: Duration = Duration::from_secs(1);

/// Builds a history with times in seconds.
#[derive(Default)]
struct HistoryBuilder(Vec<Event>);

/// Returns the cell of a point with this time, and tag 0.
fn cell(table: Table, time: u64) -> Cell {
    Cell { table, tag: 0, time, field: 0 }
}

fn values(table: Table, values: &[(u64, i64)]) -> CellValues {
    let values = values.iter();
    values.map(|(time, value)| (cell(table, *time), *value)).collect()
}

impl HistoryBuilder {
    fn add(&mut self, operation: Operation, times: (u64, u64), outcome: Outcome) -> &mut Event {
        self.0.push(Event {
            client: 0,
            instance: None,
            after: None,
            begin: Duration::from_secs(times.0),
            end: Duration::from_secs(times.1),
            operation,
            outcome,
        });
        self.0.last_mut().unwrap()
    }

    fn write(
        &mut self,
        table: Table,
        written: &[(u64, i64)],
        times: (u64, u64),
        stamp: Stamp,
    ) -> &mut Event {
        let operation = Operation::Write {
            values: values(table, written),
            is_strict: table == Table::Registers,
        };
        self.add(operation, times, Outcome::Acknowledged(Some(stamp)))
    }

    fn delete(
        &mut self,
        table: Table,
        points: std::ops::Range<u64>,
        times: (u64, u64),
        stamp: Stamp,
    ) -> &mut Event {
        let operation = Operation::Delete { table, tag: 0, times: points };
        self.add(operation, times, Outcome::Acknowledged(Some(stamp)))
    }

    fn drop_table(&mut self, times: (u64, u64)) -> &mut Event {
        let operation = Operation::Drop(Table::Dropped);
        self.add(operation, times, Outcome::Acknowledged(None))
    }

    fn read(&mut self, table: Table, read: &[(u64, i64)], times: (u64, u64)) -> &mut Event {
        self.read_with(ReadConsistency::Strong, table, read, times, None)
    }

    fn read_with(
        &mut self,
        consistency: ReadConsistency,
        table: Table,
        read: &[(u64, i64)],
        times: (u64, u64),
        mark: Option<Stamp>,
    ) -> &mut Event {
        let operation = Operation::Read(TableRead::rows(table, None, consistency));
        let answer = ReadAnswer::Cells(values(table, read));
        self.add(operation, times, Outcome::Answer(answer, mark))
    }

    /// Asserts that the history breaks exactly these promises.
    #[track_caller]
    fn breaks(self, expected: &[Promise]) {
        let margin = ClockMargin { between_instances: SECOND };
        let report = check(&History::new(self.0), margin);
        let mut broken: Vec<_> = report.violations.iter().map(|one| one.promise).collect();
        broken.sort_unstable();
        broken.dedup();
        assert_eq!(broken, expected, "{:#?}", report.violations);
    }
}

#[test]
fn a_lost_write_is_found() {
    let history = |read: &[(u64, i64)], read_at| {
        let mut history = HistoryBuilder::default();
        history.write(Table::Log, &[(1, 10), (2, 11)], (0, 2), 1);
        history.read(Table::Log, read, read_at);
        history
    };
    history(&[(1, 10), (2, 11)], (3, 4)).breaks(&[]);
    history(&[], (3, 4)).breaks(&[Promise::Durability]);
    // A concurrent read may show the request or not, but no part of it.
    history(&[], (1, 4)).breaks(&[]);
    history(&[(1, 10), (2, 11)], (1, 4)).breaks(&[]);
    history(&[(2, 11)], (1, 4)).breaks(&[Promise::Atomicity]);
}

#[test]
fn a_write_of_unknown_outcome_may_appear_or_not_but_a_refused_one_may_not() {
    let history = |outcome, read: &[(u64, i64)]| {
        let mut history = HistoryBuilder::default();
        history.write(Table::Log, &[(1, 10)], (0, 2), 1).outcome = outcome;
        history.read(Table::Log, read, (3, 4));
        history
    };
    history(Outcome::Unknown(None), &[]).breaks(&[]);
    history(Outcome::Unknown(None), &[(1, 10)]).breaks(&[]);
    history(Outcome::Refused, &[]).breaks(&[]);
    history(Outcome::Refused, &[(1, 10)]).breaks(&[Promise::NoInvention]);
    history(Outcome::Unknown(None), &[(1, 99)]).breaks(&[Promise::NoInvention]);
    history(Outcome::Unknown(None), &[(7, 10)]).breaks(&[Promise::NoInvention]);
}

#[test]
fn a_value_from_the_future_is_found() {
    let mut history = HistoryBuilder::default();
    history.read(Table::Log, &[(1, 10)], (0, 1));
    history.write(Table::Log, &[(1, 10)], (2, 3), 1);
    history.breaks(&[Promise::NoInvention]);
}

#[test]
fn a_value_that_lost_to_an_older_one_is_found() {
    let history = |stamps: [Stamp; 2], read| {
        let mut history = HistoryBuilder::default();
        history.write(Table::Fields, &[(1, 10)], (0, 3), stamps[0]);
        history.write(Table::Fields, &[(1, 11)], (1, 2), stamps[1]);
        history.read(Table::Fields, &[(1, read)], (4, 5));
        history
    };
    history([1, 2], 11).breaks(&[]);
    history([1, 2], 10).breaks(&[Promise::NewestWins]);
    history([2, 1], 10).breaks(&[]);
    history([2, 1], 11).breaks(&[Promise::NewestWins]);
    // Requests of one batch may have one stamp.
    history([2, 2], 11).breaks(&[]);
}

#[test]
fn deletes_that_remove_too_little_or_too_much_are_found() {
    let history = |read: &[(u64, i64)]| {
        let mut history = HistoryBuilder::default();
        history.write(Table::Log, &[(1, 10)], (0, 1), 1);
        history.write(Table::Log, &[(2, 11)], (0, 1), 1);
        history.delete(Table::Log, 0..2, (2, 3), 5);
        history.write(Table::Log, &[(3, 12)], (4, 5), 6);
        history.read(Table::Log, read, (8, 9));
        history
    };
    history(&[(2, 11), (3, 12)]).breaks(&[]);
    history(&[(1, 10), (2, 11), (3, 12)]).breaks(&[Promise::ExactDeletes]);
    history(&[(3, 12)]).breaks(&[Promise::Durability]);
    let rewritten = |read: &[(u64, i64)]| {
        let mut history = HistoryBuilder::default();
        history.write(Table::Fields, &[(1, 10)], (0, 1), 1);
        history.delete(Table::Fields, 0..9, (2, 3), 5);
        history.write(Table::Fields, &[(1, 11)], (6, 7), 9);
        history.read(Table::Fields, read, (8, 9));
        history
    };
    rewritten(&[(1, 11)]).breaks(&[]);
    rewritten(&[]).breaks(&[Promise::ExactDeletes]);
}

#[test]
fn a_row_that_survives_a_drop_and_a_new_row_that_is_lost_are_found() {
    let history = |read: &[(u64, i64)]| {
        let mut history = HistoryBuilder::default();
        history.write(Table::Dropped, &[(1, 10)], (0, 1), 1);
        history.write(Table::Dropped, &[(2, 11)], (3, 4), 4);
        history.drop_table((2, 7));
        history.write(Table::Dropped, &[(3, 12)], (8, 9), 8);
        history.read(Table::Dropped, read, (10, 11));
        history
    };
    history(&[(3, 12)]).breaks(&[]);
    // What was sent during the drop may have gone into either table.
    history(&[(2, 11), (3, 12)]).breaks(&[]);
    history(&[(1, 10), (3, 12)]).breaks(&[Promise::ExactDrops]);
    history(&[]).breaks(&[Promise::Durability]);
}

#[test]
fn a_stale_read_may_miss_only_what_its_age_allows() {
    let history = |age, read: &[(u64, i64)]| {
        let mut history = HistoryBuilder::default();
        history.write(Table::Log, &[(1, 10)], (0, 1), 1);
        let stale = ReadConsistency::Stale(Duration::from_secs(age));
        history.read_with(stale, Table::Log, read, (10, 11), None);
        history
    };
    history(5, &[(1, 10)]).breaks(&[]);
    history(5, &[]).breaks(&[Promise::Durability]);
    history(9, &[]).breaks(&[]);
}

#[test]
fn a_session_sees_what_it_wrote_and_what_it_read_before() {
    let history = |after, read: &[(u64, i64)]| {
        let mut history = HistoryBuilder::default();
        let other = history.write(Table::Log, &[(1, 10)], (0, 1), 1);
        other.client = 1;
        history.read(Table::Log, &[(1, 10)], (2, 3));
        history.write(Table::Log, &[(2, 11)], (4, 5), 5);
        let stale = ReadConsistency::Stale(Duration::from_secs(60));
        let read = history.read_with(stale, Table::Log, read, (6, 7), None);
        read.after = after;
        history
    };
    history(Some(5), &[(1, 10), (2, 11)]).breaks(&[]);
    history(Some(5), &[(1, 10)]).breaks(&[Promise::Sessions]);
    history(Some(5), &[(2, 11)]).breaks(&[Promise::Sessions]);
    history(None, &[]).breaks(&[]);
}

#[test]
fn a_read_as_of_a_stamp_shows_exactly_what_is_not_newer() {
    let history = |mark, read: &[(u64, i64)]| {
        let mut history = HistoryBuilder::default();
        history.write(Table::Fields, &[(1, 10)], (0, 1), 1);
        history.write(Table::Fields, &[(1, 11)], (2, 3), 3);
        history.delete(Table::Fields, 1..2, (4, 5), 5);
        history.read_with(ReadConsistency::AsOf, Table::Fields, read, (8, 9), mark);
        history
    };
    history(Some(2), &[(1, 10)]).breaks(&[]);
    history(Some(3), &[(1, 11)]).breaks(&[]);
    history(Some(5), &[]).breaks(&[]);
    history(Some(2), &[(1, 11)]).breaks(&[Promise::NoInvention]);
    history(Some(4), &[(1, 10)]).breaks(&[Promise::NewestWins]);
    history(Some(4), &[]).breaks(&[Promise::ExactDeletes]);
    history(Some(6), &[(1, 11)]).breaks(&[Promise::ExactDeletes]);
    history(None, &[]).breaks(&[Promise::Durability]);
}

#[test]
fn stamps_that_contradict_the_order_of_requests_are_found() {
    let history = |table, second: (u64, Stamp), change: fn(&mut Event)| {
        let mut history = HistoryBuilder::default();
        history.write(table, &[(1, 10)], (0, 10), 100).instance = Some(1);
        let times = (second.0, second.0 + 1);
        change(history.write(table, &[(2, 11)], times, second.1));
        history
    };
    // Other instances, 500 ms to 1 s apart: any order, unless the write is strict.
    let close = |event: &mut Event| event.begin = Duration::from_millis(10_500);
    history(Table::Log, (10, 99), close).breaks(&[]);
    history(Table::Registers, (10, 99), close).breaks(&[Promise::StampOrder]);
    history(Table::Log, (12, 99), |_| {}).breaks(&[Promise::StampOrder]);
    let same = |event: &mut Event| {
        event.begin = Duration::from_millis(10_500);
        event.instance = Some(1);
    };
    history(Table::Log, (10, 99), same).breaks(&[Promise::StampOrder]);
    history(Table::Log, (10, 101), same).breaks(&[]);
    let sent = |event: &mut Event| event.after = Some(100);
    history(Table::Log, (10, 100), sent).breaks(&[Promise::StampOrder]);
    history(Table::Log, (10, 101), sent).breaks(&[]);
}

#[test]
fn registers_without_an_order_are_found() {
    let history = |reads: [&[(u64, i64)]; 2], acknowledged: bool| {
        let mut history = HistoryBuilder::default();
        history.write(Table::Registers, &[(1, 10)], (0, 1), 1);
        let second = history.write(Table::Registers, &[(1, 11)], (2, 9), 3);
        if !acknowledged {
            second.outcome = Outcome::Unknown(None);
        }
        history.read(Table::Registers, reads[0], (3, 4));
        history.read(Table::Registers, reads[1], (5, 6));
        history
    };
    for acknowledged in [true, false] {
        history([&[(1, 10)], &[(1, 10)]], acknowledged).breaks(&[]);
        history([&[(1, 10)], &[(1, 11)]], acknowledged).breaks(&[]);
        history([&[(1, 11)], &[(1, 11)]], acknowledged).breaks(&[]);
        history([&[(1, 11)], &[(1, 10)]], acknowledged).breaks(&[Promise::Linearizability]);
    }
    // A delete of unknown outcome explains one disappearance, and not that the value comes back.
    let deleted = |reads: [&[(u64, i64)]; 2]| {
        let mut history = HistoryBuilder::default();
        history.write(Table::Registers, &[(1, 10)], (0, 1), 1);
        let delete = history.delete(Table::Registers, 0..9, (2, 3), 3);
        delete.outcome = Outcome::Unknown(None);
        history.read(Table::Registers, reads[0], (20, 21));
        history.read(Table::Registers, reads[1], (22, 23));
        history
    };
    deleted([&[(1, 10)], &[]]).breaks(&[]);
    deleted([&[], &[]]).breaks(&[]);
    deleted([&[], &[(1, 10)]]).breaks(&[Promise::Linearizability]);
}

/// Many deletes of unknown outcome leave few states.
#[test]
fn many_requests_of_unknown_outcome_are_decided() {
    let mut history = HistoryBuilder::default();
    for round in 0..40 {
        let (time, value) = (10 * round, i64::try_from(round).unwrap());
        history.write(Table::Registers, &[(1, value)], (time, time + 1), round + 1);
        let delete = history.delete(Table::Registers, 0..9, (time + 2, time + 3), 1);
        delete.outcome = Outcome::Unknown(None);
        history.read(Table::Registers, &[(1, value)], (time + 4, time + 5));
    }
    history.read(Table::Registers, &[], (500, 501));
    let margin = ClockMargin { between_instances: SECOND };
    let report = check(&History::new(history.0), margin);
    assert_eq!(report.violations, []);
    assert_eq!(report.facts.get("registers"), Some(&1));
}
