//! Keys of series and fields.

use std::fmt;

/// The text between the key of a series and the name of a field.
pub const FIELD_SEPARATOR: &[u8] = b"#!~#";

/// The tag that early releases of InfluxDB 2 wrote for the measurement, whose place had the bucket.
const MEASUREMENT_TAG: &[u8] = b"\0";
/// The tag that early releases of InfluxDB 2 wrote for the field.
const FIELD_TAG: &[u8] = b"\xff";

/// Splits a key of an index into the key of the series and the name of the field; `None` if it has no separator.
pub fn split_key(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = key
        .windows(FIELD_SEPARATOR.len())
        .position(|window| window == FIELD_SEPARATOR)?;
    let field = key.get(at + FIELD_SEPARATOR.len()..)?;
    Some((key.get(..at)?, field))
}

/// The measurement and the tags of a series.
///
/// # Examples
///
/// ```
/// use neap_tsm::{SeriesKey, split_key};
///
/// let (series, field) = split_key(b"cpu,host=a\\ b#!~#load").unwrap_or_default();
/// assert_eq!(field, b"load");
/// let key = SeriesKey::parse(series);
/// assert_eq!(key.measurement, "cpu");
/// assert_eq!(key.tags, [("host".to_owned(), "a b".to_owned())]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    /// The measurement.
    pub measurement: String,
    /// The tags in the order of the key, which is that of their names. Empty tags are left out.
    pub tags: Vec<(String, String)>,
}

impl SeriesKey {
    /// Parses a series key, which is escaped like line protocol. Bytes that are not UTF-8 are replaced.
    pub fn parse(key: &[u8]) -> Self {
        Self::parse_lossy(key).0
    }

    /// Returns whether the measurement and the tags of a series key are UTF-8.
    pub fn is_utf8(key: &[u8]) -> bool {
        str::from_utf8(key).is_ok() || !Self::parse_lossy(key).1
    }

    /// Parses a series key, and returns whether bytes were replaced. A bucket in the place of the measurement may have any
    /// bytes.
    fn parse_lossy(key: &[u8]) -> (Self, bool) {
        let (measurement, mut rest) = split_unescaped(key, b',');
        let is_lossy = |text: &[u8]| str::from_utf8(text).is_err();
        let (mut has_lossy_name, mut has_lossy_tag) = (is_lossy(measurement), false);
        let mut series = Self { measurement: unescape(measurement, b", "), tags: Vec::new() };
        while let Some(pairs) = rest {
            let (pair, others) = split_unescaped(pairs, b',');
            rest = others;
            let (name, value) = split_unescaped(pair, b'=');
            let value = value.unwrap_or_default();
            let (text, is_lossy_value) = (unescape(value, b",= "), is_lossy(value));
            match name {
                MEASUREMENT_TAG => (series.measurement, has_lossy_name) = (text, is_lossy_value),
                FIELD_TAG => {}
                _ if value.is_empty() => {}
                name => {
                    has_lossy_tag |= is_lossy_value || is_lossy(name);
                    series.tags.push((unescape(name, b",= "), text));
                }
            }
        }
        (series, has_lossy_name || has_lossy_tag)
    }
}

impl fmt::Display for SeriesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.measurement)?;
        self.tags.iter().try_for_each(|(name, value)| write!(f, ",{name}={value}"))
    }
}

/// Splits a text at the first `separator` that has no backslash before it.
fn split_unescaped(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    let mut before = 0;
    for (at, &byte) in text.iter().enumerate() {
        if byte == separator && before != b'\\' {
            let (head, tail) = text.split_at_checked(at).unwrap_or((text, &[]));
            return (head, Some(tail.get(1..).unwrap_or_default()));
        }
        before = byte;
    }
    (text, None)
}

/// Removes the backslashes before certain characters.
fn unescape(text: &[u8], escaped: &[u8]) -> String {
    if !text.contains(&b'\\') {
        return String::from_utf8_lossy(text).into_owned();
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let next = bytes.next_if(|next| byte == b'\\' && escaped.contains(next));
        plain.push(next.unwrap_or(byte));
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(key: &[u8]) -> String {
        format!("{:?}", SeriesKey::parse(key))
    }

    #[test]
    fn series_keys_are_unescaped() {
        check(b"cpu", r#"SeriesKey { measurement: "cpu", tags: [] }"#);
        check(
            b"my\\ cpu\\,x,host=a\\ b\\,c,r\\=s=t\\=u",
            r#"SeriesKey { measurement: "my cpu,x", tags: [("host", "a b,c"), ("r=s", "t=u")] }"#,
        );
        check(
            b"m\\=x,p=C:\\dir",
            r#"SeriesKey { measurement: "m\\=x", tags: [("p", "C:\\dir")] }"#,
        );
        check(b"m,a=,b=1", r#"SeriesKey { measurement: "m", tags: [("b", "1")] }"#);
        check(b"m,a=x=y", r#"SeriesKey { measurement: "m", tags: [("a", "x=y")] }"#);
    }

    #[test]
    fn early_keys_of_influxdb_2_have_the_measurement_in_a_tag() {
        check(
            b"\x01\x02\x03,\x00=cpu\\ 1,host=a,\xff=usage",
            r#"SeriesKey { measurement: "cpu 1", tags: [("host", "a")] }"#,
        );
    }

    #[test]
    fn keys_are_split_at_the_first_separator() {
        let split = |key: &'static [u8]| split_key(key);
        assert_eq!(split(b"m,a=b#!~#v"), Some((&b"m,a=b"[..], &b"v"[..])));
        assert_eq!(split(b"m#!~#v#!~#w"), Some((&b"m"[..], &b"v#!~#w"[..])));
        assert_eq!(split(b"m#!~#"), Some((&b"m"[..], &b""[..])));
        assert_eq!(split(b"m#!~"), None);
    }

    fn check(key: &[u8], expected: &str) {
        assert_eq!(parse(key), expected);
    }
}
