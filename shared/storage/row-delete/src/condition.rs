//! Conditions of deletes. A condition tests the time and the tags of a row, never its fields, so it holds for all
//! versions of a point or for none.

use neap_schema::TableId;
use serde::{Deserialize, Serialize};

/// A condition on the key of a point.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use arrow_array::{RecordBatch, TimestampNanosecondArray};
/// use arrow_schema::Schema;
/// use neap_row_delete::Condition;
/// use neap_schema::ColumnType;
///
/// let schema = Arc::new(Schema::new(vec![ColumnType::Time.arrow_field("time")]));
/// let times = Arc::new(TimestampNanosecondArray::from(vec![5, 15]));
/// let batch = RecordBatch::try_new(schema, vec![times])?;
/// let condition = Condition::between(10, 20);
/// assert_eq!(condition.mask(&batch)?.iter().collect::<Vec<_>>(), [false, true]);
/// assert_eq!(condition.time_bounds(), Some((10, 20)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// The time is in this range, both ends included, in nanoseconds since the Unix epoch.
    Time {
        /// The first time.
        min: i64,
        /// The last time.
        max: i64,
    },
    /// The tag has this value.
    Tag {
        /// The name of the tag.
        name: String,
        /// The value; `None` or an empty string matches rows without the tag.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
    },
    /// All of these hold. An empty list always holds.
    All(Vec<Self>),
    /// At least one of these holds. An empty list never holds.
    Any(Vec<Self>),
}

impl Condition {
    /// The condition that holds for every row.
    pub const EVERYTHING: Self = Self::All(Vec::new());

    /// The condition that holds for no row.
    pub const NOTHING: Self = Self::Any(Vec::new());

    /// Returns the conjunction of both, flattened.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All(mut all), Self::All(others)) => {
                all.extend(others);
                Self::All(all).simplified()
            }
            (Self::All(mut all), other) => {
                all.push(other);
                Self::All(all).simplified()
            }
            (one, Self::All(mut all)) => {
                all.insert(0, one);
                Self::All(all).simplified()
            }
            (one, other) => Self::All(vec![one, other]).simplified(),
        }
    }

    /// Returns the disjunction of both, flattened.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Any(mut any), Self::Any(others)) => {
                any.extend(others);
                Self::Any(any).simplified()
            }
            (Self::Any(mut any), other) => {
                any.push(other);
                Self::Any(any).simplified()
            }
            (one, Self::Any(mut any)) => {
                any.insert(0, one);
                Self::Any(any).simplified()
            }
            (one, other) => Self::Any(vec![one, other]).simplified(),
        }
    }

    /// Simplifies the top level: resolves constants, and unwraps a list of one.
    fn simplified(self) -> Self {
        match self {
            Self::All(parts) if parts.contains(&Self::NOTHING) => Self::NOTHING,
            Self::Any(parts) if parts.contains(&Self::EVERYTHING) => Self::EVERYTHING,
            Self::All(mut parts) | Self::Any(mut parts) if parts.len() == 1 => {
                parts.pop().unwrap_or(Self::EVERYTHING)
            }
            other => other,
        }
    }

    /// Returns the condition of the rows from `min` to `max`, both inclusive.
    pub fn between(min: i64, max: i64) -> Self {
        match (min, max) {
            (i64::MIN, i64::MAX) => Self::EVERYTHING,
            (min, max) if min > max => Self::NOTHING,
            (min, max) => Self::Time { min, max },
        }
    }

    /// Resolves the condition for a table: no row has a tag for which `is_tag` is false. Stored conditions must be
    /// resolved, because a column that is missing today may become a field later.
    #[must_use]
    pub fn resolved(&self, is_tag: &impl Fn(&str) -> bool) -> Self {
        match self {
            Self::Tag { name, value } if !is_tag(name) => match value.as_deref() {
                None | Some("") => Self::EVERYTHING,
                Some(_) => Self::NOTHING,
            },
            Self::Time { .. } | Self::Tag { .. } => self.clone(),
            Self::All(parts) => {
                parts.iter().map(|part| part.resolved(is_tag)).fold(Self::EVERYTHING, Self::and)
            }
            Self::Any(parts) => {
                parts.iter().map(|part| part.resolved(is_tag)).fold(Self::NOTHING, Self::or)
            }
        }
    }

    /// Returns the condition with other names of tags. Stored conditions have the names of tags in stored rows.
    #[must_use]
    pub fn with_tag_names(self, name_of: &impl Fn(&str) -> String) -> Self {
        let all = |parts: Vec<Self>| {
            let parts = parts.into_iter();
            parts.map(|part| part.with_tag_names(name_of)).collect()
        };
        match self {
            Self::Tag { name, value } => Self::Tag { name: name_of(&name), value },
            Self::Time { .. } => self,
            Self::All(parts) => Self::All(all(parts)),
            Self::Any(parts) => Self::Any(all(parts)),
        }
    }

    /// Returns the earliest and the latest time of rows for which the condition can hold; `None` if it never holds.
    pub fn time_bounds(&self) -> Option<(i64, i64)> {
        match self {
            Self::Time { min, max } => (min <= max).then_some((*min, *max)),
            Self::Tag { .. } => Some((i64::MIN, i64::MAX)),
            Self::All(all) => all.iter().try_fold((i64::MIN, i64::MAX), |(min, max), part| {
                let (first, last) = part.time_bounds()?;
                let bounds = (min.max(first), max.min(last));
                (bounds.0 <= bounds.1).then_some(bounds)
            }),
            Self::Any(any) => {
                let hulls = any.iter().filter_map(Self::time_bounds);
                hulls.reduce(|(min, max), (first, last)| (min.min(first), max.max(last)))
            }
        }
    }

    /// Returns the tags in the condition, with duplicates.
    pub fn tags(&self) -> Vec<&str> {
        match self {
            Self::Time { .. } => Vec::new(),
            Self::Tag { name, .. } => vec![name],
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::tags).collect(),
        }
    }
}

/// A delete of rows of one table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowDelete {
    /// The table.
    pub table: TableId,
    /// The condition of the rows to delete.
    pub condition: Condition,
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn tag(name: &str, value: &str) -> Condition {
        Condition::Tag { name: name.to_owned(), value: Some(value.to_owned()) }
    }

    /// Conditions on the tags `t`, `u` and `absent`, and on times from -3 to 3.
    pub(crate) fn conditions() -> impl Strategy<Value = Condition> {
        let time = (-4_i64..4, -4_i64..4).prop_map(|(min, max)| Condition::Time { min, max });
        let name = prop_oneof![Just("t"), Just("u"), Just("absent")];
        let value = prop_oneof![Just(None), Just(Some(String::new())), "[a-c]".prop_map(Some)];
        let tag =
            (name, value).prop_map(|(name, value)| Condition::Tag { name: name.to_owned(), value });
        prop_oneof![time, tag].prop_recursive(3, 12, 4, |inner| {
            let parts = proptest::collection::vec(inner, 0..4);
            prop_oneof![parts.clone().prop_map(Condition::All), parts.prop_map(Condition::Any)]
        })
    }

    #[test]
    fn the_format_is_json() {
        let delete = RowDelete {
            table: TableId::new(7),
            condition: Condition::All(vec![
                Condition::Time { min: -5, max: 6 },
                Condition::Any(vec![
                    tag("host", "a"),
                    Condition::Tag { name: "zone".to_owned(), value: None },
                ]),
                Condition::NOTHING,
            ]),
        };
        let expected = serde_json::json!({
            "table": 7,
            "condition": {"all": [
                {"time": {"min": -5, "max": 6}},
                {"any": [{"tag": {"name": "host", "value": "a"}}, {"tag": {"name": "zone"}}]},
                {"any": []},
            ]},
        });
        assert_eq!(serde_json::to_value(delete).unwrap(), expected);
        let unknown = r#"{"table":7,"condition":{"field":{"name":"a"}}}"#;
        assert!(serde_json::from_str::<RowDelete>(unknown).is_err());
    }

    #[test]
    fn time_bounds_cover_the_rows_that_can_match() {
        let time = |min, max| Condition::Time { min, max };
        for (condition, bounds) in [
            (Condition::EVERYTHING, Some((i64::MIN, i64::MAX))),
            (Condition::NOTHING, None),
            (time(3, 2), None),
            (time(1, 5).and(time(4, 9)).and(tag("t", "a")), Some((4, 5))),
            (time(1, 2).and(time(4, 9)), None),
            (time(1, 2).or(time(4, 9)), Some((1, 9))),
            (time(1, 2).or(tag("t", "a")), Some((i64::MIN, i64::MAX))),
        ] {
            assert_eq!(condition.time_bounds(), bounds, "{condition}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn a_resolved_condition_has_only_tags_of_the_table(condition in conditions()) {
            let resolved = condition.resolved(&|name| name == "t");
            prop_assert!(resolved.tags().iter().all(|name| *name == "t"));
            prop_assert!(condition.check_limits().is_err() || resolved.check_limits().is_ok());
        }
    }

    #[test]
    fn columns_that_are_not_tags_count_as_missing() {
        let missing = Condition::Tag { name: "zone".to_owned(), value: None };
        let condition = tag("host", "a").and(missing.clone().or(tag("rack", "b")));
        let resolved = |tags: &[&str]| condition.resolved(&|name| tags.contains(&name)).to_string();
        assert_eq!(resolved(&["host"]), r#""host" = 'a'"#);
        assert_eq!(resolved(&["host", "zone"]), r#""host" = 'a' AND "zone" IS NULL"#);
        assert_eq!(resolved(&["zone", "rack"]), "false");
        assert_eq!(missing.resolved(&|_| false), Condition::EVERYTHING);
    }

    #[test]
    fn tags_get_other_names_and_times_stay() {
        let condition = tag("host", "a").and(Condition::between(1, 2).or(tag("rack", "b")));
        let named = condition.clone().with_tag_names(&|name| format!("{name}~7"));
        assert_eq!(named.tags(), ["host~7", "rack~7"]);
        assert_eq!(named.time_bounds(), condition.time_bounds());
        assert_eq!(condition.clone().with_tag_names(&str::to_owned), condition);
    }

    #[test]
    fn conditions_are_joined_without_needless_nesting() {
        let [a, b, c] = ["a", "b", "c"].map(|value| tag("t", value));
        let all = Condition::EVERYTHING.and(a.clone()).and(b.clone());
        assert_eq!(all, Condition::All(vec![a.clone(), b.clone()]));
        let any = Condition::NOTHING.or(a.clone()).or(b.clone().or(c.clone()));
        assert_eq!(any, Condition::Any(vec![a.clone(), b, c]));
        assert_eq!(a.clone().and(Condition::EVERYTHING), a);
        assert_eq!(a.clone().or(Condition::NOTHING), a);
        assert_eq!(a.clone().and(Condition::NOTHING), Condition::NOTHING);
        assert_eq!(a.or(Condition::EVERYTHING), Condition::EVERYTHING);
    }
}
