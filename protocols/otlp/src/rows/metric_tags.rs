//! The tags of data points.

use std::{borrow::Cow, collections::HashSet};

use neap_rows::columnar::{ColumnConflict, TableBatch};

use super::ItemError;
use crate::messages::{KeyValue, Resource, Scope};

/// A tag with a text that is not empty.
type Tag<'a> = (&'a str, Cow<'a, str>);

/// Returns the tags of a resource, without those that are overridden or empty.
pub(super) fn resource_tags(resource: &Resource) -> Vec<Tag<'_>> {
    distinct_tags(last_first(&resource.attributes))
}

/// Returns attributes from the last to the first, because later ones override earlier ones.
pub(super) fn last_first(attributes: &[KeyValue]) -> impl Iterator<Item = Tag<'_>> {
    attributes.iter().rev().filter_map(|attribute| {
        let text = attribute.value.as_ref()?.text();
        Some((attribute.key.as_str(), text))
    })
}

/// Returns the first tag of each name. Empty tags are absent.
fn distinct_tags<'a>(tags: impl Iterator<Item = Tag<'a>>) -> Vec<Tag<'a>> {
    let mut names = HashSet::new();
    let present = tags.filter(|(name, text)| !name.is_empty() && !text.is_empty());
    present.filter(|(name, _)| names.insert(*name)).collect()
}

/// The tags that all data points of a scope have.
#[derive(Debug)]
pub(super) struct MetricTags<'a> {
    pub(super) resource: &'a [Tag<'a>],
    /// Tags that override those of the resource.
    pub(super) scope: Vec<Tag<'a>>,
    /// The reason why all data points of the scope are refused, if there is one.
    pub(super) check: Result<(), ItemError>,
}

impl<'a> MetricTags<'a> {
    pub(super) fn new(
        resource: &'a [Tag<'a>],
        scope: &'a Scope,
        check: Result<(), ItemError>,
    ) -> Self {
        let library = [
            ("otel.library.version", Cow::Borrowed(&*scope.version)),
            ("otel.library.name", Cow::Borrowed(&*scope.name)),
        ];
        Self {
            resource,
            scope: distinct_tags(last_first(&scope.attributes).chain(library)),
            check,
        }
    }
}

/// Adds a tag unless the row has it already.
pub(super) fn add_tag(row: &mut TableBatch, key: &str, text: &str) -> Result<(), ItemError> {
    if key.is_empty() {
        return Ok(());
    }
    match row.tag(key, text) {
        Err(ColumnConflict::Repeated(_)) => Ok(()),
        added => Ok(added?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::AnyValue;

    #[test]
    fn tags_of_a_source_are_distinct_and_not_empty() {
        let value = |text: &str| -> AnyValue {
            serde_json::from_value(serde_json::json!({"stringValue": text})).unwrap()
        };
        let attribute = |key: &str, value| KeyValue { key: key.to_owned(), value };
        let mut attributes = vec![attribute("a", Some(value("x"))); 500];
        attributes.push(attribute("a", Some(value("last"))));
        attributes.push(attribute("b", Some(value("y"))));
        attributes.push(attribute("a", Some(value(""))));
        attributes.push(attribute("c", None));
        attributes.push(attribute("", Some(value("z"))));
        let resource = Resource { attributes };
        let owned_tags = resource_tags(&resource);
        let tags: Vec<_> = owned_tags.iter().map(|(key, text)| (*key, &**text)).collect();
        assert_eq!(tags, [("b", "y"), ("a", "last")]);
        let scope = Scope::default();
        let tags = MetricTags::new(&[], &scope, Ok(()));
        assert!(tags.scope.is_empty(), "{tags:?}");
    }
}
