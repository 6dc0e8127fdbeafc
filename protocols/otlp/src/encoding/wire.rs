//! The fields of an encoded protobuf message.

use thiserror::Error;

use super::DecodeError;

/// Reasons why a message is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
enum WireError {
    #[error("the message ends within a field")]
    Truncated,
    #[error("a number has more than 64 bits")]
    LongVarint,
    #[error("invalid tag of a field: {0}")]
    Tag(u64),
}

/// Visits the fields whose values have a length, such as messages, with their numbers. Skips the others.
///
/// # Errors
/// The message is malformed, or `visit` returns an error.
pub(super) fn for_each<'a>(
    message: &'a [u8],
    mut visit: impl FnMut(u32, &'a [u8]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut rest = message;
    while !rest.is_empty() {
        if let Some((number, value)) = next_field(&mut rest).map_err(DecodeError::new)? {
            visit(number, value)?;
        }
    }
    Ok(())
}

/// Reads a field; `None`: its value has no length.
fn next_field<'a>(rest: &mut &'a [u8]) -> Result<Option<(u32, &'a [u8])>, WireError> {
    let tag = varint(rest)?;
    let number = u32::try_from(tag >> 3).map_err(|_| WireError::Tag(tag))?;
    if number == 0 {
        return Err(WireError::Tag(tag));
    }
    match tag & 7 {
        0 => varint(rest).map(|_| None),
        1 => take(rest, 8).map(|_| None),
        2 => {
            let length = usize::try_from(varint(rest)?).map_err(|_| WireError::Truncated)?;
            let value = take(rest, length)?;
            Ok(Some((number, value)))
        }
        5 => take(rest, 4).map(|_| None),
        // Groups, which OTLP does not have.
        _ => Err(WireError::Tag(tag)),
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], WireError> {
    let (value, after) = rest.split_at_checked(length).ok_or(WireError::Truncated)?;
    *rest = after;
    Ok(value)
}

fn varint(rest: &mut &[u8]) -> Result<u64, WireError> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first().ok_or(WireError::Truncated)?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return Err(WireError::LongVarint);
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(WireError::LongVarint)
}
