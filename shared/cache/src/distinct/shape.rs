//! What a distinct value cache holds.

use std::{sync::Arc, time::Duration};

use arrow_schema::{Field, Schema, SchemaRef};
use neap_catalog::{DistinctCache, Table};
use neap_schema::ColumnType;

use crate::definition::Definition;

/// The name of the column that says when a combination was seen last.
const SEEN_COLUMN: &str = "seen";

/// What a distinct value cache holds: which columns, and how many combinations.
#[derive(Clone, Debug)]
pub struct DistinctShape {
    columns: Vec<String>,
    schema: SchemaRef,
    max_cardinality: usize,
    max_age: Duration,
    definition: Definition,
}

impl DistinctShape {
    /// The shape of a cache; `None` when one of its columns is not a tag.
    pub fn of(table: &Table, cache: &DistinctCache) -> Option<Self> {
        if cache.is_keyed_by_fields(table) {
            return None;
        }
        let max_cardinality = usize::try_from(cache.max_cardinality).unwrap_or(usize::MAX);
        let columns = cache.column_names(table);
        Some(Self::new(columns, max_cardinality, cache.max_age()))
    }

    pub(crate) fn new(columns: Vec<String>, max_cardinality: usize, max_age: Duration) -> Self {
        let mut fields: Vec<_> = columns
            .iter()
            .map(|column| ColumnType::Tag.arrow_field(column))
            .collect();
        let seen = Field::new(SEEN_COLUMN, ColumnType::Time.data_type(), false);
        fields.push(Arc::new(seen));
        Self {
            definition: Definition::of_distinct(&columns, max_cardinality),
            columns,
            schema: Arc::new(Schema::new(fields)),
            max_cardinality,
            max_age,
        }
    }

    /// The columns, in the order in which they are shown and sorted by.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The columns, then `seen`: the latest time of a row with such values.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The most combinations: those that were seen last, of those seen at one time the first ones.
    pub fn max_cardinality(&self) -> usize {
        self.max_cardinality
    }

    /// How old a row may be by its own time.
    pub fn max_age(&self) -> Duration {
        self.max_age
    }

    /// What tells this shape's definition from others.
    pub(crate) fn definition(&self) -> Definition {
        self.definition
    }
}

#[cfg(test)]
mod tests {
    use neap_schema::{CacheId, ColumnId};

    use super::*;
    use crate::test_rows::table;

    #[test]
    fn columns_are_in_the_order_of_the_cache_and_all_tags() {
        let cache = |columns: &[u16]| DistinctCache {
            id: CacheId::new(1),
            name: "values".to_owned(),
            columns: columns.iter().map(|id| ColumnId::new(*id)).collect(),
            max_cardinality: 9,
            max_age_s: 60,
        };
        let shape = DistinctShape::of(&table(), &cache(&[3, 1])).unwrap();
        assert_eq!(shape.columns(), ["host", "zone"]);
        let fields = shape.schema().fields().iter();
        let names: Vec<_> = fields.map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["host", "zone", "seen"]);
        assert_eq!(
            (shape.max_cardinality(), shape.max_age()),
            (9, Duration::from_secs(60))
        );
        assert!(DistinctShape::of(&table(), &cache(&[3, 4])).is_none());
    }
}
