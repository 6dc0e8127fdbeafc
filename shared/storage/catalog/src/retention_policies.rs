//! Retention policies of InfluxDB 1: databases named `database/policy`.
//!
//! A policy is dropped, undeleted, backed up and restored with its database, and a permission for the database includes it.
//! The policy `autogen` is the database itself. It is the default policy, unless another one is.

use std::collections::BTreeMap;

use neap_bucket::StoreTime;
use neap_schema::DatabaseId;

use crate::{
    Catalog, CatalogError, CatalogLimits, DatabaseEntry, HardDelete, Permission, Permissions,
    ResourceSet, RootCatalog,
};

/// The retention policy that stands for the database itself.
pub const AUTOGEN: &str = "autogen";

/// Returns the name of a policy; `None` if the text stands for the default one.
fn named_policy(policy: Option<&str>) -> Option<String> {
    let name = policy.unwrap_or_default().to_lowercase();
    match name.as_str() {
        "" | "''" | "default" => None,
        _ => Some(name),
    }
}

/// Returns the name of the database that stores a retention policy, if the default policy is the database itself:
/// `db/policy`, or `db`.
pub fn policy_database(database: &str, policy: Option<&str>) -> String {
    match named_policy(policy).as_deref() {
        None | Some(AUTOGEN) => database.to_owned(),
        Some(policy) => format!("{database}/{policy}"),
    }
}

impl Catalog {
    /// Sets the retention policy that writes and queries without one use; `None` is the database itself. Answers when every
    /// instance knows it.
    ///
    /// # Errors
    /// `NotFound` if there is no such database or policy, or an error of the commit.
    pub async fn set_default_policy(
        &self,
        database: DatabaseId,
        policy: Option<&str>,
    ) -> Result<(), CatalogError> {
        let policy = named_policy(policy).filter(|policy| policy != AUTOGEN);
        let change = |root: &mut RootCatalog| {
            let name = root.live_name(database)?;
            let stored = policy_database(&name, policy.as_deref());
            if root.database(&stored).is_none() {
                return Err(CatalogError::NotFound { name: stored });
            }
            let known = root.entries_mut().get_mut(&database);
            let Some(entry) = known.filter(|entry| entry.default_policy != policy) else {
                return Ok((false, false));
            };
            entry.default_policy.clone_from(&policy);
            let detail = policy.as_deref().unwrap_or(AUTOGEN).to_owned();
            root.note(self.now()?, "set default retention policy", &name, Some(detail));
            Ok((true, true))
        };
        if self.change_root(change).await? {
            self.settle().await;
        }
        Ok(())
    }
}

impl RootCatalog {
    /// Returns the retention policy that writes and queries without one use; `None` is the database itself. A policy that was
    /// dropped is no default.
    pub fn default_policy(&self, database: &str) -> Option<&str> {
        let entry = self.databases().get(&self.database(database)?)?;
        let policy = entry.default_policy.as_deref()?;
        self.database(&format!("{database}/{policy}")).map(|_| policy)
    }

    /// Returns the name of the database that stores a retention policy; without a policy, that of the default one.
    pub fn policy_database(&self, database: &str, policy: Option<&str>) -> String {
        match named_policy(policy) {
            None => policy_database(database, self.default_policy(database)),
            named => policy_database(database, named.as_deref()),
        }
    }

    /// Returns the live retention policies of a database, given by its present name, by id: the databases named
    /// `name/policy`.
    pub fn policies_of(&self, name: &str) -> impl Iterator<Item = (DatabaseId, &DatabaseEntry)> {
        self.live_databases()
            .filter(move |(_, entry)| policy_name(&entry.name, name).is_some())
    }

    /// Returns the live retention policies of each live database that has some.
    pub fn policies(&self) -> BTreeMap<DatabaseId, Vec<DatabaseId>> {
        let mut policies: BTreeMap<DatabaseId, Vec<DatabaseId>> = BTreeMap::new();
        for (id, entry) in self.live_databases() {
            let database = entry.name.split_once('/');
            if let Some(database) = database.and_then(|(name, _)| self.database(name)) {
                policies.entry(database).or_default().push(id);
            }
        }
        policies
    }

    /// Returns the names of the retention policies that were dropped with a database and can still be undeleted, by the ids
    /// of the databases that store them.
    fn policies_dropped_with(
        &self,
        dropped: &DatabaseEntry,
        now: StoreTime,
    ) -> BTreeMap<DatabaseId, String> {
        let Some(dropped_at) = dropped.deletion.map(|deletion| deletion.deleted_at) else {
            return BTreeMap::new();
        };
        let of_database = self.databases().iter().filter_map(|(id, entry)| {
            let deletion = entry.deletion.filter(|it| it.can_be_undone(now))?;
            let policy = policy_name(entry.original_name(), dropped.original_name())?;
            (deletion.deleted_at == dropped_at).then(|| (*id, policy.to_owned()))
        });
        of_database.collect()
    }

    /// Drops a database and its retention policies, whose rows would otherwise be those of a later database of the same
    /// name. A dropped database gets another deletion time with the policies that were dropped with it. Returns the id of the
    /// database.
    pub(crate) fn delete_with_policies(
        &mut self,
        name: &str,
        now: StoreTime,
        hard_delete: HardDelete,
    ) -> Result<DatabaseId, CatalogError> {
        let dropped = match self.database(name) {
            Some(_) => None,
            None => self.deleted_database(name).and_then(|id| self.databases().get(&id)),
        };
        let policies: Vec<String> = match dropped {
            Some(dropped) => {
                let policies = self.policies_dropped_with(dropped, now).into_keys();
                let entries = policies.filter_map(|id| self.databases().get(&id));
                entries.map(|entry| entry.name.clone()).collect()
            }
            None => self.policies_of(name).map(|(_, entry)| entry.name.clone()).collect(),
        };
        for policy in policies {
            match self.delete(&policy, now, hard_delete) {
                // It has this deletion time.
                Ok(_) | Err(CatalogError::AlreadyDeleted { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.delete(name, now, hard_delete)
    }

    /// Undeletes a database, and the retention policies that were dropped with it, under another name if one is given.
    /// Returns the name.
    pub(crate) fn undelete_with_policies(
        &mut self,
        id: DatabaseId,
        name: Option<&str>,
        now: StoreTime,
        limits: &CatalogLimits,
    ) -> Result<String, CatalogError> {
        let dropped = self.databases().get(&id).cloned();
        let name = self.undelete(id, name, now, limits)?;
        let Some(dropped) = dropped else {
            return Ok(name);
        };
        for (id, policy) in self.policies_dropped_with(&dropped, now) {
            self.undelete(id, Some(&format!("{name}/{policy}")), now, limits)?;
        }
        Ok(name)
    }
}

impl Permissions {
    /// Adds the retention policies of each database to the permissions for it.
    #[must_use]
    pub fn with_policies(&self, policies: &BTreeMap<DatabaseId, Vec<DatabaseId>>) -> Self {
        let Self::Of(permissions) = self else {
            return Self::Admin;
        };
        let mut permissions = permissions.clone();
        for permission in &mut permissions {
            if let Permission::Database { databases: ResourceSet::Of(ids), .. } = permission {
                let of_all: Vec<_> =
                    ids.iter().filter_map(|id| policies.get(id)).flatten().copied().collect();
                ids.extend(of_all);
            }
        }
        Self::Of(permissions)
    }
}

/// Whether a database is the one of a name, or stores one of its retention policies.
pub fn is_or_is_policy_of(stored: &str, database: &str) -> bool {
    stored == database || policy_name(stored, database).is_some()
}

/// Returns the name of a retention policy of a database, from the name of the database that stores it.
pub fn policy_name<'a>(stored: &'a str, database: &str) -> Option<&'a str> {
    stored.strip_prefix(database)?.strip_prefix('/')
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{DatabaseAction, tests::CatalogFixture};

    async fn names(catalog: &Catalog) -> Vec<String> {
        let root = catalog.root(Duration::ZERO).await.unwrap().value;
        root.live_databases().map(|(_, entry)| entry.name.clone()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_is_dropped_and_undeleted_with_its_policies() {
        let (fixture, catalog) = CatalogFixture::with_instance();
        for name in ["db", "db/week", "db2/week", "db/month"] {
            catalog.create_database(name, None).await.unwrap();
        }
        let dropped_before = catalog.delete_database("db/month", HardDelete::DEFAULT);
        dropped_before.await.unwrap();
        fixture.sleep(Duration::from_secs(1)).await;
        let dropped = catalog.delete_database("db", HardDelete::DEFAULT).await;
        dropped.unwrap();
        assert_eq!(names(&catalog).await, ["db2/week"]);
        let undeleted = catalog.undelete_database("db", Some("new")).await;
        undeleted.unwrap();
        assert_eq!(names(&catalog).await, ["new", "new/week", "db2/week"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_purged_policy_does_not_prevent_that_its_database_is_undeleted() {
        let (fixture, catalog) = CatalogFixture::with_instance();
        for name in ["db", "db/week", "db/month"] {
            catalog.create_database(name, None).await.unwrap();
        }
        let dropped = catalog.delete_database("db", HardDelete::DEFAULT).await;
        dropped.unwrap();
        let root = catalog.root(Duration::ZERO).await.unwrap().value;
        let mut entries = root.databases().values();
        let week = entries.find(|entry| entry.original_name() == "db/week");
        let now = HardDelete::After(Duration::ZERO);
        let purged = catalog.delete_database(&week.unwrap().name, now);
        purged.await.unwrap();
        fixture.sleep(Duration::from_secs(1)).await;
        catalog.undelete_database("db", None).await.unwrap();
        assert_eq!(names(&catalog).await, ["db", "db/month"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deletion_time_of_a_dropped_database_is_that_of_the_policies_dropped_with_it() {
        let (fixture, catalog) = CatalogFixture::with_instance();
        for name in ["db", "db/week", "db/month", "db2/week"] {
            catalog.create_database(name, None).await.unwrap();
        }
        catalog.delete_database("db/month", HardDelete::DEFAULT).await.unwrap();
        fixture.sleep(Duration::from_secs(1)).await;
        catalog.delete_database("db", HardDelete::DEFAULT).await.unwrap();
        let dropped = async || {
            let root = catalog.root(Duration::ZERO).await.unwrap().value;
            let entries = root.databases().values().filter(|entry| entry.deletion.is_some());
            entries.cloned().collect::<Vec<_>>()
        };
        let before = dropped().await;
        let db = before.iter().find(|entry| entry.original_name() == "db").unwrap();
        fixture.sleep(Duration::from_secs(1)).await;
        for hard_delete in [HardDelete::Never, HardDelete::NOW] {
            catalog.delete_database(&db.name, hard_delete).await.unwrap();
            let after = dropped().await;
            let times: BTreeMap<_, _> = after
                .iter()
                .map(|entry| (entry.original_name(), entry.deletion.unwrap().hard_delete_at))
                .collect();
            assert_eq!(times["db"].is_some(), hard_delete == HardDelete::NOW);
            assert_eq!(times["db/week"], times["db"]);
            assert_ne!(times["db/month"], times["db"], "it was dropped before");
        }
        assert_eq!(names(&catalog).await, ["db2/week"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_policy_does_not_return_with_a_new_database() {
        let catalog = CatalogFixture::new().instance();
        let old = catalog.create_database("db/week", None).await.unwrap();
        catalog.create_database("db", None).await.unwrap();
        let dropped = catalog.delete_database("db", HardDelete::DEFAULT).await;
        dropped.unwrap();
        catalog.create_database("db", None).await.unwrap();
        assert_eq!(names(&catalog).await, ["db"]);
        assert_ne!(catalog.create_database("db/week", None).await.unwrap(), old);
    }

    #[tokio::test(start_paused = true)]
    async fn a_permission_for_a_database_includes_its_policies() {
        let catalog = CatalogFixture::new().instance();
        for name in ["db", "other", "db/week", "other/week"] {
            catalog.create_database(name, None).await.unwrap();
        }
        let permissions = ["db:db:read", "db:other/week:write"].map(|text| text.parse().unwrap());
        let token = catalog.create_resource_token("t", &permissions, None, None);
        let id = token.await.unwrap().id;
        let root = catalog.root(Duration::ZERO).await.unwrap().value;
        let permissions = root.tokens()[&id].permissions.with_policies(&root.policies());
        let allowed = |action, name| permissions.allow(action, root.database(name));
        assert!(allowed(DatabaseAction::Read, "db"));
        assert!(allowed(DatabaseAction::Read, "db/week"));
        assert!(!allowed(DatabaseAction::Write, "db/week"));
        assert!(allowed(DatabaseAction::Write, "other/week"));
        assert!(!allowed(DatabaseAction::Write, "other"));
    }

    #[tokio::test(start_paused = true)]
    async fn names_without_a_policy_are_those_of_the_default_policy() {
        let (catalog, db) = CatalogFixture::with_database().await;
        catalog.create_database("db/week", None).await.unwrap();
        let stored = async |policy: Option<&str>| {
            let root = catalog.root(Duration::ZERO).await.unwrap().value;
            root.policy_database("db", policy)
        };
        assert_eq!(stored(None).await, "db");
        catalog.set_default_policy(db, Some("Week")).await.unwrap();
        for (policy, name) in [
            (None, "db/week"),
            (Some(""), "db/week"),
            (Some("''"), "db/week"),
            (Some("default"), "db/week"),
            (Some("autogen"), "db"),
            (Some("Month"), "db/month"),
        ] {
            assert_eq!(stored(policy).await, name, "{policy:?}");
        }
        let root = catalog.root(Duration::ZERO).await.unwrap().value;
        assert_eq!(root.policy_database("other", None), "other");
        assert_eq!(root.audit().next_back().unwrap().action, "set default retention policy");
        catalog.set_default_policy(db, Some("autogen")).await.unwrap();
        assert_eq!(stored(None).await, "db");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_policy_is_no_default_until_it_returns() {
        let (catalog, db) = CatalogFixture::with_database().await;
        let missing = catalog.set_default_policy(db, Some("week")).await;
        assert!(matches!(missing, Err(CatalogError::NotFound { .. })));
        catalog.create_database("db/week", None).await.unwrap();
        catalog.set_default_policy(db, Some("week")).await.unwrap();
        let default = async |database: &str| {
            let root = catalog.root(Duration::ZERO).await.unwrap().value;
            root.default_policy(database).map(str::to_owned)
        };
        catalog.delete_database("db/week", HardDelete::DEFAULT).await.unwrap();
        assert_eq!(default("db").await, None);
        catalog.undelete_database("db/week", None).await.unwrap();
        assert_eq!(default("db").await.as_deref(), Some("week"));
        catalog.delete_database("db", HardDelete::DEFAULT).await.unwrap();
        let dropped = catalog.set_default_policy(db, None).await;
        assert!(matches!(dropped, Err(CatalogError::NotFound { .. })));
        catalog.undelete_database("db", Some("new")).await.unwrap();
        assert_eq!(default("new").await.as_deref(), Some("week"));
    }
}
