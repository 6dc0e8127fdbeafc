//! The grammar of trigger specifications, and the schedules that they define.
//!
//! | text | runs |
//! |---|---|
//! | `table:NAME`, `all_tables` | on rows that are written |
//! | `cron:EXPRESSION` | at every instant whose time of day and date match: six fields with seconds first, a seventh for years |
//! | `every:DURATION` | at the multiples of a duration since the Unix epoch |
//! | `request:PATH` | on requests to `/api/v3/engine/PATH` |
//!
//! The forms and the error messages are those of InfluxDB 3 Core (`TriggerSpecificationDefinition`). There, cron
//! expressions are in UTC; here, a time zone may precede the expression, as in `TZ=Europe/Berlin 0 30 7 * * *`. A local
//! time that a clock change skips is not due on that day; a local time that occurs twice is due twice.

mod error;
mod timetable;

use std::{str::FromStr, time::Duration};

use neap_catalog::TriggerSpecification;

pub use error::SpecificationError;
pub use timetable::Timetable;

/// Maximum period of `every:`: one year as humantime defines it.
pub const MAX_PERIOD: Duration = Duration::from_secs(31_557_600);
/// Minimum period of `every:`.
pub const MIN_PERIOD: Duration = Duration::from_millis(100);

const FORMS: &str = "expect one of the following forms: 'table:<TABLE_NAME>', 'all_tables', 'cron:<CRON_EXPRESSION>', 'every:<DURATION>', or 'request:<PATH>'";

/// Parses a trigger specification.
///
/// # Errors
/// The text has none of the forms, or its table, path or schedule is missing or invalid.
pub fn parse_specification(text: &str) -> Result<TriggerSpecification, SpecificationError> {
    let text = text.trim();
    let refused =
        |reason: &str| SpecificationError { text: text.to_owned(), reason: reason.to_owned() };
    if text == "all_tables" {
        return Ok(TriggerSpecification::AllTablesWalWrite);
    }
    let (kind, rest) = text.split_once(':').ok_or_else(|| refused(FORMS))?;
    let rest = rest.trim();
    match kind {
        "table" if rest.is_empty() => Err(refused("table name is empty")),
        "table" => Ok(TriggerSpecification::SingleTableWalWrite { table_name: rest.to_owned() }),
        "cron" => {
            Timetable::cron(rest).map_err(|reason| refused(&reason))?;
            let schedule = rest.to_owned();
            Ok(TriggerSpecification::Schedule { schedule })
        }
        "every" => {
            let duration = period(rest).map_err(refused)?;
            Ok(TriggerSpecification::Every { duration })
        }
        "request" => match rest.trim_start_matches('/') {
            "" => Err(refused("path is empty")),
            path => Ok(TriggerSpecification::RequestPath { path: path.to_owned() }),
        },
        _ => Err(refused(FORMS)),
    }
}

fn period(text: &str) -> Result<Duration, &'static str> {
    let period = humantime::parse_duration(text).map_err(|_| "couldn't parse to duration")?;
    if period > MAX_PERIOD {
        return Err("don't support every schedules of over 1 year");
    }
    if period < MIN_PERIOD {
        return Err("don't support every schedules of below 100 milliseconds");
    }
    Ok(period)
}

/// The kind of event that starts a trigger.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, strum::Display, strum::IntoStaticStr,
)]
#[strum(serialize_all = "snake_case")]
pub enum TriggerKind {
    /// Written rows.
    Wal,
    /// A schedule.
    Schedule,
    /// Requests.
    Request,
}

impl TriggerKind {
    /// Returns the kind of a specification.
    pub fn from_specification(specification: &TriggerSpecification) -> Self {
        match specification {
            TriggerSpecification::SingleTableWalWrite { .. }
            | TriggerSpecification::AllTablesWalWrite => Self::Wal,
            TriggerSpecification::Schedule { .. } | TriggerSpecification::Every { .. } => {
                Self::Schedule
            }
            TriggerSpecification::RequestPath { .. } => Self::Request,
        }
    }

    /// Returns the name in `--restrict-plugin-triggers-to`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A name that is not that of a kind of trigger.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a kind of trigger: expected wal, schedule or request")]
pub struct TriggerKindError(String);

impl FromStr for TriggerKind {
    type Err = TriggerKindError;

    fn from_str(text: &str) -> Result<Self, TriggerKindError> {
        match text {
            "wal" | "wal_flush" => Ok(Self::Wal),
            "schedule" => Ok(Self::Schedule),
            "request" => Ok(Self::Request),
            _ => Err(TriggerKindError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_parsed() {
        let understood = |text: &str| parse_specification(text).unwrap();
        assert_eq!(understood("all_tables"), TriggerSpecification::AllTablesWalWrite);
        let table_name = "my table".to_owned();
        assert_eq!(
            understood("table: my table "),
            TriggerSpecification::SingleTableWalWrite { table_name }
        );
        for schedule in [
            "0 0 6 * * 1-5",
            "0 0 6 * * Mon 2030",
            "*/5 * * * * *",
            "TZ=Europe/Berlin 0 0 6 * * *",
        ] {
            let text = format!("cron:{schedule}");
            let schedule = schedule.to_owned();
            assert_eq!(understood(&text), TriggerSpecification::Schedule { schedule });
        }
        for (text, millis) in
            [("every:90s", 90_000), ("every: 1h 30m", 5_400_000), ("every:100ms", 100)]
        {
            let duration = Duration::from_millis(millis);
            assert_eq!(understood(text), TriggerSpecification::Every { duration });
        }
        assert_eq!(understood("every:1year"), TriggerSpecification::Every { duration: MAX_PERIOD });
        for text in ["request:a/b", "request: /a/b"] {
            let path = "a/b".to_owned();
            assert_eq!(understood(text), TriggerSpecification::RequestPath { path });
        }
    }

    #[test]
    fn errors_name_the_rejected_specification() {
        let refused = |text: &str| parse_specification(text).unwrap_err().to_string();
        let texts = [
            "sometimes",
            "",
            "path:x",
            "table:",
            "every:1x",
            "every:2y",
            "every:0s",
            "every:99ms",
            "cron:",
            "cron:* * * * *",
            "cron:0 61 * * * *",
            "cron:TZ=Mars/Olympus 0 0 6 * * *",
            "cron:TZ=UTC",
            "request: /",
        ];
        insta::assert_snapshot!(texts.map(refused).join("\n"), @r"
        failed to parse trigger from sometimes: expect one of the following forms: 'table:<TABLE_NAME>', 'all_tables', 'cron:<CRON_EXPRESSION>', 'every:<DURATION>', or 'request:<PATH>'
        failed to parse trigger from : expect one of the following forms: 'table:<TABLE_NAME>', 'all_tables', 'cron:<CRON_EXPRESSION>', 'every:<DURATION>', or 'request:<PATH>'
        failed to parse trigger from path:x: expect one of the following forms: 'table:<TABLE_NAME>', 'all_tables', 'cron:<CRON_EXPRESSION>', 'every:<DURATION>', or 'request:<PATH>'
        failed to parse trigger from table:: table name is empty
        failed to parse trigger from every:1x: couldn't parse to duration
        failed to parse trigger from every:2y: don't support every schedules of over 1 year
        failed to parse trigger from every:0s: don't support every schedules of below 100 milliseconds
        failed to parse trigger from every:99ms: don't support every schedules of below 100 milliseconds
        failed to parse trigger from cron:: cron expression is empty
        failed to parse trigger from cron:* * * * *: couldn't parse cron expression: expected six or seven fields, seconds first
        failed to parse trigger from cron:0 61 * * * *: couldn't parse cron expression: Minutes must be less than 59. ('61' specified.)
        failed to parse trigger from cron:TZ=Mars/Olympus 0 0 6 * * *: unknown time zone 'Mars/Olympus'
        failed to parse trigger from cron:TZ=UTC: cron expression is empty
        failed to parse trigger from request: /: path is empty
        ");
    }

    #[test]
    fn kinds_round_trip_through_their_names() {
        for kind in [TriggerKind::Wal, TriggerKind::Schedule, TriggerKind::Request] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("writes".parse::<TriggerKind>().is_err());
        let every = parse_specification("every:1s").unwrap();
        assert_eq!(TriggerKind::from_specification(&every), TriggerKind::Schedule);
    }
}
