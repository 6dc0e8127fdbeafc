//! The names of databases: live and dropped ones, aliases, and retention policies.

use neap_schema::DatabaseId;

use super::RootCatalog;
use crate::CatalogError;

impl RootCatalog {
    /// Returns the database that is not dropped and has this name or alias. An alias of a database stands for it in the
    /// names of its retention policies, too.
    pub fn database(&self, name: &str) -> Option<DatabaseId> {
        self.by_name(name).or_else(|| self.by_name(&self.present_policy_name(name)?))
    }

    fn by_name(&self, name: &str) -> Option<DatabaseId> {
        self.live.get(name, || {
            let live = self.live_databases();
            live.flat_map(|(id, entry)| entry.names().map(move |name| (name, id)))
        })
    }

    /// Returns the name of a retention policy with the present name of its database instead of an alias; `None` if the
    /// name has no alias.
    fn present_policy_name(&self, name: &str) -> Option<String> {
        let (database, policy) = name.split_once('/')?;
        let entry = self.databases.get(&self.by_name(database)?)?;
        (entry.name != database).then(|| format!("{}/{policy}", entry.name))
    }

    /// Returns the name under which a new database of this name is stored: a retention policy has the present name of its
    /// database.
    pub(crate) fn stored_name(&self, name: &str) -> String {
        self.present_policy_name(name).unwrap_or_else(|| name.to_owned())
    }

    /// Returns the name of a database that is not dropped.
    pub(crate) fn live_name(&self, id: DatabaseId) -> Result<String, CatalogError> {
        let entry = self.databases.get(&id);
        let live = entry.filter(|entry| entry.deletion.is_none());
        live.map(|entry| entry.name.clone())
            .ok_or_else(|| CatalogError::NotFound { name: format!("database {id}") })
    }

    /// Returns the latest dropped database with this name, such as `db-20250910T132505`.
    pub fn deleted_database(&self, name: &str) -> Option<DatabaseId> {
        let mut databases = self.databases.iter().rev();
        let found = databases.find(|(_, entry)| {
            entry.deletion.is_some() && entry.backup.is_none() && entry.name == name
        });
        found.map(|(id, _)| *id)
    }

    /// Returns why no other database can have this name: a live or a dropped one has it, or it is an alias.
    pub(crate) fn name_conflict(&self, name: &str) -> Option<CatalogError> {
        let id = self.database(name).or_else(|| self.deleted_database(name))?;
        Some(
            self.alias_conflict(id, name)
                .unwrap_or_else(|| CatalogError::AlreadyExists { name: name.to_owned() }),
        )
    }

    /// Returns the error of a name that is not that of a database but its alias.
    pub(crate) fn alias_conflict(&self, id: DatabaseId, name: &str) -> Option<CatalogError> {
        let entry = self.databases.get(&id).filter(|entry| entry.name != name)?;
        Some(CatalogError::NameIsAlias { name: name.to_owned(), present_name: entry.name.clone() })
    }
}
