//! Parses statements that change databases, retention policies or rows.

use super::{Parser, Result, limits::StatementElement};
use crate::{
    DeleteClauses, PolicyOptions, RetentionDuration, RetentionPolicy, Statement, lexer::Token,
};

const DATABASE: &str = "invalid statement, expected the name of a database";
const POLICY: &str = "invalid statement, expected the name of a retention policy";

impl Parser<'_> {
    pub(super) fn create(&mut self) -> Result<Statement> {
        self.advance()?;
        if self.take_word("DATABASE")? {
            let name = self.name(DATABASE)?;
            let policy = if self.take_word("WITH")? {
                Some(self.policy_options(true)?.0)
            } else {
                None
            };
            return Ok(Statement::CreateDatabase { name, policy });
        }
        if self.take_word("RETENTION")? {
            return Ok(Statement::CreateRetentionPolicy(self.policy()?));
        }
        if self.take_word("CONTINUOUS")? {
            return self.create_continuous_query();
        }
        if self.take_word("USER")? {
            return self.create_user();
        }
        let text = "invalid CREATE statement, expected DATABASE, RETENTION POLICY, CONTINUOUS QUERY or USER";
        Err(self.expected(text))
    }

    pub(super) fn alter(&mut self) -> Result<Statement> {
        self.advance()?;
        self.expect_word("RETENTION", "invalid ALTER statement, expected RETENTION POLICY")?;
        Ok(Statement::AlterRetentionPolicy(self.policy()?))
    }

    pub(super) fn drop_statement(&mut self) -> Result<Statement> {
        self.advance()?;
        if self.take_word("DATABASE")? {
            return Ok(Statement::DropDatabase(self.name(DATABASE)?));
        }
        if self.take_word("MEASUREMENT")? {
            let message = "invalid DROP MEASUREMENT statement, expected identifier";
            return Ok(Statement::DropMeasurement(self.name(message)?));
        }
        if self.take_word("SERIES")? {
            return Ok(Statement::DropSeries(self.deletion()?));
        }
        if self.take_word("RETENTION")? {
            let (name, database) = self.policy_name()?;
            return Ok(Statement::DropRetentionPolicy { name, database });
        }
        if self.take_word("CONTINUOUS")? {
            return self.drop_continuous_query();
        }
        if self.take_word("USER")? {
            return self.drop_user();
        }
        let text = "invalid DROP statement, expected DATABASE, MEASUREMENT, SERIES, RETENTION POLICY, \
                    CONTINUOUS QUERY or USER";
        Err(self.expected(text))
    }

    pub(super) fn delete(&mut self) -> Result<Statement> {
        self.advance()?;
        Ok(Statement::Delete(self.deletion()?))
    }

    fn deletion(&mut self) -> Result<DeleteClauses> {
        let message = "invalid FROM clause, expected identifier or regular expression";
        let from = if self.take_word("FROM")? {
            self.list(|parser| {
                parser.count(StatementElement::Table)?;
                parser.measurement_name(message)
            })?
        } else {
            Vec::new()
        };
        let condition = self.where_clause()?;
        if from.is_empty() && condition.is_none() {
            return Err(self.expected("invalid DELETE statement, expected FROM or WHERE"));
        }
        Ok(DeleteClauses { from, condition })
    }

    /// Parses the clauses after `RETENTION`.
    fn policy(&mut self) -> Result<RetentionPolicy> {
        let (name, database) = self.policy_name()?;
        let (options, default) = self.policy_options(false)?;
        Ok(RetentionPolicy { name, database, options, default })
    }

    fn policy_name(&mut self) -> Result<(String, String)> {
        self.expect_word("POLICY", "invalid statement, expected POLICY")?;
        let name = self.name(POLICY)?;
        self.expect_word("ON", "invalid statement, expected ON")?;
        Ok((name, self.name(DATABASE)?))
    }

    /// Parses one or more options of a policy, in any order. The flag returned is whether the policy is the default.
    fn policy_options(&mut self, of_new_database: bool) -> Result<(PolicyOptions, bool)> {
        let mut options = PolicyOptions::default();
        let mut default = false;
        let start = self.peeked.start;
        loop {
            if let Some(number) = self.clause_number("REPLICATION")? {
                options.replication = Some(number);
            } else if self.take_word("DURATION")? {
                options.duration = Some(self.retention()?);
            } else if self.take_word("SHARD")? {
                self.expect_word("DURATION", "invalid statement, expected DURATION")?;
                options.shard_duration = Some(self.retention()?);
            } else if of_new_database && self.take_word("NAME")? {
                options.name = Some(self.name(POLICY)?);
            } else if !of_new_database && self.take_word("DEFAULT")? {
                default = true;
            } else if self.peeked.start == start {
                let text = "invalid statement, expected DURATION, REPLICATION or SHARD DURATION";
                return Err(self.expected(text));
            } else {
                return Ok((options, default));
            }
        }
    }

    fn retention(&mut self) -> Result<RetentionDuration> {
        if self.take_word("INF")? {
            return Ok(RetentionDuration::Forever);
        }
        let Token::Duration(nanos) = self.peeked.token else {
            return Err(self.expected("invalid DURATION clause, expected a duration or INF"));
        };
        self.advance()?;
        // The lexer has checked that the value fits.
        let nanos = i64::try_from(nanos).unwrap_or(i64::MAX);
        Ok(RetentionDuration::For(nanos))
    }
}
