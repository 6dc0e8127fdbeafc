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
}

/// A tag of `GROUP BY`.
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
    /// Adds the group key to the metadata of a schema.
    pub fn attach(&self, schema: &Schema) -> SchemaRef {
        // A structure of numbers and strings can always be encoded as JSON.
        let json = serde_json::to_string(self).unwrap_or_default();
        let metadata = HashMap::from([(METADATA_KEY.to_owned(), json)]);
        schema.clone().with_metadata(metadata).into()
    }
}
