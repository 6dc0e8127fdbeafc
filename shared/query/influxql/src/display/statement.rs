//! Writes all statements other than `SELECT` as text.

use std::fmt::{self, Display, Formatter};

use super::{DurationLiteral, Identifier, select::limits, write_separated};
use crate::{
    CardinalityTarget, Condition, DeleteClauses, Explain, Measurement, NameMatch, PolicyOptions,
    RetentionDuration, RetentionPolicy, ShowCardinality, ShowClauses, ShowMeasurements,
    ShowTagKeys, ShowTagValues, Statement,
};

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Select(select) => select.fmt(f),
            Self::SelectInto(stored) => stored.fmt(f),
            Self::Explain(explain) => explain.fmt(f),
            Self::ShowDatabases => f.write_str("SHOW DATABASES"),
            Self::ShowRetentionPolicies { on } => {
                f.write_str("SHOW RETENTION POLICIES")?;
                on_database(f, on)
            }
            Self::ShowMeasurements(show) => show.fmt(f),
            Self::ShowTagKeys(show) => show.fmt(f),
            Self::ShowFieldKeys(show) => write!(f, "SHOW FIELD KEYS{show}"),
            Self::ShowTagValues(show) => show.fmt(f),
            Self::ShowSeries(show) => write!(f, "SHOW SERIES{show}"),
            Self::ShowCardinality(show) => show.fmt(f),
            Self::CreateDatabase { name, policy } => {
                write!(f, "CREATE DATABASE {}", Identifier(name))?;
                match policy {
                    Some(policy) => write!(f, " WITH{policy}"),
                    None => Ok(()),
                }
            }
            Self::DropDatabase(name) => write!(f, "DROP DATABASE {}", Identifier(name)),
            Self::DropMeasurement(name) => write!(f, "DROP MEASUREMENT {}", Identifier(name)),
            Self::DropSeries(deletion) => write!(f, "DROP SERIES{deletion}"),
            Self::Delete(deletion) => write!(f, "DELETE{deletion}"),
            Self::CreateRetentionPolicy(policy) => write!(f, "CREATE {policy}"),
            Self::AlterRetentionPolicy(policy) => write!(f, "ALTER {policy}"),
            Self::DropRetentionPolicy { name, database } => {
                let (name, database) = (Identifier(name), Identifier(database));
                write!(f, "DROP RETENTION POLICY {name} ON {database}")
            }
            Self::Server(statement) => statement.fmt(f),
            Self::ContinuousQuery(statement) => statement.fmt(f),
            Self::User(statement) => statement.fmt(f),
        }
    }
}

fn on_database(f: &mut Formatter<'_>, on: &Option<String>) -> fmt::Result {
    match on {
        Some(database) => write!(f, " ON {}", Identifier(database)),
        None => Ok(()),
    }
}

fn from_tables<T: Display>(f: &mut Formatter<'_>, from: &[T]) -> fmt::Result {
    if from.is_empty() {
        return Ok(());
    }
    f.write_str(" FROM ")?;
    write_separated(f, from, ", ")
}

fn where_clause(f: &mut Formatter<'_>, condition: &Option<Condition>) -> fmt::Result {
    match condition {
        Some(condition) => write!(f, " WHERE {condition}"),
        None => Ok(()),
    }
}

impl Display for Explain {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("EXPLAIN ")?;
        if self.analyze {
            f.write_str("ANALYZE ")?;
        }
        if self.verbose {
            f.write_str("VERBOSE ")?;
        }
        self.select.fmt(f)
    }
}

impl ShowClauses {
    fn head(&self, f: &mut Formatter<'_>) -> fmt::Result {
        on_database(f, &self.on)?;
        from_tables::<Measurement>(f, &self.from)
    }

    fn tail(&self, f: &mut Formatter<'_>) -> fmt::Result {
        where_clause(f, &self.condition)?;
        limits(f, [self.limit, self.offset, self.slimit, self.soffset])
    }
}

impl Display for ShowClauses {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.tail(f)
    }
}

impl Display for ShowMeasurements {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("SHOW MEASUREMENTS")?;
        on_database(f, &self.on)?;
        if let Some(with) = &self.with {
            write!(f, " WITH MEASUREMENT {with}")?;
        }
        where_clause(f, &self.condition)?;
        limits(f, [self.limit, self.offset, None, None])
    }
}

impl Display for ShowTagKeys {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("SHOW TAG KEYS")?;
        self.show.head(f)?;
        if let Some(keys) = &self.keys {
            write!(f, " WITH KEY {keys}")?;
        }
        self.show.tail(f)
    }
}

impl Display for ShowTagValues {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("SHOW TAG VALUES")?;
        self.show.head(f)?;
        write!(f, " WITH KEY {}", self.keys)?;
        self.show.tail(f)
    }
}

impl Display for NameMatch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equal(name) => write!(f, "= {}", Identifier(name)),
            Self::NotEqual(name) => write!(f, "!= {}", Identifier(name)),
            Self::Matches(regex) => write!(f, "=~ {regex}"),
            Self::NotMatches(regex) => write!(f, "!~ {regex}"),
            Self::In(names) => {
                f.write_str("IN (")?;
                write_separated(f, names.iter().map(|name| Identifier(name)), ", ")?;
                f.write_str(")")
            }
        }
    }
}

impl Display for ShowCardinality {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let what = match &self.of {
            CardinalityTarget::Measurements => "MEASUREMENT",
            CardinalityTarget::Series => "SERIES",
            CardinalityTarget::TagKeys => "TAG KEY",
            CardinalityTarget::FieldKeys => "FIELD KEY",
            CardinalityTarget::TagValues(_) => "TAG VALUES",
        };
        write!(f, "SHOW {what} CARDINALITY")?;
        self.show.head(f)?;
        if let CardinalityTarget::TagValues(keys) = &self.of {
            write!(f, " WITH KEY {keys}")?;
        }
        self.show.tail(f)
    }
}

impl Display for DeleteClauses {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        from_tables(f, &self.from)?;
        where_clause(f, &self.condition)
    }
}

impl Display for RetentionPolicy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (name, database) = (Identifier(&self.name), Identifier(&self.database));
        write!(f, "RETENTION POLICY {name} ON {database}{}", self.options)?;
        if self.default {
            f.write_str(" DEFAULT")
        } else {
            Ok(())
        }
    }
}

impl Display for PolicyOptions {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(duration) = self.duration {
            write!(f, " DURATION {duration}")?;
        }
        if let Some(replication) = self.replication {
            write!(f, " REPLICATION {replication}")?;
        }
        if let Some(duration) = self.shard_duration {
            write!(f, " SHARD DURATION {duration}")?;
        }
        match &self.name {
            Some(name) => write!(f, " NAME {}", Identifier(name)),
            None => Ok(()),
        }
    }
}

impl Display for RetentionDuration {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forever => f.write_str("INF"),
            Self::For(nanos) => DurationLiteral(*nanos).fmt(f),
        }
    }
}
