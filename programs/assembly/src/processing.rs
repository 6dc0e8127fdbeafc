//! Assembles the processing engine of one process: plugin sources, worker processes, and database access.
//!
//! ```text
//! routes ──────┬──► PluginCode ──► plugin folder, bucket, repository
//!              ├──► Packages ────► virtual environment
//! Engine ──────┴──► Workers ─────► child processes ──► PluginDatabase ──► QueryEngine, WriteService
//!   ▲ segments, time, requests
//! ```

use std::sync::Arc;

use axum::Router;
use neap_bucket::ProtocolRules;
use neap_catalog::{Catalog, EngineLogs};
use neap_engine::{
    Engine, EngineParts, EngineRoutes, EngineSettings, PackageSettings, PluginCodeSettings,
    PluginCodeStore, PythonEnvironment, PythonPluginRuntime, RunError, TriggerKind, WorkerPool,
    WorkerSettings, routes,
};
use neap_http::{BodyLimits, Metrics};
use neap_query::QueryEngine;
use neap_wal::TailReader;
use neap_write::WriteService;

use crate::{PluginDatabase, plugin_files::PluginFileLister};

/// Settings for storing, running and limiting plugins.
#[derive(Clone, Debug, Default)]
pub struct ProcessingSettings {
    /// Settings for starting runs from segments, schedules and requests.
    pub engine: EngineSettings,
    /// Settings of the worker processes. The interpreter is overridden by the virtual environment of `packages`, the
    /// plugin folder by that of `code`.
    pub workers: WorkerSettings,
    /// Locations of plugin code.
    pub code: PluginCodeSettings,
    /// Settings of the package installation.
    pub packages: PackageSettings,
    /// Kinds of triggers that may be created; if empty, all kinds.
    pub allowed: Vec<TriggerKind>,
    /// Limits on the bodies of requests to plugins.
    pub body: BodyLimits,
}

/// Dependencies of a [`ProcessingEngine`].
#[derive(Debug)]
pub struct ProcessingParts {
    /// The catalogs, including the bucket.
    pub catalog: Arc<Catalog>,
    /// The rules of the storage protocol.
    pub rules: ProtocolRules,
    /// Reads segments; should share its cache with the queries.
    pub tail: TailReader,
    /// Executes the writes of plugins.
    pub writes: Arc<WriteService>,
    /// Executes the queries of plugins.
    pub queries: Arc<QueryEngine>,
    /// Registry for the metrics of runs.
    pub metrics: Metrics,
    /// The settings.
    pub settings: ProcessingSettings,
}

/// The processing engine of one process.
#[derive(Clone, Debug)]
pub struct ProcessingEngine {
    engine: Arc<Engine>,
    routes: EngineRoutes,
}

impl ProcessingEngine {
    /// Creates the engine. Starts nothing yet.
    pub fn new(parts: ProcessingParts) -> Self {
        let settings = parts.settings;
        let (catalog, queries) = (parts.catalog, parts.queries);
        let bucket = catalog.bucket().clone();
        let world = bucket.world().clone();
        let logs = Arc::new(EngineLogs::new(bucket.clone()));
        let plugin_folder = settings.code.plugin_folder.clone();
        let code = Arc::new(PluginCodeStore::new(settings.code, Arc::clone(&catalog)));
        let packages = Arc::new(PythonEnvironment::new(settings.packages, world.clone()));
        let workers =
            WorkerSettings { python: packages.python(), plugin_folder, ..settings.workers };
        let workers = Arc::new(WorkerPool::new(workers, world));
        queries.set_plugin_logs(Arc::clone(&logs));
        queries.set_plugin_files(Arc::new(PluginFileLister {
            catalog: Arc::clone(&catalog),
            code: Arc::clone(&code),
        }));
        let database = Arc::new(PluginDatabase::new(parts.writes, queries));
        let engine = Engine::new(EngineParts {
            bucket,
            catalog: Arc::clone(&catalog),
            rules: parts.rules,
            tail: parts.tail,
            database: Arc::clone(&database) as _,
            plugins: Arc::new(PythonPluginRuntime::new(Arc::clone(&code), Arc::clone(&workers))),
            logs,
            settings: settings.engine,
            metrics: parts.metrics,
        });
        let routes = EngineRoutes {
            catalog,
            code,
            packages,
            workers,
            database,
            triggers: Arc::clone(&engine) as _,
            allowed: settings.allowed,
            body: settings.body,
        };
        Self { engine, routes }
    }

    /// Returns the engine that runs triggers.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Returns the HTTP routes for triggers, plugins, packages and dry runs, and those that plugins serve.
    pub fn routes(&self) -> Router {
        routes(self.routes.clone())
    }

    /// Starts the interpreter once and returns its version.
    ///
    /// # Errors
    /// [`RunError::NoPython`]: plugins can't run.
    pub async fn check(&self) -> Result<String, RunError> {
        self.routes.workers.check().await
    }
}
