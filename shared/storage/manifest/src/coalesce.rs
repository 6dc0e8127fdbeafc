//! Coalescing reads: parts of an object that lie close together are read with one request.

use std::ops::Range;

/// Parts of an object whose gap is at most this many bytes are read together (256 KiB).
const MAX_GAP: u64 = 256 << 10;

/// Maximum bytes read together, unless one part is larger (8 MiB).
const MAX_SPAN: u64 = 8 << 20;

/// Parts of an object that are read with one request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CoalescedRead<O, T> {
    pub(crate) object: O,
    /// The byte range to read.
    pub(crate) range: Range<u64>,
    /// The parts, each with its byte range in the object.
    pub(crate) parts: Vec<(T, Range<u64>)>,
}

impl<O, T> CoalescedRead<O, T> {
    /// Returns the position of a part in the bytes that were read.
    pub(crate) fn position_of(&self, part: &Range<u64>) -> Option<Range<usize>> {
        let from = usize::try_from(part.start.checked_sub(self.range.start)?).ok()?;
        let to = usize::try_from(part.end.checked_sub(self.range.start)?).ok()?;
        Some(from..to)
    }
}

/// Groups parts of objects into reads.
pub(crate) fn coalesce<O: Ord, T>(mut parts: Vec<(O, Range<u64>, T)>) -> Vec<CoalescedRead<O, T>> {
    parts.sort_by(|(one, a, _), (other, b, _)| (one, a.start).cmp(&(other, b.start)));
    let mut spans: Vec<CoalescedRead<O, T>> = Vec::new();
    for (object, part, what) in parts {
        match spans.last_mut() {
            Some(span)
                if span.object == object
                    && part.start.saturating_sub(span.range.end) <= MAX_GAP
                    && part.end.saturating_sub(span.range.start) <= MAX_SPAN =>
            {
                span.range.end = span.range.end.max(part.end);
                span.parts.push((what, part));
            }
            _ => {
                spans.push(CoalescedRead { object, range: part.clone(), parts: vec![(what, part)] })
            }
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_an_object_are_read_together() {
        let far = MAX_GAP + 31;
        let parts =
            vec![("b", 0..10, 1), ("a", 20..30, 2), ("a", 0..10, 3), ("a", far..far + 1, 4)];
        let spans = coalesce(parts);
        let ranges: Vec<_> = spans
            .iter()
            .map(|span| (span.object, span.range.clone(), span.parts.len()))
            .collect();
        let expected = [("a", 0..30, 2), ("a", far..far + 1, 1), ("b", 0..10, 1)];
        assert_eq!(ranges, expected);
        assert_eq!(spans[0].position_of(&(20..30)), Some(20..30));
        assert_eq!(spans[1].position_of(&(far..far + 1)), Some(0..1));
    }

    #[test]
    fn coalesced_reads_are_bounded() {
        let step = MAX_GAP;
        let parts = (0..100).map(|at| ((), at * step..(at + 1) * step, at));
        let spans = coalesce(parts.collect());
        assert!(spans.iter().all(|span| span.range.end - span.range.start <= MAX_SPAN));
        assert_eq!(spans.iter().map(|span| span.parts.len()).sum::<usize>(), 100);
        assert_eq!(spans.len(), 4);
    }
}
