//! Numbers of 256 bits.

use crate::line_protocol::{
    error::{LineRefusal, excerpt},
    scan::bytes_from,
};

/// Maximum number of hexadecimal digits of a number of 256 bits.
const MAX_LONG256_DIGITS: usize = 64;

/// A number of 256 bits, as sent, without its suffix: `0x` and digits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Long256<'a>(pub(super) &'a [u8]);

impl Long256<'_> {
    /// Appends the number in lower case.
    pub(crate) fn write(self, text: &mut Vec<u8>) {
        text.extend(self.0.iter().map(u8::to_ascii_lowercase));
    }
}

/// Scans a number of 256 bits: `0x`, digits, `i`.
pub(super) fn scan_long256(input: &[u8]) -> Result<Long256<'_>, LineRefusal> {
    let prefix = b"0x".len();
    let digits = bytes_from(input, prefix);
    let count = digits.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let end = prefix + count;
    match (input.get(..end), input.get(end)) {
        (Some(number), Some(b'i')) if (1..=MAX_LONG256_DIGITS).contains(&count) => {
            Ok(Long256(number))
        }
        _ => Err(LineRefusal::Long256(excerpt(input.get(..=end).unwrap_or(input)))),
    }
}
