//! Decodes the messages of clients. A malformed message is an error, whatever its bytes.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes};

/// The code of a request for TLS, in place of a version.
const TLS_CODE: u32 = 80_877_103;
/// The code of a request for the encryption of GSSAPI.
const GSS_CODE: u32 = 80_877_104;
/// The code of a request to cancel a query.
const CANCEL_CODE: u32 = 80_877_102;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MalformedMessage;

/// The first message of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StartupMessage {
    /// The client asks for TLS.
    Tls,
    /// The client asks for the encryption of GSSAPI.
    Gss,
    /// Cancels the query of another connection.
    Cancel {
        /// The number of the connection.
        process: i32,
        /// Its secret.
        secret: Bytes,
    },
    /// Begins a session.
    Startup {
        /// The version.
        version: (u16, u16),
        /// The user, the database and variables.
        parameters: BTreeMap<String, String>,
    },
}

impl StartupMessage {
    /// Decodes the bytes after the length.
    pub(crate) fn decode(body: Bytes) -> Result<Self, MalformedMessage> {
        let mut body = MessageBody(body);
        match body.u32()? {
            TLS_CODE => Ok(Self::Tls),
            GSS_CODE => Ok(Self::Gss),
            CANCEL_CODE => Ok(Self::Cancel { process: body.i32()?, secret: body.0 }),
            version => {
                let major = u16::try_from(version >> 16).map_err(|_| MalformedMessage)?;
                let minor = u16::try_from(version & 0xffff).map_err(|_| MalformedMessage)?;
                let mut parameters = BTreeMap::new();
                loop {
                    let name = body.text()?;
                    if name.is_empty() {
                        break;
                    }
                    parameters.insert(name, body.text()?);
                }
                Ok(Self::Startup { version: (major, minor), parameters })
            }
        }
    }
}

/// A statement or a portal, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NamedTarget {
    Statement(String),
    Portal(String),
}

/// The values of placeholders, for a portal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BindMessage {
    pub(crate) portal: String,
    pub(crate) statement: String,
    pub(crate) parameter_formats: Vec<i16>,
    pub(crate) parameters: Vec<Option<Bytes>>,
    pub(crate) result_formats: Vec<i16>,
}

/// A message of a client after the startup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FrontendMessage {
    Query(String),
    Parse {
        name: String,
        text: String,
        types: Vec<u32>,
    },
    Bind(BindMessage),
    Describe(NamedTarget),
    Execute {
        portal: String,
        /// Maximum number of rows; 0: all.
        max_rows: usize,
    },
    Close(NamedTarget),
    Flush,
    Sync,
    Terminate,
    Password(Bytes),
    CopyData(Bytes),
    CopyDone,
    CopyFail(String),
}

impl FrontendMessage {
    /// Decodes the bytes after the length of a message of a type.
    pub(crate) fn decode(message_type: u8, body: Bytes) -> Result<Self, MalformedMessage> {
        let mut body = MessageBody(body);
        Ok(match message_type {
            b'Q' => Self::Query(body.text()?),
            b'P' => Self::Parse {
                name: body.text()?,
                text: body.text()?,
                types: body.list(MessageBody::u32)?,
            },
            b'B' => Self::Bind(BindMessage {
                portal: body.text()?,
                statement: body.text()?,
                parameter_formats: body.list(MessageBody::i16)?,
                parameters: body.list(MessageBody::value)?,
                result_formats: body.list(MessageBody::i16)?,
            }),
            b'D' => Self::Describe(body.target()?),
            b'C' => Self::Close(body.target()?),
            b'E' => Self::Execute {
                portal: body.text()?,
                // As in PostgreSQL, a negative number means all rows.
                max_rows: usize::try_from(body.i32()?).unwrap_or(0),
            },
            b'H' => Self::Flush,
            b'S' => Self::Sync,
            b'X' => Self::Terminate,
            b'p' => Self::Password(body.bytes_until_zero()?),
            b'd' => Self::CopyData(body.0),
            b'c' => Self::CopyDone,
            b'f' => Self::CopyFail(body.text()?),
            _ => return Err(MalformedMessage),
        })
    }

    /// Whether the message belongs to the extended protocol, whose errors skip messages up to the next `Sync`.
    pub(crate) fn is_extended(&self) -> bool {
        matches!(
            self,
            Self::Parse { .. }
                | Self::Bind(_)
                | Self::Describe(_)
                | Self::Execute { .. }
                | Self::Close(_)
                | Self::Flush
                | Self::Sync
        )
    }
}

/// The bytes of a message that are not decoded yet.
struct MessageBody(Bytes);

impl MessageBody {
    fn u16(&mut self) -> Result<u16, MalformedMessage> {
        self.0.try_get_u16().map_err(|_| MalformedMessage)
    }

    fn i16(&mut self) -> Result<i16, MalformedMessage> {
        self.0.try_get_i16().map_err(|_| MalformedMessage)
    }

    fn u32(&mut self) -> Result<u32, MalformedMessage> {
        self.0.try_get_u32().map_err(|_| MalformedMessage)
    }

    fn i32(&mut self) -> Result<i32, MalformedMessage> {
        self.0.try_get_i32().map_err(|_| MalformedMessage)
    }

    fn bytes(&mut self, length: usize) -> Result<Bytes, MalformedMessage> {
        if length > self.0.len() {
            return Err(MalformedMessage);
        }
        Ok(self.0.split_to(length))
    }

    fn bytes_until_zero(&mut self) -> Result<Bytes, MalformedMessage> {
        let length = memchr::memchr(0, &self.0).ok_or(MalformedMessage)?;
        let bytes = self.bytes(length)?;
        self.bytes(1)?;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<String, MalformedMessage> {
        let bytes = self.bytes_until_zero()?;
        String::from_utf8(bytes.into()).map_err(|_| MalformedMessage)
    }

    /// A value of a placeholder; `None` is null.
    fn value(&mut self) -> Result<Option<Bytes>, MalformedMessage> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| MalformedMessage)?;
                self.bytes(length).map(Some)
            }
        }
    }

    fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, MalformedMessage>,
    ) -> Result<Vec<T>, MalformedMessage> {
        let count = self.u16()?;
        (0..count).map(|_| item(self)).collect()
    }

    fn target(&mut self) -> Result<NamedTarget, MalformedMessage> {
        let kind = self.bytes(1)?;
        let name = self.text()?;
        match kind.first() {
            Some(b'S') => Ok(NamedTarget::Statement(name)),
            Some(b'P') => Ok(NamedTarget::Portal(name)),
            _ => Err(MalformedMessage),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn messages_of_the_extended_protocol_are_decoded() {
        let bind = b"p\0s\0\0\x01\0\x01\0\x02\xff\xff\xff\xff\0\0\0\x02ab\0\x00";
        let decoded = FrontendMessage::decode(b'B', Bytes::from_static(bind)).unwrap();
        let expected = BindMessage {
            portal: "p".to_owned(),
            statement: "s".to_owned(),
            parameter_formats: vec![1],
            parameters: vec![None, Some(Bytes::from_static(b"ab"))],
            result_formats: Vec::new(),
        };
        assert_eq!(decoded, FrontendMessage::Bind(expected));
        let execute = FrontendMessage::decode(b'E', Bytes::from_static(b"\0\xff\xff\xff\xff"));
        let all = FrontendMessage::Execute { portal: String::new(), max_rows: 0 };
        assert_eq!(execute, Ok(all));
    }

    #[test]
    fn truncated_messages_are_malformed() {
        let parse = b"s\0SELECT $1\0\0\x01\0\0\0\x17";
        for length in 0..parse.len() {
            let body = Bytes::copy_from_slice(&parse[..length]);
            assert_eq!(FrontendMessage::decode(b'P', body), Err(MalformedMessage), "{length}");
        }
        let endless = b"\0\0\0\0\0\x01\x7f\xff\xff\xff";
        let decoded = FrontendMessage::decode(b'B', Bytes::from_static(endless));
        assert_eq!(decoded, Err(MalformedMessage));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn any_bytes_are_a_message_or_malformed(message_type: u8, body in vec(any::<u8>(), 0..64)) {
            FrontendMessage::decode(message_type, Bytes::from(body.clone())).ok();
            StartupMessage::decode(Bytes::from(body)).ok();
        }
    }
}
