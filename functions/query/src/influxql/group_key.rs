//! Which columns of an answer tell its series apart.

use std::collections::HashMap;

use arrow::datatypes::{Schema, SchemaRef};
use serde::Serialize;

/// The first column of every answer: the name of the table.
pub(crate) const MEASUREMENT_COLUMN: &str = "iox::measurement";

/// Where the schema of an answer tells about its series, as InfluxDB 3 has it.
const METADATA_KEY: &str = "iox::influxql::group_key::metadata";

/// Which columns of an answer tell its series apart. Rows come sorted by them, in this order: rows of one
/// series are next to each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct GroupKey {
    /// The column with the name of the table.
    pub(crate) measurement_column_index: u32,
    /// The tags of `GROUP BY`, in the order in which they tell series apart.
    pub(crate) tag_key_columns: Vec<GroupTag>,
}

/// A tag of `GROUP BY`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct GroupTag {
    /// Its name.
    pub(crate) tag_key: String,
    /// Its column.
    pub(crate) column_index: u32,
    /// Whether the statement selects it too: the v1 answer then has it among the columns as well.
    pub(crate) is_projected: bool,
}

impl GroupKey {
    /// The same schema, which tells about its series.
    pub(crate) fn attach(&self, schema: &Schema) -> SchemaRef {
        // A structure of numbers and strings is always JSON.
        let json = serde_json::to_string(self).unwrap_or_default();
        let metadata = HashMap::from([(METADATA_KEY.to_owned(), json)]);
        schema.clone().with_metadata(metadata).into()
    }
}
