//! Positions of a site: a segment, and the rows of it that are shipped.

use std::{fmt, str::FromStr};

use neap_bucket::SegmentName;
use neap_wal::Segment;

/// A position in the writes of a site. Everything before it is shipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SitePosition {
    pub(crate) segment: SegmentName,
    /// The number of streams of the segment that are shipped completely.
    pub(crate) streams: usize,
    /// The number of rows of the next stream that are shipped.
    pub(crate) rows: usize,
}

/// The text is not a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidPosition;

impl SitePosition {
    /// Returns the position at which all of a segment is shipped.
    pub(crate) fn end_of(segment: &Segment) -> Self {
        Self {
            segment: segment.name(),
            // A segment with row deletes has no streams.
            streams: segment.directory().len().max(1),
            rows: 0,
        }
    }

    /// Returns the number of streams of a segment that are shipped, and the number of rows of the next one.
    pub(crate) fn shipped_in(self, segment: SegmentName) -> (usize, usize) {
        if self.segment == segment {
            (self.streams, self.rows)
        } else {
            (0, 0)
        }
    }
}

impl fmt::Display for SitePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SegmentName { stamp, nonce } = self.segment;
        write!(f, "{stamp}-{nonce:016x}/{}/{}", self.streams, self.rows)
    }
}

impl FromStr for SitePosition {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let parse = || {
            let (segment, rest) = text.split_once('/')?;
            let (stamp, nonce) = segment.split_once('-')?;
            let (streams, rows) = rest.split_once('/')?;
            Some(Self {
                segment: SegmentName {
                    stamp: stamp.parse().ok()?,
                    nonce: u64::from_str_radix(nonce, 16).ok()?,
                },
                streams: streams.parse().ok()?,
                rows: rows.parse().ok()?,
            })
        };
        parse().ok_or(InvalidPosition)
    }
}

#[cfg(test)]
mod tests {
    use neap_bucket::Stamp;
    use neap_wal::MAX_POSITION_BYTES;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn a_position_is_parsed_from_its_text(stamp: u64, nonce: u64, streams: usize, rows: usize) {
            let position = SitePosition {
                segment: SegmentName { stamp: Stamp::from_u64(stamp), nonce },
                streams,
                rows,
            };
            let text = position.to_string();
            prop_assert!(text.len() <= MAX_POSITION_BYTES);
            prop_assert_eq!(text.parse(), Ok(position));
        }
    }

    #[test]
    fn other_texts_are_invalid() {
        for text in ["", "1", "1-0", "1-0/2", "1-x/2/3", "-1-0/2/3", "1-0/2/3/4"] {
            assert_eq!(text.parse::<SitePosition>(), Err(InvalidPosition), "{text}");
        }
    }
}
