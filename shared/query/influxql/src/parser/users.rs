//! Parses statements that change users.

use super::{Parser, Result};
use crate::{Password, Privilege, Statement, UserPrivilege, UserStatement, lexer::Token};

const USER: &str = "invalid statement, expected the name of a user";

impl Parser<'_> {
    /// Parses the rest of `CREATE USER`.
    pub(super) fn create_user(&mut self) -> Result<Statement> {
        const MESSAGE: &str = "invalid CREATE USER statement, expected WITH PASSWORD";
        let user = self.name(USER)?;
        self.expect_word("WITH", MESSAGE)?;
        self.expect_word("PASSWORD", MESSAGE)?;
        let password = self.password()?;
        let is_admin = self.take_word("WITH")?;
        if is_admin {
            let message = "invalid CREATE USER statement, expected ALL PRIVILEGES";
            self.expect_word("ALL", message)?;
            self.expect_word("PRIVILEGES", message)?;
        }
        Ok(Statement::User(UserStatement::Create { user, password, is_admin }))
    }

    /// Parses the rest of `DROP USER`.
    pub(super) fn drop_user(&mut self) -> Result<Statement> {
        let user = self.name(USER)?;
        Ok(Statement::User(UserStatement::Drop { user }))
    }

    /// Parses `SET PASSWORD`. The next token is `SET`.
    pub(super) fn set_password(&mut self) -> Result<Statement> {
        const MESSAGE: &str = "invalid SET statement, expected PASSWORD FOR";
        self.advance()?;
        self.expect_word("PASSWORD", MESSAGE)?;
        self.expect_word("FOR", MESSAGE)?;
        let user = self.name(USER)?;
        self.expect_symbol("=", "invalid SET PASSWORD statement, expected '='")?;
        let password = self.password()?;
        Ok(Statement::User(UserStatement::SetPassword { user, password }))
    }

    /// Parses `GRANT`. The next token is `GRANT`.
    pub(super) fn grant(&mut self) -> Result<Statement> {
        let privilege = self.user_privilege("TO", "invalid GRANT statement, expected TO")?;
        Ok(Statement::User(UserStatement::Grant(privilege)))
    }

    /// Parses `REVOKE`. The next token is `REVOKE`.
    pub(super) fn revoke(&mut self) -> Result<Statement> {
        let privilege = self.user_privilege("FROM", "invalid REVOKE statement, expected FROM")?;
        Ok(Statement::User(UserStatement::Revoke(privilege)))
    }

    /// Parses a privilege, its database, and, after the keyword `before_user`, the user.
    fn user_privilege(&mut self, before_user: &str, message: &str) -> Result<UserPrivilege> {
        self.advance()?;
        let privilege = match self.word().as_deref() {
            Some("READ") => Privilege::Read,
            Some("WRITE") => Privilege::Write,
            Some("ALL") => Privilege::All,
            _ => {
                let text = "invalid privilege, expected READ, WRITE or ALL PRIVILEGES";
                return Err(self.expected(text));
            }
        };
        self.advance()?;
        if privilege == Privilege::All {
            self.take_word("PRIVILEGES")?;
        }
        let database = if privilege != Privilege::All || self.is_word("ON") {
            self.expect_word("ON", "invalid privilege, expected ON and a database")?;
            Some(self.name("invalid privilege, expected the name of a database")?)
        } else {
            None
        };
        self.expect_word(before_user, message)?;
        Ok(UserPrivilege { privilege, database, user: self.name(USER)? })
    }

    fn password(&mut self) -> Result<Password> {
        let Token::String(text) = &self.peeked.token else {
            return Err(self.expected("invalid password, expected a string"));
        };
        let password = Password::new(text.clone());
        self.advance()?;
        Ok(password)
    }
}
