//! The columns of an answer that identify its series.

use std::collections::HashMap;

use arrow::datatypes::{Schema, SchemaRef};
use serde::Serialize;

/// The first column of every answer: the name of the table.
pub const MEASUREMENT_COLUMN: &str = "iox::measurement";

/// The metadata key of the schema that holds the group key, as in InfluxDB 3.
const METADATA_KEY: &str = "iox::influxql::group_key::metadata";

/// The columns of an answer that identify its series. Rows are sorted by them, in this order, so that rows of one
/// series are adjacent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GroupKey {
    /// The column with the name of the table.
    pub measurement_column_index: u32,
    /// The tags of `GROUP BY`, in the order in which rows are sorted by them.
    pub tag_key_columns: Vec<GroupTag>,
    /// The tags that `top` and `bottom` return. They are values of an answer, and tags of a stored row.
    #[serde(skip)]
    pub ranked_tags: Vec<GroupTag>,
}

/// A column with a tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupTag {
    /// The name of the tag.
    pub tag_key: String,
    /// The index of its column.
    pub column_index: u32,
    /// Whether the statement selects it too. The v1 answer then also has it among the columns.
    pub is_projected: bool,
}

impl GroupKey {
    /// The tags of a row that is stored: those of `GROUP BY`, and those by which `top` or `bottom` has selected it.
    pub fn point_tags(&self) -> impl Iterator<Item = &GroupTag> {
        let is_grouped = |tag: &&GroupTag| {
            let mut grouped = self.tag_key_columns.iter();
            grouped.any(|grouped| grouped.tag_key == tag.tag_key)
        };
        let ranked = self.ranked_tags.iter().filter(move |tag| !is_grouped(tag));
        self.tag_key_columns.iter().chain(ranked)
    }

    /// Adds the group key to the metadata of a schema.
    pub fn attach(&self, schema: &Schema) -> SchemaRef {
        // A structure of numbers and strings can always be encoded as JSON.
        let json = serde_json::to_string(self).unwrap_or_default();
        let metadata = HashMap::from([(METADATA_KEY.to_owned(), json)]);
        schema.clone().with_metadata(metadata).into()
    }
}
