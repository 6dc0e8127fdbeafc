//! The values of placeholders: times that no statement names by accident.

/// The time of the first placeholder, in seconds since the Unix epoch: 2261-07-19T23:17:41Z. No statement names it by accident.
const PLACEHOLDER_SECONDS: i64 = 9_200_387_861;

/// Returns the text of a placeholder: a time, another one for each number, so that its place in a plan is certain. A time is a
/// text that can be compared with tags, too.
pub(super) fn placeholder(number: usize) -> String {
    format!("2261-07-19T23:17:41.{number:09}Z")
}

/// Returns the time of a placeholder in nanoseconds since the Unix epoch.
pub(super) fn placeholder_nanos(number: usize) -> i64 {
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    PLACEHOLDER_SECONDS.saturating_mul(1_000_000_000).saturating_add(number)
}
