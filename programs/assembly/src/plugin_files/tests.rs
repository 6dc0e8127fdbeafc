//! Tests of the file lists of plugins in a folder, of uploaded plugins, and of plugins with pinned code.

use std::{path::Path, time::Duration};

use neap_bucket::{Bucket, ProtocolMargins, World};
use neap_catalog::{NewTrigger, TriggerSpecification};

use super::*;

struct PluginFolderFixture {
    folder: tempfile::TempDir,
    catalog: Arc<Catalog>,
    files: PluginFileLister,
}

impl PluginFolderFixture {
    async fn new() -> Self {
        let catalog = Arc::new(Catalog::new(
            Bucket::in_memory(World::system()),
            ProtocolMargins::LOCAL,
            None,
        ));
        catalog.rules().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let settings = PluginCodeSettings {
            plugin_folder: Some(folder.path().join("plugins")),
            cache_folder: Some(folder.path().join("cache")),
            ..PluginCodeSettings::default()
        };
        let code = Arc::new(PluginCodeStore::new(settings, Arc::clone(&catalog)));
        Self {
            folder,
            files: PluginFileLister { catalog: Arc::clone(&catalog), code },
            catalog,
        }
    }

    fn plugin(&self, name: &str, content: &str) {
        let path = self.folder.path().join("plugins").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    async fn trigger(&self, name: &str, plugin: &str, code: Option<CodeHash>) {
        let database = match self.catalog.database_by_name("db", Duration::ZERO).await {
            Ok(Some(database)) => database,
            _ => self.catalog.create_database("db", None).await.unwrap(),
        };
        let new = NewTrigger {
            code,
            ..NewTrigger::new(name, plugin, TriggerSpecification::AllTablesWalWrite)
        };
        let created = self.catalog.create_trigger(database, &new);
        created.await.unwrap();
    }

    /// Lists the files, without the temporary folder and values that differ from run to run.
    async fn listed(&self) -> String {
        let folder = self.folder.path().display().to_string();
        let hex = |part: &str| part.len() == 64 && part.bytes().all(|it| it.is_ascii_hexdigit());
        let shown = |path: &str| {
            let path = path.replace(&folder, "");
            path.split('/')
                .map(|part| if hex(part) { "<hash>" } else { part })
                .collect::<Vec<_>>()
                .join("/")
        };
        let files = self.files.files().await.unwrap();
        let lines = files.iter().map(|file| {
            assert!(file.modified_ms > 1_700_000_000_000, "{file:?}");
            let PluginFile { plugin, name, path, size_bytes, .. } = file;
            format!("{plugin} | {name} | {} | {size_bytes}", shown(path))
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

#[tokio::test]
async fn the_plugin_folder_lists_only_files_that_triggers_run() {
    let stage = PluginFolderFixture::new().await;
    assert_eq!(stage.listed().await, "");
    stage.plugin("a.py", "123");
    stage.plugin("unused.py", "");
    stage.plugin("deep/pack/__init__.py", "");
    stage.plugin("deep/pack/more/x.py", "1");
    stage.plugin("deep/pack/__pycache__/x.py", "");
    stage.plugin("deep/pack/notes.txt", "");
    stage.trigger("one", "a.py", None).await;
    stage.trigger("two", "a.py", None).await;
    stage.trigger("pack", "deep/pack", None).await;
    stage.trigger("gone", "gone.py", None).await;
    insta::assert_snapshot!(stage.listed().await, @"
    one | a.py | /plugins/a.py | 3
    two | a.py | /plugins/a.py | 3
    pack | deep/pack/__init__.py | /plugins/deep/pack/__init__.py | 0
    pack | deep/pack/more/x.py | /plugins/deep/pack/more/x.py | 1
    ");
    let without = plugin_files(Arc::clone(&stage.catalog), PluginCodeSettings::default());
    assert_eq!(without.files().await.unwrap(), []);
}

#[tokio::test]
async fn a_trigger_whose_code_is_lost_hides_no_others() {
    let stage = PluginFolderFixture::new().await;
    stage.plugin("a.py", "123");
    stage.trigger("lost", "lost.py", Some(CodeHash([7; 32]))).await;
    stage.trigger("one", "a.py", None).await;
    insta::assert_snapshot!(stage.listed().await, @"one | a.py | /plugins/a.py | 3");
}

#[tokio::test]
async fn files_in_the_bucket_are_those_of_the_pinned_code() {
    let stage = PluginFolderFixture::new().await;
    let code = &stage.files.code;
    code.upload("up.py", "12345").await.unwrap();
    code.upload("pack/__init__.py", "").await.unwrap();
    code.upload("pack/x.py", "1").await.unwrap();
    insta::assert_snapshot!(stage.listed().await, @"
    pack | pack/__init__.py | plugins/<hash>/pack/__init__.py | 0
    pack | pack/x.py | plugins/<hash>/pack/x.py | 1
    up.py | up.py | plugins/<hash>/up.py | 5
    ");
    let pinned = code.pin("up.py").await.unwrap();
    stage.trigger("first", "up.py", pinned).await;
    insta::assert_snapshot!(stage.listed().await, @"
    first | up.py | plugins/<hash>/up.py | 5
    pack | pack/__init__.py | plugins/<hash>/pack/__init__.py | 0
    pack | pack/x.py | plugins/<hash>/pack/x.py | 1
    ");
    // The uploaded plugin has changed; the trigger still runs its pinned code.
    code.upload("up.py", "1234567").await.unwrap();
    insta::assert_snapshot!(stage.listed().await, @"
    first | up.py | plugins/<hash>/up.py | 5
    pack | pack/__init__.py | plugins/<hash>/pack/__init__.py | 0
    pack | pack/x.py | plugins/<hash>/pack/x.py | 1
    up.py | up.py | plugins/<hash>/up.py | 7
    ");
}

#[test]
fn paths_in_the_bucket_have_no_prefix_of_a_repository() {
    let hash = CodeHash([0xab; 32]);
    let path = path_in_bucket(hash, "gh:influxdata/x.py");
    assert_eq!(path, format!("plugins/{hash}/influxdata/x.py"));
    assert!(Path::new(&path).ends_with("x.py"));
}
