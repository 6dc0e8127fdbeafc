//! The wire format of protobuf, read from borrowed bytes.

use std::str;

use crate::{DecodeError, WireProblem};

/// Reads the fields of a message.
#[derive(Clone, Debug)]
pub(crate) struct WireReader<'a> {
    rest: &'a [u8],
    /// The position of `rest` in the whole message.
    position: usize,
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum WireValue<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// A field of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WireField<'a> {
    pub(crate) number: u32,
    pub(crate) value: WireValue<'a>,
    /// The position after the value in the whole message.
    end: usize,
}

impl<'a> WireReader<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message, position: 0 }
    }

    /// Reads the next field; `None` at the end of the message.
    // A call would return the field through memory.
    #[inline(always)]
    pub(crate) fn next_field(&mut self) -> Result<Option<WireField<'a>>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).unwrap_or(u32::MAX);
        if number == 0 || number >= 1 << 29 {
            return Err(self.problem(WireProblem::FieldNumber));
        }
        let value = match tag & 7 {
            0 => WireValue::Varint(self.varint()?),
            1 => WireValue::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                WireValue::Bytes(self.take(length)?)
            }
            5 => WireValue::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(self.problem(WireProblem::WireType)),
        };
        Ok(Some(WireField { number, value, end: self.position }))
    }

    /// Reads the next field if it has this number, which is less than 16, and holds less than 128 bytes. Returns `None`
    /// without reading anything if it is another field.
    #[inline]
    pub(crate) fn short_block(&mut self, number: u8) -> Option<WireField<'a>> {
        let [tag, length, rest @ ..] = self.rest else {
            return None;
        };
        if *tag != number << 3 | 2 || *length >= 0x80 {
            return None;
        }
        let (bytes, rest) = rest.split_at_checked(usize::from(*length))?;
        self.rest = rest;
        self.position += 2 + bytes.len();
        Some(WireField {
            number: u32::from(number),
            value: WireValue::Bytes(bytes),
            end: self.position,
        })
    }

    /// Reads a float with number 1 and an integer with number 2, if these are the next fields. Otherwise reads nothing.
    #[inline]
    pub(crate) fn short_sample(&mut self) -> Option<(f64, i64)> {
        let (value, rest) = self.rest.strip_prefix(&[0x09])?.split_first_chunk()?;
        let mut reader = Self {
            rest: rest.strip_prefix(&[0x10])?,
            position: self.position + 10,
        };
        let time = reader.varint().ok()?;
        *self = reader;
        Some((f64::from_le_bytes(*value), time.cast_signed()))
    }

    /// Reads a number of 7 bits in each byte.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        if let Some(byte) = self.rest.first()
            && *byte < 0x80
        {
            self.take(1)?;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if index == 9 && *byte > 1 {
                break;
            }
            value |= bits << (7 * index);
            if *byte < 0x80 {
                self.take(index + 1)?;
                return Ok(value);
            }
        }
        Err(self.problem(if self.rest.len() < 10 {
            WireProblem::Truncated
        } else {
            WireProblem::Varint
        }))
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk() {
            Some((array, rest)) => {
                self.rest = rest;
                self.position += N;
                Ok(*array)
            }
            None => Err(self.problem(WireProblem::Truncated)),
        }
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(length) {
            Some((taken, rest)) => {
                self.rest = rest;
                self.position += length;
                Ok(taken)
            }
            None => Err(self.problem(WireProblem::Truncated)),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[cold]
    fn problem(&self, problem: WireProblem) -> DecodeError {
        DecodeError::Wire { problem, position: self.position }
    }
}

impl<'a> WireField<'a> {
    /// Returns the reader of a nested message or of packed values.
    #[inline]
    pub(crate) fn nested(&self) -> Result<WireReader<'a>, DecodeError> {
        let rest = self.bytes()?;
        Ok(WireReader { rest, position: self.end - rest.len() })
    }

    #[inline]
    pub(crate) fn bytes(&self) -> Result<&'a [u8], DecodeError> {
        match self.value {
            WireValue::Bytes(bytes) => Ok(bytes),
            _ => Err(self.unexpected()),
        }
    }

    /// Returns a text; `None` if it is not UTF-8.
    #[inline]
    pub(crate) fn text(&self) -> Result<Option<&'a str>, DecodeError> {
        Ok(str::from_utf8(self.bytes()?).ok())
    }

    #[inline]
    pub(crate) fn float(&self) -> Result<f64, DecodeError> {
        match self.value {
            WireValue::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(self.unexpected()),
        }
    }

    #[inline]
    pub(crate) fn unsigned(&self) -> Result<u64, DecodeError> {
        match self.value {
            WireValue::Varint(value) => Ok(value),
            _ => Err(self.unexpected()),
        }
    }

    #[inline]
    pub(crate) fn integer(&self) -> Result<i64, DecodeError> {
        Ok(self.unsigned()?.cast_signed())
    }

    #[cold]
    fn unexpected(&self) -> DecodeError {
        DecodeError::Wire { problem: WireProblem::UnexpectedType, position: self.end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &[u8]) -> Result<Vec<(u32, WireValue<'_>)>, DecodeError> {
        let mut reader = WireReader::new(message);
        let mut fields = Vec::new();
        while let Some(field) = reader.next_field()? {
            fields.push((field.number, field.value));
        }
        Ok(fields)
    }

    #[test]
    fn fields_of_all_types_are_read() {
        let message = [
            0x08, 0x96, 0x01, // 1: 150
            0x11, 1, 0, 0, 0, 0, 0, 0, 0, // 2: fixed64
            0x1a, 2, b'h', b'i', // 3: bytes
            0x25, 2, 0, 0, 0, // 4: fixed32
        ];
        assert_eq!(
            read(&message).unwrap(),
            [
                (1, WireValue::Varint(150)),
                (2, WireValue::Fixed64(1)),
                (3, WireValue::Bytes(b"hi")),
                (4, WireValue::Fixed32(2)),
            ]
        );
        let largest = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(read(&largest).unwrap(), [(1, WireValue::Varint(u64::MAX))]);
    }

    #[test]
    fn errors_name_the_position() {
        for (message, text) in [
            (&[0x08][..], "the message ends within a value at byte 1"),
            (&[0x08, 0x80], "the message ends within a value at byte 1"),
            (&[0x1a, 5, b'a'], "the message ends within a value at byte 2"),
            (&[0x11, 0], "the message ends within a value at byte 1"),
            (&[0x0b], "a field has an unknown wire type at byte 1"),
            (&[0x00], "the number of a field is invalid at byte 1"),
            (
                &[0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2],
                "a number has more than 64 bits at byte 1",
            ),
        ] {
            let error = read(message).unwrap_err().to_string();
            assert_eq!(error, format!("the message is not protobuf: {text}"));
        }
    }
}
