//! Statements about continuous queries.

use std::fmt::{self, Display, Formatter};

use crate::{
    SelectInto,
    display::{DurationLiteral, Identifier},
};

/// A statement about continuous queries.
#[derive(Clone, Debug, PartialEq)]
pub enum ContinuousQueryStatement {
    /// `CREATE CONTINUOUS QUERY name ON db [RESAMPLE ...] BEGIN SELECT ... INTO ... END`
    Create(Box<ContinuousQuery>),
    /// `DROP CONTINUOUS QUERY name ON db`
    Drop {
        /// The name.
        name: String,
        /// Its database.
        database: String,
    },
    /// `SHOW CONTINUOUS QUERIES`
    Show,
}

/// The parts of `CREATE CONTINUOUS QUERY`.
#[derive(Clone, Debug, PartialEq)]
pub struct ContinuousQuery {
    /// The name.
    pub name: String,
    /// Its database.
    pub database: String,
    /// `RESAMPLE EVERY`, in nanoseconds.
    pub every: Option<i64>,
    /// `RESAMPLE FOR`, in nanoseconds.
    pub period: Option<i64>,
    /// The query between `BEGIN` and `END`.
    pub query: SelectInto,
}

impl ContinuousQueryStatement {
    /// The words that the statement begins with.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "CREATE CONTINUOUS QUERY",
            Self::Drop { .. } => "DROP CONTINUOUS QUERY",
            Self::Show => "SHOW CONTINUOUS QUERIES",
        }
    }
}

impl Display for ContinuousQueryStatement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(query) => query.fmt(f),
            Self::Drop { name, database } => {
                let (name, database) = (Identifier(name), Identifier(database));
                write!(f, "{} {name} ON {database}", self.name())
            }
            Self::Show => f.write_str(self.name()),
        }
    }
}

impl Display for ContinuousQuery {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (name, database) = (Identifier(&self.name), Identifier(&self.database));
        write!(f, "CREATE CONTINUOUS QUERY {name} ON {database}")?;
        if self.every.is_some() || self.period.is_some() {
            f.write_str(" RESAMPLE")?;
        }
        if let Some(every) = self.every {
            write!(f, " EVERY {}", DurationLiteral(every))?;
        }
        if let Some(period) = self.period {
            write!(f, " FOR {}", DurationLiteral(period))?;
        }
        write!(f, " BEGIN {} END", self.query)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Statement, parse};

    #[test]
    fn statements_are_parsed_and_written() {
        for text in [
            "CREATE CONTINUOUS QUERY cq ON db BEGIN SELECT mean(v) INTO t FROM s GROUP BY TIME(1h) END",
            "CREATE CONTINUOUS QUERY \"c q\" ON db RESAMPLE EVERY 30m FOR 2h BEGIN SELECT mean(v) INTO other.rp.t FROM \
             s GROUP BY TIME(1h, 15m), * END",
            "CREATE CONTINUOUS QUERY cq ON db RESAMPLE FOR 1h30m BEGIN SELECT max(v) INTO db..t FROM s GROUP BY TIME(1h), \
             host FILL(NONE) END",
            "DROP CONTINUOUS QUERY cq ON db",
            "SHOW CONTINUOUS QUERIES",
        ] {
            let statements = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!(matches!(statements.as_slice(), [Statement::ContinuousQuery(_)]), "{text}");
            assert_eq!(statements[0].to_string(), text);
        }
    }

    #[test]
    fn incomplete_statements_are_refused() {
        for text in [
            "CREATE CONTINUOUS QUERY cq BEGIN SELECT mean(v) INTO t FROM s GROUP BY time(1h) END",
            "CREATE CONTINUOUS QUERY cq ON db BEGIN SELECT mean(v) FROM s GROUP BY time(1h) END",
            "CREATE CONTINUOUS QUERY cq ON db BEGIN SELECT mean(v) INTO t FROM s GROUP BY time(1h)",
            "CREATE CONTINUOUS QUERY cq ON db RESAMPLE BEGIN SELECT mean(v) INTO t FROM s GROUP BY time(1h) END",
            "CREATE CONTINUOUS QUERY cq ON db RESAMPLE EVERY 0s BEGIN SELECT mean(v) INTO t FROM s GROUP BY time(1h) END",
            "DROP CONTINUOUS QUERY cq",
            "SHOW CONTINUOUS",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
