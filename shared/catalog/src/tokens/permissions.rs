//! What the holder of a token may do.

use std::{collections::BTreeSet, fmt};

use neap_schema::DatabaseId;
use serde::{Deserialize, Serialize};

use crate::{INTERNAL_DATABASE_ID, RootCatalog};

/// What the holder of a token may do. `Display` is the grammar of InfluxDB 3, with the ids of databases;
/// [`named`](Self::named) has their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permissions {
    /// Everything: `*:*:*`.
    Admin,
    /// What any of these allows.
    Of(Vec<Permission>),
}

/// A permission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// `db:…`: what databases hold. `_internal` is never among them.
    Database {
        /// Which ones, by id: a permission survives that its database is renamed, and does not pass to a
        /// later namesake.
        databases: Names<DatabaseId>,
        /// What may be done.
        actions: BTreeSet<DatabaseAction>,
    },
    /// `system:…:read`: endpoints about the server.
    System {
        /// Which ones.
        endpoints: Names<SystemEndpoint>,
    },
    /// `token:*:…`: tokens that are not those of administrators.
    Token {
        /// What may be done.
        actions: BTreeSet<TokenAction>,
    },
}

/// Which things of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Names<T: Ord> {
    /// All, those of the future too: `*`.
    All,
    /// These.
    Of(BTreeSet<T>),
}

/// Gives the values of an enum their words, in the grammar and in JSON.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
        )]
        pub enum $name {
            $($(#[$value_doc])* #[serde(rename = $word)] $value),+
        }

        impl $name {
            /// All of them, in the order in which they are shown.
            pub const ALL: &[Self] = &[$(Self::$value),+];

            /// The word in the grammar.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $word),+
                }
            }

            /// What a word of the grammar stands for.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|it| it.as_str() == word)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// What may be done with a database.
    DatabaseAction {
        /// Query it.
        Read = "read",
        /// Write and delete rows.
        Write = "write",
        /// Create it, its tables and caches.
        Create = "create",
        /// See that it is there.
        Describe = "describe",
        /// Drop it, its tables and caches.
        Delete = "delete",
    }
}
words! {
    /// An endpoint about the server.
    SystemEndpoint {
        /// `/health`.
        Health = "health",
        /// `/metrics`.
        Metrics = "metrics",
        /// `/ping`.
        Ping = "ping",
        /// `/ready`.
        Ready = "ready",
    }
}
words! {
    /// What may be done with tokens that are not those of administrators.
    TokenAction {
        /// List them.
        Read = "read",
        /// Create them, with no more permissions than one has.
        Create = "create",
        /// Revoke them.
        Delete = "delete",
    }
}

impl<T: Ord> Names<T> {
    fn len(&self) -> usize {
        match self {
            Self::All => 0,
            Self::Of(names) => names.len(),
        }
    }

    /// Whether this one is among them.
    pub fn has(&self, name: &T) -> bool {
        match self {
            Self::All => true,
            Self::Of(names) => names.contains(name),
        }
    }

    /// Whether all of `other` are among them, now and later.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Of(_), Self::All) => false,
            (Self::Of(own), Self::Of(other)) => other.is_subset(own),
        }
    }
}

impl Permission {
    /// How many things it names.
    pub(super) fn names(&self) -> usize {
        match self {
            Self::Database { databases, .. } => databases.len(),
            Self::System { endpoints } => endpoints.len(),
            Self::Token { .. } => 0,
        }
    }
}

impl Permissions {
    /// Whether they are those of an administrator.
    pub fn is_admin(&self) -> bool {
        matches!(self, Self::Admin)
    }

    fn any(&self, allows: impl Fn(&Permission) -> bool) -> bool {
        match self {
            Self::Admin => true,
            Self::Of(permissions) => permissions.iter().any(allows),
        }
    }

    /// Whether this may be done with a database; `None`: one that does not exist yet, which takes a
    /// permission on all. With `_internal` an administrator alone may do anything.
    pub fn allow(&self, action: DatabaseAction, database: Option<DatabaseId>) -> bool {
        self.allow_any(&[action], database)
    }

    /// Whether any of these may be done with a database.
    pub fn allow_any(&self, wanted: &[DatabaseAction], database: Option<DatabaseId>) -> bool {
        if database == Some(INTERNAL_DATABASE_ID) {
            return self.is_admin();
        }
        self.any(|permission| match permission {
            Permission::Database { databases, actions } => {
                let there = match &database {
                    None => *databases == Names::All,
                    Some(database) => databases.has(database),
                };
                there && wanted.iter().any(|action| actions.contains(action))
            }
            Permission::System { .. } | Permission::Token { .. } => false,
        })
    }

    /// Whether any of these may be done with some database, one that exists or not.
    pub fn allow_somewhere(&self, wanted: &[DatabaseAction]) -> bool {
        self.any(|permission| match permission {
            Permission::Database { actions, .. } => {
                wanted.iter().any(|action| actions.contains(action))
            }
            Permission::System { .. } | Permission::Token { .. } => false,
        })
    }

    /// Whether the endpoint may be asked.
    pub fn allow_endpoint(&self, endpoint: SystemEndpoint) -> bool {
        self.any(|permission| match permission {
            Permission::System { endpoints } => endpoints.has(&endpoint),
            Permission::Database { .. } => endpoint == SystemEndpoint::Ping,
            Permission::Token { .. } => false,
        })
    }

    /// Whether this may be done with the tokens of others than administrators.
    pub fn allow_tokens(&self, action: TokenAction) -> bool {
        self.any(|permission| match permission {
            Permission::Token { actions } => actions.contains(&action),
            Permission::Database { .. } | Permission::System { .. } => false,
        })
    }

    /// Whether everything that `other` allows is allowed by these.
    pub fn cover(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Admin, _) => true,
            (Self::Of(_), Self::Admin) => false,
            (Self::Of(_), Self::Of(wanted)) => {
                wanted.iter().all(|permission| self.cover_one(permission))
            }
        }
    }

    /// Whether every action of a permission is allowed, each by any of these.
    fn cover_one(&self, wanted: &Permission) -> bool {
        match wanted {
            Permission::Database { databases, actions } => actions.iter().all(|action| {
                let wildcard = self.allow(*action, None);
                wildcard
                    || match databases {
                        Names::All => false,
                        Names::Of(ids) => ids.iter().all(|id| self.allow(*action, Some(*id))),
                    }
            }),
            Permission::System { endpoints } => self.any(
                |own| matches!(own, Permission::System { endpoints: own } if own.covers(endpoints)),
            ),
            Permission::Token { actions } => {
                actions.iter().all(|action| self.allow_tokens(*action))
            }
        }
    }

    /// The grammar with the present names of the databases, for people.
    pub fn named(&self, root: &RootCatalog) -> String {
        self.show(|id| match root.databases().get(&id) {
            Some(entry) => entry.name.clone(),
            None => id.to_string(),
        })
    }

    fn show(&self, name_of: impl Fn(DatabaseId) -> String) -> String {
        let Self::Of(permissions) = self else {
            return "*:*:*".to_owned();
        };
        let shown = permissions.iter().map(|permission| match permission {
            Permission::Database { databases, actions } => {
                let names = show_names(databases, |id| name_of(*id));
                format!("db:{names}:{}", list(actions))
            }
            Permission::System { endpoints } => {
                let names = show_names(endpoints, ToString::to_string);
                format!("system:{names}:read")
            }
            Permission::Token { actions } => format!("token:*:{}", list(actions)),
        });
        shown.collect::<Vec<_>>().join(";")
    }
}

fn show_names<T: Ord>(names: &Names<T>, show: impl Fn(&T) -> String) -> String {
    match names {
        Names::All => "*".to_owned(),
        Names::Of(names) => names.iter().map(show).collect::<Vec<_>>().join(","),
    }
}

fn list<T: fmt::Display>(items: &BTreeSet<T>) -> String {
    let items = items.iter().map(ToString::to_string);
    items.collect::<Vec<_>>().join(",")
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show(|id| id.to_string()))
    }
}
