//! The labels of one series after the other.
//!
//! Series of a request mostly have the labels of the series before, except for one or two values. Therefore a label with
//! the same bytes is not decoded again, and a label with the same name has the same tag.

use std::borrow::Cow;

use neap_rows::columnar::{PointBatches, PointTag, PointTagValue};

use crate::tag_of_label;

/// The labels of the current series, in the order of the message.
#[derive(Debug, Default)]
pub(super) struct SeriesLabels<'a> {
    /// The labels of the current series, then the rest of those of the series before.
    labels: Vec<SeriesLabel<'a>>,
    /// The number of labels of the current series.
    len: usize,
}

#[derive(Debug)]
struct SeriesLabel<'a> {
    /// The bytes of the label in its message; empty if the message refers to symbols.
    encoded: &'a [u8],
    name: &'a str,
    tag: Cow<'a, str>,
    value: &'a str,
    /// The tag in the points of the request, once it was looked up.
    point_tag: Option<PointTag>,
    /// The value in the points of the request, once it was looked up; `None` if it is empty.
    point_value: Option<PointTagValue>,
}

impl<'a> SeriesLabels<'a> {
    /// Begins a series.
    pub(super) fn begin(&mut self) {
        self.len = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds the label that the series before has at this place, if it has the same bytes. Returns whether it has.
    #[inline]
    pub(super) fn repeat(&mut self, encoded: &[u8]) -> bool {
        let previous = self.labels.get(self.len);
        let is_same = previous.is_some_and(|label| !encoded.is_empty() && label.encoded == encoded);
        self.len += usize::from(is_same);
        is_same
    }

    /// Adds a label.
    #[inline]
    pub(super) fn push(&mut self, encoded: &'a [u8], name: &'a str, value: &'a str) {
        match self.labels.get_mut(self.len) {
            Some(label) if label.name == name => {
                label.encoded = encoded;
                // Symbols of a message are the same text if they are at the same place.
                if !std::ptr::eq(label.value, value) {
                    label.value = value;
                    label.point_value = None;
                }
            }
            previous => {
                let label = SeriesLabel {
                    encoded,
                    name,
                    tag: tag_of_label(name),
                    value,
                    point_tag: None,
                    point_value: None,
                };
                match previous {
                    Some(previous) => *previous = label,
                    None => self.labels.push(label),
                }
            }
        }
        self.len += 1;
    }

    /// Looks up the tags of the current series in the points of the request.
    #[inline]
    pub(super) fn look_up(&mut self, points: &mut PointBatches) {
        for label in self.labels.iter_mut().take(self.len) {
            if label.point_value.is_none() && !label.value.is_empty() {
                let tag = *label.point_tag.get_or_insert_with(|| points.tag(&label.tag));
                label.point_value = points.tag_value(tag, label.value);
            }
        }
    }

    /// Returns the tags of the current series that are not empty, after they were looked up.
    #[inline]
    pub(super) fn point_values(&self) -> impl Iterator<Item = PointTagValue> {
        let labels = self.labels.iter().take(self.len);
        labels.filter_map(|label| label.point_value)
    }

    /// Returns the names and values of the labels of the current series.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let labels = self.labels.iter().take(self.len);
        labels.map(|label| (label.name, label.value))
    }

    /// Returns the tags of the current series with their values.
    pub(super) fn tags(&self) -> impl Iterator<Item = (&str, &'a str)> {
        let labels = self.labels.iter().take(self.len);
        labels.map(|label| (label.tag.as_ref(), label.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_series_whatever_the_one_before_had() {
        let series: [&[(&[u8], &str, &str)]; 8] = [
            &[(b"1", "job", "a"), (b"2", "host", "x")],
            &[(b"3", "job", "b"), (b"2", "host", "x")],
            &[(b"2", "host", "x")],
            &[(b"", "job", "a")],
            &[(b"", "job", "a")],
            &[(b"", "job", "")],
            &[(b"", "job", "b")],
            &[(b"", "host", "b")],
        ];
        let mut points = PointBatches::new();
        let mut labels = SeriesLabels::default();
        for expected in series {
            labels.begin();
            for (encoded, name, value) in expected {
                if !labels.repeat(encoded) {
                    labels.push(encoded, name, value);
                }
            }
            labels.look_up(&mut points);
            let expected: Vec<_> = expected
                .iter()
                .filter_map(|(_, name, value)| {
                    let tag = points.tag(name);
                    points.tag_value(tag, value)
                })
                .collect();
            assert_eq!(labels.point_values().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn labels_of_the_series_before_do_not_remain() {
        let mut labels = SeriesLabels::default();
        labels.push(b"1", "job", "node");
        labels.push(b"2", "value", "x");
        labels.push(b"3", "zone", "a");
        labels.begin();
        assert!(labels.repeat(b"1"));
        assert!(!labels.repeat(b"1"));
        labels.push(b"4", "value", "y");
        let tags: Vec<_> = labels.tags().collect();
        assert_eq!(tags, [("job", "node"), ("label_value", "y")]);
        labels.begin();
        labels.push(b"", "zone", "b");
        labels.begin();
        assert!(!labels.repeat(b""));
        assert_eq!(labels.tags().count(), 0);
    }
}
