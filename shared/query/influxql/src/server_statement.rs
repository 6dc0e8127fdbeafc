//! Statements about the server: its queries, statistics and users.

use std::fmt::{self, Display, Formatter};

use crate::display::{Identifier, StringLiteral};

/// A statement about the server, not about the data of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerStatement {
    /// `SHOW STATS [FOR 'module']`
    ShowStats {
        /// The module; all if absent.
        module: Option<String>,
    },
    /// `SHOW DIAGNOSTICS [FOR 'module']`
    ShowDiagnostics {
        /// The module; all if absent.
        module: Option<String>,
    },
    /// `SHOW SHARDS`
    ShowShards,
    /// `SHOW SHARD GROUPS`
    ShowShardGroups,
    /// `SHOW SUBSCRIPTIONS`
    ShowSubscriptions,
    /// `SHOW USERS`
    ShowUsers,
    /// `SHOW GRANTS FOR user`
    ShowGrants {
        /// The user.
        user: String,
    },
    /// `SHOW QUERIES`
    ShowQueries,
    /// `KILL QUERY number [ON host]`
    KillQuery {
        /// The number of the query, from `SHOW QUERIES`.
        id: u64,
        /// The server that runs the query.
        host: Option<String>,
    },
}

impl ServerStatement {
    /// The words that the statement begins with.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ShowStats { .. } => "SHOW STATS",
            Self::ShowDiagnostics { .. } => "SHOW DIAGNOSTICS",
            Self::ShowShards => "SHOW SHARDS",
            Self::ShowShardGroups => "SHOW SHARD GROUPS",
            Self::ShowSubscriptions => "SHOW SUBSCRIPTIONS",
            Self::ShowUsers => "SHOW USERS",
            Self::ShowGrants { .. } => "SHOW GRANTS",
            Self::ShowQueries => "SHOW QUERIES",
            Self::KillQuery { .. } => "KILL QUERY",
        }
    }
}

impl Display for ServerStatement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::ShowStats { module: Some(name) }
            | Self::ShowDiagnostics { module: Some(name) } => {
                write!(f, " FOR {}", StringLiteral(name))
            }
            Self::ShowGrants { user } => write!(f, " FOR {}", Identifier(user)),
            Self::KillQuery { id, host } => {
                write!(f, " {id}")?;
                match host {
                    Some(host) => write!(f, " ON {}", Identifier(host)),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
