//! The fields of an encoded protobuf message.

use prost::encoding::{
    DecodeContext, WireType, check_wire_type, decode_key, decode_varint, skip_field,
};

use super::DecodeError;

/// Visits the messages in the fields whose numbers `is_wanted` selects, with these numbers. Skips other fields.
///
/// # Errors
/// The message is malformed, a wanted field is no message, or `visit` returns an error.
pub(super) fn for_each<'a>(
    message: &'a [u8],
    is_wanted: impl Fn(u32) -> bool,
    mut visit: impl FnMut(u32, &'a [u8]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut rest = message;
    while !rest.is_empty() {
        let (number, wire_type) = decode_key(&mut rest).map_err(DecodeError::new)?;
        if is_wanted(number) {
            check_wire_type(WireType::LengthDelimited, wire_type).map_err(DecodeError::new)?;
            let length = decode_varint(&mut rest).map_err(DecodeError::new)?;
            let bytes = usize::try_from(length).unwrap_or(usize::MAX);
            let (value, after) = rest
                .split_at_checked(bytes)
                .ok_or_else(|| DecodeError::new("the message ends within a field"))?;
            rest = after;
            visit(number, value)?;
        } else {
            skip_field(wire_type, number, &mut rest, DecodeContext::default())
                .map_err(DecodeError::new)?;
        }
    }
    Ok(())
}
