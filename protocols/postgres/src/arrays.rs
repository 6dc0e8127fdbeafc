//! Splits arrays, the values of placeholders such as that of `host = ANY($1)`, into their elements.

use std::{iter::Peekable, str::Chars};

use bytes::{Buf, Bytes};
use neap_sql_changes::{SqlError, SqlState};
use pgwire::api::Type;
use postgres_types::Kind;

/// Maximum number of elements of an array. Each one takes a hundred bytes and more in a plan.
const MAX_ELEMENTS: usize = 1 << 16;

/// Returns the type of the elements of a type of arrays; `None` for other types.
pub(crate) fn element_type(oid: u32) -> Option<Type> {
    match Type::from_oid(oid)?.kind() {
        Kind::Array(element) => Some(element.clone()),
        _ => None,
    }
}

/// Splits an array in text, such as `{a,"b c",NULL}`.
///
/// # Errors
/// The text is no array of one dimension, or it has too many elements.
pub(crate) fn text_elements(text: &str) -> Result<Vec<Option<Bytes>>, SqlError> {
    let malformed = || {
        let message = format!("malformed array literal: \"{text}\"");
        SqlError::new(SqlState::INVALID_TEXT, message)
    };
    let inner = text
        .trim()
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'))
        .ok_or_else(malformed)?;
    let mut elements = Vec::new();
    let mut characters = inner.chars().peekable();
    let mut has_more = !inner.trim().is_empty();
    while has_more {
        check_count(elements.len() + 1)?;
        let (element, is_last) = take_element(&mut characters).ok_or_else(malformed)?;
        elements.push(element.map(Bytes::from));
        has_more = !is_last;
    }
    Ok(elements)
}

/// Takes an element and the comma after it. Returns the element, and whether it is the last one.
fn take_element(characters: &mut Peekable<Chars<'_>>) -> Option<(Option<String>, bool)> {
    skip_spaces(characters);
    let mut element = String::new();
    if characters.next_if_eq(&'"').is_some() {
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => element.push(characters.next()?),
                other => element.push(other),
            }
        }
        skip_spaces(characters);
        return match characters.next() {
            None => Some((Some(element), true)),
            Some(',') => Some((Some(element), false)),
            Some(_) => None,
        };
    }
    let is_last = loop {
        match characters.next() {
            None => break true,
            Some(',') => break false,
            Some('"' | '{' | '}') => return None,
            Some('\\') => element.push(characters.next()?),
            Some(other) => element.push(other),
        }
    };
    let value = element.trim_end();
    if value.is_empty() {
        return None;
    }
    let is_null = value.eq_ignore_ascii_case("null");
    Some(((!is_null).then(|| value.to_owned()), is_last))
}

fn skip_spaces(characters: &mut Peekable<Chars<'_>>) {
    while characters.next_if(|character| character.is_whitespace()).is_some() {}
}

/// Splits an array in binary. Returns the type of its elements, too.
///
/// # Errors
/// The bytes are no array of one dimension, or it has too many elements.
pub(crate) fn binary_elements(array: &Bytes) -> Result<(u32, Vec<Option<Bytes>>), SqlError> {
    let malformed = || {
        let message = "incorrect binary data format of an array of one dimension";
        SqlError::new(SqlState("22P03"), message)
    };
    let mut bytes = array.clone();
    let (count, element_oid) = take_head(&mut bytes).ok_or_else(malformed)?;
    check_count(count)?;
    let mut elements = Vec::new();
    for _ in 0..count {
        let length = bytes.try_get_i32().map_err(|_| malformed())?;
        elements.push(match usize::try_from(length) {
            Ok(length) if length <= bytes.len() => Some(bytes.split_to(length)),
            Err(_) if length == -1 => None,
            _ => return Err(malformed()),
        });
    }
    if bytes.is_empty() {
        Ok((element_oid, elements))
    } else {
        Err(malformed())
    }
}

/// Takes what is before the elements: the number of dimensions, whether there are nulls, the type of the elements, and for
/// each dimension its length and its first index. An empty array has no dimension.
fn take_head(bytes: &mut Bytes) -> Option<(usize, u32)> {
    let dimensions = bytes.try_get_i32().ok()?;
    bytes.try_get_i32().ok()?;
    let element_oid = bytes.try_get_u32().ok()?;
    let count = match dimensions {
        0 => 0,
        1 => {
            let count = bytes.try_get_i32().ok()?;
            bytes.try_get_i32().ok()?;
            usize::try_from(count).ok()?
        }
        _ => return None,
    };
    Some((count, element_oid))
}

fn check_count(count: usize) -> Result<(), SqlError> {
    if count <= MAX_ELEMENTS {
        return Ok(());
    }
    let message = format!("an array has more than {MAX_ELEMENTS} elements");
    Err(SqlError::new(SqlState::LIMIT_EXCEEDED, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(array: &str) -> Option<Vec<Option<String>>> {
        let elements = text_elements(array).ok()?;
        let texts = elements
            .into_iter()
            .map(|element| element.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()));
        Some(texts.collect())
    }

    #[test]
    fn texts_are_split_as_in_postgresql() {
        let some = |text: &str| Some(text.to_owned());
        for (array, expected) in [
            ("{}", vec![]),
            (" { } ", vec![]),
            ("{a}", vec![some("a")]),
            ("{a, b c ,NULL,null}", vec![some("a"), some("b c"), None, None]),
            (
                r#"{"a,\"b\\","NULL","" , "}"}"#,
                vec![some("a,\"b\\"), some("NULL"), some(""), some("}")],
            ),
            (r"{a\,b,é}", vec![some("a,b"), some("é")]),
        ] {
            assert_eq!(texts(array), Some(expected), "{array}");
        }
        for malformed in [
            "",
            "a",
            "{",
            "}",
            "{a",
            "{,}",
            "{a,}",
            "{{a}}",
            "{\"a}",
            "{\"a\"b}",
            "[1:1]={a}",
            r"{a\}",
        ] {
            assert_eq!(texts(malformed), None, "{malformed}");
        }
    }

    #[test]
    fn truncated_and_long_arrays_are_refused() {
        let element = Type::INT4.oid().to_be_bytes();
        let array = [
            &[0, 0, 0, 1, 0, 0, 0, 1][..],
            &element,
            &[0, 0, 0, 2, 0, 0, 0, 1],
            &[0, 0, 0, 4, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff],
        ]
        .concat();
        let (oid, elements) = binary_elements(&Bytes::from(array.clone())).unwrap();
        assert_eq!(oid, Type::INT4.oid());
        assert_eq!(elements, [Some(Bytes::from_static(&[0, 0, 0, 7])), None]);
        for length in 0..array.len() {
            let truncated = Bytes::copy_from_slice(&array[..length]);
            assert!(binary_elements(&truncated).is_err(), "{length}");
        }
        let longer = [&array[..], &[0]].concat();
        assert!(binary_elements(&Bytes::from(longer)).is_err());
        let long = format!("{{{}1}}", "1,".repeat(MAX_ELEMENTS));
        let error = text_elements(&long).unwrap_err();
        assert_eq!(error.state, SqlState::LIMIT_EXCEEDED);
    }
}
