//! Walks requests in protobuf or JSON without decoding them as a whole.
//!
//! Two bytes of a request can announce a message of several hundred bytes. Therefore lists of messages are walked, and
//! only one of their items is decoded at a time. Items have at most [`MAX_ITEM_BYTES`].

mod error;
mod json_fields;
mod wire;

use neap_rows::line_protocol::MAX_STRING_BYTES;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

pub(crate) use self::error::DecodeError;

/// Maximum size of a message that is decoded as a whole, in bytes: the longest value of a column, and room for the rest.
pub(crate) const MAX_ITEM_BYTES: usize = MAX_STRING_BYTES + (64 << 10);

/// The encoding of a request and of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Protobuf,
    Json,
}

/// A field of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// The number in protobuf.
    pub(crate) number: u32,
    /// The name in JSON.
    pub(crate) name: &'static str,
}

/// An encoded message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Node<'a> {
    Protobuf(&'a [u8]),
    Json(&'a RawValue),
}

impl<'a> Node<'a> {
    /// Returns the message of a whole body.
    ///
    /// # Errors
    /// The body is not JSON. An error in protobuf is found later.
    pub(crate) fn of_body(encoding: Encoding, body: &'a [u8]) -> Result<Self, DecodeError> {
        match encoding {
            Encoding::Protobuf => Ok(Self::Protobuf(body)),
            Encoding::Json => {
                let value = serde_json::from_slice(body);
                value.map(Self::Json).map_err(DecodeError::new)
            }
        }
    }

    /// Decodes the message as a whole.
    ///
    /// # Errors
    /// It is malformed or larger than [`MAX_ITEM_BYTES`].
    pub(crate) fn decode<M>(self) -> Result<M, DecodeError>
    where
        M: prost::Message + Default + DeserializeOwned,
    {
        let bytes = self.size_bytes();
        if bytes > MAX_ITEM_BYTES {
            let text = format!("{bytes} bytes are more than {MAX_ITEM_BYTES}");
            return Err(DecodeError::new(text));
        }
        self.decode_header()
    }

    /// Decodes the fields of a message that has large fields besides, which are skipped.
    pub(crate) fn decode_header<M>(self) -> Result<M, DecodeError>
    where
        M: prost::Message + Default + DeserializeOwned,
    {
        match self {
            Self::Protobuf(bytes) => M::decode(bytes).map_err(DecodeError::new),
            // The derived visitors take a list for the fields in their order.
            Self::Json(value) if !value.get().starts_with('{') => {
                Err(DecodeError::new("a message is not an object"))
            }
            Self::Json(value) => serde_json::from_str(value.get()).map_err(DecodeError::new),
        }
    }

    /// Returns the messages in some fields that are not lists.
    pub(crate) fn children<const N: usize>(
        self,
        fields: [Field; N],
    ) -> Result<[Option<Self>; N], DecodeError> {
        let mut children = [None; N];
        match self {
            Self::Protobuf(bytes) => {
                let is_wanted = |number: u32| fields.iter().any(|field| field.number == number);
                wire::for_each(bytes, is_wanted, |number, message| {
                    let found = fields.iter().zip(&mut children);
                    for (_, child) in found.filter(|(field, _)| field.number == number) {
                        *child = Some(Self::Protobuf(message));
                    }
                    Ok(())
                })?;
            }
            Self::Json(value) => {
                let values = json_fields::find(value, fields.map(|field| field.name))?;
                children = values.map(|value| value.map(Self::Json));
            }
        }
        Ok(children)
    }

    /// Visits the messages in a field that is a list.
    ///
    /// # Errors
    /// The message is malformed, or `visit` returns an error, to whose path the field is added.
    pub(crate) fn for_each(
        self,
        field: Field,
        mut visit: impl FnMut(Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let mut index = 0usize;
        let mut visit = |node: Self| {
            let visited =
                visit(node).map_err(|error| error.within(&format!("{}[{index}]", field.name)));
            index += 1;
            visited
        };
        match self {
            Self::Protobuf(bytes) => {
                let is_wanted = |number: u32| number == field.number;
                wire::for_each(bytes, is_wanted, |_, message| visit(Self::Protobuf(message)))
            }
            Self::Json(value) => match json_fields::find(value, [field.name])? {
                [Some(list)] => {
                    json_fields::for_each(list, field.name, |value| visit(Self::Json(value)))
                }
                [None] => Ok(()),
            },
        }
    }

    /// The size of the encoded message, in bytes.
    fn size_bytes(self) -> usize {
        match self {
            Self::Protobuf(bytes) => bytes.len(),
            Self::Json(value) => value.get().len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Resource;

    const LIST: Field = Field { number: 1, name: "list" };

    const OTHER: Field = Field { number: 2, name: "other" };

    fn json(text: &str) -> Result<Node<'_>, DecodeError> {
        Node::of_body(Encoding::Json, text.as_bytes())
    }

    fn items(node: Node<'_>) -> Result<Vec<usize>, String> {
        let mut sizes = Vec::new();
        let visited = node.for_each(LIST, |item| {
            sizes.push(item.size_bytes());
            Ok(())
        });
        visited.map(|()| sizes).map_err(|error| error.to_string())
    }

    #[test]
    fn lists_are_walked_in_both_encodings() {
        let protobuf = [0x0a, 1, 0xff, 0x12, 0, 0x18, 0x80, 1, 0x0a, 2, 7, 7, 0x25, 1, 2, 3, 4];
        let protobuf = Node::Protobuf(&protobuf);
        assert_eq!(items(protobuf), Ok(vec![1, 2]));
        let text = r#" {"other":{}, "list":[1], "x":[[]], "list" : [{"a":"]"} , {}]}"#;
        let json = json(text).unwrap();
        assert_eq!(items(json), Ok(vec![9, 2]));
        for node in [protobuf, json] {
            let [other, missing] = node.children([OTHER, Field { number: 9, name: "no" }]).unwrap();
            assert!(other.is_some() && missing.is_none());
        }
    }

    #[test]
    fn lists_may_be_missing_or_null() {
        for text in ["{}", r#"{"list":null}"#, r#"{"list":[]}"#, "null"] {
            assert_eq!(items(json(text).unwrap()), Ok(Vec::new()), "{text}");
        }
        assert_eq!(items(Node::Protobuf(&[])), Ok(Vec::new()));
    }

    #[test]
    fn malformed_messages_are_errors() {
        for text in ["", "{", r#"{"list":[1,]}"#, "{}x", "{\"list\"}", "nul"] {
            assert!(json(text).is_err(), "{text}");
        }
        for text in ["[]", "7", r#"{"list":{}}"#, r#"{"list":"a"}"#] {
            assert!(items(json(text).unwrap()).is_err(), "{text}");
        }
        let truncated: [&[u8]; 7] = [
            &[0x0a],
            &[0x0a, 2, 0],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            &[0x25, 0, 0, 0],
            &[0x00],
            &[0x0b],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ];
        for bytes in truncated {
            assert!(items(Node::Protobuf(bytes)).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn errors_have_the_path() {
        let text = r#"{"list":[{},{"list":[{"attributes":1}]}]}"#;
        let decoded = json(text).unwrap().for_each(LIST, |outer| {
            outer.for_each(LIST, |inner| inner.decode::<Resource>().map(|_| ()))
        });
        let error = decoded.unwrap_err();
        assert_eq!(error.path, "list[1].list[0]");
        insta::assert_snapshot!(error, @"list[1].list[0]: invalid type: integer `1`, expected a sequence at line 1 column 15");
    }

    #[test]
    fn large_items_are_refused() {
        let text = format!(r#"{{"attributes":[],"x":"{}"}}"#, "y".repeat(MAX_ITEM_BYTES));
        let error = json(&text).unwrap().decode::<Resource>().unwrap_err();
        assert!(error.reason.ends_with("bytes are more than 1114112"), "{error}");
        assert!(json(&text).unwrap().decode_header::<Resource>().is_ok());
    }
}
