//! Statements that change users and their privileges.

use std::fmt::{self, Debug, Display, Formatter};

use crate::display::Identifier;

/// A statement that changes a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserStatement {
    /// `CREATE USER user WITH PASSWORD '...' [WITH ALL PRIVILEGES]`
    Create {
        /// The name of the new user.
        user: String,
        /// The password.
        password: Password,
        /// `WITH ALL PRIVILEGES`: whether the user is an administrator.
        is_admin: bool,
    },
    /// `DROP USER user`
    Drop {
        /// The user.
        user: String,
    },
    /// `SET PASSWORD FOR user = '...'`
    SetPassword {
        /// The user.
        user: String,
        /// The new password.
        password: Password,
    },
    /// `GRANT privilege [ON db] TO user`
    Grant(UserPrivilege),
    /// `REVOKE privilege [ON db] FROM user`
    Revoke(UserPrivilege),
}

/// A privilege and its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPrivilege {
    /// The privilege.
    pub privilege: Privilege,
    /// The database; `None`: all, of which `ALL PRIVILEGES` makes an administrator.
    pub database: Option<String>,
    /// The user.
    pub user: String,
}

/// The actions that a user may perform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// `READ`
    Read,
    /// `WRITE`
    Write,
    /// `ALL [PRIVILEGES]`
    All,
}

/// A password in a statement. Neither `Debug` nor `Display` shows it, so that it is in no log.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl Debug for Password {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl Display for Password {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("'[REDACTED]'")
    }
}

impl UserStatement {
    /// The words that the statement begins with.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "CREATE USER",
            Self::Drop { .. } => "DROP USER",
            Self::SetPassword { .. } => "SET PASSWORD",
            Self::Grant(_) => "GRANT",
            Self::Revoke(_) => "REVOKE",
        }
    }

    /// The user that the statement changes.
    pub fn user(&self) -> &str {
        match self {
            Self::Create { user, .. } | Self::Drop { user } | Self::SetPassword { user, .. } => {
                user
            }
            Self::Grant(privilege) | Self::Revoke(privilege) => &privilege.user,
        }
    }
}

/// Writes the statement without its password.
impl Display for UserStatement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (name, user) = (self.name(), Identifier(self.user()));
        match self {
            Self::Create { password, is_admin, .. } => {
                write!(f, "{name} {user} WITH PASSWORD {password}")?;
                if *is_admin {
                    f.write_str(" WITH ALL PRIVILEGES")
                } else {
                    Ok(())
                }
            }
            Self::Drop { .. } => write!(f, "{name} {user}"),
            Self::SetPassword { password, .. } => write!(f, "{name} FOR {user} = {password}"),
            Self::Grant(privilege) => write!(f, "{name} {privilege} TO {user}"),
            Self::Revoke(privilege) => write!(f, "{name} {privilege} FROM {user}"),
        }
    }
}

/// Writes the privilege and its database.
impl Display for UserPrivilege {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self.privilege {
            Privilege::Read => "READ",
            Privilege::Write => "WRITE",
            Privilege::All => "ALL PRIVILEGES",
        })?;
        match &self.database {
            Some(database) => write!(f, " ON {}", Identifier(database)),
            None => Ok(()),
        }
    }
}
