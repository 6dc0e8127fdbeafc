//! The root catalog: the databases of a cluster, and the settings shared by its instances.

use std::{collections::BTreeMap, time::Duration};

use neap_bucket::{FormatLevel, ObjectFormat, ProtocolMargins, RegisterValue, StoreTime, formats};
use neap_schema::DatabaseId;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::{
    Actor, AuditEntry, CatalogError, CatalogLimits, ClientPublicKey, ClusterSecrets, Deletion,
    HardDelete, LimitError, PluginEntry, PurgeState, QueryGroups, RecordedRegisters, TokenEntry,
    TokenId,
    audit::AuditLog,
    deletion::{DroppedEntry, delete, deleted_name, find_dropped, note_purge},
    limits::exceeded_limit,
    name_index::NameIndex,
    tail_record::TailRecord,
    tokens::TokenSet,
    users::UserSet,
    validate_database_name,
};

/// The entry of a database in the root catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseEntry {
    /// The name; a dropped database has the name that the drop gave it.
    pub name: String,
    /// When it was created, by the store's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<StoreTime>,
    /// Set if it is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
    /// The name of a dropped database before its drop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_name: Option<String>,
    /// The former names that still stand for it, oldest first. Those of a dropped database stand for nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Whether it has or had triggers. Only then is its own catalog searched for triggers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_triggers: bool,
    /// Whether it was created by a restore.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_restored: bool,
    /// The backup that holds this database, a hidden copy that can't be undeleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Ulid>,
    /// The retention policy that writes and queries without one use, if it is not the database itself. It may be dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_policy: Option<String>,
}

impl DatabaseEntry {
    /// Returns the name; of a dropped database, the name before its drop.
    pub fn original_name(&self) -> &str {
        self.original_name.as_deref().unwrap_or(&self.name)
    }

    /// Returns the name and the aliases.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.name).chain(&self.aliases).map(String::as_str)
    }
}

/// The register of a cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RootCatalog {
    cluster: String,
    margins: ProtocolMargins,
    #[serde(
        default = "FormatLevel::first",
        skip_serializing_if = "FormatLevel::is_first"
    )]
    pub(crate) format_level: FormatLevel,
    next_database: DatabaseId,
    databases: BTreeMap<DatabaseId, DatabaseEntry>,
    #[serde(default, skip_serializing_if = "TokenSet::is_unused")]
    pub(crate) tokens: TokenSet,
    #[serde(default, skip_serializing_if = "UserSet::is_unused")]
    pub(crate) users: UserSet,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) plugins: BTreeMap<String, PluginEntry>,
    #[serde(default, skip_serializing_if = "AuditLog::is_empty")]
    pub(crate) audit: AuditLog,
    /// The registers of the cluster that were created, if that is recorded.
    #[serde(default, skip_serializing_if = "RecordedRegisters::is_empty")]
    pub registers: RecordedRegisters,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cluster_secrets: Option<ClusterSecrets>,
    #[serde(default, skip_serializing_if = "QueryGroups::is_unused")]
    pub(crate) query_groups: QueryGroups,
    #[serde(default, skip_serializing_if = "TailRecord::is_unused")]
    pub(crate) tail: TailRecord,
    #[serde(skip)]
    live: NameIndex<DatabaseId>,
}

impl RegisterValue for RootCatalog {
    const FORMAT: ObjectFormat = formats::ROOT_CATALOG;
}

impl Default for RootCatalog {
    fn default() -> Self {
        Self::new(String::new(), ProtocolMargins::NETWORK)
    }
}

impl RootCatalog {
    pub(crate) fn new(cluster: String, margins: ProtocolMargins) -> Self {
        Self {
            cluster,
            margins,
            format_level: FormatLevel::first(),
            next_database: DatabaseId::new(1),
            databases: BTreeMap::new(),
            tokens: TokenSet::default(),
            users: UserSet::default(),
            plugins: BTreeMap::new(),
            audit: AuditLog::default(),
            registers: RecordedRegisters::default(),
            cluster_secrets: None,
            query_groups: QueryGroups::default(),
            tail: TailRecord::default(),
            live: NameIndex::default(),
        }
    }

    /// Returns the UUID of the cluster, generated when its bucket was first used.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Returns the margins of the storage protocol, fixed when the cluster was created.
    pub fn margins(&self) -> ProtocolMargins {
        self.margins
    }

    /// Returns all databases by id, including dropped ones.
    pub fn databases(&self) -> &BTreeMap<DatabaseId, DatabaseEntry> {
        &self.databases
    }

    /// Returns the tokens, by id.
    pub fn tokens(&self) -> &BTreeMap<TokenId, TokenEntry> {
        self.tokens.entries()
    }

    /// Returns the token or user at the start of the chain of creators that leads to a token.
    pub fn authority(&self, id: TokenId) -> Actor {
        self.tokens.authority(id)
    }

    /// Returns the token with this name whose holder signs a challenge, and its public key.
    pub fn client_key(&self, name: &str) -> Option<(TokenId, &TokenEntry, &ClientPublicKey)> {
        let (id, entry) = self.tokens.by_name(name)?;
        Some((id, entry, entry.public_key.as_ref()?))
    }

    /// Returns the uploaded plugins, by name.
    pub fn plugins(&self) -> &BTreeMap<String, PluginEntry> {
        &self.plugins
    }

    /// Returns the query groups.
    pub fn query_groups(&self) -> &QueryGroups {
        &self.query_groups
    }

    /// Returns the secrets of the cluster; `None` if no process has served a worker port yet.
    pub fn cluster_secrets(&self) -> Option<&ClusterSecrets> {
        self.cluster_secrets.as_ref()
    }

    /// Returns the databases that are not dropped and may have triggers, by id.
    pub fn databases_with_triggers(&self) -> impl Iterator<Item = (DatabaseId, &DatabaseEntry)> {
        let live = self.live_databases();
        live.filter(|(_, entry)| entry.has_triggers)
    }

    /// Marks a database as one that may have triggers. Returns whether this changes the catalog.
    pub(crate) fn set_has_triggers(&mut self, id: DatabaseId) -> Result<bool, CatalogError> {
        let entry = self.databases.get_mut(&id).ok_or_else(|| CatalogError::NotFound {
            name: format!("database {id}"),
        })?;
        Ok(!std::mem::replace(&mut entry.has_triggers, true))
    }

    /// Returns whether there is an administrator token, so that no first one can be created.
    pub fn has_admin_token(&self) -> bool {
        self.tokens.has_admin()
    }

    /// Returns the latest administrative changes of this register, oldest first.
    pub fn audit(&self) -> impl DoubleEndedIterator<Item = &AuditEntry> {
        self.audit.entries()
    }

    /// Adds an entry to the audit log, to be committed with the change that it describes.
    pub(crate) fn note(
        &mut self,
        now: StoreTime,
        action: &'static str,
        target: &str,
        detail: Option<String>,
    ) {
        self.audit.add(now, action, target, detail);
    }

    /// Returns the databases that are not dropped, by id.
    pub fn live_databases(&self) -> impl Iterator<Item = (DatabaseId, &DatabaseEntry)> {
        let databases = self.databases.iter().map(|(id, entry)| (*id, entry));
        databases.filter(|(_, entry)| entry.deletion.is_none())
    }

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
        live.map(|entry| entry.name.clone()).ok_or_else(|| CatalogError::NotFound {
            name: format!("database {id}"),
        })
    }

    /// Returns the latest dropped database with this name, such as `db-20250910T132505`.
    pub fn deleted_database(&self, name: &str) -> Option<DatabaseId> {
        let mut databases = self.databases.iter().rev();
        let found = databases.find(|(_, entry)| {
            entry.deletion.is_some() && entry.backup.is_none() && entry.name == name
        });
        found.map(|(id, _)| *id)
    }

    /// Returns the dropped databases whose removal should start or continue at this time of the store, by id.
    /// See [`Catalog::begin_database_purge`](crate::Catalog::begin_database_purge).
    pub fn due_databases(&self, now: StoreTime) -> impl Iterator<Item = DatabaseId> {
        let due = self.databases.iter().filter(move |(_, entry)| {
            let deletion = entry.deletion.as_ref();
            deletion.is_some_and(|deletion| deletion.is_due(now))
        });
        due.map(|(id, _)| *id)
    }

    /// Returns the databases whose data was removed long enough ago for their entries to leave the catalog, by id.
    pub fn obsolete_databases(&self, now: StoreTime) -> impl Iterator<Item = DatabaseId> {
        let obsolete = self.databases.iter().filter(move |(_, entry)| {
            let deletion = entry.deletion.as_ref();
            deletion.is_some_and(|deletion| deletion.is_obsolete(now))
        });
        obsolete.map(|(id, _)| *id)
    }

    /// Removes the entry of a database if it is obsolete. Returns whether this changes the catalog. The id is not
    /// reused.
    pub(crate) fn remove_obsolete(&mut self, id: DatabaseId, now: StoreTime) -> bool {
        let is_obsolete = self.obsolete_databases(now).any(|obsolete| obsolete == id);
        is_obsolete && self.databases.remove(&id).is_some()
    }

    /// Returns why no other database can have this name: a live or a dropped one has it, or it is an alias.
    pub(crate) fn name_conflict(&self, name: &str) -> Option<CatalogError> {
        let id = self.database(name).or_else(|| self.deleted_database(name))?;
        Some(
            self.alias_conflict(id, name).unwrap_or_else(|| CatalogError::AlreadyExists {
                name: name.to_owned(),
            }),
        )
    }

    /// Returns the error of a name that is not that of a database but its alias.
    pub(crate) fn alias_conflict(&self, id: DatabaseId, name: &str) -> Option<CatalogError> {
        let entry = self.databases.get(&id).filter(|entry| entry.name != name)?;
        Some(CatalogError::NameIsAlias {
            name: name.to_owned(),
            present_name: entry.name.clone(),
        })
    }

    pub(crate) fn add(
        &mut self,
        name: &str,
        created: Option<StoreTime>,
        limits: &CatalogLimits,
    ) -> Result<DatabaseId, CatalogError> {
        self.check_limit(limits)?;
        let stored_name = self.stored_name(name);
        validate_database_name(&stored_name)?;
        let entry = DatabaseEntry {
            name: stored_name.clone(),
            created,
            deletion: None,
            original_name: None,
            aliases: Vec::new(),
            has_triggers: false,
            is_restored: false,
            backup: None,
            default_policy: None,
        };
        let id = self.insert(entry)?;
        self.live.insert(&stored_name, id);
        Ok(id)
    }

    /// Adds a database that is hidden like a dropped one until it is undeleted. If that does not happen, its data is
    /// removed after `hidden_for`.
    pub(crate) fn add_hidden(
        &mut self,
        name: &str,
        now: StoreTime,
        hidden_for: Duration,
        limits: &CatalogLimits,
    ) -> Result<DatabaseId, CatalogError> {
        self.check_limit(limits)?;
        self.insert(DatabaseEntry {
            name: deleted_name(name, now),
            created: Some(now),
            deletion: Some(Deletion {
                deleted_at: now,
                hard_delete_at: Some(now.plus(hidden_for)),
                purge: PurgeState::Waiting,
                purged_at: None,
            }),
            original_name: Some(name.to_owned()),
            aliases: Vec::new(),
            has_triggers: false,
            is_restored: true,
            backup: None,
            default_policy: None,
        })
    }

    /// Returns whether a database is a copy that was never live: one that a backup holds, or one that is being restored.
    /// Only its job changes it.
    pub fn is_hidden_copy(&self, id: DatabaseId) -> bool {
        let entry = self.databases.get(&id);
        entry.is_some_and(|entry| {
            entry.backup.is_some() || (entry.is_restored && !self.was_published(id))
        })
    }

    /// Returns whether a database that was [hidden](Self::add_hidden) at first has been live.
    pub(crate) fn was_published(&self, id: DatabaseId) -> bool {
        self.databases.get(&id).is_some_and(|entry| {
            let hidden = entry.deletion.map(|deletion| deletion.deleted_at);
            hidden.is_none() || hidden != entry.created
        })
    }

    fn check_limit(&self, limits: &CatalogLimits) -> Result<(), CatalogError> {
        if let Some(limit) = exceeded_limit(self.live_databases().count() + 1, limits.databases) {
            return Err(LimitError::Databases { limit }.into());
        }
        Ok(())
    }

    pub(crate) fn insert(&mut self, entry: DatabaseEntry) -> Result<DatabaseId, CatalogError> {
        let id = self.next_database;
        let no_more = CatalogError::NoMoreIds { what: "database" };
        self.next_database = id.next().ok_or(no_more)?;
        self.databases.insert(id, entry);
        Ok(id)
    }

    /// Returns the databases, to change their entries. Names and deletions of live ones must not change.
    pub(crate) fn entries_mut(&mut self) -> &mut BTreeMap<DatabaseId, DatabaseEntry> {
        &mut self.databases
    }

    /// Returns the databases, to change their names.
    pub(crate) fn names_mut(&mut self) -> &mut BTreeMap<DatabaseId, DatabaseEntry> {
        self.live.reset();
        &mut self.databases
    }

    /// Drops a database, or changes the deletion time of a dropped one.
    pub(crate) fn delete(
        &mut self,
        name: &str,
        now: StoreTime,
        hard_delete: HardDelete,
    ) -> Result<DatabaseId, CatalogError> {
        let not_found = || CatalogError::NotFound {
            name: name.to_owned(),
        };
        let id = self
            .database(name)
            .or_else(|| self.deleted_database(name))
            .ok_or_else(not_found)?;
        let entry = self.databases.get_mut(&id).ok_or_else(not_found)?;
        let (name, deletion) = delete(&entry.name, entry.deletion, now, hard_delete)?;
        let before = std::mem::replace(&mut entry.name, name);
        if entry.deletion.replace(deletion).is_none() {
            entry.original_name = Some(before);
        }
        self.live.reset();
        Ok(id)
    }

    /// Returns the dropped database to undelete, by its present or its original name.
    pub(crate) fn find_dropped(
        &self,
        name: &str,
        now: StoreTime,
    ) -> Result<DatabaseId, CatalogError> {
        let own = self.databases.iter().filter(|(_, entry)| entry.backup.is_none());
        let dropped = own.filter_map(|(id, entry)| {
            Some(DroppedEntry {
                id: *id,
                name: &entry.name,
                original_name: entry.original_name(),
                deletion: entry.deletion?,
            })
        });
        find_dropped(dropped, name, now)
    }

    /// Undeletes a database, under another name if one is given. Returns its name.
    pub(crate) fn undelete(
        &mut self,
        id: DatabaseId,
        name: Option<&str>,
        now: StoreTime,
        limits: &CatalogLimits,
    ) -> Result<String, CatalogError> {
        let not_found = || CatalogError::NotFound {
            name: format!("database {id}"),
        };
        let entry = self.databases.get(&id).ok_or_else(not_found)?;
        let deletion = entry.deletion.ok_or_else(not_found)?;
        if !deletion.can_be_undone(now) {
            let name = entry.name.clone();
            return Err(CatalogError::Purged { name });
        }
        let name = self.stored_name(name.unwrap_or(entry.original_name()));
        validate_database_name(&name)?;
        let is_own = self.database(&name).is_none() && self.deleted_database(&name) == Some(id);
        if let Some(conflict) = self.name_conflict(&name).filter(|_| !is_own) {
            return Err(conflict);
        }
        self.check_limit(limits)?;
        // Aliases that others have got since the drop are none any more.
        let mut aliases = entry.aliases.clone();
        aliases.retain(|alias| *alias != name && self.database(alias).is_none());
        let entry = self.databases.get_mut(&id).ok_or_else(not_found)?;
        entry.name.clone_from(&name);
        entry.aliases = aliases;
        entry.deletion = None;
        entry.original_name = None;
        self.live.reset();
        Ok(name)
    }

    /// Records the progress of the removal of a dropped database. Returns whether this changes the catalog.
    /// Fails with `NotFound`: the database does not exist, is not dropped, or is not due for removal yet.
    pub(crate) fn note_purge(
        &mut self,
        id: DatabaseId,
        purge: PurgeState,
        now: StoreTime,
    ) -> Result<bool, CatalogError> {
        let entry = self.databases.get_mut(&id);
        let deletion = entry.and_then(|entry| entry.deletion.as_mut());
        note_purge(deletion, purge, now).ok_or_else(|| CatalogError::NotFound {
            name: format!("deleted database {id}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> RootCatalog {
        let mut catalog = RootCatalog::new("c0ffee".to_owned(), ProtocolMargins::LOCAL);
        let created = Some(StoreTime::from_micros(1_000_000));
        let limits = CatalogLimits::default();
        catalog.add("one", created, &limits).unwrap();
        catalog.add("two/rp", created, &limits).unwrap();
        let now = StoreTime::from_micros(1_757_510_705_000_000);
        catalog.delete("one", now, HardDelete::DEFAULT).unwrap();
        catalog
    }

    #[test]
    fn format() {
        insta::assert_json_snapshot!(catalog(), @r#"
        {
          "cluster": "c0ffee",
          "margins": {
            "acknowledgement_limit_ms": 2000,
            "flush_lag_ms": 8000
          },
          "next_database": 3,
          "databases": {
            "1": {
              "name": "one-20250910T132505",
              "created": 1000000,
              "deletion": {
                "deleted_at": 1757510705000000,
                "hard_delete_at": 1757769905000000
              },
              "original_name": "one"
            },
            "2": {
              "name": "two/rp",
              "created": 1000000
            }
          }
        }
        "#);
    }

    #[test]
    fn a_dropped_name_is_free_immediately_and_its_id_is_not_reused() {
        let mut catalog = catalog();
        assert_eq!(catalog.database("one"), None);
        let id = catalog.add("one", None, &CatalogLimits::default()).unwrap();
        assert_eq!(id, DatabaseId::new(3));
        assert_eq!(catalog.database("one"), Some(id));
        assert_eq!(
            catalog.deleted_database("one-20250910T132505"),
            Some(DatabaseId::new(1))
        );
    }

    #[test]
    fn a_database_is_undeleted_under_its_old_name_or_a_new_one() {
        let now = StoreTime::from_micros(1_757_510_800_000_000);
        let limits = CatalogLimits::default();
        let mut undeleted = catalog();
        let id = undeleted.find_dropped("one-20250910T132505", now).unwrap();
        assert_eq!(undeleted.find_dropped("one", now).unwrap(), id);
        assert_eq!(undeleted.undelete(id, None, now, &limits).unwrap(), "one");
        assert_eq!(undeleted.database("one"), Some(id));
        let live = &undeleted.databases()[&id];
        assert_eq!((live.deletion, live.original_name.as_deref()), (None, None));

        let mut taken = catalog();
        taken.add("one", None, &limits).unwrap();
        let error = taken.undelete(id, None, now, &limits).unwrap_err();
        assert!(matches!(error, CatalogError::AlreadyExists { name } if name == "one"));
        let name = taken.undelete(id, Some("back"), now, &limits).unwrap();
        assert_eq!(taken.database(&name), Some(id));
    }

    #[test]
    fn undeleting_an_ambiguous_name_is_refused() {
        let mut catalog = catalog();
        let later = StoreTime::from_micros(1_757_510_706_000_000);
        catalog.add("one", None, &CatalogLimits::default()).unwrap();
        catalog.delete("one", later, HardDelete::NOW).unwrap();
        let error = catalog.find_dropped("one", later).unwrap_err();
        assert_eq!(
            error.to_string(),
            "several deleted resources were named 'one', use one of one-20250910T132505, one-20250910T132506"
        );
        // A database that is past its deletion time is not a candidate.
        let after = later.plus(Duration::from_micros(1));
        assert_eq!(
            catalog.find_dropped("one", after).unwrap(),
            DatabaseId::new(1)
        );
        let error = catalog.find_dropped("one-20250910T132506", after).unwrap_err();
        assert!(matches!(error, CatalogError::Purged { .. }));
        let error = catalog.find_dropped("none", after).unwrap_err();
        assert!(matches!(error, CatalogError::NotFound { .. }));
    }

    #[test]
    fn a_begun_removal_prevents_undeletion_and_rescheduling() {
        let mut catalog = catalog();
        let id = DatabaseId::new(1);
        let now = StoreTime::from_micros(1_757_769_905_000_000);
        assert!(
            catalog.note_purge(id, PurgeState::Begun, now).is_err(),
            "too early"
        );
        let due = now.plus(Duration::from_secs(60));
        assert_eq!(catalog.due_databases(due).collect::<Vec<_>>(), [id]);
        assert!(catalog.note_purge(id, PurgeState::Begun, due).unwrap());
        assert!(!catalog.note_purge(id, PurgeState::Begun, due).unwrap());
        assert_eq!(catalog.due_databases(due).collect::<Vec<_>>(), [id]);
        let limits = CatalogLimits::default();
        // Also if the clock has not advanced.
        let undeleted = catalog.undelete(id, None, now, &limits);
        assert!(matches!(undeleted, Err(CatalogError::Purged { .. })));
        let again = catalog.delete("one-20250910T132505", now, HardDelete::Never);
        assert!(matches!(again, Err(CatalogError::AlreadyDeleted { .. })));
        assert!(catalog.note_purge(id, PurgeState::Done, due).unwrap());
        assert_eq!(catalog.due_databases(due).count(), 0);
        assert!(!catalog.note_purge(id, PurgeState::Begun, due).unwrap());
        assert_eq!(catalog.due_databases(due).count(), 0);
    }

    #[test]
    fn a_hidden_database_appears_when_undeleted_and_is_otherwise_due_for_removal() {
        let mut catalog = catalog();
        let (limits, hour) = (CatalogLimits::default(), Duration::from_secs(3600));
        let now = StoreTime::from_micros(1_757_510_800_000_000);
        let id = catalog.add_hidden("new", now, hour, &limits).unwrap();
        assert_eq!(catalog.database("new"), None);
        let late = now.plus(2 * hour);
        assert_eq!(catalog.due_databases(late).collect::<Vec<_>>(), [id]);
        assert_eq!(catalog.undelete(id, None, now, &limits).unwrap(), "new");
        assert_eq!(catalog.database("new"), Some(id));
    }

    #[test]
    fn dropping_again_changes_the_deletion_time_and_refuses_the_same_time() {
        let mut catalog = catalog();
        let now = StoreTime::from_micros(1_757_510_800_000_000);
        let name = "one-20250910T132505";
        let id = catalog.delete(name, now, HardDelete::Never).unwrap();
        let entry = &catalog.databases()[&id];
        assert_eq!(entry.name, name);
        assert_eq!(entry.deletion.unwrap().hard_delete_at, None);
        let error = catalog.delete(name, now, HardDelete::Never).unwrap_err();
        assert_eq!(
            error.to_string(),
            "attempted to modify resource that was already deleted: one-20250910T132505"
        );
    }
}
