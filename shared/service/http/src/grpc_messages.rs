//! The messages of a gRPC body that arrives in pieces.
//!
//! ```text
//! body = *(compressed: 1 byte, length: 4 bytes big-endian, message: length bytes)
//! ```
//!
//! Source: "gRPC over HTTP2", section Length-Prefixed-Message.

/// The size of the prefix of a message.
const PREFIX_BYTES: usize = 5;

/// The prefix of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessagePrefix {
    /// Whether the message is compressed.
    pub is_compressed: bool,
    /// The announced length of the message as sent, in bytes.
    pub length: usize,
}

/// Finds the messages of a body. It keeps none of their bytes.
///
/// # Examples
///
/// ```
/// use neap_http::MessageScanner;
///
/// let mut scanner = MessageScanner::default();
/// let mut piece: &[u8] = &[0, 0, 0, 0, 3, b'a', b'b'];
/// let prefix = scanner.next_prefix(&mut piece);
/// assert_eq!(prefix.map(|prefix| prefix.length), Some(3));
/// assert_eq!(scanner.next_prefix(&mut piece), None);
/// assert_eq!(scanner.missing_bytes(), 1);
/// ```
#[derive(Clone, Debug, Default)]
pub struct MessageScanner {
    /// The part of a prefix that has arrived.
    prefix: [u8; PREFIX_BYTES],
    prefix_bytes: usize,
    /// The part of the current message that has not arrived.
    missing_bytes: usize,
}

impl MessageScanner {
    /// Takes bytes from the front of a piece, up to the end of the next prefix. `None`: all bytes are taken, and no
    /// prefix ends in them.
    pub fn next_prefix(&mut self, piece: &mut &[u8]) -> Option<MessagePrefix> {
        take(piece, &mut self.missing_bytes);
        if self.missing_bytes > 0 {
            return None;
        }
        let mut missing = PREFIX_BYTES.saturating_sub(self.prefix_bytes);
        let arrived = take(piece, &mut missing);
        let free = self.prefix.iter_mut().skip(self.prefix_bytes);
        for (free, byte) in free.zip(arrived) {
            *free = *byte;
        }
        self.prefix_bytes += arrived.len();
        if missing > 0 {
            return None;
        }
        self.prefix_bytes = 0;
        let [flag, length @ ..] = self.prefix;
        self.missing_bytes = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        Some(MessagePrefix { is_compressed: flag != 0, length: self.missing_bytes })
    }

    /// Returns the number of bytes of the current message that have not arrived: zero after its end.
    pub fn missing_bytes(&self) -> usize {
        self.missing_bytes
    }
}

/// Removes up to `missing` bytes from the front of a piece, and returns them.
fn take<'a>(piece: &mut &'a [u8], missing: &mut usize) -> &'a [u8] {
    let (taken, rest) = piece.split_at((*missing).min(piece.len()));
    *piece = rest;
    *missing -= taken.len();
    taken
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(is_compressed: bool, length: usize) -> Vec<u8> {
        let mut message = vec![u8::from(is_compressed)];
        message.extend(u32::try_from(length).unwrap().to_be_bytes());
        message.resize(PREFIX_BYTES + length, 7);
        message
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn messages_are_found_however_the_body_is_split(
            messages in prop::collection::vec((any::<bool>(), 0_usize..40), 0..12),
            sizes in prop::collection::vec(1_usize..60, 1..20),
        ) {
            let mut body = Vec::new();
            // The place after each prefix, the place after its message, and the prefix.
            let mut expected = Vec::new();
            for &(is_compressed, length) in &messages {
                let prefix_end = body.len() + PREFIX_BYTES;
                body.extend(message(is_compressed, length));
                expected.push((prefix_end, body.len(), MessagePrefix { is_compressed, length }));
            }
            let mut scanner = MessageScanner::default();
            let mut arrived = 0;
            for size in sizes.iter().cycle() {
                let end = (arrived + size).min(body.len());
                let mut piece = &body[arrived..end];
                let mut found = Vec::new();
                while let Some(prefix) = scanner.next_prefix(&mut piece) {
                    found.push((end - piece.len(), prefix));
                }
                prop_assert!(piece.is_empty());
                let new: Vec<_> = expected
                    .iter()
                    .filter(|(prefix_end, ..)| arrived < *prefix_end && *prefix_end <= end)
                    .map(|(prefix_end, _, prefix)| (*prefix_end, *prefix))
                    .collect();
                prop_assert_eq!(found, new);
                let current = expected.iter().find(|(begin, message_end, _)| *begin <= end && end < *message_end);
                prop_assert_eq!(scanner.missing_bytes(), current.map_or(0, |(_, message_end, _)| message_end - end));
                arrived = end;
                if arrived == body.len() {
                    break;
                }
            }
        }
    }
}
