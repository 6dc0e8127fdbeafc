//! The options of publishing tables for other tools, shared by `neap serve` and `neap compact`.

use clap::{Args, ValueEnum};
use neap_bucket::StoreConfig;
use neap_compact::{PublishSettings, PublishedTables, PublishedTimeType};

use crate::stores::{self, StoresError};

/// The metadata with which other tools find the files of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PublishFormat {
    /// Tables of Apache Iceberg.
    Iceberg,
}

/// The type of the column `time`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum TimeType {
    /// A timestamp in microseconds.
    #[default]
    Timestamp,
    /// A number of nanoseconds, for Spark.
    Long,
}

/// The options of publishing.
#[derive(Args, Clone, Debug, Default)]
pub struct PublishArgs {
    /// Publish tables: write metadata with which other tools read settled data in place, after each maintenance of
    /// all databases.
    #[arg(long, value_enum, value_name = "FORMAT")]
    publish: Option<PublishFormat>,

    /// The databases, or tables as DATABASE/TABLE, to publish, separated by commas; all of them by default.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        requires = "publish"
    )]
    publish_only: Vec<String>,

    /// The type of the column `time` in published tables. Spark needs long.
    #[arg(long, value_enum, value_name = "TYPE", default_value = "timestamp")]
    publish_time: TimeType,
}

impl PublishArgs {
    /// Returns the tables to publish.
    pub fn tables(&self) -> PublishedTables {
        PublishedTables { names: self.publish_only.clone() }
    }

    /// Returns the settings of publishing, if it is requested.
    ///
    /// # Errors
    ///
    /// The store has no URL that other tools could read.
    pub fn settings(&self, store: &StoreConfig) -> Result<Option<PublishSettings>, StoresError> {
        let Some(PublishFormat::Iceberg) = self.publish else {
            return Ok(None);
        };
        Ok(Some(PublishSettings {
            url: stores::url(store)?,
            tables: self.tables(),
            time: match self.publish_time {
                TimeType::Timestamp => PublishedTimeType::Timestamp,
                TimeType::Long => PublishedTimeType::Long,
            },
        }))
    }
}
