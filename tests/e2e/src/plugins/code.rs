//! Files, packages, uploads, and pinned code.

use std::fs;

use serde_json::{Value, json};

use super::fixture::{DB, PluginServerFixture, TriggerDefinition, eventually};
use crate::harness::{NeapProcess, ServerClient, StoreFixture, assert_contains, neap};

/// Returns a plugin that answers with a word.
fn plugin_answering(word: &str) -> String {
    format!("def process_request(*_):\n    return {word:?}\n")
}

fn ask(server: &ServerClient, path: &str) -> String {
    server.get(&format!("/api/v3/engine/{path}")).text()
}

/// Uploads a new file of a plugin.
fn upload(stage: &PluginServerFixture, name: &str, text: &str) {
    let body = json!({ "plugin_name": name, "content": text });
    let reply = stage.send("POST", "/api/v3/plugins/files", &body);
    assert_eq!(reply.status, 200, "{name}: {}", reply.text());
}

/// Changes the code of a trigger.
fn update(stage: &PluginServerFixture, trigger: &str, text: &str) {
    let body = json!({ "plugin_name": trigger, "content": text });
    let reply = stage.send("PUT", "/api/v3/plugins/files", &body);
    assert_eq!(reply.status, 200, "{trigger}: {}", reply.text());
}

#[test]
fn a_package_is_a_folder_with_its_modules() {
    let stage = PluginServerFixture::new();
    TriggerDefinition::new("seasons", "seasons", "request:season").create(&stage);
    let reply = stage.ask("season?month=4");
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer: Value = serde_json::from_slice(&reply.bytes).unwrap();
    assert_eq!(
        answer,
        json!({ "season": "spring", "line": "seasons,season=spring month=4i 4" })
    );
    stage.wait_for_rows(
        "SELECT season, month FROM seasons",
        json!([{ "season": "spring", "month": 4 }]),
    );

    stage.put("seasons/calendar.py", "def season(month):\n    return 'always summer'\n");
    eventually("answer of the changed package", true, || {
        stage.ask("season?month=4").text().contains("always summer")
    });
    fs::create_dir(stage.folder().join("no_package")).unwrap();
    let reply =
        TriggerDefinition::new("none", "no_package", "request:none").try_create(&stage.server);
    assert!(reply.status >= 400, "{}", reply.text());
}

#[test]
fn a_file_in_a_folder_is_read_again_when_it_changes() {
    let stage = PluginServerFixture::new();
    stage.put("some/folder/says.py", &plugin_answering("before"));
    TriggerDefinition::new("says", "some/folder/says.py", "request:says").create(&stage);
    assert_eq!(ask(&stage.server, "says"), "before");
    stage.put("some/folder/says.py", &plugin_answering("afterwards"));
    eventually("answer", "afterwards".to_owned(), || ask(&stage.server, "says"));
    stage.put("some/folder/says.py", "def process_request(");
    eventually("status", 500, || stage.ask("says").status);
    stage.put("some/folder/says.py", &plugin_answering("again"));
    eventually("answer", "again".to_owned(), || ask(&stage.server, "says"));
}

#[test]
fn uploaded_code_stays_with_the_trigger_until_it_is_updated() {
    let stage = PluginServerFixture::on(StoreFixture::neap_s3_server(), &[]);
    upload(&stage, "sent.py", &plugin_answering("first"));
    TriggerDefinition::new("one", "sent.py", "request:one").create(&stage);
    assert_eq!(ask(&stage.server, "one"), "first");
    update(&stage, "one", &plugin_answering("second"));
    eventually("answer", "second".to_owned(), || ask(&stage.server, "one"));

    // The other server has access only to the bucket.
    let empty = tempfile::TempDir::new().unwrap();
    let flags = ["--plugin-dir", empty.path().to_str().unwrap()];
    let other = NeapProcess::serve_with(&stage.place, &flags);
    assert_eq!(ask(&other, "one"), "second");
    update(&stage, "one", &plugin_answering("third"));
    eventually("answer elsewhere", "third".to_owned(), || ask(&other, "one"));

    let shown =
        "SELECT plugin_name, file_name, size_bytes FROM system.plugin_files ORDER BY plugin_name";
    let size = plugin_answering("third").len();
    let rows = stage.server.query("_internal", shown);
    let own: Vec<_> = rows.iter().filter(|row| row["plugin_name"] == "one").collect();
    assert_eq!(own.len(), 1, "{rows:?}");
    assert_eq!(own[0]["size_bytes"], json!(size), "{rows:?}");
}

/// Waits for the end of a backup or restore.
fn wait_for_job(server: &ServerClient, path: &str) {
    let path = format!("/api/v3/enterprise/{path}");
    eventually("end of a job", "completed".to_owned(), || {
        let job: Value = serde_json::from_slice(&server.get(&path).bytes).unwrap();
        assert_ne!(job["status"], "failed", "{job}");
        job["status"].as_str().unwrap().to_owned()
    });
}

#[test]
fn a_trigger_answers_after_a_restore_in_an_empty_bucket() {
    let folder = tempfile::TempDir::new().unwrap();
    let there = folder.path().join("backups").display().to_string();
    let flags = ["--backup-to", &there];
    let stage = PluginServerFixture::on(StoreFixture::directory(), &flags);
    upload(&stage, "sent.py", &plugin_answering("restored"));
    TriggerDefinition::new("one", "sent.py", "request:one").create(&stage);
    let backup = json!({ "type": "full", "name": "b", "to": there });
    let reply = stage.send("POST", "/api/v3/enterprise/backup", &backup);
    assert_eq!(reply.status, 202, "{}", reply.text());
    wait_for_job(&stage.server, "backup/b");

    let other = PluginServerFixture::on(StoreFixture::directory(), &flags);
    let restore = json!({ "backup_name": "b", "from": there });
    let reply = other.send("POST", "/api/v3/enterprise/restore", &restore);
    assert_eq!(reply.status, 202, "{}", reply.text());
    let started: Value = serde_json::from_slice(&reply.bytes).unwrap();
    let id = started["restore_id"].as_str().unwrap();
    wait_for_job(&other.server, &format!("restore/{id}"));
    other.switch("one", "enable");
    eventually("answer", "restored".to_owned(), || ask(&other.server, "one"));
    neap(&other.place.after(&["fsck", "--full"])).succeeded();
    // The checks notice if it is lost.
    fs::remove_dir_all(other.place.folder().join("plugins")).unwrap();
    let report = neap(&other.place.after(&["fsck"]));
    assert_contains!(report.out, "trigger \"one\"");
}

#[test]
fn a_package_is_replaced_as_a_whole() {
    let stage = PluginServerFixture::on(StoreFixture::directory(), &[]);
    upload(
        &stage,
        "pack/__init__.py",
        "from .word import WORD\n\n\ndef process_request(*_):\n    return WORD\n",
    );
    upload(&stage, "pack/word.py", "WORD = 'old'\n");
    TriggerDefinition::new("pack", "pack", "request:pack").create(&stage);
    assert_eq!(ask(&stage.server, "pack"), "old");
    let files = json!([
        { "relative_path": "__init__.py", "content": "from .inner.words import WORD\n\n\ndef process_request(*_):\n    return WORD\n" },
        { "relative_path": "inner/__init__.py", "content": "" },
        { "relative_path": "inner/words.py", "content": "WORD = 'new'\n" },
    ]);
    let body = json!({ "plugin_name": "pack", "files": files });
    let reply = stage.send("PUT", "/api/v3/plugins/directory", &body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    eventually("answer", "new".to_owned(), || ask(&stage.server, "pack"));
    let stage = stage.restarted(NeapProcess::kill);
    assert_eq!(ask(&stage.server, "pack"), "new");
}

#[test]
fn invalid_upload_paths_are_refused() {
    let stage = PluginServerFixture::new();
    for name in ["../evil.py", "/evil.py", "a/../../evil.py", ""] {
        let body = json!({ "plugin_name": name, "content": "" });
        let reply = stage.send("POST", "/api/v3/plugins/files", &body);
        assert!(reply.status >= 400, "{name}: {}", reply.status);
    }
    let body = json!({ "plugin_name": "no_such_trigger", "content": "" });
    assert!(stage.send("PUT", "/api/v3/plugins/files", &body).status >= 400);
    TriggerDefinition::new("echo", "echo.py", "request:echo").create(&stage);
    let files = json!([{ "relative_path": "../evil.py", "content": "" }]);
    let body = json!({ "plugin_name": "echo", "files": files });
    assert!(stage.send("PUT", "/api/v3/plugins/directory", &body).status >= 400);
    assert_eq!(stage.ask("echo").status, 200);
}

#[test]
fn triggers_are_made_and_updated_from_the_command_line() {
    let stage = PluginServerFixture::new();
    let local = tempfile::TempDir::new().unwrap();
    let file = local.path().join("mine.py");
    fs::write(&file, plugin_answering("from here")).unwrap();
    let path = file.to_str().unwrap();
    let create = [
        "create",
        "trigger",
        "mine",
        "-d",
        DB,
        "--path",
        path,
        "--upload",
        "--trigger-spec",
        "request:mine",
    ];
    assert_eq!(stage.run(&create).succeeded(), "Trigger mine created successfully\n");
    assert_eq!(ask(&stage.server, "mine"), "from here");
    fs::write(&file, plugin_answering("changed here")).unwrap();
    let update = ["update", "trigger", "-d", DB, "-t", "mine", "--path", path];
    assert_eq!(stage.run(&update).succeeded(), "Trigger 'mine' updated successfully\n");
    eventually("answer", "changed here".to_owned(), || ask(&stage.server, "mine"));
    for (command, said) in [
        (
            vec!["disable", "trigger", "mine", "-d", DB],
            "Trigger mine disabled successfully\n",
        ),
        (
            vec!["enable", "trigger", "mine", "-d", DB],
            "Trigger mine enabled successfully\n",
        ),
        (
            vec!["delete", "trigger", "mine", "-d", DB, "--force"],
            "Trigger mine deleted successfully\n",
        ),
    ] {
        assert_eq!(stage.run(&command).succeeded(), said);
    }
    let test = ["test", "wal_plugin", "seen.py", "-d", DB, "--lp", "x,a=b v=1i 1"];
    let answer: Value = serde_json::from_str(&stage.run(&test).succeeded()).unwrap();
    assert_eq!(answer["errors"], json!([]));
    assert_eq!(answer["log_lines"][1], "INFO: saw x 1");
    let test = ["test", "schedule_plugin", "ticks.py", "-d", DB, "--schedule", "0 0 * * * *"];
    let answer: Value = serde_json::from_str(&stage.run(&test).succeeded()).unwrap();
    assert_eq!(answer["errors"], json!([]));
}
