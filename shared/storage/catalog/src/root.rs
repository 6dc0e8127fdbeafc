//! The root catalog: the databases of a cluster, and the settings shared by its instances.

mod database_entry;
mod database_lifecycle;
mod database_names;

use std::collections::BTreeMap;

use neap_bucket::{FormatLevel, ObjectFormat, ProtocolMargins, RegisterValue, StoreTime, formats};
use neap_schema::DatabaseId;
use serde::{Deserialize, Serialize};

pub use self::database_entry::DatabaseEntry;
use crate::{
    Actor, AuditEntry, CatalogError, ClientPublicKey, ClusterSecrets, PluginEntry, QueryGroups,
    RecordedRegisters, TokenEntry, TokenId, audit::AuditLog, name_index::NameIndex,
    tail_record::TailRecord, tokens::TokenSet, users::UserSet,
};

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
        let entry = self
            .databases
            .get_mut(&id)
            .ok_or_else(|| CatalogError::NotFound { name: format!("database {id}") })?;
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

    /// Returns the databases, to change their entries. Names and deletions of live ones must not change.
    pub(crate) fn entries_mut(&mut self) -> &mut BTreeMap<DatabaseId, DatabaseEntry> {
        &mut self.databases
    }

    /// Returns the databases, to change their names.
    pub(crate) fn names_mut(&mut self) -> &mut BTreeMap<DatabaseId, DatabaseEntry> {
        self.live.reset();
        &mut self.databases
    }
}

#[cfg(test)]
mod tests;
