//! The processing engine of one process: where plugins come from, what runs them, and what they can do.
//!
//! ```text
//! routes ──────┬──► PluginCode ──► plugin folder, bucket, repository
//!              ├──► Packages ────► virtual environment
//! Engine ──────┴──► Workers ─────► child processes ──► PluginDatabase ──► QueryEngine, WriteService
//!   ▲ segments, time, requests
//! ```

use std::{sync::Arc, time::Duration};

use axum::Router;
use neap_bucket::Rules;
use neap_catalog::{Catalog, EngineLogs};
use neap_engine::{
    CodeSettings, Engine, EngineParts, EngineRoutes, EngineSettings, PackageSettings, Packages,
    PluginCode, PythonPlugins, RunError, TriggerKind, WorkerSettings, Workers, routes,
};
use neap_http::{BodyLimits, Metrics};
use neap_query::QueryEngine;
use neap_wal::TailReader;
use neap_write::WriteService;

use crate::{PluginDatabase, plugin_files::FilesOfPlugins};

/// How plugins are kept, run and limited.
#[derive(Clone, Debug)]
pub struct ProcessingSettings {
    /// How segments, schedules and requests become runs.
    pub engine: EngineSettings,
    /// The processes. Their interpreter is that of the virtual environment of `packages`, and the plugin folder that of
    /// `code`.
    pub workers: WorkerSettings,
    /// Where code is.
    pub code: CodeSettings,
    /// How packages are installed.
    pub packages: PackageSettings,
    /// The kinds of triggers that may be created; none: all of them.
    pub allowed: Vec<TriggerKind>,
    /// What bodies of requests to plugins may be.
    pub body: BodyLimits,
    /// How old a catalog may be that routes look names up in.
    pub max_age: Duration,
}

impl Default for ProcessingSettings {
    fn default() -> Self {
        Self {
            engine: EngineSettings::default(),
            workers: WorkerSettings::default(),
            code: CodeSettings::default(),
            packages: PackageSettings::default(),
            allowed: Vec::new(),
            body: BodyLimits::default(),
            max_age: Duration::from_secs(5),
        }
    }
}

/// What a [`Processing`] is made of.
#[derive(Debug)]
pub struct ProcessingParts {
    /// The catalogs, and the bucket with them.
    pub catalog: Arc<Catalog>,
    /// The rules of the storage protocol.
    pub rules: Rules,
    /// What reads segments: best the one whose cache queries use, too.
    pub tail: TailReader,
    /// Where plugins write.
    pub writes: Arc<WriteService>,
    /// Where plugins ask.
    pub queries: Arc<QueryEngine>,
    /// Where runs are counted.
    pub metrics: Metrics,
    /// The settings.
    pub settings: ProcessingSettings,
}

/// The processing engine of one process.
#[derive(Clone, Debug)]
pub struct Processing {
    engine: Arc<Engine>,
    routes: EngineRoutes,
}

impl Processing {
    /// Puts the engine together. Nothing runs yet.
    pub fn new(parts: ProcessingParts) -> Self {
        let settings = parts.settings;
        let (catalog, queries) = (parts.catalog, parts.queries);
        let bucket = catalog.bucket().clone();
        let world = bucket.world().clone();
        let logs = Arc::new(EngineLogs::new(bucket.clone()));
        let plugin_folder = settings.code.plugin_folder.clone();
        let code = Arc::new(PluginCode::new(settings.code, Arc::clone(&catalog)));
        let packages = Arc::new(Packages::new(settings.packages, world.clone()));
        let workers = WorkerSettings {
            python: packages.python(),
            plugin_folder,
            ..settings.workers
        };
        let workers = Arc::new(Workers::new(workers, world));
        queries.set_plugin_logs(Arc::clone(&logs));
        queries.set_plugin_files(Arc::new(FilesOfPlugins {
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
            plugins: Arc::new(PythonPlugins::new(Arc::clone(&code), Arc::clone(&workers))),
            logs,
            settings: settings.engine,
            metrics: parts.metrics,
        });
        let routes = EngineRoutes {
            catalog,
            max_age: settings.max_age,
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

    /// What runs triggers.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The routes of triggers, plugins, packages and dry runs, and those of plugins themselves.
    pub fn routes(&self) -> Router {
        routes(self.routes.clone())
    }

    /// Starts the interpreter once; its version.
    ///
    /// # Errors
    /// [`RunError::NoPython`]: plugins can't run.
    pub async fn check(&self) -> Result<String, RunError> {
        self.routes.workers.check().await
    }
}
