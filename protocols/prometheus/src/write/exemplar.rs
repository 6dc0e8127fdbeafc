//! Exemplars: examples of the observations that a sample counts, such as the trace of a slow request.

use std::sync::Arc;

use serde_json::{Map, Value};

/// Maximum number of exemplars of a request that are stored.
pub(super) const MAX_EXEMPLARS: usize = 10_000;

/// Maximum number of characters of the labels of an exemplar, as in Prometheus and OpenMetrics.
const MAX_LABEL_CHARS: usize = 128;

/// Maximum number of labels of an exemplar that are read. More have too many characters.
pub(super) const MAX_EXEMPLAR_LABELS: usize = MAX_LABEL_CHARS + 1;

/// Maximum bytes of the labels of the series of an exemplar.
const MAX_SERIES_BYTES: usize = 8 << 10;

/// The memory of an exemplar besides its texts, in bytes: its entry here, and its row.
const EXEMPLAR_BYTES: usize = 256;

/// An exemplar of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesExemplar<'a> {
    /// The name of the metric.
    pub metric: &'a str,
    /// The other labels of the series as JSON.
    pub series: Arc<str>,
    /// The labels of the exemplar as JSON.
    pub labels: String,
    /// The number.
    pub value: f64,
    /// The time in milliseconds since the Unix epoch.
    pub time_ms: i64,
}

/// An exemplar as messages have it. A text of `None` is not UTF-8, or does not exist.
#[derive(Debug, Default)]
pub(super) struct MessageExemplar<'a> {
    pub(super) labels: Vec<(Option<&'a str>, Option<&'a str>)>,
    pub(super) value: f64,
    pub(super) time_ms: i64,
}

impl MessageExemplar<'_> {
    /// Returns the labels as JSON; `None` if they are invalid, or too long.
    pub(super) fn labels_json(&self) -> Option<String> {
        let labels = self.labels.iter().map(|(name, value)| Some(((*name)?, (*value)?)));
        let pairs: Vec<(&str, &str)> = labels.collect::<Option<_>>()?;
        let chars = pairs.iter().map(|(name, value)| name.chars().count() + value.chars().count());
        (chars.sum::<usize>() <= MAX_LABEL_CHARS).then(|| object(pairs))
    }
}

impl SeriesExemplar<'_> {
    /// Returns the bytes that the exemplar and its row take in memory.
    pub(super) fn memory_size(&self) -> usize {
        EXEMPLAR_BYTES + 2 * (self.metric.len() + self.series.len() + self.labels.len())
    }
}

/// Returns the labels of a series as JSON; `None` if they are too long.
pub(super) fn series_json<'a>(
    labels: impl Iterator<Item = (&'a str, &'a str)>,
) -> Option<Arc<str>> {
    let pairs: Vec<(&str, &str)> = labels.filter(|(_, value)| !value.is_empty()).collect();
    let bytes = pairs.iter().map(|(name, value)| name.len() + value.len());
    (bytes.sum::<usize>() <= MAX_SERIES_BYTES).then(|| object(pairs).into())
}

/// Returns an object whose names are sorted, so that equal labels are the same text.
fn object(mut pairs: Vec<(&str, &str)>) -> String {
    pairs.sort_unstable();
    let members = pairs.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
    Value::Object(members.collect::<Map<_, _>>()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_json() {
        let series = |pairs: &[(&'static str, &'static str)]| series_json(pairs.iter().copied());
        assert_eq!(
            series(&[("job", "a"), ("b", "\"x\""), ("c", "")]).as_deref(),
            Some(r#"{"b":"\"x\"","job":"a"}"#)
        );
        assert_eq!(series(&[]).as_deref(), Some("{}"));
        let long = "x".repeat(MAX_SERIES_BYTES);
        assert!(series_json([("a", long.as_str())].into_iter()).is_none());
    }

    #[test]
    fn labels_of_exemplars_are_short_texts() {
        let json = |value| {
            let exemplar = MessageExemplar {
                labels: vec![(Some("trace_id"), value)],
                ..MessageExemplar::default()
            };
            exemplar.labels_json()
        };
        assert_eq!(json(Some("7")).as_deref(), Some(r#"{"trace_id":"7"}"#));
        assert_eq!(json(None), None);
        let longest = "ä".repeat(120);
        assert!(json(Some(&longest)).is_some());
        let too_long = "x".repeat(121);
        assert_eq!(json(Some(&too_long)), None);
    }
}
