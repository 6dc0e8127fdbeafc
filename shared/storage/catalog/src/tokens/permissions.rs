//! The permissions of a token.

use std::{collections::BTreeSet, fmt};

use neap_schema::DatabaseId;
use serde::{Deserialize, Serialize};

use crate::INTERNAL_DATABASE_ID;

/// The permissions of a token. `Display` prints the grammar of InfluxDB 3 with the ids of databases;
/// [`named`](Self::named) prints their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permissions {
    /// Everything: `*:*:*`.
    Admin,
    /// The union of these permissions.
    Of(Vec<Permission>),
}

/// A permission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// `db:…`: actions on databases. Never includes `_internal`.
    Database {
        /// The databases, by id: a permission survives a rename of its database, and does not pass to a later database
        /// of the same name.
        databases: ResourceSet<DatabaseId>,
        /// The allowed actions.
        actions: BTreeSet<DatabaseAction>,
    },
    /// `system:…:read`: endpoints about the server.
    System {
        /// The endpoints.
        endpoints: ResourceSet<SystemEndpoint>,
    },
    /// `token:*:…`: actions on tokens, except those of administrators.
    Token {
        /// The allowed actions.
        actions: BTreeSet<TokenAction>,
    },
    /// `user:*:…`: actions on users and roles.
    User {
        /// The allowed actions.
        actions: BTreeSet<UserAction>,
    },
    /// `audit:*:read`: everything that only administrators may read otherwise.
    Audit,
    /// `site:…:write`: ship the rows of these sites. Permission to write to a database includes all of its sites.
    Site {
        /// The sites.
        sites: BTreeSet<SiteName>,
    },
}

/// A site that ships its rows to a database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SiteName {
    /// The database.
    pub database: DatabaseId,
    /// The name of the site.
    pub site: String,
}

/// A set of resources of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceSet<T: Ord> {
    /// All resources, including future ones: `*`.
    All,
    /// These resources.
    Of(BTreeSet<T>),
}

/// Declares an enum whose values have a word in the grammar and in JSON.
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
            /// All values, in display order.
            pub const ALL: &[Self] = &[$(Self::$value),+];

            /// Returns the word in the grammar.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $word),+
                }
            }

            /// Returns the value of a word in the grammar.
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
    /// An action on a database.
    DatabaseAction {
        /// Query it.
        Read = "read",
        /// Write and delete rows.
        Write = "write",
        /// Write rows to it if it keeps earlier rows, without deletes.
        Append = "append",
        /// Create it, its tables and caches.
        Create = "create",
        /// See that it exists.
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
    /// An action on tokens, except those of administrators.
    TokenAction {
        /// List them.
        Read = "read",
        /// Create them, with at most the permissions of the caller.
        Create = "create",
        /// Revoke them.
        Delete = "delete",
    }
}

words! {
    /// An action on users and roles.
    UserAction {
        /// List them.
        Read = "read",
        /// Create them, with at most the permissions of the caller.
        Create = "create",
        /// Change them, if they have at most the permissions of the caller before and after.
        Update = "update",
        /// Delete them.
        Delete = "delete",
    }
}

impl DatabaseAction {
    /// Returns whether one of these allowed actions includes one of the wanted ones.
    fn allow_one(allowed: &BTreeSet<Self>, wanted: &[Self]) -> bool {
        wanted.iter().any(|action| {
            allowed.contains(action) || *action == Self::Append && allowed.contains(&Self::Write)
        })
    }
}

impl<T: Ord> ResourceSet<T> {
    fn len(&self) -> usize {
        match self {
            Self::All => 0,
            Self::Of(names) => names.len(),
        }
    }

    /// Returns whether the set contains this resource.
    pub fn has(&self, name: &T) -> bool {
        match self {
            Self::All => true,
            Self::Of(names) => names.contains(name),
        }
    }

    /// Returns whether the set contains all resources of `other`, now and in the future.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Of(_), Self::All) => false,
            (Self::Of(own), Self::Of(other)) => other.is_subset(own),
        }
    }
}

impl Permission {
    /// Returns the number of resources that it names.
    pub(crate) fn names(&self) -> usize {
        match self {
            Self::Database { databases, .. } => databases.len(),
            Self::System { endpoints } => endpoints.len(),
            Self::Site { sites } => sites.len(),
            Self::Token { .. } | Self::User { .. } | Self::Audit => 0,
        }
    }
}

impl Permissions {
    /// Returns whether they are those of an administrator.
    pub fn is_admin(&self) -> bool {
        matches!(self, Self::Admin)
    }

    fn any(&self, allows: impl Fn(&Permission) -> bool) -> bool {
        match self {
            Self::Admin => true,
            Self::Of(permissions) => permissions.iter().any(allows),
        }
    }

    /// Returns whether the action on a database is allowed; `None`: a database that does not exist yet, which requires
    /// a permission on all databases. `_internal` can be read with `audit:*:read`; only administrators may do more there.
    pub fn allow(&self, action: DatabaseAction, database: Option<DatabaseId>) -> bool {
        self.allow_any(&[action], database)
    }

    /// Returns whether any of these actions on a database is allowed.
    pub fn allow_any(&self, wanted: &[DatabaseAction], database: Option<DatabaseId>) -> bool {
        if database == Some(INTERNAL_DATABASE_ID) {
            let reads =
                |action| matches!(action, &DatabaseAction::Read | &DatabaseAction::Describe);
            return self.is_admin() || self.allow_audit() && wanted.iter().any(reads);
        }
        self.any(|permission| match permission {
            Permission::Database { databases, actions } => {
                let there = match &database {
                    None => *databases == ResourceSet::All,
                    Some(database) => databases.has(database),
                };
                there && DatabaseAction::allow_one(actions, wanted)
            }
            _ => false,
        })
    }

    /// Returns whether any of these actions is allowed on at least one database, which may not exist yet.
    pub fn allow_somewhere(&self, wanted: &[DatabaseAction]) -> bool {
        self.any(|permission| match permission {
            Permission::Database { actions, .. } => DatabaseAction::allow_one(actions, wanted),
            _ => false,
        })
    }

    /// Returns whether requests to the endpoint are allowed.
    pub fn allow_endpoint(&self, endpoint: SystemEndpoint) -> bool {
        self.any(|permission| match permission {
            Permission::System { endpoints } => endpoints.has(&endpoint),
            Permission::Database { .. } => endpoint == SystemEndpoint::Ping,
            _ => false,
        })
    }

    /// Returns whether the action on tokens, except those of administrators, is allowed.
    pub fn allow_tokens(&self, action: TokenAction) -> bool {
        self.any(|permission| match permission {
            Permission::Token { actions } => actions.contains(&action),
            _ => false,
        })
    }

    /// Returns whether the action on users and roles is allowed.
    pub fn allow_users(&self, action: UserAction) -> bool {
        self.any(|permission| match permission {
            Permission::User { actions } => actions.contains(&action),
            _ => false,
        })
    }

    /// Returns whether everything that only administrators may read otherwise may be read.
    pub fn allow_audit(&self) -> bool {
        self.any(|permission| matches!(permission, Permission::Audit))
    }

    /// Returns whether the rows of a site may be shipped to a database; to `_internal`, only administrators may.
    pub fn allow_site(&self, database: DatabaseId, site: &str) -> bool {
        let is_named = |name: &SiteName| {
            name.database == database && name.site == site && name.database != INTERNAL_DATABASE_ID
        };
        self.allow(DatabaseAction::Write, Some(database))
            || self.any(|permission| match permission {
                Permission::Site { sites } => sites.iter().any(is_named),
                _ => false,
            })
    }

    /// Adds everything that `other` allows.
    pub(crate) fn extend(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Admin, _) => {}
            (_, Self::Admin) => *self = Self::Admin,
            (Self::Of(own), Self::Of(others)) => {
                let new: Vec<_> =
                    others.iter().filter(|other| !own.contains(other)).cloned().collect();
                own.extend(new);
            }
        }
    }

    /// Returns whether these permissions allow everything that `other` allows.
    pub fn cover(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Admin, _) => true,
            (Self::Of(_), Self::Admin) => false,
            (Self::Of(_), Self::Of(wanted)) => {
                wanted.iter().all(|permission| self.cover_one(permission))
            }
        }
    }

    /// Returns whether every action of a permission is allowed by at least one of these.
    fn cover_one(&self, wanted: &Permission) -> bool {
        match wanted {
            Permission::Database { databases, actions } => actions.iter().all(|action| {
                let wildcard = self.allow(*action, None);
                wildcard
                    || match databases {
                        ResourceSet::All => false,
                        ResourceSet::Of(ids) => ids.iter().all(|id| self.allow(*action, Some(*id))),
                    }
            }),
            Permission::System { endpoints } => self.any(
                |own| matches!(own, Permission::System { endpoints: own } if own.covers(endpoints)),
            ),
            Permission::Token { actions } => {
                actions.iter().all(|action| self.allow_tokens(*action))
            }
            Permission::User { actions } => actions.iter().all(|action| self.allow_users(*action)),
            Permission::Audit => self.allow_audit(),
            Permission::Site { sites } => {
                sites.iter().all(|name| self.allow_site(name.database, &name.site))
            }
        }
    }

    pub(super) fn show(&self, name_of: impl Fn(DatabaseId) -> String) -> String {
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
            Permission::User { actions } => format!("user:*:{}", list(actions)),
            Permission::Audit => "audit:*:read".to_owned(),
            Permission::Site { sites } => {
                let sites = sites.iter();
                let names = sites.map(|one| format!("{}/{}", name_of(one.database), one.site));
                format!("site:{}:write", names.collect::<Vec<_>>().join(","))
            }
        });
        shown.collect::<Vec<_>>().join(";")
    }
}

fn show_names<T: Ord>(names: &ResourceSet<T>, show: impl Fn(&T) -> String) -> String {
    match names {
        ResourceSet::All => "*".to_owned(),
        ResourceSet::Of(names) => names.iter().map(show).collect::<Vec<_>>().join(","),
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
