//! The parts of the engine that other modules use.

use std::sync::Arc;

use neap_bucket::{Bucket, ObjectUploads, World};
use neap_catalog::{Catalog, EngineLogs};
use neap_identity::IdentityService;
use neap_manifest::ManifestStore;
use neap_row_delete::RowDeleter;
use neap_rows::columnar::RowWriter;
use neap_rules::Notifier;
use neap_scan::ScanEnvironment;
use neap_tables::{PluginFiles, SharedTables, StoreRequests};
use neap_wal::TailReader;

use super::QueryEngine;
use crate::{QuerySettings, executor::Executor, plan_cache::PlanCache, query_log::QueryLog};

impl QueryEngine {
    /// Returns the state with which this process executes scans for distributed queries: the engine's caches, functions
    /// and memory pool. `tail` reads segments.
    pub fn scan_environment(&self, tail: TailReader) -> Arc<ScanEnvironment> {
        Arc::new(self.sessions.scan_environment(tail))
    }

    /// The sign-in of users, if it is enabled.
    pub(crate) fn identity(&self) -> Option<&Arc<IdentityService>> {
        self.identity.as_ref()
    }

    /// The writer of rows, if the engine may write.
    pub(crate) fn row_writer(&self) -> Option<&Arc<dyn RowWriter>> {
        self.row_writer.as_ref()
    }

    /// The deleter of rows, if the engine may delete.
    pub(crate) fn deleter(&self) -> Option<&Arc<dyn RowDeleter>> {
        self.deleter.as_ref()
    }

    /// The client that sends notifications, if there are targets.
    pub(crate) fn notifier(&self) -> Option<&Arc<Notifier>> {
        self.notifier.as_ref()
    }

    /// Whether clients may create materialized views and rules.
    pub(crate) fn keeps_views(&self) -> bool {
        self.keeps_views
    }

    /// The store.
    pub(crate) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// The manifests of the databases.
    pub(crate) fn manifests(&self) -> &ManifestStore {
        &self.tables().scan.manifests
    }

    /// Uploads to the store, if the engine may write exports.
    pub(crate) fn exports(&self) -> Option<&ObjectUploads> {
        self.exports.as_ref()
    }

    /// Sets the log buffers of this process's plugins, so that queries show lines that are not in the bucket yet. Only
    /// the first call has an effect.
    pub fn set_plugin_logs(&self, logs: Arc<EngineLogs>) {
        self.sessions.system().plugin_logs.get_or_init(|| logs);
    }

    /// Sets the provider of plugin files. Only the first call has an effect.
    pub fn set_plugin_files(&self, files: Arc<dyn PluginFiles>) {
        self.sessions.system().plugin_files.get_or_init(|| files);
    }

    /// Sets the stores whose requests `system.store_requests` shows. Only the first call has an effect.
    pub fn set_store_requests(&self, requests: StoreRequests) {
        let shown = &self.sessions.system().store_requests;
        shown.get_or_init(|| requests);
    }

    /// The settings of the engine.
    pub fn settings(&self) -> &QuerySettings {
        &self.settings
    }

    /// The clock, timers and randomness.
    pub fn world(&self) -> &World {
        self.bucket.world()
    }

    /// The state that the tables of all queries share.
    pub(crate) fn tables(&self) -> &SharedTables {
        self.sessions.tables()
    }

    /// The kept plans of statements.
    pub(crate) fn plan_cache(&self) -> &Arc<PlanCache> {
        &self.plans
    }

    /// The running and recent queries of this process.
    pub(crate) fn query_log(&self) -> &QueryLog {
        &self.log
    }

    /// The catalog of the bucket.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The executor, which plans and executes queries.
    pub fn executor(&self) -> &Executor {
        &self.settings.executor
    }
}
