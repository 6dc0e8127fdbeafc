//! The shape of a distinct value cache.

use std::{sync::Arc, time::Duration};

use arrow_schema::{Field, Schema, SchemaRef};
use neap_catalog::{DistinctCacheDefinition, Table};
use neap_schema::ColumnType;

use crate::definition::DefinitionChecksum;

/// The name of the column with the time at which a combination was last seen.
const SEEN_COLUMN: &str = "seen";

/// The shape of a distinct value cache: its columns and its maximum number of combinations.
#[derive(Clone, Debug)]
pub struct DistinctCacheShape {
    columns: Vec<String>,
    schema: SchemaRef,
    max_cardinality: usize,
    max_age: Duration,
    definition: DefinitionChecksum,
}

impl DistinctCacheShape {
    /// Returns the shape of a cache; `None` if one of its columns is not a tag.
    pub fn for_cache(table: &Table, cache: &DistinctCacheDefinition) -> Option<Self> {
        if cache.is_keyed_by_fields(table) {
            return None;
        }
        let max_cardinality = usize::try_from(cache.max_cardinality).unwrap_or(usize::MAX);
        let columns = cache.column_names(table);
        Some(Self::new(columns, max_cardinality, cache.max_age()))
    }

    pub(crate) fn new(columns: Vec<String>, max_cardinality: usize, max_age: Duration) -> Self {
        let mut fields: Vec<_> =
            columns.iter().map(|column| ColumnType::Tag.arrow_field(column)).collect();
        let seen = Field::new(SEEN_COLUMN, ColumnType::Time.data_type(), false);
        fields.push(Arc::new(seen));
        Self {
            definition: DefinitionChecksum::of_distinct(&columns, max_cardinality),
            columns,
            schema: Arc::new(Schema::new(fields)),
            max_cardinality,
            max_age,
        }
    }

    /// The columns, in the order of output and of sorting.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The columns, then `seen`: the latest time of a row with such values.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Maximum number of combinations. The cache holds the most recently seen, and of those seen at the same time the
    /// first.
    pub fn max_cardinality(&self) -> usize {
        self.max_cardinality
    }

    /// Maximum age of a row by its `time` column.
    pub fn max_age(&self) -> Duration {
        self.max_age
    }

    pub(crate) fn definition(&self) -> DefinitionChecksum {
        self.definition
    }
}

#[cfg(test)]
mod tests {
    use neap_schema::{CacheId, ColumnId};

    use super::*;
    use crate::test_model::table;

    #[test]
    fn columns_are_in_the_order_of_the_cache_and_all_tags() {
        let cache = |columns: &[u16]| DistinctCacheDefinition {
            id: CacheId::new(1),
            name: "values".to_owned(),
            columns: columns.iter().map(|id| ColumnId::new(*id)).collect(),
            max_cardinality: 9,
            max_age_s: 60,
        };
        let shape = DistinctCacheShape::for_cache(&table(), &cache(&[3, 1])).unwrap();
        assert_eq!(shape.columns(), ["host", "zone"]);
        let fields = shape.schema().fields().iter();
        let names: Vec<_> = fields.map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["host", "zone", "seen"]);
        assert_eq!((shape.max_cardinality(), shape.max_age()), (9, Duration::from_secs(60)));
        assert!(DistinctCacheShape::for_cache(&table(), &cache(&[3, 4])).is_none());
    }
}
