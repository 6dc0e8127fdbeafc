//! Names of labels in paths.

/// The prefix of names with characters that names of labels did not have before Prometheus 3.
const ESCAPED_PREFIX: &str = "U__";

/// Maximum number of hexadecimal digits of a character.
const MAX_DIGITS: usize = 6;

/// Returns the name of a label in a path. Clients escape names such as `service.name`: `U__service_2e_name`.
pub(crate) fn label_of_path(name: &str) -> String {
    let unescaped = name.strip_prefix(ESCAPED_PREFIX).and_then(unescape);
    unescaped.unwrap_or_else(|| name.to_owned())
}

/// Replaces `__` by an underscore, and hexadecimal digits between underscores by their character; `None` if a name has others.
fn unescape(escaped: &str) -> Option<String> {
    let mut name = String::new();
    let mut rest = escaped;
    while let Some((before, after)) = rest.split_once('_') {
        name.push_str(before);
        let (digits, next) = after.split_once('_')?;
        name.push(if digits.is_empty() {
            '_'
        } else if digits.len() <= MAX_DIGITS {
            char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
        } else {
            return None;
        });
        rest = next;
    }
    name.push_str(rest);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_are_those_of_prometheus() {
        for (path, name) in [
            ("job", "job"),
            ("__name__", "__name__"),
            ("U__service_2e_name", "service.name"),
            ("U__a__b_1F600_", "a_b😀"),
            ("U__", ""),
            ("U__a_b", "U__a_b"),
            ("U__a_2e", "U__a_2e"),
            ("U__a_xy_", "U__a_xy_"),
            ("U__a_d800_", "U__a_d800_"),
            ("U__a_0000041_", "U__a_0000041_"),
        ] {
            assert_eq!(label_of_path(path), name);
        }
    }
}
