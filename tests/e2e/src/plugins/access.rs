//! Permissions for plugins, and restrictions of servers.

use serde_json::{Value, json};

use super::fixture::{DB, PluginServerFixture, TriggerDefinition, make_wheel, send};
use crate::harness::{NeapProcess, Reply, ServerClient, StoreFixture, assert_contains, repository};

/// Returns the requests that require an administrator.
fn administration() -> [(&'static str, &'static str, Value); 11] {
    const TRIGGER: &str = "/api/v3/configure/processing_engine_trigger";
    let trigger = json!({
        "db": DB, "plugin_filename": "echo.py", "trigger_name": "t", "trigger_specification": "request:t",
        "trigger_settings": { "run_async": false, "error_behavior": "log" }, "trigger_arguments": null, "disabled": false,
    });
    [
        ("POST", TRIGGER, trigger),
        (
            "POST",
            "/api/v3/configure/processing_engine_trigger/enable?db=plants&trigger_name=echo",
            json!({}),
        ),
        (
            "POST",
            "/api/v3/configure/processing_engine_trigger/disable?db=plants&trigger_name=echo",
            json!({}),
        ),
        (
            "DELETE",
            "/api/v3/configure/processing_engine_trigger?db=plants&trigger_name=echo&force=true",
            json!({}),
        ),
        ("POST", "/api/v3/plugins/files", json!({ "plugin_name": "a.py", "content": "" })),
        ("PUT", "/api/v3/plugins/files", json!({ "plugin_name": "echo", "content": "" })),
        (
            "POST",
            "/api/v3/plugin_test/wal",
            json!({ "filename": "seen.py", "database": DB, "input_lp": "x v=1i 1" }),
        ),
        (
            "POST",
            "/api/v3/plugin_test/schedule",
            json!({ "filename": "ticks.py", "database": DB }),
        ),
        (
            "POST",
            "/api/v3/configure/plugin_environment/install_packages",
            json!({ "packages": ["x"] }),
        ),
        ("POST", "/api/v3/plugins/install", json!({ "plugin": "gh:influxdata/notifier" })),
        ("GET", "/api/v3/plugins/available", json!({})),
    ]
}

#[test]
fn administrators_create_triggers_and_users_of_the_database_call_them() {
    let folder = repository().join("tests/plugins");
    let flags = ["--plugin-dir", folder.to_str().unwrap(), "--package-manager", "disabled"];
    let server = NeapProcess::serve_with_tokens(&StoreFixture::memory(), &flags);
    let key = server.first_token();
    let admin = server.with_token(&key);
    admin.write(DB, "begin v=1 1");
    admin.write("other", "begin v=1 1");
    let created = TriggerDefinition::new("echo", "echo.py", "request:echo").try_create(&admin);
    assert_eq!(created.status, 200, "{}", created.text());
    let call = |server: &ServerClient| server.get("/api/v3/engine/echo").status;
    assert_eq!(call(&server), 401);
    assert_eq!(call(&server.with_token("apiv3_wrong")), 401);
    for (name, permission, status) in [
        ("reader", "db:plants:read", 200),
        ("writer", "db:plants:write", 200),
        ("stranger", "db:other:read,write", 403),
    ] {
        let user = server.with_token(&server.create_token(&key, permission));
        assert_eq!(call(&user), status, "{name}");
        for (method, path, body) in administration() {
            let reply = send(&user, method, path, &body);
            assert_eq!(reply.status, 403, "{name}: {method} {path}: {}", reply.text());
        }
    }
    for (method, path, body) in administration() {
        assert_eq!(send(&server, method, path, &body).status, 401, "{method} {path}");
    }
    let reply = admin.get("/api/v3/engine/echo");
    assert!(!reply.text().contains("apiv3_"), "{}", reply.text());
    assert!(!server.log().contains(&key));

    let path = "/api/v3/configure/plugin_environment/install_packages";
    let reply = send(&admin, "POST", path, &json!({ "packages": ["x"] }));
    let text =
        "Package installation has been disabled. Contact your administrator for more information.";
    assert_eq!(reply.status, 403);
    assert_contains!(reply.text(), text);
}

#[test]
fn a_server_without_tokens_runs_plugins_only_if_enabled() {
    let server = NeapProcess::serve(&StoreFixture::memory());
    server.write(DB, "begin v=1 1");
    let body = json!({ "plugin_name": "evil.py", "content": "" });
    let reply = send(&server, "POST", "/api/v3/plugins/files", &body);
    assert_eq!(reply.status, 403, "{}", reply.text());
    assert_contains!(reply.text(), "--plugin-dir");
    let reply =
        TriggerDefinition::new("t", "gh:influxdata/downsampler/downsampler.py", "all_tables")
            .try_create(&server);
    assert_eq!(reply.status, 403, "{}", reply.text());
}

#[test]
fn kinds_of_triggers_can_be_disabled() {
    let flags = ["--restrict-plugin-triggers-to", "wal,request"];
    let stage = PluginServerFixture::on(StoreFixture::memory(), &flags);
    let reply = TriggerDefinition::new("s", "ticks.py", "every:1s").try_create(&stage.server);
    assert_eq!(reply.status, 400);
    let text = "server is configured to reject";
    assert_contains!(reply.text(), text);
    TriggerDefinition::new("w", "seen.py", "all_tables").create(&stage);
    TriggerDefinition::new("r", "echo.py", "request:r").create(&stage);
    assert_eq!(stage.ask("r").status, 200);
}

#[test]
fn only_plugins_of_the_folder_are_allowed_with_plugin_dir_only() {
    let stage = PluginServerFixture::on(StoreFixture::directory(), &[]);
    let files = "/api/v3/plugins/files";
    let upload = json!({ "plugin_name": "sent.py", "content": "def process_request(*_):\n    return 'sent'\n" });
    assert_eq!(stage.send("POST", files, &upload).status, 200);
    TriggerDefinition::new("sent", "sent.py", "request:sent").create(&stage);
    TriggerDefinition::new("echo", "echo.py", "request:echo").create(&stage);
    assert_eq!(stage.ask("sent").text(), "sent");

    let folder = stage.folder().to_str().unwrap();
    let flags = ["--plugin-dir", folder, "--plugin-dir-only"];
    let strict = NeapProcess::serve_with(&stage.place, &flags);
    let refused = |reply: Reply| {
        assert_eq!(reply.status, 403, "{}", reply.text());
        assert_contains!(reply.text(), "--plugin-dir-only");
    };
    refused(send(&strict, "POST", files, &upload));
    let update = json!({ "plugin_name": "sent", "content": "" });
    refused(send(&strict, "PUT", files, &update));
    let package = json!({ "plugin_name": "sent", "files": [{ "relative_path": "__init__.py", "content": "" }] });
    refused(send(&strict, "PUT", "/api/v3/plugins/directory", &package));
    let public = "gh:influxdata/downsampler/downsampler.py";
    refused(TriggerDefinition::new("public", public, "all_tables").try_create(&strict));
    let install = json!({ "plugin": "gh:influxdata/downsampler" });
    refused(send(&strict, "POST", "/api/v3/plugins/install", &install));
    let uploaded = TriggerDefinition::new("again", "sent.py", "request:again").try_create(&strict);
    assert_eq!(uploaded.status, 400, "{}", uploaded.text());

    // Triggers of other plugins are left to other servers.
    assert_eq!(strict.get("/api/v3/engine/echo").status, 200);
    assert_eq!(strict.get("/api/v3/engine/sent").status, 404);
    assert_eq!(stage.ask("sent").text(), "sent");
}

#[test]
fn package_management_can_be_disabled() {
    let flags = ["--disable-package-management", "--package-manager", "pip"];
    let stage = PluginServerFixture::on(StoreFixture::memory(), &flags);
    let environment = "/api/v3/configure/plugin_environment";
    for (what, body) in [
        ("install_packages", json!({ "packages": ["x"] })),
        ("install_requirements", json!({ "requirements_location": "needs.txt" })),
    ] {
        let reply = stage.send("POST", &format!("{environment}/{what}"), &body);
        assert_eq!(reply.status, 403, "{what}: {}", reply.text());
        let text = "Package installation has been disabled.";
        assert_contains!(reply.text(), text);
    }
    TriggerDefinition::new("echo", "echo.py", "request:echo").create(&stage);
    assert_eq!(stage.ask("echo").status, 200);
    assert!(!stage.folder().join(".venv").exists());
}

#[test]
fn packages_are_installed_for_the_next_run() {
    let stage = PluginServerFixture::new();
    stage.put(
        "uses.py",
        "def process_request(*_):\n    import leaves\n    return str(leaves.COUNT)\n",
    );
    TriggerDefinition::new("uses", "uses.py", "request:uses").create(&stage);
    let reply = stage.ask("uses");
    assert_eq!(reply.status, 500);
    assert_contains!(reply.text(), "No module named 'leaves'");

    let wheel = make_wheel(stage.folder());
    stage.put("needs.txt", &format!("{}\n", wheel.display()));
    let needs = stage.folder().join("needs.txt");
    let path = "/api/v3/configure/plugin_environment/install_requirements";
    let body = json!({ "requirements_location": needs.to_str().unwrap() });
    let reply = stage.send("POST", path, &body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let reply: Reply = stage.ask("uses");
    assert_eq!((reply.status, reply.text().as_str()), (200, "7"));

    stage.put("needs.txt", "no-such-file.whl\n");
    let reply = stage.send("POST", path, &body);
    assert!(reply.status >= 400, "what pip says is told");
    assert_eq!(stage.ask("uses").text(), "7");
}
