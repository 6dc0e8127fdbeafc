//! Names in the paths of requests.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The characters that are escaped: all that may have a meaning in a path, and control characters, which URLs drop.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A name can't be a segment of a path: it is empty, `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} can't be a name in the path of a request")]
pub struct PathSegmentError(String);

/// Returns a name as one segment of a path, escaped so that a server decodes it to the same name.
///
/// # Errors
///
/// The name is empty, `.` or `..`, which paths can't hold even if they are escaped.
pub fn path_segment(name: &str) -> Result<String, PathSegmentError> {
    if matches!(name, "" | "." | "..") {
        return Err(PathSegmentError(name.to_owned()));
    }
    Ok(utf8_percent_encode(name, ESCAPED).to_string())
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use url::Url;

    use super::*;

    #[test]
    fn names_are_one_segment_and_decoded_to_themselves() {
        for name in [
            "daily",
            "a b+c",
            "../../roles/103",
            "%62%31",
            "%2e%2e",
            "...",
            "b\n1",
            "\t\r\u{1b}",
            "a?b#c\\d;e",
            "größe",
        ] {
            let mut url: Url = "http://h:1".parse().unwrap();
            url.set_path(&format!("/backup/{}", path_segment(name).unwrap()));
            let segments: Vec<_> = url.path_segments().unwrap().collect();
            let ["backup", segment] = segments[..] else {
                panic!("{name:?}: {url}");
            };
            assert_eq!(percent_decode_str(segment).decode_utf8().unwrap(), name);
            assert_eq!((url.query(), url.fragment()), (None, None));
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["", ".", ".."] {
            assert_eq!(path_segment(name), Err(PathSegmentError(name.to_owned())));
        }
    }
}
