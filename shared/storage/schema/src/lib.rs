//! The types of columns, shared by line protocol, catalog, segments, files and SQL.
//!
//! | line protocol | [`ColumnType`] | Arrow |
//! |---|---|---|
//! | tag | `Tag` | `Dictionary(Int32, Utf8)`, nullable |
//! | `1.5` | `Float` | `Float64`, nullable |
//! | `1i` | `Integer` | `Int64`, nullable |
//! | `1u` | `UInteger` | `UInt64`, nullable |
//! | `"text"` | `String` | `Utf8`, nullable |
//! | `true` | `Boolean` | `Boolean`, nullable |
//! | timestamp | `Time` | `Timestamp(Nanosecond, None)`, not null |
//!
//! The mapping and the metadata key are those of InfluxDB 3, so that its clients find the types.

mod auto_create;
mod column_name;
mod ids;
pub mod narrow_integers;
mod on_duplicate;
pub mod prometheus;
mod table_name;
mod table_view;

use std::{collections::HashMap, fmt, sync::Arc};

use arrow_schema::{DataType, Field, FieldRef, TimeUnit};
use serde::{Deserialize, Serialize};

pub use auto_create::{AutoCreate, CreationRefused, UnknownAutoCreate};
pub use column_name::{NulInColumnName, validate_column_name};
pub use ids::{CacheId, ColumnId, DatabaseId, IdError, TableId, TriggerId, ViewId};
pub use on_duplicate::{OnDuplicate, UnknownOnDuplicate};
pub use table_name::{MAX_TABLE_NAME_BYTES, TableNameError, validate_table_name};
pub use table_view::{ColumnView, TableView};

/// The name of the column that holds the timestamp of a row.
pub const TIME_COLUMN: &str = "time";

/// The name of the internal column that orders sources of the same point; no user column may have it.
pub const ORDER_COLUMN: &str = "__chunk_order";

/// The key of the Arrow field metadata that holds [`ColumnType::metadata_value`].
pub const COLUMN_TYPE_METADATA_KEY: &str = "iox::column::type";

/// The type of a column. An integer can become a float; otherwise it is fixed when the column is created.
///
/// # Examples
///
/// ```
/// use arrow_schema::DataType;
/// use neap_schema::{COLUMN_TYPE_METADATA_KEY, ColumnType};
///
/// let field = ColumnType::Float.arrow_field("load");
/// assert_eq!(field.data_type(), &DataType::Float64);
/// let kind = field.metadata().get(COLUMN_TYPE_METADATA_KEY);
/// assert_eq!(kind.map(String::as_str), Some("iox::column_type::field::float"));
/// assert!(ColumnType::Tag.is_key() && !ColumnType::Float.is_key());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// Part of the key of a point; a string from a dictionary.
    Tag,
    /// The timestamp of a point, in nanoseconds since the Unix epoch.
    Time,
    /// A 64-bit float field.
    Float,
    /// A signed 64-bit field.
    Integer,
    /// An unsigned 64-bit field.
    UInteger,
    /// A UTF-8 field.
    String,
    /// A boolean field.
    Boolean,
}

impl ColumnType {
    /// Returns the Arrow type of the column in memory.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Tag => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            Self::Time => DataType::Timestamp(TimeUnit::Nanosecond, None),
            Self::Float => DataType::Float64,
            Self::Integer => DataType::Int64,
            Self::UInteger => DataType::UInt64,
            Self::String => DataType::Utf8,
            Self::Boolean => DataType::Boolean,
        }
    }

    /// Returns the name of the type in Arrow metadata and in messages, such as `iox::column_type::field::float`.
    pub fn metadata_value(self) -> &'static str {
        match self {
            Self::Tag => "iox::column_type::tag",
            Self::Time => "iox::column_type::timestamp",
            Self::Float => "iox::column_type::field::float",
            Self::Integer => "iox::column_type::field::integer",
            Self::UInteger => "iox::column_type::field::uinteger",
            Self::String => "iox::column_type::field::string",
            Self::Boolean => "iox::column_type::field::boolean",
        }
    }

    /// Returns the name of the type in InfluxQL, and in messages of InfluxDB 1.
    pub fn influxql_name(self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::Time => "time",
            Self::Float => "float",
            Self::Integer => "integer",
            Self::UInteger => "unsigned",
            Self::String => "string",
            Self::Boolean => "boolean",
        }
    }

    /// Returns the Arrow field of a column with this type.
    pub fn arrow_field(self, name: &str) -> FieldRef {
        let metadata = HashMap::from([(
            COLUMN_TYPE_METADATA_KEY.to_owned(),
            self.metadata_value().to_owned(),
        )]);
        Arc::new(Field::new(name, self.data_type(), self != Self::Time).with_metadata(metadata))
    }

    /// Returns whether the metadata of an Arrow field names this type. Fields of other programs may have none.
    pub fn is_named_by(self, field: &Field) -> bool {
        let name = field.metadata().get(COLUMN_TYPE_METADATA_KEY);
        name.is_some_and(|name| name == self.metadata_value())
    }

    /// Returns whether an Arrow type is that of tags, which no other type of column has.
    ///
    /// ```
    /// use neap_schema::ColumnType;
    ///
    /// assert!(ColumnType::is_tag_type(&ColumnType::Tag.data_type()));
    /// assert!(!ColumnType::is_tag_type(&ColumnType::String.data_type()));
    /// ```
    pub fn is_tag_type(data_type: &DataType) -> bool {
        matches!(data_type, DataType::Dictionary(keys, values)
            if **keys == DataType::Int32 && **values == DataType::Utf8)
    }

    /// Returns whether the column is part of the key of a point.
    pub fn is_key(self) -> bool {
        matches!(self, Self::Tag | Self::Time)
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.metadata_value())
    }
}
