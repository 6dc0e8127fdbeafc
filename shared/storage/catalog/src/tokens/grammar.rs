//! The text form of permissions in commands and requests: `TYPE:NAMES:ACTIONS`.
//!
//! ```text
//!   db:mydb,other:read,write      databases by name, or *; read write append create describe delete
//!   system:ping,health:read       endpoints, or *; read
//!   token:*:create                tokens, except those of administrators; read create delete
//!   user:*:read                   users and roles; read create update delete
//!   audit:*:read                  everything that only administrators may read otherwise; read
//!   site:mydb/plant-1:write       rows of sites, by database and name; write
//!   *:*:*                         everything: an administrator
//! ```

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    DatabaseAction, MAX_PERMISSION_NAMES, MAX_PERMISSIONS, Permission, PermissionRequestError,
    Permissions, ResourceSet, SiteName, SystemEndpoint, TokenAction, UserAction,
};
use crate::{CatalogError, RootCatalog};

/// A requested permission, with the names of databases, which need not exist.
///
/// # Examples
///
/// ```
/// use neap_catalog::PermissionRequest;
///
/// let request: PermissionRequest = "db:sensors,weather:read".parse()?;
/// assert_eq!(request.resource_names, ["sensors", "weather"]);
/// assert_eq!(request.to_string(), "db:sensors,weather:read");
/// assert!("db:sensors:fly".parse::<PermissionRequest>().is_err());
/// # Ok::<(), neap_catalog::PermissionRequestError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, derive_more::Display)]
#[display("{resource_type}:{}:{}", resource_names.join(","), actions.join(","))]
pub struct PermissionRequest {
    /// `db`, `system`, `token`, `user`, `audit`, `site` or `*`.
    pub resource_type: String,
    /// Resource names, or `*` alone.
    pub resource_names: Vec<String>,
    /// Actions of the type, or `*` alone.
    pub actions: Vec<String>,
}

impl FromStr for PermissionRequest {
    type Err = PermissionRequestError;

    /// Parses `TYPE:NAMES:ACTIONS`. Checks everything except the existence of databases.
    fn from_str(text: &str) -> Result<Self, PermissionRequestError> {
        let parts: Vec<&str> = text.split(':').collect();
        let [resource_type, names, actions] = parts.as_slice() else {
            let text = text.to_owned();
            return Err(PermissionRequestError::Syntax { text });
        };
        let list = |part: &str| part.split(',').map(str::to_owned).collect();
        let request = Self {
            resource_type: (*resource_type).to_owned(),
            resource_names: list(names),
            actions: list(actions),
        };
        request.check()?;
        Ok(request)
    }
}

/// A requested permission with the names of databases instead of their ids.
enum RequestedPermission {
    Admin,
    Databases(Option<Vec<String>>, BTreeSet<DatabaseAction>),
    /// The names of sites, each with the name of its database.
    Sites(Vec<(String, String)>),
    Other(Permission),
}

impl PermissionRequest {
    /// Checks everything except the existence of databases.
    ///
    /// # Errors
    /// The reason why the permission is invalid.
    pub fn check(&self) -> Result<(), PermissionRequestError> {
        self.wanted().map(|_| ())
    }

    fn wanted(&self) -> Result<RequestedPermission, PermissionRequestError> {
        let names = self.names()?;
        match self.resource_type.as_str() {
            "db" => {
                let mut actions = self.actions(DatabaseAction::ALL, DatabaseAction::from_word)?;
                if actions.contains(&DatabaseAction::Write) {
                    // `write` includes it.
                    actions.remove(&DatabaseAction::Append);
                }
                Ok(RequestedPermission::Databases(names, actions))
            }
            "system" => {
                self.actions(&["read"], |word| (word == "read").then_some("read"))?;
                let endpoints = match names {
                    None => ResourceSet::All,
                    Some(names) => ResourceSet::Of(self.endpoints(&names)?),
                };
                Ok(RequestedPermission::Other(Permission::System { endpoints }))
            }
            "token" => {
                self.only_wildcard(names)?;
                let actions = self.actions(TokenAction::ALL, TokenAction::from_word)?;
                Ok(RequestedPermission::Other(Permission::Token { actions }))
            }
            "user" => {
                self.only_wildcard(names)?;
                let actions = self.actions(UserAction::ALL, UserAction::from_word)?;
                Ok(RequestedPermission::Other(Permission::User { actions }))
            }
            "audit" => {
                self.only_wildcard(names)?;
                self.actions(&["read"], |word| (word == "read").then_some("read"))?;
                Ok(RequestedPermission::Other(Permission::Audit))
            }
            "site" => {
                self.actions(&["write"], |word| (word == "write").then_some("write"))?;
                Ok(RequestedPermission::Sites(self.sites(names)?))
            }
            "*" => {
                self.only_wildcard(names)?;
                let none: [&str; 0] = [];
                self.actions(&none, |_| None)?;
                Ok(RequestedPermission::Admin)
            }
            given => Err(PermissionRequestError::ResourceType { given: given.to_owned() }),
        }
    }

    /// Returns the names; `None` is the wildcard.
    fn names(&self) -> Result<Option<Vec<String>>, PermissionRequestError> {
        match self.resource_names.as_slice() {
            [wildcard] if wildcard == "*" => Ok(None),
            names if names.is_empty() || names.iter().any(String::is_empty) => {
                Err(PermissionRequestError::NoName)
            }
            names if names.iter().any(|name| name == "*") => {
                Err(PermissionRequestError::MixedNames)
            }
            names => Ok(Some(names.to_vec())),
        }
    }

    fn only_wildcard(&self, names: Option<Vec<String>>) -> Result<(), PermissionRequestError> {
        match names.and_then(|names| names.into_iter().next()) {
            None => Ok(()),
            Some(given) => Err(self.wrong_name(given, "*")),
        }
    }

    /// Returns the sites that are named. The names of databases may have slashes, those of sites have none.
    fn sites(
        &self,
        names: Option<Vec<String>>,
    ) -> Result<Vec<(String, String)>, PermissionRequestError> {
        let expected = "DATABASE/SITE";
        let names = names.ok_or_else(|| self.wrong_name("*".to_owned(), expected))?;
        let sites = names.into_iter().map(|name| match name.rsplit_once('/') {
            Some((database, site)) if !database.is_empty() && !site.is_empty() => {
                Ok((database.to_owned(), site.to_owned()))
            }
            _ => Err(self.wrong_name(name, expected)),
        });
        sites.collect()
    }

    fn wrong_name(&self, given: String, expected: &str) -> PermissionRequestError {
        PermissionRequestError::Name {
            resource_type: self.resource_type.clone(),
            given,
            expected: expected.to_owned(),
        }
    }

    fn endpoints(
        &self,
        names: &[String],
    ) -> Result<BTreeSet<SystemEndpoint>, PermissionRequestError> {
        let expected = one_of(SystemEndpoint::ALL);
        let endpoints = names.iter().map(|name| {
            let endpoint = SystemEndpoint::from_word(name);
            endpoint.ok_or_else(|| self.wrong_name(name.clone(), &expected))
        });
        endpoints.collect()
    }

    /// Returns the actions; the wildcard stands for all.
    fn actions<A: Copy + Ord + fmt::Display>(
        &self,
        all: &[A],
        of: impl Fn(&str) -> Option<A>,
    ) -> Result<BTreeSet<A>, PermissionRequestError> {
        match self.actions.as_slice() {
            [wildcard] if wildcard == "*" => Ok(all.iter().copied().collect()),
            actions if actions.is_empty() || actions.iter().any(String::is_empty) => {
                Err(PermissionRequestError::NoAction)
            }
            actions if actions.iter().any(|action| action == "*") => {
                Err(PermissionRequestError::MixedActions)
            }
            actions => {
                let wrong = |given: &String| PermissionRequestError::Action {
                    resource_type: self.resource_type.clone(),
                    given: given.clone(),
                    expected: one_of(all),
                };
                let actions = actions.iter();
                actions.map(|word| of(word).ok_or_else(|| wrong(word))).collect()
            }
        }
    }

    /// Resolves the names of databases to ids.
    /// Fails with `Permission` when it is not in the grammar, `NotFound` when a database does not exist, or `Forbidden`
    /// if the caller may not know that.
    fn resolve(&self, root: &RootCatalog, own: &Permissions) -> Result<Permissions, CatalogError> {
        Ok(match self.wanted()? {
            RequestedPermission::Admin => Permissions::Admin,
            RequestedPermission::Other(permission) => Permissions::Of(vec![permission]),
            RequestedPermission::Databases(names, actions) => {
                let databases = match names {
                    None => ResourceSet::All,
                    Some(names) => {
                        let ids = names.into_iter().map(|name| {
                            let id = root.database(&name);
                            id.ok_or_else(|| missing_database(name, own))
                        });
                        ResourceSet::Of(ids.collect::<Result<_, _>>()?)
                    }
                };
                Permissions::Of(vec![Permission::Database { databases, actions }])
            }
            RequestedPermission::Sites(names) => {
                let sites = names.into_iter().map(|(name, site)| {
                    let id = root.database(&name);
                    let database = id.ok_or_else(|| missing_database(name, own))?;
                    Ok::<_, CatalogError>(SiteName { database, site })
                });
                Permissions::Of(vec![Permission::Site { sites: sites.collect::<Result<_, _>>()? }])
            }
        })
    }
}

impl Permissions {
    /// Prints the grammar with the present names of the databases, for display.
    pub fn named(&self, root: &RootCatalog) -> String {
        self.show(|id| match root.databases().get(&id) {
            Some(entry) => entry.name.clone(),
            None => id.to_string(),
        })
    }
}

/// Returns the error of a database that does not exist. A caller who may not know the databases of others gets the error of a
/// database that exists.
pub(crate) fn missing_database(name: String, own: &Permissions) -> CatalogError {
    if own.allow_any(DatabaseAction::ALL, None) {
        CatalogError::NotFound { name }
    } else {
        CatalogError::Forbidden
    }
}

/// Resolves several requests of a caller with the permissions `own`, and merges permissions for the same names.
/// Fails with `Permission` when there are none or too many, or one is not in the grammar; `NotFound` when a database
/// does not exist, or `Forbidden` if the caller may not know that.
pub(crate) fn resolve(
    requests: &[PermissionRequest],
    root: &RootCatalog,
    own: &Permissions,
) -> Result<Permissions, CatalogError> {
    let mut all = Vec::new();
    for request in requests {
        match request.resolve(root, own)? {
            Permissions::Admin => return Ok(Permissions::Admin),
            Permissions::Of(permissions) => {
                for permission in permissions {
                    merge(&mut all, permission);
                }
            }
        }
        let names: usize = all.iter().map(Permission::names).sum();
        if all.len() > MAX_PERMISSIONS || names > MAX_PERMISSION_NAMES {
            return Err(PermissionRequestError::TooMany.into());
        }
    }
    if all.is_empty() {
        return Err(PermissionRequestError::NoAction.into());
    }
    Ok(Permissions::Of(all))
}

/// Adds a permission. If there is one for the same names, adds the actions to it.
fn merge(all: &mut Vec<Permission>, mut new: Permission) {
    let merged = all.iter_mut().any(|old| match (old, &mut new) {
        (
            Permission::Database { databases, actions },
            Permission::Database { databases: names, actions: more },
        ) if databases == names => {
            actions.append(more);
            true
        }
        (Permission::Token { actions }, Permission::Token { actions: more }) => {
            actions.append(more);
            true
        }
        (Permission::User { actions }, Permission::User { actions: more }) => {
            actions.append(more);
            true
        }
        (Permission::Site { sites }, Permission::Site { sites: more }) => {
            sites.append(more);
            true
        }
        (old, new) => old == new,
    });
    if !merged {
        all.push(new);
    }
}

fn one_of<T: fmt::Display>(all: &[T]) -> String {
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    match all.as_slice() {
        [] => "*".to_owned(),
        [one] => format!("{one} or *"),
        several => format!("one of {}, *", several.join(", ")),
    }
}
