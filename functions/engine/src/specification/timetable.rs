//! The times at which a scheduled trigger is due.

use std::{str::FromStr, time::Duration};

use chrono::{DateTime, FixedOffset, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use cron::Schedule;
use neap_bucket::StoreTime;
use neap_catalog::TriggerSpecification;

use super::SpecificationError;

/// Prefixes of a time zone.
const ZONE_PREFIXES: [&str; 2] = ["TZ=", "CRON_TZ="];

/// The times at which a trigger is due.
#[derive(Clone, Debug)]
pub struct Timetable(Recurrence);

#[derive(Clone, Debug)]
enum Recurrence {
    Cron { schedule: Box<Schedule>, zone: Tz },
    Every { micros: i64 },
}

impl Timetable {
    /// Returns the timetable of a specification; `None` if the trigger is not scheduled.
    ///
    /// # Errors
    /// The text is not a cron expression.
    pub fn from_specification(
        specification: &TriggerSpecification,
    ) -> Result<Option<Self>, SpecificationError> {
        match specification {
            TriggerSpecification::Schedule { schedule } => {
                let table = Self::cron(schedule).map_err(|reason| SpecificationError {
                    text: format!("cron:{schedule}"),
                    reason,
                })?;
                Ok(Some(table))
            }
            TriggerSpecification::Every { duration } => Ok(Some(Self::every(*duration))),
            TriggerSpecification::SingleTableWalWrite { .. }
            | TriggerSpecification::AllTablesWalWrite
            | TriggerSpecification::RequestPath { .. } => Ok(None),
        }
    }

    /// Parses a cron expression, in UTC unless a time zone precedes it. The error is the reason.
    pub(crate) fn cron(text: &str) -> Result<Self, String> {
        let (zone, expression) = match ZONE_PREFIXES
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix))
        {
            None => (Tz::UTC, text),
            Some(rest) => {
                let (name, expression) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                let zone = Tz::from_str(name).map_err(|_| format!("unknown time zone '{name}'"))?;
                (zone, expression.trim_start())
            }
        };
        if expression.is_empty() {
            return Err("cron expression is empty".to_owned());
        }
        let schedule = Schedule::from_str(expression).map_err(|error| {
            // The first two lines of the error show the expression and a position mark; the reason follows, if there is
            // one.
            let error = error.to_string();
            let reason = error
                .lines()
                .skip(2)
                .find(|line| !line.is_empty())
                .unwrap_or("expected six or seven fields, seconds first");
            format!("couldn't parse cron expression: {reason}")
        })?;
        let schedule = Box::new(schedule);
        Ok(Self(Recurrence::Cron { schedule, zone }))
    }

    fn every(period: Duration) -> Self {
        let micros = i64::try_from(period.as_micros()).unwrap_or(i64::MAX);
        Self(Recurrence::Every { micros: micros.max(1) })
    }

    /// Returns the first time after `time`; `None` if there is none.
    pub fn next_after(&self, time: StoreTime) -> Option<StoreTime> {
        match &self.0 {
            Recurrence::Every { micros } => {
                let periods = time.micros().div_euclid(*micros).checked_add(1)?;
                Some(StoreTime::from_micros(periods.checked_mul(*micros)?))
            }
            Recurrence::Cron { schedule, zone } => {
                let time = DateTime::from_timestamp_micros(time.micros())?;
                let next = next_in_zone(schedule, *zone, time)?;
                Some(StoreTime::from_micros(next.timestamp_micros()))
            }
        }
    }

    /// Iterates over the times after `after`, up to and including `until`, in ascending order.
    pub fn ticks(
        &self,
        after: StoreTime,
        until: StoreTime,
    ) -> impl Iterator<Item = StoreTime> + '_ {
        let first = self.next_after(after);
        let times = std::iter::successors(first, |time| self.next_after(*time));
        times.take_while(move |time| *time <= until)
    }
}

/// Returns the first instant after `time` whose local time matches. Between two clock changes, a zone has a fixed
/// offset, so each such period is searched separately.
fn next_in_zone(schedule: &Schedule, zone: Tz, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let mut from = time;
    let mut offset = offset_at(zone, from);
    loop {
        let candidate = schedule.after(&from.with_timezone(&offset)).next()?.with_timezone(&Utc);
        match first_change(zone, offset, from, candidate) {
            None => return Some(candidate),
            Some(change) => {
                // The second of the change itself is due if it matches with the new offset.
                from = change.checked_sub_signed(TimeDelta::seconds(1))?;
                offset = offset_at(zone, change);
            }
        }
    }
}

fn offset_at(zone: Tz, time: DateTime<Utc>) -> FixedOffset {
    zone.offset_from_utc_datetime(&time.naive_utc()).fix()
}

/// Returns the first second after `from`, up to and including `until`, at which the offset differs. Assumes that no
/// zone changes its clocks twice within a day.
fn first_change(
    zone: Tz,
    offset: FixedOffset,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    const DAY: i64 = 86_400;
    let (mut before, last) = (from.timestamp(), until.timestamp());
    let differs = |second: i64| {
        let time = DateTime::from_timestamp(second, 0);
        time.is_some_and(|time| offset_at(zone, time) != offset)
    };
    if zone == Tz::UTC {
        return None;
    }
    // `from` may be the second before the previous change, so its own offset is not compared.
    while before < last {
        let mut later = before.saturating_add(DAY).min(last);
        if !differs(later) {
            before = later;
            continue;
        }
        while later - before > 1 {
            let middle = before + (later - before) / 2;
            if differs(middle) {
                later = middle;
            } else {
                before = middle;
            }
        }
        return DateTime::from_timestamp(later, 0);
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> StoreTime {
        let time = DateTime::parse_from_rfc3339(text).unwrap();
        StoreTime::from_micros(time.timestamp_micros())
    }

    fn shown(time: StoreTime) -> String {
        let time = DateTime::from_timestamp_micros(time.micros()).unwrap();
        time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
    }

    fn ticks(table: &Timetable, after: &str, until: &str) -> Vec<String> {
        table.ticks(at(after), at(until)).map(shown).collect()
    }

    #[test]
    fn cron_is_in_utc_and_after_the_time_asked_for() {
        let table = Timetable::cron("0 */20 * * * *").unwrap();
        assert_eq!(
            ticks(&table, "2025-03-30T00:20:00Z", "2025-03-30T01:20:00Z"),
            ["2025-03-30T00:40:00Z", "2025-03-30T01:00:00Z", "2025-03-30T01:20:00Z"]
        );
        let between = at("2025-03-30T00:20:00.5Z");
        assert_eq!(table.next_after(between).map(shown).unwrap(), "2025-03-30T00:40:00Z");
        let over = Timetable::cron("0 0 0 1 1 * 2020").unwrap();
        assert_eq!(over.next_after(at("2025-01-01T00:00:00Z")), None);
    }

    #[test]
    fn skipped_hours_are_not_due_and_repeated_hours_are_due_twice() {
        let daily = Timetable::cron("TZ=Europe/Berlin 0 30 2 * * *").unwrap();
        assert_eq!(
            ticks(&daily, "2025-03-28T12:00:00Z", "2025-04-01T00:00:00Z"),
            ["2025-03-29T01:30:00Z", "2025-03-31T00:30:00Z"]
        );
        assert_eq!(
            ticks(&daily, "2025-10-25T12:00:00Z", "2025-10-27T12:00:00Z"),
            ["2025-10-26T00:30:00Z", "2025-10-26T01:30:00Z", "2025-10-27T01:30:00Z"]
        );
        let often = Timetable::cron("CRON_TZ=Europe/Berlin 0 0,30 * * * *").unwrap();
        for day in ["2025-03-30", "2025-10-26"] {
            let (after, until) = (format!("{day}T00:00:00Z"), format!("{day}T02:00:00Z"));
            let expected = ["00:30:00", "01:00:00", "01:30:00", "02:00:00"]
                .map(|time| format!("{day}T{time}Z"));
            assert_eq!(ticks(&often, &after, &until), expected);
        }
        // Once a year, over many changes.
        let yearly = Timetable::cron("TZ=America/New_York 0 0 12 4 7 *").unwrap();
        assert_eq!(
            ticks(&yearly, "2025-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ["2025-07-04T16:00:00Z", "2026-07-04T16:00:00Z"]
        );
    }

    #[test]
    fn periods_are_counted_from_the_epoch() {
        let table = Timetable::every(Duration::from_millis(700));
        let first = table.ticks(StoreTime::from_micros(-1), StoreTime::from_micros(1_400_000));
        assert_eq!(first.map(StoreTime::micros).collect::<Vec<_>>(), [0, 700_000, 1_400_000]);
        let never = StoreTime::from_micros(i64::MAX);
        assert_eq!(table.next_after(never), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        /// The next time is the first second whose local time matches, regardless of clock changes.
        #[test]
        fn the_next_time_is_the_first_that_matches(
            start in 1_735_689_600_i64..1_767_225_600,
            zone in prop_oneof![
                Just(Tz::UTC), Just(Tz::Europe__Berlin), Just(Tz::Australia__Lord_Howe),
                Just(Tz::Africa__Casablanca), Just(Tz::America__St_Johns)
            ],
            minute in 0_u32..60,
        ) {
            let table = Timetable::cron(&format!("TZ={} 0 {minute} * * * *", zone.name())).unwrap();
            let expected = (start + 1..).find(|second| {
                let local = DateTime::from_timestamp(*second, 0).unwrap().with_timezone(&zone);
                local.format("%M:%S").to_string() == format!("{minute:02}:00")
            });
            let next = table.next_after(StoreTime::from_micros(start * 1_000_000)).unwrap();
            prop_assert_eq!(Some(next.micros() / 1_000_000), expected);
        }
    }
}
