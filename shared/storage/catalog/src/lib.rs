//! The catalogs: which databases a cluster has, and which tables and columns a database has.
//!
//! ```text
//! catalog            RootCatalog        name -> id of databases, settings of the cluster, tokens, users, uploaded plugins
//! db/<id>/catalog    DatabaseCatalog    name -> id of tables, their columns in order of creation, caches, retention,
//!                                       triggers, materialized views, rules
//! db/<id>/documents  DatabaseDocuments  saved queries and dashboards
//! ```
//!
//! All are registers. Additions commute: a table or column that another instance added in the meantime is kept, and
//! only a contradiction (another type, a limit) is an error. Ids are never reused, so the data of a dropped object
//! cannot be taken for the data of a later object with the same name. A dropped object is renamed and hidden.
//!
//! ```text
//!   writer                                        store
//!     |-- commit: new tables and columns ----------> |   crash after: columns without rows
//!     |-- put: the segment that names them --------> |   it records the version of the catalog that it needs
//! ```
//!
//! An instance holds one [`Catalog`]. It caches the catalogs that it has read, knows their age by the store's clock,
//! and lets concurrent callers share a request.

mod absence;
mod aliases;
mod audit;
mod auto_create;
mod backup_copies;
mod cache_changes;
mod cache_definitions;
mod catalog;
mod changes;
mod cluster_secret;
mod cold_storage;
mod cold_storage_changes;
mod column_changes;
mod columns;
mod copy;
mod database;
mod database_cache;
mod default_value;
mod deletion;
mod documents;
mod drops;
mod engine_logs;
mod error;
mod file_index;
mod format_level;
mod former_names;
mod influxdb2_id;
mod limits;
mod name_index;
mod names;
mod node_changes;
mod nodes;
mod on_duplicate;
pub mod origin;
mod plugins;
mod query_groups;
mod recorded_register;
mod register;
mod retention_policies;
mod root;
mod rule_changes;
mod rule_groups;
mod settling_time;
mod statement_names;
mod table;
mod table_caches;
mod tail_moves;
mod tail_record;
mod tokens;
mod trigger_changes;
mod triggers;
mod users;
mod view_changes;
mod view_targets;
mod views;

pub use absence::without_records;
pub use audit::{AuditEntry, MAX_AUDIT_ENTRIES};
pub use auto_create::TablePermission;
pub use backup_copies::{BackupCopy, MAX_BACKUP_COPIES, RestoredDatabase};
pub use cache_changes::{
    MAX_CACHE_COLUMNS, MAX_CACHE_NAME_BYTES, MAX_CACHES, MAX_CACHES_PER_TABLE,
    MAX_LAST_CACHE_COUNT, NewDistinctCache, NewLastCache,
};
pub use cache_definitions::{DistinctCacheDefinition, LastCacheDefinition, ValueColumns};
pub use catalog::{ANY_AGE, Catalog};
pub use cluster_secret::{
    ClusterSecret, ClusterSecrets, REPLACED_SECRET_LIFETIME, SECRET_SPREAD_TIME,
};
pub use cold_storage::ColdStorage;
pub use columns::{Column, DroppedColumn, MAX_DROPPED_COLUMNS};
pub use copy::{CopyOptions, DatabaseCopy};
pub use database::{DatabaseCatalog, TableAddition};
pub use deletion::{Deletion, HardDelete, PurgeState};
pub use documents::{
    DatabaseDocuments, Document, DocumentError, DocumentKind, DocumentStore, MAX_DOCUMENT_BYTES,
    MAX_DOCUMENT_NAME_BYTES, MAX_DOCUMENTS, MAX_DOCUMENTS_BYTES, NewDocument,
};
pub use engine_logs::{ENGINE_LOG_RETENTION, EngineLogLine, EngineLogs, keep_log_lines};
pub use error::CatalogError;
pub use former_names::MAX_ALIASES;
pub use influxdb2_id::{InfluxDb2Id, InfluxDb2IdError};
pub use limits::{CatalogLimits, LimitError};
pub use names::{
    DatabaseNameError, INTERNAL_DATABASE, INTERNAL_DATABASE_ID, INTERNAL_RETENTION,
    MAX_DATABASE_NAME_BYTES, validate_database_name,
};
pub use node_changes::{NodeChangeError, named_nodes, remove_node, request_node_stop};
pub use nodes::{
    NODE_CHECK_INTERVAL, NODE_HEARTBEAT_INTERVAL, NODE_RECORD_AGE, Node, NodeReader, NodeRecord,
    NodeState, RecordRead, STOP_REQUEST_TIMEOUT, StopProgress, nodes,
};
pub use origin::ChangeOrigin;
pub use plugins::{
    MAX_FILES_OF_PLUGINS, MAX_PLUGIN_BYTES, MAX_PLUGIN_FILES, MAX_PLUGIN_PATH_BYTES, MAX_PLUGINS,
    NewPlugin, PluginEntry, PluginFileEntry,
};
pub use query_groups::{
    MAX_QUERY_GROUP_NAME_BYTES, MAX_QUERY_GROUP_NODES, MAX_QUERY_GROUPS, QueryGroup,
    QueryGroupChange, QueryGroups,
};
pub use recorded_register::{RecordedRegister, RecordedRegisters};
pub use register::CachedRegister;
pub use retention_policies::{AUTOGEN, is_or_is_policy_of, policy_database, policy_name};
pub use root::{DatabaseEntry, RootCatalog};
pub use rule_changes::{
    MAX_RULE_BYTES, MAX_RULE_NAME_BYTES, MAX_RULES, MAX_RULES_BYTES, RuleChange,
};
pub use rule_groups::{Rule, RuleAction, RuleGroup, RuleGroups, RuleLanguage};
pub use statement_names::StatementNames;
pub use table::{Table, field_type};
pub use tail_moves::with_tail_location;
pub use tokens::{
    ClientKeyError, ClientPrivateKey, ClientPublicKey, DatabaseAction, IssuedToken,
    MAX_PERMISSION_NAMES, MAX_PERMISSIONS, MAX_TOKEN_NAME_BYTES, MAX_TOKENS, NewClientKey,
    OPERATOR_TOKEN_NAME, Permission, PermissionRequest, PermissionRequestError, Permissions,
    RegisteredKey, ResourceSet, SecretToken, SiteName, SystemEndpoint, TokenAction, TokenEntry,
    TokenHash, TokenHashError, TokenId, UserAction, generate_token,
};
pub use trigger_changes::{
    MAX_TRIGGER_ARGUMENT_BYTES, MAX_TRIGGER_ARGUMENTS, MAX_TRIGGER_NAME_BYTES, MAX_TRIGGERS,
    NewTrigger,
};
pub use triggers::{ErrorBehavior, Trigger, TriggerSpecification};
pub use users::{
    Actor, ExternalUser, FirstUser, MAX_ROLES, MAX_ROLES_PER_USER, MAX_SESSIONS,
    MAX_SESSIONS_PER_USER, MAX_USER_TEXT_BYTES, MAX_USERS, NewRole, NewSigningKey, NewUser,
    PasswordHash, RenewedSession, Role, RoleEntry, RoleId, SessionEntry, SessionId,
    SessionLifetime, SigningKeyEntry, SigningKeyRequest, SigningSecret, StartedSession, UserChange,
    UserEntry, UserId, VerificationKey,
};
pub use view_changes::{
    MAX_VIEW_NAME_BYTES, MAX_VIEW_QUERY_BYTES, MAX_VIEW_TAGS, MAX_VIEWS, NewView,
};
pub use views::{
    MaterializedView, ViewLanguage, ViewReference, ViewTarget, ViewTargetDatabase, ViewWindows,
};

#[cfg(test)]
mod tests;
