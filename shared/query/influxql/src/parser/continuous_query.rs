//! Parses statements about continuous queries.

use super::{Parser, Result};
use crate::{ContinuousQuery, ContinuousQueryStatement, Statement, lexer::Token};

const NAME: &str = "invalid statement, expected the name of a continuous query";

impl Parser<'_> {
    /// Parses the rest of `CREATE CONTINUOUS QUERY`. The next token is the one after `CONTINUOUS`.
    pub(super) fn create_continuous_query(&mut self) -> Result<Statement> {
        let (name, database) = self.continuous_query_name()?;
        let (mut every, mut period) = (None, None);
        if self.take_word("RESAMPLE")? {
            if self.take_word("EVERY")? {
                every = Some(self.positive_duration("EVERY")?);
            }
            if self.take_word("FOR")? {
                period = Some(self.positive_duration("FOR")?);
            }
            if every.is_none() && period.is_none() {
                return Err(self.expected("invalid RESAMPLE clause, expected EVERY or FOR"));
            }
        }
        let message = "invalid CREATE CONTINUOUS QUERY statement, expected RESAMPLE or BEGIN";
        self.expect_word("BEGIN", message)?;
        let query = if self.is_word("SELECT") {
            self.select_statement()?
        } else {
            return Err(self.expected("invalid CREATE CONTINUOUS QUERY statement, expected SELECT"));
        };
        let Statement::SelectInto(query) = query else {
            return Err(self.expected(
                "invalid CREATE CONTINUOUS QUERY statement, expected INTO in its query",
            ));
        };
        self.expect_word("END", "invalid CREATE CONTINUOUS QUERY statement, expected END")?;
        let query = ContinuousQuery { name, database, every, period, query: *query };
        let statement = ContinuousQueryStatement::Create(Box::new(query));
        Ok(Statement::ContinuousQuery(statement))
    }

    /// Parses the rest of `DROP CONTINUOUS QUERY`. The next token is the one after `CONTINUOUS`.
    pub(super) fn drop_continuous_query(&mut self) -> Result<Statement> {
        let (name, database) = self.continuous_query_name()?;
        let statement = ContinuousQueryStatement::Drop { name, database };
        Ok(Statement::ContinuousQuery(statement))
    }

    /// Parses the rest of `SHOW CONTINUOUS QUERIES`. The next token is the one after `CONTINUOUS`.
    pub(super) fn show_continuous_queries(&mut self) -> Result<Statement> {
        let message = "invalid SHOW CONTINUOUS QUERIES statement, expected QUERIES";
        self.expect_word("QUERIES", message)?;
        Ok(Statement::ContinuousQuery(ContinuousQueryStatement::Show))
    }

    fn continuous_query_name(&mut self) -> Result<(String, String)> {
        self.expect_word("QUERY", "invalid statement, expected QUERY")?;
        let name = self.name(NAME)?;
        self.expect_word("ON", "invalid statement, expected ON")?;
        let database = self.name("invalid statement, expected the name of a database")?;
        Ok((name, database))
    }

    fn positive_duration(&mut self, clause: &str) -> Result<i64> {
        let Token::Duration(nanos) = self.peeked.token else {
            return Err(self.expected(format!("invalid {clause} clause, expected duration")));
        };
        let nanos = i64::try_from(nanos).unwrap_or(i64::MAX);
        if nanos == 0 {
            return Err(
                self.expected(format!("invalid {clause} clause, expected a duration above zero"))
            );
        }
        self.advance()?;
        Ok(nanos)
    }
}
