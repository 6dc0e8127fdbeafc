//! Statements other than `SELECT`.

use crate::{
    Condition, ContinuousQueryStatement, Measurement, MeasurementName, Regex, Select, SelectInto,
    ServerStatement, UserStatement,
};

/// One statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// `SELECT ...`
    Select(Box<Select>),
    /// `SELECT ... INTO ...`
    SelectInto(Box<SelectInto>),
    /// `EXPLAIN [ANALYZE] [VERBOSE] SELECT ...`
    Explain(Box<Explain>),
    /// `SHOW DATABASES`
    ShowDatabases,
    /// `SHOW RETENTION POLICIES [ON db]`
    ShowRetentionPolicies {
        /// The database; the request's database if absent.
        on: Option<String>,
    },
    /// `SHOW MEASUREMENTS ...`
    ShowMeasurements(ShowMeasurements),
    /// `SHOW TAG KEYS ...`
    ShowTagKeys(ShowTagKeys),
    /// `SHOW FIELD KEYS ...`
    ShowFieldKeys(ShowClauses),
    /// `SHOW TAG VALUES ... WITH KEY ...`
    ShowTagValues(ShowTagValues),
    /// `SHOW SERIES ...`
    ShowSeries(ShowClauses),
    /// `SHOW ... [EXACT] CARDINALITY ...`
    ShowCardinality(ShowCardinality),
    /// `CREATE DATABASE name [WITH ...]`
    CreateDatabase {
        /// The new database.
        name: String,
        /// The options after `WITH`.
        policy: Option<PolicyOptions>,
    },
    /// `DROP DATABASE name`
    DropDatabase(String),
    /// `DROP MEASUREMENT name`
    DropMeasurement(String),
    /// `DROP SERIES [FROM ...] [WHERE ...]`
    DropSeries(DeleteClauses),
    /// `DELETE [FROM ...] [WHERE ...]`
    Delete(DeleteClauses),
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
    /// A statement about the server.
    Server(ServerStatement),
    /// A statement about continuous queries.
    ContinuousQuery(ContinuousQueryStatement),
    /// A statement that changes a user.
    User(UserStatement),
}

/// `EXPLAIN`.
#[derive(Clone, Debug, PartialEq)]
pub struct Explain {
    /// `ANALYZE`: whether the query runs, to report its metrics.
    pub analyze: bool,
    /// `VERBOSE`: whether all plan details are shown.
    pub verbose: bool,
    /// The query.
    pub select: Select,
}

/// The clauses shared by `SHOW` statements about tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShowClauses {
    /// `ON`: the database; the request's database if absent.
    pub on: Option<String>,
    /// `FROM`: the tables; all if empty.
    pub from: Vec<Measurement>,
    /// `WHERE`.
    pub condition: Option<Condition>,
    /// `LIMIT`: maximum rows per table.
    pub limit: Option<u64>,
    /// `OFFSET`: rows skipped in each table.
    pub offset: Option<u64>,
    /// `SLIMIT`: maximum tables.
    pub slimit: Option<u64>,
    /// `SOFFSET`: tables skipped.
    pub soffset: Option<u64>,
}

/// `SHOW MEASUREMENTS`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShowMeasurements {
    /// `ON`: the database; the request's database if absent.
    pub on: Option<String>,
    /// `WITH MEASUREMENT`: selects tables by name.
    pub with: Option<NameMatch>,
    /// `WHERE`.
    pub condition: Option<Condition>,
    /// `LIMIT`.
    pub limit: Option<u64>,
    /// `OFFSET`.
    pub offset: Option<u64>,
}

/// `SHOW TAG KEYS`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShowTagKeys {
    /// The clauses other than `WITH KEY`.
    pub show: ShowClauses,
    /// `WITH KEY`: selects tags by name; all if absent.
    pub keys: Option<NameMatch>,
}

/// `SHOW TAG VALUES`.
#[derive(Clone, Debug, PartialEq)]
pub struct ShowTagValues {
    /// The clauses other than `WITH KEY`.
    pub show: ShowClauses,
    /// `WITH KEY`: selects tags by name.
    pub keys: NameMatch,
}

/// Selects names.
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

/// `SHOW ... CARDINALITY`: a count. `EXACT` makes no difference.
#[derive(Clone, Debug, PartialEq)]
pub struct ShowCardinality {
    /// The kind of thing counted.
    pub of: CardinalityTarget,
    /// The tables and rows counted over.
    pub show: ShowClauses,
}

/// The kind of thing that `SHOW ... CARDINALITY` counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CardinalityTarget {
    /// Tables.
    Measurements,
    /// Combinations of tag values.
    Series,
    /// Tags.
    TagKeys,
    /// Fields.
    FieldKeys,
    /// Values of the selected tags.
    TagValues(NameMatch),
}

/// The rows to delete.
#[derive(Clone, Debug, PartialEq)]
pub struct DeleteClauses {
    /// The tables; all if empty. A [`DeleteClauses`] does not name a database.
    pub from: Vec<MeasurementName>,
    /// The condition on rows; all rows if absent.
    pub condition: Option<Condition>,
}

/// A retention policy as described by `CREATE` and `ALTER`.
#[derive(Clone, Debug, PartialEq)]
pub struct RetentionPolicy {
    /// The name of the policy.
    pub name: String,
    /// Its database.
    pub database: String,
    /// The options of the policy.
    pub options: PolicyOptions,
    /// `DEFAULT`.
    pub default: bool,
}

/// The options of a retention policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyOptions {
    /// `DURATION`: the retention period.
    pub duration: Option<RetentionDuration>,
    /// `REPLICATION`: the number of copies.
    pub replication: Option<u64>,
    /// `SHARD DURATION`.
    pub shard_duration: Option<RetentionDuration>,
    /// `NAME`: allowed only for the first policy of a new database.
    pub name: Option<String>,
}

/// A retention period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetentionDuration {
    /// `INF`.
    Forever,
    /// A length in nanoseconds; zero also means forever.
    For(i64),
}
