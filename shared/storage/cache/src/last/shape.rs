//! The shape of a last value cache for the current columns of its table.

use std::{sync::Arc, time::Duration};

use arrow_schema::{ArrowError, Schema, SchemaRef};
use neap_catalog::{LastCacheDefinition, Table, ValueColumns};
use neap_schema::TIME_COLUMN;

use crate::definition::DefinitionChecksum;

/// The shape of a last value cache for the current columns of its table: its columns and rows.
///
/// A layer has all tags of the table, whether the cache shows them or not, because tags identify points, order points
/// with equal times, and occur in the conditions of deletes.
#[derive(Clone, Debug)]
pub struct LastCacheShape {
    keys: Vec<String>,
    tags: Vec<String>,
    schema: SchemaRef,
    count: usize,
    ttl: Duration,
    /// The indexes in the schema of the key columns, then of the other tags in the order of the series key. Rows are
    /// sorted by these columns, and by time.
    sort_columns: Vec<usize>,
    time_column: usize,
    definition: DefinitionChecksum,
}

impl LastCacheShape {
    /// Returns the shape of a cache; `None` if one of its key columns is not a tag.
    pub fn for_cache(table: &Table, cache: &LastCacheDefinition) -> Option<Self> {
        if cache.is_keyed_by_fields(table) {
            return None;
        }
        let tags = table.tag_names();
        let values = cache.value_names(table);
        let stored =
            |name: &String| name == TIME_COLUMN || tags.contains(name) || values.contains(name);
        let all = table.arrow_schema();
        let fields = all.fields().iter().filter(|field| stored(field.name()));
        let schema = Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()));
        let count = usize::try_from(cache.count).unwrap_or(usize::MAX);
        let shape = Self::new(cache.key_names(table), tags, schema, count, cache.ttl()).ok()?;
        Some(match &cache.value_columns {
            ValueColumns::AllNonKey => shape,
            ValueColumns::Explicit(_) => shape.of_listed(&values),
        })
    }

    /// Returns the shape of a cache with these key columns and `count` rows of each key, for a table with these tags in
    /// the order of its series key. `schema` has the tags, `time`, and the fields of the cache.
    pub(crate) fn new(
        keys: Vec<String>,
        tags: Vec<String>,
        schema: SchemaRef,
        count: usize,
        ttl: Duration,
    ) -> Result<Self, ArrowError> {
        let others = tags.iter().filter(|tag| !keys.contains(tag));
        let sorted = keys.iter().chain(others);
        let sort_columns = sorted.map(|tag| schema.index_of(tag)).collect::<Result<_, _>>()?;
        let time_column = schema.index_of(TIME_COLUMN)?;
        let count = count.max(1);
        Ok(Self {
            definition: DefinitionChecksum::of_last(&keys, count, None),
            keys,
            tags,
            schema,
            count,
            ttl,
            sort_columns,
            time_column,
        })
    }

    /// Returns the shape of a definition that lists its fields, and therefore never includes other fields of the table.
    fn of_listed(self, fields: &[String]) -> Self {
        let definition = DefinitionChecksum::of_last(&self.keys, self.count, Some(fields));
        Self { definition, ..self }
    }

    /// The key columns, in their order.
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// The tags of the table, in the order of its series key.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// The columns of a layer: all tags, the fields that the cache shows, and `time`; sorted by name, with the types of
    /// the table.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Maximum number of rows of each key; at least 1.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Maximum age of a row by its `time` column.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// The indexes of the key columns in the schema.
    pub(crate) fn key_columns(&self) -> &[usize] {
        self.sort_columns.get(..self.keys.len()).unwrap_or(&[])
    }

    /// The indexes in the schema of the key columns, then of the other tags.
    pub(crate) fn sort_columns(&self) -> &[usize] {
        &self.sort_columns
    }

    pub(crate) fn time_column(&self) -> usize {
        self.time_column
    }

    pub(crate) fn definition(&self) -> DefinitionChecksum {
        self.definition
    }
}

#[cfg(test)]
mod tests {
    use neap_catalog::ValueColumns;
    use neap_schema::{CacheId, ColumnId};

    use super::*;
    use crate::test_model::table;

    fn shape(keys: &[u16], values: ValueColumns) -> Option<LastCacheShape> {
        let cache = LastCacheDefinition {
            id: CacheId::new(1),
            name: "latest".to_owned(),
            key_columns: keys.iter().map(|id| ColumnId::new(*id)).collect(),
            value_columns: values,
            count: 3,
            ttl_s: 60,
        };
        LastCacheShape::for_cache(&table(), &cache)
    }

    fn names(shape: &LastCacheShape) -> Vec<&str> {
        let fields = shape.schema().fields().iter();
        fields.map(|field| field.name().as_str()).collect()
    }

    #[test]
    fn all_tags_are_held_and_the_fields_that_are_shown() {
        let all = shape(&[3], ValueColumns::AllNonKey).unwrap();
        assert_eq!(names(&all), ["a", "f", "host", "time", "zone"]);
        assert_eq!(all.schema(), &table().arrow_schema());
        assert_eq!(
            (all.keys(), all.tags()),
            (&["host".to_owned()][..], &["zone".to_owned(), "host".to_owned()][..])
        );
        assert_eq!((all.count(), all.ttl()), (3, Duration::from_secs(60)));
        assert_eq!(all.sort_columns(), [2, 4]);
        let some = shape(&[], ValueColumns::Explicit(vec![ColumnId::new(2)])).unwrap();
        assert_eq!(names(&some), ["f", "host", "time", "zone"]);
        assert_eq!(some.sort_columns(), [3, 1]);
        // A list does not grow with the table, so it is part of the definition.
        let listed = ValueColumns::Explicit([1, 2, 4].map(ColumnId::new).to_vec());
        let listed = shape(&[3], listed).unwrap();
        assert_eq!(listed.schema(), all.schema());
        assert_ne!(listed.definition(), all.definition());
    }

    #[test]
    fn a_cache_keyed_by_a_field_has_no_shape() {
        assert!(shape(&[3, 4], ValueColumns::AllNonKey).is_none());
    }
}
