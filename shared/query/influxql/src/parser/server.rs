//! Parses statements about the server.

use super::{Parser, Result, show::UNKNOWN};
use crate::{ParseError, ServerStatement, Statement, lexer::Token};

/// Returns the error of InfluxDB 3, which has no `SHOW` statements about the server, for the text of one.
pub fn unknown_show_error(text: &str) -> ParseError {
    let after_show = text.get("SHOW".len()..).unwrap_or_default();
    let space = after_show.len() - after_show.trim_start().len();
    ParseError::new(UNKNOWN, "SHOW".len() + space)
}

impl Parser<'_> {
    /// Parses the rest of a `SHOW` statement about the server; `None` if the next word begins another one.
    pub(super) fn show_server(&mut self) -> Result<Option<ServerStatement>> {
        let Some(word) = self.word() else {
            return Ok(None);
        };
        let statement = match word.as_str() {
            "STATS" | "DIAGNOSTICS" => {
                self.advance()?;
                let module = self.module()?;
                return Ok(Some(match word.as_str() {
                    "STATS" => ServerStatement::ShowStats { module },
                    _ => ServerStatement::ShowDiagnostics { module },
                }));
            }
            "SHARD" => {
                self.advance()?;
                let message = "invalid SHOW SHARD statement, expected GROUPS";
                self.expect_word("GROUPS", message)?;
                return Ok(Some(ServerStatement::ShowShardGroups));
            }
            "GRANTS" => {
                self.advance()?;
                self.expect_word("FOR", "invalid SHOW GRANTS statement, expected FOR")?;
                let user = self.name("invalid SHOW GRANTS statement, expected identifier")?;
                return Ok(Some(ServerStatement::ShowGrants { user }));
            }
            "SHARDS" => ServerStatement::ShowShards,
            "SUBSCRIPTIONS" => ServerStatement::ShowSubscriptions,
            "USERS" => ServerStatement::ShowUsers,
            "QUERIES" => ServerStatement::ShowQueries,
            _ => return Ok(None),
        };
        self.advance()?;
        Ok(Some(statement))
    }

    fn module(&mut self) -> Result<Option<String>> {
        if !self.take_word("FOR")? {
            return Ok(None);
        }
        let Token::String(module) = &self.peeked.token else {
            return Err(self.expected("invalid FOR clause, expected a string"));
        };
        let module = module.clone();
        self.advance()?;
        Ok(Some(module))
    }

    /// Parses `KILL QUERY`. The next token is `KILL`.
    pub(super) fn kill(&mut self) -> Result<Statement> {
        self.advance()?;
        self.expect_word("QUERY", "invalid KILL statement, expected QUERY")?;
        let Token::Integer(id) = self.peeked.token else {
            return Err(self.expected("invalid KILL QUERY statement, expected unsigned integer"));
        };
        self.advance()?;
        let host = if self.take_word("ON")? {
            Some(self.name("invalid ON clause, expected identifier")?)
        } else {
            None
        };
        Ok(Statement::Server(ServerStatement::KillQuery { id, host }))
    }
}
