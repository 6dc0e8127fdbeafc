//! Plugins in this process: whether they are enabled, their settings, and the startup messages about them.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use axum::{Router, routing::any};
use neap_assembly::{ProcessingEngine, ProcessingSettings};
use neap_bucket::World;
use neap_catalog::{ANY_AGE, Catalog, CatalogError};
use neap_engine::Engine;
use neap_http::{ApiError, BodyLimits, Kind};
use neap_schema::DatabaseId;
use neap_wal::{Segment, SegmentObserver};
use tokio_util::sync::CancellationToken;

use super::{
    ServeError,
    options::{ServeArgs, ServeMode},
};
use crate::console::Console;

/// Name of the virtual environment in the plugin folder.
const ENVIRONMENT: &str = ".venv";

/// Paths that are refused while plugins are disabled.
const PATHS: [&str; 5] = [
    "/api/v3/configure/processing_engine_trigger",
    "/api/v3/configure/processing_engine_trigger/{*rest}",
    "/api/v3/configure/plugin_environment/{*rest}",
    "/api/v3/plugins/{*rest}",
    "/api/v3/plugin_test/{*rest}",
];

/// Error message of these paths.
const PLUGINS_DISABLED: &str = "plugins are disabled, because this server runs without authentication: \
                                start it with --plugin-dir or --mode all,process if everyone who can reach \
                                it may run programs on its machine";

/// Interval at which the engine reads triggers from the cached catalogs, which costs no request. Its own routes notify
/// it of changed triggers, but not of dropped databases.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Returns whether plugins are enabled. A plugin may do anything that the server may do, and without authentication any
/// client could upload one; in this case, plugins must be enabled explicitly.
pub(super) fn are_on(args: &ServeArgs) -> bool {
    let are_wanted = args.plugins.plugin_dir.is_some() || args.mode.contains(&ServeMode::Process);
    args.does(ServeMode::Process) && (are_wanted || !args.access.without_auth)
}

/// Returns the plugin settings that the options define.
pub(super) fn settings(args: &ServeArgs, is_sole_writer: bool) -> ProcessingSettings {
    let body = BodyLimits {
        max_bytes: args.limits.max_http_request_size,
        timeout: args.limits.http_timeout,
    };
    let mut settings = args.plugins.settings(body);
    settings.engine.sole_writer = is_sole_writer;
    let plugin_folder = args.plugins.plugin_dir.as_deref().map(absolute);
    let environment = args.plugins.virtual_env_location.as_deref().map(absolute);
    let in_folder = || Some(plugin_folder.as_ref()?.join(ENVIRONMENT));
    settings.packages.environment = environment.or_else(in_folder);
    settings.code.plugin_folder = plugin_folder;
    settings
}

/// Returns an absolute path, because plugins and tools run in other working directories, and file lists must not depend
/// on the server's.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Returns the routes used while plugins are disabled; each answers with an error.
pub(super) fn refusals() -> Router {
    let refuse = async || ApiError::text(Kind::Forbidden, PLUGINS_DISABLED);
    PATHS.iter().fold(Router::new(), |routes, path| routes.route(path, any(refuse)))
}

/// Creates the plugin folder, if one is set.
///
/// # Errors
/// `PluginFolder`, `NoPluginFolder`.
pub(super) fn make_folder(args: &ServeArgs) -> Result<(), ServeError> {
    if args.plugins.plugin_dir_only && args.plugins.plugin_dir.is_none() {
        return Err(ServeError::NoPluginFolder);
    }
    let Some(folder) = args.plugins.plugin_dir.as_ref().filter(|_| are_on(args)) else {
        return Ok(());
    };
    let made = match folder.parent() {
        Some(above) if !above.as_os_str().is_empty() => fs::create_dir_all(above),
        _ => Ok(()),
    };
    // The folder is private, because code may contain secrets.
    let made = made.and_then(|()| DirBuilder::new().mode(0o700).create(folder));
    match made {
        Err(error) if !folder.is_dir() => Err(folder_error(folder, error)),
        _ => Ok(()),
    }
}

/// Returns the error if a path can't be the plugin folder, or if a required folder is missing, as far as it can be
/// detected without creating it.
pub(super) fn unusable_folder(args: &ServeArgs) -> Option<ServeError> {
    let Some(folder) = &args.plugins.plugin_dir else {
        return args.plugins.plugin_dir_only.then_some(ServeError::NoPluginFolder);
    };
    let is_folder = fs::metadata(folder).map_or(true, |metadata| metadata.is_dir());
    (!is_folder).then(|| folder_error(folder, io::ErrorKind::NotADirectory.into()))
}

fn folder_error(folder: &Path, error: io::Error) -> ServeError {
    ServeError::PluginFolder { path: folder.display().to_string(), error }
}

/// Prints a warning if plugins are expected and can't run. The server starts in any case.
pub(super) async fn tell(
    args: &ServeArgs,
    processing: Option<&ProcessingEngine>,
    catalog: &Catalog,
    console: &mut Console,
) -> Result<(), CatalogError> {
    if !args.does(ServeMode::Process) {
        return Ok(());
    }
    let root = catalog.root(ANY_AGE).await?;
    let has_triggers = root.value.databases_with_triggers().next().is_some();
    match processing {
        None if has_triggers => {
            console.report(format_args!("warning: triggers don't run: {PLUGINS_DISABLED}"));
        }
        Some(processing) if has_triggers || args.plugins.plugin_dir.is_some() => {
            match processing.check().await {
                Ok(version) => tracing::info!(version, "plugins run with Python"),
                Err(error) => console.report(format_args!(
                    "warning: plugins can't run: {error}. Install Python 3, or name an interpreter with --plugin-python"
                )),
            }
        }
        None | Some(_) => {}
    }
    Ok(())
}

/// Runs triggers until `stop`, then stops the running plugins.
pub(super) async fn run(engine: Arc<Engine>, world: World, stop: CancellationToken) {
    let looking = async {
        loop {
            world.clock.sleep(LOOK_INTERVAL).await;
            engine.triggers_changed();
        }
    };
    let engine = Arc::clone(&engine).run(stop);
    tokio::select! {
        () = engine => {}
        () = looking => {}
    }
}

/// Passes the writer's segments to the engine. The engine is created after the writer, because it writes with it, and
/// is held weakly to avoid a reference cycle.
#[derive(Debug, Default)]
pub(super) struct EngineHandle(OnceLock<Weak<Engine>>);

impl EngineHandle {
    /// Sets the engine. Only the first call has an effect.
    pub(super) fn tell(&self, engine: &Arc<Engine>) {
        self.0.get_or_init(|| Arc::downgrade(engine));
    }

    fn engine(&self) -> Option<Arc<Engine>> {
        self.0.get()?.upgrade()
    }

    /// Notifies the engine that other processes may write.
    pub(super) fn end_sole_writer(&self) {
        if let Some(engine) = self.engine() {
            engine.end_sole_writer();
        }
    }
}

impl SegmentObserver for EngineHandle {
    fn segment_put(&self, database: DatabaseId, segment: Arc<Segment>) {
        if let Some(engine) = self.engine() {
            engine.segment_put(database, segment);
        }
    }

    fn put_unknown(&self, database: DatabaseId) {
        if let Some(engine) = self.engine() {
            engine.put_unknown(database);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        console::testing::console,
        tests::{ServerUnderTest, parse},
    };

    const MEMORY: [&str; 2] = ["--object-store", "memory"];

    fn of(args: &[&str]) -> ServeArgs {
        parse(&[&MEMORY[..], args].concat()).unwrap()
    }

    #[test]
    fn without_authentication_plugins_must_be_enabled_explicitly() {
        for (args, expected) in [
            (&[][..], true),
            (&["--without-auth"], false),
            (&["--without-auth", "--plugin-dir", "p"], true),
            (&["--without-auth", "--mode", "all,process"], true),
            (&["--mode", "process"], true),
            (&["--mode", "query,ingest", "--plugin-dir", "p"], false),
        ] {
            assert_eq!(are_on(&of(args)), expected, "{args:?}");
        }
    }

    #[test]
    fn plugins_have_a_virtual_environment_in_their_folder() {
        assert_eq!(settings(&of(&[]), true).packages.environment, None);
        let folder = settings(&of(&["--plugin-dir=/p"]), true);
        assert_eq!(folder.code.plugin_folder, Some("/p".into()));
        assert_eq!(folder.packages.environment, Some("/p/.venv".into()));
        let named = settings(&of(&["--virtual-env-location=/v", "--plugin-dir=/p"]), true);
        assert_eq!(named.packages.environment, Some("/v".into()));
    }

    #[test]
    fn plugin_folders_are_absolute_paths() {
        let here = std::env::current_dir().unwrap();
        let folder = settings(&of(&["--plugin-dir=p"]), true);
        assert_eq!(folder.code.plugin_folder, Some(here.join("p")));
        assert_eq!(folder.packages.environment, Some(here.join("p/.venv")));
        let named = settings(&of(&["--virtual-env-location=v"]), true);
        assert_eq!(named.packages.environment, Some(here.join("v")));
    }

    #[test]
    fn the_engine_has_the_limits_of_the_server() {
        let args = of(&["--max-http-request-size=77", "--http-timeout=8s"]);
        let body = settings(&args, true).body;
        assert_eq!(body.max_bytes, 77);
        assert_eq!(body.timeout, Duration::from_secs(8));
        assert!(settings(&args, true).engine.sole_writer);
        assert!(!settings(&args, false).engine.sole_writer);
    }

    #[test]
    fn a_file_is_no_plugin_folder() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let args = of(&["--plugin-dir", file.path().to_str().unwrap()]);
        let error = unusable_folder(&args).unwrap().to_string();
        assert!(error.ends_with(": not a directory"), "{error}");
        assert!(unusable_folder(&of(&["--plugin-dir", "/no/such"])).is_none());
        let only = of(&["--plugin-dir-only"]);
        let error = unusable_folder(&only).unwrap().to_string();
        assert_eq!(error, "--plugin-dir-only needs --plugin-dir");
        assert_eq!(make_folder(&only).unwrap_err().to_string(), error);
    }

    #[tokio::test]
    async fn disabled_plugins_return_an_error_that_explains_how_to_enable_them() {
        let off = ServerUnderTest::new(&[&MEMORY[..], &["--without-auth"]].concat()).await;
        assert!(off.app.processing.is_none());
        for path in [
            "/api/v3/configure/processing_engine_trigger",
            "/api/v3/configure/processing_engine_trigger/enable",
            "/api/v3/plugins/files",
            "/api/v3/plugin_test/wal",
        ] {
            let answer = off.request("POST", path, "{}").await;
            assert_eq!(answer, (403, PLUGINS_DISABLED.to_owned()), "{path}");
        }
        let files = "/api/v3/query_sql?db=_internal&q=SELECT+plugin_name+FROM+system.plugin_files";
        assert_eq!(off.request("GET", files, "").await, (200, "[]".to_owned()));
        let other = [&MEMORY[..], &["--without-auth", "--mode", "query"]].concat();
        let path = "/api/v3/plugins/files";
        let answer = ServerUnderTest::new(&other).await.request("POST", path, "{}").await;
        assert_eq!(answer.0, 404);
    }

    #[tokio::test]
    async fn a_server_that_only_runs_plugins_answers_for_them_alone() {
        let args = [&MEMORY[..], &["--without-auth", "--mode", "process"]].concat();
        let served = ServerUnderTest::new(&args).await;
        assert!(served.app.processing.is_some() && served.app.flushing.is_none());
        for (path, expected) in [
            ("/api/v3/write_lp?db=d", 404),
            ("/api/v3/query_sql?db=d&q=SELECT+1", 404),
            ("/api/v3/plugins/files", 415),
        ] {
            let answer = served.request("POST", path, "m v=1").await;
            assert_eq!(answer.0, expected, "{path}: {answer:?}");
        }
    }

    #[tokio::test]
    async fn a_missing_interpreter_causes_a_warning_if_plugins_are_expected() {
        let told = async |args: &[&str]| {
            let directory = tempfile::tempdir().unwrap();
            let folder = directory.path().to_str().unwrap().to_owned();
            let owned_args: Vec<String> =
                args.iter().map(|arg| arg.replace("FOLDER", &folder)).collect();
            let args: Vec<&str> = owned_args.iter().map(String::as_str).collect();
            let args = [&MEMORY[..], &args, &["--plugin-python", "no-such-python"]].concat();
            let app = ServerUnderTest::new(&args).await.app;
            let (mut console, _, err) = console("");
            let (args, processing) = (parse(&args).unwrap(), app.processing.as_ref());
            let told = tell(&args, processing, &app.catalog, &mut console);
            told.await.unwrap();
            err.text()
        };
        let text = told(&["--plugin-dir", "FOLDER"]).await;
        assert!(text.starts_with("warning: plugins can't run: "), "{text}");
        assert!(text.contains("no-such-python"), "{text}");
        assert!(text.contains("--plugin-python"), "{text}");
        assert_eq!(told(&[]).await, "");
        assert_eq!(told(&["--mode", "query", "--plugin-dir", "FOLDER"]).await, "");
    }
}
