//! Whether a delete covers all, none or some of a set of points, if only some of their tags are known.

use neap_row_delete::Condition;

/// The points of a set for which a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DeleteCoverage {
    /// None of them.
    None,
    /// Depends on tags or times that are not known.
    Some,
    /// All of them.
    All,
}

/// The knowledge about one tag of the points.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KnownTagValue<'a> {
    /// All have this value, or all lack the tag.
    Value(Option<&'a str>),
    /// The values are not known.
    Unknown,
}

/// Returns for which points with these tags and with times from `min` to `max` the condition holds.
pub(crate) fn coverage<'a>(
    condition: &Condition,
    tag: &impl Fn(&str) -> KnownTagValue<'a>,
    (min, max): (i64, i64),
) -> DeleteCoverage {
    match condition {
        Condition::Time { min: first, max: last } => {
            if *first <= min && max <= *last {
                DeleteCoverage::All
            } else if *last < min || max < *first {
                DeleteCoverage::None
            } else {
                DeleteCoverage::Some
            }
        }
        Condition::Tag { name, value } => match tag(name) {
            // Line protocol does not distinguish a missing tag from an empty one.
            KnownTagValue::Value(found)
                if found.unwrap_or_default() == value.as_deref().unwrap_or_default() =>
            {
                DeleteCoverage::All
            }
            KnownTagValue::Value(_) => DeleteCoverage::None,
            KnownTagValue::Unknown => DeleteCoverage::Some,
        },
        Condition::All(parts) => {
            let parts = parts.iter().map(|part| coverage(part, tag, (min, max)));
            parts.min().unwrap_or(DeleteCoverage::All)
        }
        Condition::Any(parts) => {
            let parts = parts.iter().map(|part| coverage(part, tag, (min, max)));
            parts.max().unwrap_or(DeleteCoverage::None)
        }
    }
}

/// Returns the conditions that can hold for a point with a time from `min` to `max`.
pub(crate) fn overlapping_conditions<'a>(
    deletes: &[&'a Condition],
    (min, max): (i64, i64),
) -> Vec<&'a Condition> {
    let meets = |condition: &&&Condition| {
        let bounds = condition.time_bounds();
        bounds.is_some_and(|(first, last)| first <= max && min <= last)
    };
    deletes.iter().filter(meets).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_tags_matter_only_where_the_result_depends_on_them() {
        let tag = |name: &str, value: &str| Condition::Tag {
            name: name.to_owned(),
            value: Some(value.to_owned()),
        };
        let known = |name: &str| match name {
            "k" => KnownTagValue::Value(Some("a")),
            "absent" => KnownTagValue::Value(None),
            _ => KnownTagValue::Unknown,
        };
        let of = |condition: &Condition| coverage(condition, &known, (10, 20));
        assert_eq!(of(&Condition::EVERYTHING), DeleteCoverage::All);
        assert_eq!(of(&Condition::NOTHING), DeleteCoverage::None);
        assert_eq!(of(&tag("k", "a")), DeleteCoverage::All);
        assert_eq!(of(&tag("k", "b")), DeleteCoverage::None);
        assert_eq!(of(&tag("absent", "")), DeleteCoverage::All);
        assert_eq!(of(&tag("u", "b")), DeleteCoverage::Some);
        assert_eq!(of(&tag("u", "b").and(tag("k", "b"))), DeleteCoverage::None);
        assert_eq!(of(&tag("u", "b").or(tag("k", "a"))), DeleteCoverage::All);
        let time = |min, max| Condition::Time { min, max };
        assert_eq!(of(&time(10, 20)), DeleteCoverage::All);
        assert_eq!(of(&time(20, 30)), DeleteCoverage::Some);
        assert_eq!(of(&time(21, 30)), DeleteCoverage::None);
    }
}
