//! Writes the `SELECT` statement as text.

use std::fmt::{self, Display, Formatter, Write};

use super::{DurationLiteral, Identifier, StringLiteral, write_separated};
use crate::{
    Dimension, Field, Fill, Measurement, MeasurementName, Select, SelectSource, TimeOrder,
};

impl Display for Select {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("SELECT ")?;
        write_separated(f, &self.fields, ", ")?;
        f.write_str(" FROM ")?;
        write_separated(f, &self.from, ", ")?;
        if let Some(condition) = &self.condition {
            write!(f, " WHERE {condition}")?;
        }
        if !self.group_by.is_empty() {
            f.write_str(" GROUP BY ")?;
            write_separated(f, &self.group_by, ", ")?;
        }
        if let Some(fill) = &self.fill {
            write!(f, " FILL({fill})")?;
        }
        match self.order {
            Some(TimeOrder::Ascending) => f.write_str(" ORDER BY time ASC")?,
            Some(TimeOrder::Descending) => f.write_str(" ORDER BY time DESC")?,
            None => {}
        }
        limits(f, [self.limit, self.offset, self.slimit, self.soffset])?;
        match &self.time_zone {
            Some(zone) => write!(f, " TZ({})", StringLiteral(zone)),
            None => Ok(()),
        }
    }
}

/// Writes `LIMIT`, `OFFSET`, `SLIMIT` and `SOFFSET`.
pub(super) fn limits(f: &mut Formatter<'_>, limits: [Option<u64>; 4]) -> fmt::Result {
    for (clause, limit) in ["LIMIT", "OFFSET", "SLIMIT", "SOFFSET"].iter().zip(limits) {
        if let Some(limit) = limit {
            write!(f, " {clause} {limit}")?;
        }
    }
    Ok(())
}

impl Display for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)?;
        match &self.alias {
            Some(alias) => write!(f, " AS {}", Identifier(alias)),
            None => Ok(()),
        }
    }
}

impl Display for SelectSource {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Measurement(measurement) => measurement.fmt(f),
            Self::Subquery(select) => write!(f, "({select})"),
        }
    }
}

impl Display for Measurement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(database) = &self.database {
            write!(f, "{}.", Identifier(database))?;
        }
        match (&self.retention_policy, &self.database) {
            (Some(policy), _) => write!(f, "{}.", Identifier(policy))?,
            (None, Some(_)) => f.write_char('.')?,
            (None, None) => {}
        }
        self.name.fmt(f)
    }
}

impl Display for MeasurementName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => Identifier(name).fmt(f),
            Self::Regex(regex) => regex.fmt(f),
        }
    }
}

impl Display for Dimension {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time { every, offset } => {
                write!(f, "TIME({}", DurationLiteral(*every))?;
                if let Some(offset) = offset {
                    write!(f, ", {offset}")?;
                }
                f.write_char(')')
            }
            Self::Tag(tag) => Identifier(tag).fmt(f),
            Self::Regex(regex) => regex.fmt(f),
            Self::Wildcard => f.write_char('*'),
        }
    }
}

impl Display for Fill {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::None => f.write_str("NONE"),
            Self::Previous => f.write_str("PREVIOUS"),
            Self::Linear => f.write_str("LINEAR"),
            Self::Value(number) => number.fmt(f),
        }
    }
}
