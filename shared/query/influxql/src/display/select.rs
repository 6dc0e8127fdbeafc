//! Writes the `SELECT` statement as text.

use std::fmt::{self, Display, Formatter, Write};

use super::{DurationLiteral, Identifier, StringLiteral, write_separated};
use crate::{
    Dimension, Field, Fill, IntoTarget, Measurement, MeasurementName, Select, SelectInto,
    SelectSource, TimeOrder, WindowLength,
};

impl Display for Select {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.fmt_into(None, f)
    }
}

impl Display for SelectInto {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.select.fmt_into(Some(&self.target), f)
    }
}

impl Select {
    /// Writes the statement with a target.
    fn fmt_into(&self, target: Option<&IntoTarget>, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("SELECT ")?;
        write_separated(f, &self.fields, ", ")?;
        if let Some(target) = target {
            write!(f, " INTO {target}")?;
        }
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

/// Writes the database and the retention policy before the name of a table.
fn write_qualifiers(
    f: &mut Formatter<'_>,
    database: &Option<String>,
    retention_policy: &Option<String>,
) -> fmt::Result {
    if let Some(database) = database {
        write!(f, "{}.", Identifier(database))?;
    }
    match (retention_policy, database) {
        (Some(policy), _) => write!(f, "{}.", Identifier(policy)),
        (None, Some(_)) => f.write_char('.'),
        (None, None) => Ok(()),
    }
}

impl Display for Measurement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_qualifiers(f, &self.database, &self.retention_policy)?;
        self.name.fmt(f)
    }
}

impl Display for IntoTarget {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_qualifiers(f, &self.database, &self.retention_policy)?;
        match &self.table {
            Some(table) => Identifier(table).fmt(f),
            None => f.write_str(":MEASUREMENT"),
        }
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
                write!(f, "TIME({every}")?;
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

impl Display for WindowLength {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let months = match self {
            Self::Nanos(nanos) => return DurationLiteral(*nanos).fmt(f),
            Self::Months(months) => months,
        };
        for (number, unit) in [(months / 12, "y"), (months % 12, "mo")] {
            if number > 0 {
                write!(f, "{number}{unit}")?;
            }
        }
        Ok(())
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
