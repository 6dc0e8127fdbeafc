//! Tests of uploading, finding, pinning and updating plugins.

use std::fs;

use neap_bucket::{Bucket, Key, ListRequest, MemoryStore, ProtocolMargins, SystemClock, World};
use neap_catalog::{CatalogError, NewTrigger, Trigger, TriggerSpecification};
use neap_schema::DatabaseId;

use super::*;

struct CodeFixture {
    folder: tempfile::TempDir,
    cache: tempfile::TempDir,
    bucket: Bucket,
    catalog: Arc<Catalog>,
    code: PluginCodeStore,
    database: DatabaseId,
}

impl CodeFixture {
    async fn new() -> Self {
        let store = MemoryStore::new(Arc::new(SystemClock::new()));
        let bucket = Bucket::new(Arc::new(store), World::system());
        let catalog = Arc::new(Catalog::new(bucket.clone(), ProtocolMargins::LOCAL, None));
        let database = catalog.create_database("db", None).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let cache = tempfile::tempdir().unwrap();
        let mut fixture = Self {
            code: PluginCodeStore::new(PluginCodeSettings::default(), Arc::clone(&catalog)),
            folder,
            cache,
            bucket,
            catalog,
            database,
        };
        fixture.code = fixture.with_code(false);
        fixture
    }

    /// Creates the code store of a process.
    fn with_code(&self, folder_only: bool) -> PluginCodeStore {
        let settings = PluginCodeSettings {
            plugin_folder: Some(self.folder.path().to_owned()),
            folder_only,
            repository: PluginRepository::Folder(self.folder.path().join("checkout")),
            cache_folder: Some(self.cache.path().to_owned()),
            ..PluginCodeSettings::default()
        };
        PluginCodeStore::new(settings, Arc::clone(&self.catalog))
    }

    fn file(&self, path: &str, content: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    async fn trigger(&self, name: &str, plugin: &str) -> Arc<Trigger> {
        self.trigger_of(self.database, name, plugin).await
    }

    async fn trigger_of(&self, database: DatabaseId, name: &str, plugin: &str) -> Arc<Trigger> {
        let new = NewTrigger {
            code: self.code.pin(plugin).await.unwrap(),
            ..NewTrigger::new(name, plugin, TriggerSpecification::AllTablesWalWrite)
        };
        self.catalog.create_trigger(database, &new).await.unwrap()
    }

    /// Returns the files that a trigger runs, in order of path.
    async fn run_by(&self, trigger: &Trigger) -> Vec<(String, String)> {
        let there = self.code.on_disk(&trigger.plugin, trigger.code).await.unwrap();
        if there.path.is_file() {
            let name = there.path.file_name().unwrap().to_string_lossy().into_owned();
            return vec![(name, fs::read_to_string(&there.path).unwrap())];
        }
        let mut files: Vec<_> = fs::read_dir(&there.path)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().to_string_lossy().into_owned();
                (name, fs::read_to_string(entry.path()).unwrap_or_default())
            })
            .collect();
        files.sort();
        files
    }

    async fn objects(&self) -> usize {
        self.bucket
            .list(ListRequest::new(Key::PLUGINS_PREFIX))
            .await
            .unwrap()
            .value
            .entries
            .len()
    }
}

fn file(name: &str, content: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), content.to_owned())]
}

fn files(files: &[(&str, &str)]) -> Vec<(String, String)> {
    let files = files.iter();
    files
        .map(|(name, content)| ((*name).to_owned(), (*content).to_owned()))
        .collect()
}

#[tokio::test]
async fn plugins_in_the_plugin_folder_are_not_pinned() {
    let stage = CodeFixture::new().await;
    stage.file("deep/p.py", "first");
    let trigger = stage.trigger("t", "deep/p.py").await;
    assert_eq!(trigger.code, None);
    assert_eq!(stage.run_by(&trigger).await, file("p.py", "first"));
    stage.file("deep/p.py", "second, longer");
    assert_eq!(stage.run_by(&trigger).await, file("p.py", "second, longer"));
    assert_eq!(stage.objects().await, 0);
}

#[tokio::test]
async fn a_trigger_keeps_the_code_uploaded_before_its_creation() {
    let stage = CodeFixture::new().await;
    stage.file("p.py", "in the folder");
    stage.code.upload("p.py", "first").await.unwrap();
    let trigger = stage.trigger("t", "p.py").await;
    stage.code.upload("p.py", "second").await.unwrap();
    assert_eq!(stage.run_by(&trigger).await, file("p.py", "first"));
    let later = stage.trigger("u", "p.py").await;
    assert_eq!(stage.run_by(&later).await, file("p.py", "second"));
    stage.code.delete_upload("p.py").await.unwrap();
    assert_eq!(stage.run_by(&later).await, file("p.py", "second"));
    assert_eq!(stage.trigger("v", "p.py").await.code, None);
    assert!(stage.code.delete_upload("p.py").await.is_err());
}

#[tokio::test]
async fn files_of_a_package_are_uploaded_one_by_one() {
    let stage = CodeFixture::new().await;
    stage.code.upload("pack/deep/x.py", "x").await.unwrap();
    let unfinished = stage.code.pin("pack").await.unwrap_err();
    assert!(matches!(unfinished, PluginCodeError::NoInit(_)));
    stage.code.upload("pack/__init__.py", "i").await.unwrap();
    stage.code.upload("pack/one.py", "o").await.unwrap();
    for wrong in ["pack", "pack/one.py/x.py"] {
        let both = stage.code.upload(wrong, "").await.unwrap_err();
        assert!(matches!(both, PluginCodeError::Invalid(_)), "{wrong}");
    }
    let all = files(&[("__init__.py", "i"), ("deep", ""), ("one.py", "o")]);
    let trigger = stage.trigger("t", "pack/").await;
    assert_eq!(stage.run_by(&trigger).await, all);
    let single = stage.trigger("u", "pack/one.py").await;
    assert_eq!(stage.run_by(&single).await, file("one.py", "o"));
    let none = stage.code.pin("pack/none.py").await.unwrap_err();
    assert!(matches!(none, PluginCodeError::NotFound(_)));
    let root = stage.catalog.root(Duration::ZERO).await.unwrap().value;
    let entry = &root.plugins()["pack"];
    let paths: Vec<_> = entry.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["__init__.py", "deep/x.py", "one.py"]);
}

#[tokio::test]
async fn concurrent_uploads_are_all_kept() {
    let stage = CodeFixture::new().await;
    let paths: Vec<_> = (0..8).map(|number| format!("pack/{number}.py")).collect();
    let uploads = paths.iter().map(|path| stage.code.upload(path, path));
    for uploaded in futures::future::join_all(uploads).await {
        uploaded.unwrap();
    }
    let root = stage.catalog.root(Duration::ZERO).await.unwrap().value;
    assert_eq!(root.plugins()["pack"].files.len(), 8);
}

#[tokio::test]
async fn a_plugin_of_the_repository_is_pinned() {
    let stage = CodeFixture::new().await;
    stage.file("checkout/influxdata/d/d.py", "first");
    let trigger = stage.trigger("t", "gh:influxdata/d/d.py").await;
    stage.file("checkout/influxdata/d/d.py", "second");
    assert_eq!(stage.run_by(&trigger).await, file("d.py", "first"));
    let out = stage.code.pin("gh:../p.py").await.unwrap_err();
    assert!(matches!(out, PluginCodeError::PathTraversal(_)));
}

#[tokio::test]
async fn a_trigger_can_be_updated_with_another_file_or_package() {
    let stage = CodeFixture::new().await;
    stage.file("p.py", "first");
    stage.trigger("t", "p.py").await;
    let updated = stage.code.update_file("t", None, "second".to_owned()).await;
    let (database, updated) = updated.unwrap();
    assert_eq!(database, stage.database);
    assert_eq!(stage.run_by(&updated).await, file("p.py", "second"));
    assert_eq!(fs::read_to_string(stage.folder.path().join("p.py")).unwrap(), "first");

    stage.file("pack/__init__.py", "first");
    stage.file("pack/x.py", "x");
    stage.trigger("of package", "pack").await;
    let updated = stage.code.update_file("of package", Some("db"), "second".to_owned());
    let (_, updated) = updated.await.unwrap();
    let expected = files(&[("__init__.py", "second"), ("x.py", "x")]);
    assert_eq!(stage.run_by(&updated).await, expected);

    let whole = |names: &[&str]| {
        let files = names
            .iter()
            .map(|name| PluginSourceFile { path: (*name).to_owned(), content: "third".to_owned() });
        files.collect::<Vec<_>>()
    };
    let no_package = stage.code.update_folder("of package", None, whole(&["y.py"])).await;
    assert!(matches!(no_package, Err(PluginCodeError::NoInit(_))));
    let updated = stage.code.update_folder("of package", None, whole(&["__init__.py"]));
    let (_, updated) = updated.await.unwrap();
    assert_eq!(stage.run_by(&updated).await, file("__init__.py", "third"));
    let none = stage.code.update_folder("none", None, whole(&["__init__.py"])).await;
    assert!(matches!(none, Err(PluginCodeError::NoTrigger(_))));
}

#[tokio::test]
async fn updating_a_trigger_updates_the_upload_it_ran() {
    let stage = CodeFixture::new().await;
    stage.code.upload("p.py", "first").await.unwrap();
    let other = stage.trigger("other", "p.py").await;
    stage.trigger("t", "p.py").await;
    stage.code.update_file("t", None, "second".to_owned()).await.unwrap();
    assert_eq!(stage.run_by(&other).await, file("p.py", "first"));
    let later = stage.trigger("later", "p.py").await;
    assert_eq!(stage.run_by(&later).await, file("p.py", "second"));
}

#[tokio::test]
async fn a_trigger_name_in_two_databases_needs_the_database() {
    let stage = CodeFixture::new().await;
    stage.file("p.py", "first");
    let second = stage.catalog.create_database("second", None).await.unwrap();
    for database in [stage.database, second] {
        stage.trigger_of(database, "t", "p.py").await;
    }
    let both = stage.code.update_file("t", None, String::new()).await;
    assert!(matches!(both, Err(PluginCodeError::Ambiguous(_))));
    let updated = stage.code.update_file("t", Some("second"), "x".to_owned()).await;
    assert_eq!(updated.unwrap().0, second);
    let first = stage.catalog.database(stage.database, Duration::ZERO).await.unwrap();
    assert_eq!(first.value.trigger("t").unwrap().code, None);
}

#[tokio::test]
async fn code_is_read_once_and_a_dry_run_stores_none() {
    let stage = CodeFixture::new().await;
    stage.code.upload("p.py", "first").await.unwrap();
    stage.file("checkout/d.py", "other");
    let objects = stage.objects().await;
    let dry = stage.code.on_disk_by_name("gh:d.py").await.unwrap();
    assert_eq!(fs::read_to_string(&dry.path).unwrap(), "other");
    assert_eq!(stage.objects().await, objects);

    let trigger = stage.trigger("t", "p.py").await;
    let there = stage.code.on_disk("p.py", trigger.code).await.unwrap();
    let key = Key::PluginCode(trigger.code.unwrap()).to_string();
    stage.bucket.delete(&[key]).await.unwrap();
    let again = stage.code.on_disk("p.py", trigger.code).await.unwrap();
    assert_eq!(again, there);
    fs::remove_file(&there.path).unwrap();
    let lost = stage.code.on_disk("p.py", trigger.code).await.unwrap_err();
    assert!(matches!(lost, PluginCodeError::Missing(_)));
    assert!(there.path.starts_with(stage.cache.path()));
}

#[tokio::test]
async fn a_server_without_a_plugin_folder_runs_uploaded_plugins() {
    let stage = CodeFixture::new().await;
    stage.code.upload("p.py", "first").await.unwrap();
    let without = PluginCodeStore::new(PluginCodeSettings::default(), Arc::clone(&stage.catalog));
    assert!(without.pin("p.py").await.unwrap().is_some());
    let none = without.pin("q.py").await.unwrap_err();
    assert_eq!(none.to_string(), "Node not configured with plugin directory");
    let missing = stage.code.delete_upload("q.py").await.unwrap_err();
    assert!(matches!(missing, PluginCodeError::Catalog(CatalogError::NotFound { .. })));
}

#[tokio::test]
async fn a_process_can_allow_only_plugins_of_its_folder() {
    let stage = CodeFixture::new().await;
    stage.file("same.py", "in the folder");
    stage.file("checkout/public.py", "public");
    stage.code.upload("same.py", "uploaded").await.unwrap();
    stage.code.upload("sent.py", "uploaded").await.unwrap();
    let trigger = stage.trigger("t", "sent.py").await;
    let strict = stage.with_code(true);
    assert_eq!(strict.pin("same.py").await.unwrap(), None);
    let on_disk = strict.on_disk_by_name("same.py").await.unwrap();
    assert_eq!(fs::read_to_string(on_disk.path).unwrap(), "in the folder");
    let missing = strict.pin("sent.py").await.unwrap_err();
    assert!(matches!(missing, PluginCodeError::NotFound(_)), "{missing}");
    let is_refused = |error| matches!(error, PluginCodeError::FolderOnly);
    assert!(is_refused(strict.pin("gh:public.py").await.unwrap_err()));
    let upload = strict.upload("new.py", "").await;
    assert!(is_refused(upload.unwrap_err()));
    let update = strict.update_file("t", Some("db"), String::new()).await;
    assert!(is_refused(update.unwrap_err()));
    let update = strict.update_folder("t", Some("db"), Vec::new()).await;
    assert!(is_refused(update.unwrap_err()));
    // Other processes run the stored code, and this one can list it.
    assert!(strict.on_disk("sent.py", trigger.code).await.is_ok());
}

/// Returns a manifest with the tables of other plugins, by name and version.
fn manifest(name: &str, version: &str, needed: &[(&str, &str)]) -> String {
    let head = format!(
        "manifest_schema_version = \"1.3\"\n[plugin]\nname = \"{name}\"\nversion = \"{version}\"\n[dependencies]\npython = [\"requests\"]\n"
    );
    let needed = needed.iter().map(|(name, version)| {
        format!(
            "[[dependencies.plugins]]\nindex_url = \"https://r.example/index.json\"\nname = \"{name}\"\nversion = \"{version}\"\n"
        )
    });
    [head].into_iter().chain(needed).collect()
}

/// Adds a plugin of one file to the checkout.
fn add_to_checkout(stage: &CodeFixture, name: &str, version: &str, needed: &[(&str, &str)]) {
    let folder = format!("checkout/influxdata/{name}");
    stage.file(&format!("{folder}/manifest.toml"), &manifest(name, version, needed));
    stage.file(&format!("{folder}/{name}.py"), &format!("{name} {version}"));
}

/// Returns the names of plugins as JSON has them, with the place of each.
fn names(installed: &[InstalledPlugin]) -> Vec<(String, String)> {
    let json = serde_json::to_value(installed).unwrap();
    let text = |plugin: &serde_json::Value, key: &str| plugin[key].as_str().unwrap().to_owned();
    let plugins = json.as_array().unwrap().iter();
    plugins.map(|plugin| (text(plugin, "name"), text(plugin, "place"))).collect()
}

#[tokio::test]
async fn a_plugin_is_installed_in_the_plugin_folder_with_the_plugins_that_it_needs() {
    let stage = CodeFixture::new().await;
    add_to_checkout(&stage, "one", "1.0.0", &[("two", ">=1.0.0"), ("three", "*")]);
    add_to_checkout(&stage, "two", "1.5.0", &[("one", "^1"), ("two", "*")]);
    add_to_checkout(&stage, "three", "3.0.0", &[]);
    let installed = stage.code.install("gh:influxdata/one", None).await.unwrap();
    let place = "plugin folder".to_owned();
    let expected = ["one", "two", "three"].map(|name| (name.to_owned(), place.clone()));
    assert_eq!(names(&installed), expected);
    for name in ["one", "one/one.py"] {
        let trigger = stage.trigger(name, name).await;
        assert_eq!(trigger.code, None);
        assert_eq!(stage.run_by(&trigger).await, file("one.py", "one 1.0.0"));
        let manifest = stage.code.manifest(name).await.unwrap().unwrap();
        assert_eq!(manifest.dependencies.python.len(), 1);
    }
    add_to_checkout(&stage, "three", "3.1.0", &[]);
    stage.code.install("influxdata/three", None).await.unwrap();
    let trigger = stage.trigger("three", "three").await;
    assert_eq!(stage.run_by(&trigger).await, file("three.py", "three 3.1.0"));
    let available = stage.code.available(None).await.unwrap();
    let available = serde_json::to_value(&available).unwrap();
    let plugin = |place: usize, key: &str| available[place][key].clone();
    assert_eq!(plugin(0, "plugin"), "gh:influxdata/one");
    assert_eq!(plugin(0, "plugins"), serde_json::json!(["two", "three"]));
    assert_eq!(plugin(1, "version"), "3.1.0");
    assert_eq!(plugin(2, "python"), serde_json::json!(["requests"]));
}

#[tokio::test]
async fn a_plugin_is_installed_in_the_bucket_without_a_plugin_folder_or_over_an_upload() {
    let stage = CodeFixture::new().await;
    add_to_checkout(&stage, "one", "1.0.0", &[]);
    let without = PluginCodeStore::new(
        PluginCodeSettings {
            cache_folder: Some(stage.cache.path().to_owned()),
            ..PluginCodeSettings::default()
        },
        Arc::clone(&stage.catalog),
    );
    let checkout = || Some(PluginRepository::Folder(stage.folder.path().join("checkout")));
    let installed = without.install("gh:influxdata/one", checkout()).await.unwrap();
    let expected = [("one".to_owned(), "bucket".to_owned())];
    assert_eq!(names(&installed), expected);
    let trigger = stage.trigger("t", "one").await;
    assert_eq!(stage.run_by(&trigger).await, file("one", "one 1.0.0"));
    assert!(without.manifest("one").await.unwrap().is_some());
    assert!(without.manifest("one/one.py").await.unwrap().is_some());

    add_to_checkout(&stage, "one", "2.0.0", &[]);
    let installed = stage.code.install("gh:influxdata/one", None).await.unwrap();
    assert_eq!(names(&installed), expected);
    assert_eq!(stage.run_by(&trigger).await, file("one", "one 1.0.0"));
    let later = stage.trigger("u", "one").await;
    assert_eq!(stage.run_by(&later).await, file("one", "one 2.0.0"));
}

#[tokio::test]
async fn nothing_is_installed_if_plugins_are_missing_or_do_not_fit() {
    let stage = CodeFixture::new().await;
    add_to_checkout(&stage, "other", "1.0.0", &[]);
    add_to_checkout(&stage, "no_version", "1.0.0", &[("other", ">=2")]);
    add_to_checkout(&stage, "missing", "1.0.0", &[("other", "*"), ("nowhere", "*")]);
    add_to_checkout(&stage, "two_versions", "1.0.0", &[("other", "*"), ("other", ">=2")]);
    add_to_checkout(&stage, "other_name", "1.0.0", &[]);
    stage.file("checkout/influxdata/other_name/manifest.toml", &manifest("x", "1.0.0", &[]));
    add_to_checkout(&stage, "wrong_name", "1.0.0", &[("other_name", "*")]);
    stage.file("checkout/influxdata/no_manifest/a.py", "");
    add_to_checkout(&stage, "no_code", "1.0.0", &[]);
    fs::remove_file(stage.folder.path().join("checkout/influxdata/no_code/no_code.py")).unwrap();
    for number in 0..40 {
        let next = format!("chain{}", number + 1);
        add_to_checkout(&stage, &format!("chain{number}"), "1.0.0", &[(&next, "*")]);
    }
    for (plugin, part) in [
        ("no_version", "plugin other >=2 is needed, not other 1.0.0"),
        ("missing", "Plugin not found: "),
        ("two_versions", "plugin other >=2 is needed, not other 1.0.0"),
        ("wrong_name", "plugin other_name * is needed, not x 1.0.0"),
        ("no_manifest", "'influxdata/no_manifest' has no manifest.toml"),
        ("no_code", "must contain __init__.py: no_code"),
        ("chain0", "more than 32 plugins are needed"),
        ("..", "Path traversal detected"),
    ] {
        let plugin_name = format!("gh:influxdata/{plugin}");
        let installed = stage.code.install(&plugin_name, None).await;
        let error = installed.unwrap_err().to_string();
        assert!(error.contains(part), "{plugin}: {error}");
    }
    assert_eq!(fs::read_dir(stage.folder.path()).unwrap().count(), 1);
    let strict = stage.with_code(true);
    let refused = strict.install("gh:influxdata/other", None).await;
    assert!(matches!(refused, Err(PluginCodeError::FolderOnly)));
    let refused = strict.available(None).await;
    assert!(matches!(refused, Err(PluginCodeError::FolderOnly)));
}
