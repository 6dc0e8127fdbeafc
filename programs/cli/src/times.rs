//! Times in options: dates, and times in RFC 3339. A date means its first moment in UTC.

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};

/// Parses a date or a time; `None` if the text is neither.
pub(crate) fn parse_moment(text: &str) -> Option<DateTime<Utc>> {
    let date = || Some(midnight(text.parse().ok()?));
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc()).or_else(date)
}

fn midnight(date: NaiveDate) -> DateTime<Utc> {
    date.and_time(NaiveTime::MIN).and_utc()
}

/// Parses a date, a time or nanoseconds as nanoseconds since the Unix epoch.
///
/// # Errors
/// The text is none of them, or nanoseconds of 64 bits do not reach the time.
pub(crate) fn parse_time(text: &str) -> Result<i64, String> {
    if let Ok(nanoseconds) = text.parse() {
        return Ok(nanoseconds);
    }
    let expected = "use a date such as 2026-01-31, a time such as 2026-01-31T12:00:00Z, or nanoseconds since 1970";
    let nanoseconds = parse_moment(text).ok_or(expected)?.timestamp_nanos_opt();
    nanoseconds.ok_or_else(|| "the time is not between the years 1677 and 2262".to_owned())
}

/// Returns a date or a time as a server reads it.
///
/// # Errors
/// The text is neither.
pub(crate) fn time_for_server(text: &str) -> Result<String, String> {
    if let Ok(date) = text.parse() {
        return Ok(midnight(date).to_rfc3339_opts(SecondsFormat::Secs, true));
    }
    let time = parse_moment(text).map(|_| text.to_owned());
    time.ok_or_else(|| {
        "use a date such as 2026-01-31, or a time such as 2026-01-31T12:00:00Z".to_owned()
    })
}

/// The error of a text that names no state of a database.
pub(crate) const NO_STATE: &str =
    "a date such as 2026-01-31, a time such as 2026-01-31T12:00:00Z or a stamp is expected";

/// Returns the name of a state of a database as a server reads it: a date, a time or a stamp.
///
/// # Errors
/// The text is none of them.
pub(crate) fn as_of_for_server(text: &str) -> Result<String, String> {
    if text.parse::<u64>().is_ok() {
        return Ok(text.to_owned());
    }
    time_for_server(text).map_err(|_| NO_STATE.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_NANOS: i64 = 86_400 * 1_000_000_000;

    #[test]
    fn times_are_dates_rfc_3339_or_nanoseconds() {
        for (text, nanoseconds) in [
            ("17", 17),
            ("-5", -5),
            ("1970-01-02", DAY_NANOS),
            ("1969-12-31", -DAY_NANOS),
            ("1970-01-01T01:00:00.5+01:00", 500_000_000),
            ("1970-01-01T00:00:00.000000001Z", 1),
        ] {
            assert_eq!(parse_time(text), Ok(nanoseconds), "{text}");
        }
        for bad in [
            "",
            "yesterday",
            "1970-13-01",
            "2026-11-01T",
            "1500-01-01",
            "3000-01-01T00:00:00Z",
        ] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_server_gets_dates_as_times() {
        let time = "2026-01-31T13:00:00.000000001+01:00";
        for (text, sent) in [("2026-01-31", "2026-01-31T00:00:00Z"), (time, time)] {
            assert_eq!(time_for_server(text).as_deref(), Ok(sent));
            assert_eq!(as_of_for_server(text).as_deref(), Ok(sent));
        }
        assert_eq!(as_of_for_server("42").as_deref(), Ok("42"));
        for bad in ["", "-1", "yesterday", "42"] {
            assert!(time_for_server(bad).is_err(), "{bad}");
        }
        assert_eq!(as_of_for_server("yesterday"), Err(NO_STATE.to_owned()));
    }
}
