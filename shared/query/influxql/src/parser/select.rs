//! Parses `SELECT` and `EXPLAIN`.

use super::{Parser, Result, limits::StatementElement};
use crate::{
    Dimension, Explain, Field, Fill, IntoTarget, Literal, Measurement, MeasurementName, Select,
    SelectInto, SelectSource, Statement, TimeOrder, WindowLength, lexer::Token,
};

impl Parser<'_> {
    pub(super) fn explain(&mut self) -> Result<Explain> {
        self.advance()?;
        let analyze = self.take_word("ANALYZE")?;
        let verbose = self.take_word("VERBOSE")?;
        if !self.is_word("SELECT") {
            return Err(self.expected("invalid EXPLAIN statement, expected SELECT"));
        }
        Ok(Explain { analyze, verbose, select: self.select()? })
    }

    /// Parses a query that may store its rows. The next token is `SELECT`.
    pub(super) fn select_statement(&mut self) -> Result<Statement> {
        self.advance()?;
        let fields = self.list(Self::field)?;
        let target = if self.take_word("INTO")? {
            Some(self.target()?)
        } else {
            None
        };
        let select = self.select_from(fields)?;
        Ok(match target {
            Some(target) => Statement::SelectInto(Box::new(SelectInto { select, target })),
            None => Statement::Select(Box::new(select)),
        })
    }

    /// Parses a query. The next token is `SELECT`.
    pub(super) fn select(&mut self) -> Result<Select> {
        self.advance()?;
        let fields = self.list(Self::field)?;
        self.select_from(fields)
    }

    /// Parses the clauses of a query from `FROM` on.
    fn select_from(&mut self, fields: Vec<Field>) -> Result<Select> {
        self.expect_word("FROM", "invalid SELECT statement, expected FROM")?;
        Ok(Select {
            fields,
            from: self.list(Self::source)?,
            condition: self.where_clause()?,
            group_by: self.group_by()?,
            fill: self.fill()?,
            order: self.order_by()?,
            limit: self.clause_number("LIMIT")?,
            offset: self.clause_number("OFFSET")?,
            slimit: self.clause_number("SLIMIT")?,
            soffset: self.clause_number("SOFFSET")?,
            time_zone: self.time_zone()?,
        })
    }

    /// Parses `name`, `rp.name`, `db.rp.name` or `db..name`, with `:MEASUREMENT` in place of the name.
    fn target(&mut self) -> Result<IntoTarget> {
        let mut names = Vec::new();
        loop {
            if self.take_symbol(":")? {
                self.expect_word("MEASUREMENT", "invalid INTO clause, expected MEASUREMENT")?;
                return Ok(target_of(names, None));
            }
            names.push(if self.is_symbol(".") && names.len() == 1 {
                // The default retention policy.
                None
            } else {
                Some(self.name("invalid INTO clause, expected identifier")?)
            });
            if names.len() == 3 || !self.take_symbol(".")? {
                let table = names.pop().flatten();
                return Ok(target_of(names, table));
            }
        }
    }

    fn field(&mut self) -> Result<Field> {
        self.count(StatementElement::Field)?;
        let expr = self.expr()?;
        let alias = if self.take_word("AS")? {
            Some(self.name("invalid field alias, expected an identifier")?)
        } else {
            None
        };
        Ok(Field { expr, alias })
    }

    fn source(&mut self) -> Result<SelectSource> {
        if !self.is_symbol("(") {
            return Ok(SelectSource::Measurement(self.measurement()?));
        }
        self.count(StatementElement::Table)?;
        let select = self.nested(|parser| {
            parser.advance()?;
            if parser.is_word("SELECT") {
                parser.select()
            } else {
                Err(parser.expected("invalid subquery, expected SELECT"))
            }
        })?;
        self.expect_symbol(")", "invalid subquery, expected ')'")?;
        Ok(SelectSource::Subquery(Box::new(select)))
    }

    /// Parses `name`, `rp.name`, `db.rp.name` or `db..name`.
    pub(super) fn measurement(&mut self) -> Result<Measurement> {
        const MESSAGE: &str = "invalid FROM clause, expected identifier or regular expression";
        self.count(StatementElement::Table)?;
        let mut measurement = Measurement {
            database: None,
            retention_policy: None,
            name: self.measurement_name(MESSAGE)?,
        };
        // The first name parsed may turn out to be a retention policy, and then a database.
        for _ in 0..2 {
            let MeasurementName::Name(name) = &measurement.name else {
                break;
            };
            let name = name.clone();
            if !self.take_symbol(".")? {
                break;
            }
            measurement.database = measurement.retention_policy.take();
            if measurement.database.is_none() && self.take_symbol(".")? {
                measurement.database = Some(name);
                measurement.name = self.measurement_name(MESSAGE)?;
                break;
            }
            measurement.retention_policy = Some(name);
            measurement.name = self.measurement_name(MESSAGE)?;
        }
        Ok(measurement)
    }

    pub(super) fn measurement_name(&mut self, message: &str) -> Result<MeasurementName> {
        Ok(match self.take_regex()? {
            Some(regex) => MeasurementName::Regex(regex),
            None => MeasurementName::Name(self.name(message)?),
        })
    }

    fn group_by(&mut self) -> Result<Vec<Dimension>> {
        if !self.take_word("GROUP")? {
            return Ok(Vec::new());
        }
        self.expect_word("BY", "invalid GROUP BY clause, expected BY")?;
        let start = self.peeked.start;
        let dimensions = self.list(Self::dimension)?;
        let is_time = |dimension: &&Dimension| matches!(dimension, Dimension::Time { .. });
        if dimensions.iter().filter(is_time).count() > 1 {
            let text = "invalid GROUP BY clause, multiple TIME dimensions are not allowed";
            return Err(crate::ParseError::new(text, start));
        }
        Ok(dimensions)
    }

    fn dimension(&mut self) -> Result<Dimension> {
        const MESSAGE: &str =
            "invalid GROUP BY clause, expected wildcard, TIME, identifier or regular expression";
        self.count(StatementElement::Dimension)?;
        if let Some(regex) = self.take_regex()? {
            return Ok(Dimension::Regex(regex));
        }
        if self.take_symbol("*")? {
            return Ok(Dimension::Wildcard);
        }
        let is_time = self.is_word("TIME");
        let name = self.name(MESSAGE)?;
        if is_time && self.take_symbol("(")? {
            return self.nested(Self::time_call);
        }
        if self.take_symbol("::")? {
            self.expect_word("TAG", "invalid GROUP BY clause, expected tag after '::'")?;
        }
        Ok(Dimension::Tag(name))
    }

    /// Parses the arguments of `time(`.
    fn time_call(&mut self) -> Result<Dimension> {
        let start = self.peeked.start;
        let every = if let Token::Months(months) = self.peeked.token {
            self.advance()?;
            (months > 0).then_some(WindowLength::Months(months))
        } else if let Some(Literal::Duration(nanos)) = self.literal()? {
            (nanos > 0).then_some(WindowLength::Nanos(nanos))
        } else {
            None
        };
        let offset = if self.take_symbol(",")? {
            Some(self.expr()?)
        } else {
            None
        };
        self.expect_symbol(")", "invalid TIME call, expected ')'")?;
        match every {
            Some(every) => Ok(Dimension::Time { every, offset }),
            None => Err(crate::ParseError::new(
                "invalid TIME call, expected a duration above zero",
                start,
            )),
        }
    }

    fn fill(&mut self) -> Result<Option<Fill>> {
        const MESSAGE: &str =
            "invalid FILL option, expected NULL, NONE, PREVIOUS, LINEAR, or a number";
        if !self.take_word("FILL")? {
            return Ok(None);
        }
        self.expect_symbol("(", "invalid FILL option, expected '('")?;
        let word = match self.word().as_deref() {
            Some("NULL") => Some(Fill::Null),
            Some("NONE") => Some(Fill::None),
            Some("PREVIOUS") => Some(Fill::Previous),
            Some("LINEAR") => Some(Fill::Linear),
            Some(_) => return Err(self.expected(MESSAGE)),
            None => None,
        };
        let fill = match word {
            Some(fill) => {
                self.advance()?;
                fill
            }
            None => Fill::Value(self.number(MESSAGE)?),
        };
        self.expect_symbol(")", "invalid FILL option, expected ')'")?;
        Ok(Some(fill))
    }

    /// Parses a number with an optional sign.
    fn number(&mut self, message: &str) -> Result<Literal> {
        let start = self.peeked.start;
        match self.expr()? {
            crate::Expr::Literal(
                number @ (Literal::Integer(_) | Literal::Unsigned(_) | Literal::Float(_)),
            ) => Ok(number),
            _ => Err(crate::ParseError::new(message, start)),
        }
    }

    /// Parses `ORDER BY time`, `ORDER BY time DESC` or `ORDER BY DESC`.
    fn order_by(&mut self) -> Result<Option<TimeOrder>> {
        if !self.take_word("ORDER")? {
            return Ok(None);
        }
        self.expect_word("BY", "invalid ORDER BY clause, expected BY")?;
        let start = self.peeked.start;
        let named = match self.take_name()? {
            Some(name) if name != "time" => {
                let text = "invalid ORDER BY clause, expected TIME column";
                return Err(crate::ParseError::new(text, start));
            }
            name => name.is_some(),
        };
        if self.take_word("DESC")? {
            return Ok(Some(TimeOrder::Descending));
        }
        if self.take_word("ASC")? || named {
            Ok(Some(TimeOrder::Ascending))
        } else {
            Err(self.expected("invalid ORDER BY, expected ASC, DESC or TIME"))
        }
    }

    fn time_zone(&mut self) -> Result<Option<String>> {
        if !self.take_word("TZ")? {
            return Ok(None);
        }
        self.expect_symbol("(", "invalid TZ clause, expected '('")?;
        let Token::String(zone) = &self.peeked.token else {
            return Err(self.expected("invalid TZ clause, expected a string"));
        };
        let zone = zone.clone();
        self.advance()?;
        self.expect_symbol(")", "invalid TZ clause, expected ')'")?;
        Ok(Some(zone))
    }
}

/// Returns the target with at most two names before the table: a retention policy, or a database and a retention policy.
fn target_of(qualifiers: Vec<Option<String>>, table: Option<String>) -> IntoTarget {
    let mut names = qualifiers.into_iter().rev();
    IntoTarget {
        retention_policy: names.next().flatten(),
        database: names.next().flatten(),
        table,
    }
}
