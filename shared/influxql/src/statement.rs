//! Statements other than `SELECT`.

use crate::{Condition, Measurement, MeasurementName, Regex, Select};

/// One statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// `SELECT ...`
    Select(Box<Select>),
    /// `EXPLAIN [ANALYZE] [VERBOSE] SELECT ...`
    Explain(Box<Explain>),
    /// `SHOW DATABASES`
    ShowDatabases,
    /// `SHOW RETENTION POLICIES [ON db]`
    ShowRetentionPolicies {
        /// The database, the one of the request if absent.
        on: Option<String>,
    },
    /// `SHOW MEASUREMENTS ...`
    ShowMeasurements(ShowMeasurements),
    /// `SHOW TAG KEYS ...`
    ShowTagKeys(Show),
    /// `SHOW FIELD KEYS ...`
    ShowFieldKeys(Show),
    /// `SHOW TAG VALUES ... WITH KEY ...`
    ShowTagValues(ShowTagValues),
    /// `SHOW SERIES ...`
    ShowSeries(Show),
    /// `SHOW ... [EXACT] CARDINALITY ...`
    ShowCardinality(ShowCardinality),
    /// `CREATE DATABASE name [WITH ...]`
    CreateDatabase {
        /// The new database.
        name: String,
        /// What follows `WITH`.
        policy: Option<PolicyOptions>,
    },
    /// `DROP DATABASE name`
    DropDatabase(String),
    /// `DROP MEASUREMENT name`
    DropMeasurement(String),
    /// `DROP SERIES [FROM ...] [WHERE ...]`
    DropSeries(Deletion),
    /// `DELETE [FROM ...] [WHERE ...]`
    Delete(Deletion),
    /// `CREATE RETENTION POLICY name ON db DURATION ...`
    CreateRetentionPolicy(RetentionPolicy),
    /// `ALTER RETENTION POLICY name ON db ...`
    AlterRetentionPolicy(RetentionPolicy),
    /// `DROP RETENTION POLICY name ON db`
    DropRetentionPolicy {
        /// The policy.
        name: String,
        /// Its database.
        database: String,
    },
}

/// `EXPLAIN`.
#[derive(Clone, Debug, PartialEq)]
pub struct Explain {
    /// Whether the query is run, for figures.
    pub analyze: bool,
    /// Whether everything is told.
    pub verbose: bool,
    /// The query.
    pub select: Select,
}

/// What statements that tell about tables have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Show {
    /// `ON`: the database, the one of the request if absent.
    pub on: Option<String>,
    /// `FROM`: which tables, all if empty.
    pub from: Vec<Measurement>,
    /// `WHERE`.
    pub condition: Option<Condition>,
    /// `LIMIT`: rows of each table.
    pub limit: Option<u64>,
    /// `OFFSET`: rows of each table that are passed over.
    pub offset: Option<u64>,
    /// `SLIMIT`: tables.
    pub slimit: Option<u64>,
    /// `SOFFSET`: tables that are passed over.
    pub soffset: Option<u64>,
}

/// `SHOW MEASUREMENTS`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShowMeasurements {
    /// `ON`: the database, the one of the request if absent.
    pub on: Option<String>,
    /// `WITH MEASUREMENT`: which tables.
    pub with: Option<NameMatch>,
    /// `WHERE`.
    pub condition: Option<Condition>,
    /// `LIMIT`.
    pub limit: Option<u64>,
    /// `OFFSET`.
    pub offset: Option<u64>,
}

/// `SHOW TAG VALUES`.
#[derive(Clone, Debug, PartialEq)]
pub struct ShowTagValues {
    /// All but the keys.
    pub show: Show,
    /// `WITH KEY`: which tags.
    pub keys: NameMatch,
}

/// Which names are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameMatch {
    /// `= name`
    Equal(String),
    /// `!= name`
    NotEqual(String),
    /// `=~ /regex/`
    Matches(Regex),
    /// `!~ /regex/`
    NotMatches(Regex),
    /// `IN (name, ...)`
    In(Vec<String>),
}

/// `SHOW ... CARDINALITY`: how many there are. Whether `EXACT` was written makes no difference.
#[derive(Clone, Debug, PartialEq)]
pub struct ShowCardinality {
    /// What is counted.
    pub of: Counted,
    /// Of which tables and rows.
    pub show: Show,
}

/// What `SHOW ... CARDINALITY` counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Tables.
    Measurements,
    /// Combinations of tag values.
    Series,
    /// Tags.
    TagKeys,
    /// Fields.
    FieldKeys,
    /// Values of these tags.
    TagValues(NameMatch),
}

/// What is deleted.
#[derive(Clone, Debug, PartialEq)]
pub struct Deletion {
    /// Of which tables, all if empty. [`Deletion`]s name no database.
    pub from: Vec<MeasurementName>,
    /// Which rows, all if absent.
    pub condition: Option<Condition>,
}

/// A retention policy as `CREATE` and `ALTER` describe it.
#[derive(Clone, Debug, PartialEq)]
pub struct RetentionPolicy {
    /// The policy.
    pub name: String,
    /// Its database.
    pub database: String,
    /// What is said about it.
    pub options: PolicyOptions,
    /// `DEFAULT`.
    pub default: bool,
}

/// What is said about a retention policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyOptions {
    /// `DURATION`: how long rows are kept.
    pub duration: Option<Retention>,
    /// `REPLICATION`: the number of copies.
    pub replication: Option<u64>,
    /// `SHARD DURATION`.
    pub shard_duration: Option<Retention>,
    /// `NAME`, of the first policy of a new database only.
    pub name: Option<String>,
}

/// How long rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// `INF`.
    Forever,
    /// Nanoseconds; zero is forever too.
    For(i64),
}
