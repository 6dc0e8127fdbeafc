//! The retention of a bucket: none, or one rule.

use std::time::Duration;

use neap_http::{ApiError, Kind};
use serde::Deserialize;
use serde_json::{Value, json};

/// A rule in a request. Neap has no shard groups, so their duration has no effect.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RetentionRule {
    every_seconds: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetentionChange {
    /// The request says nothing about it.
    Keep,
    /// Rows expire after this time; `None`: never.
    Set(Option<Duration>),
}

/// Returns the retention that the rules of a request set. As in InfluxDB 2, zero means for ever.
pub(crate) fn requested(rules: &[RetentionRule]) -> Result<RetentionChange, ApiError> {
    match rules {
        [] => Ok(RetentionChange::Keep),
        [rule] => match rule.every_seconds {
            None => Ok(RetentionChange::Keep),
            Some(seconds) => from_seconds(seconds).map(RetentionChange::Set),
        },
        _ => Err(unprocessable("buckets cannot have more than one retention rule at this time")),
    }
}

/// Returns the retention of this many seconds; `None`: for ever.
pub(crate) fn from_seconds(seconds: i64) -> Result<Option<Duration>, ApiError> {
    let seconds = u64::try_from(seconds)
        .map_err(|_| unprocessable("expiration seconds cannot be negative"))?;
    Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
}

/// Returns the rules in an answer. A part of a second is shown as a second, because zero means for ever.
pub(crate) fn shown(retention: Option<Duration>) -> Value {
    let seconds = retention.map_or(0, |retention| {
        let part = u64::from(retention.subsec_nanos() > 0);
        retention.as_secs().saturating_add(part)
    });
    json!([{ "type": "expire", "everySeconds": seconds }])
}

fn unprocessable(message: &str) -> ApiError {
    ApiError::v2(Kind::Limit, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(rules: &str) -> Result<RetentionChange, String> {
        let rules: Vec<RetentionRule> = serde_json::from_str(rules).unwrap();
        requested(&rules).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn zero_seconds_mean_for_ever_and_no_rule_means_no_change() {
        let day = Duration::from_secs(86_400);
        for (rules, expected) in [
            ("[]", RetentionChange::Keep),
            (r#"[{"type":"expire"}]"#, RetentionChange::Keep),
            (
                r#"[{"type":"expire","everySeconds":86400,"shardGroupDurationSeconds":3600}]"#,
                RetentionChange::Set(Some(day)),
            ),
            (r#"[{"everySeconds":0}]"#, RetentionChange::Set(None)),
        ] {
            assert_eq!(change(rules), Ok(expected), "{rules}");
        }
    }

    #[test]
    fn rules_that_influxdb_2_refuses_are_refused() {
        assert_eq!(
            change(r#"[{"everySeconds":-1}]"#),
            Err("expiration seconds cannot be negative".to_owned())
        );
        assert_eq!(
            change(r#"[{"everySeconds":1},{"everySeconds":2}]"#),
            Err("buckets cannot have more than one retention rule at this time".to_owned())
        );
    }

    #[test]
    fn a_part_of_a_second_is_not_shown_as_for_ever() {
        for (retention, seconds) in [
            (None, 0),
            (Some(Duration::from_millis(1)), 1),
            (Some(Duration::from_millis(2_001)), 3),
            (Some(Duration::from_secs(2)), 2),
        ] {
            let expected = json!([{ "type": "expire", "everySeconds": seconds }]);
            assert_eq!(shown(retention), expected);
        }
    }
}
