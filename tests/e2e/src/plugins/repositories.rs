//! Plugins of repositories: a registry over HTTP, a checkout, and files at an address. `tests/plugin-repository` stands in for
//! the public repository.

mod stand_in;

use serde_json::{Value, json};
use tempfile::TempDir;

use self::stand_in::StandInRepository;
use super::fixture::{DB, TriggerDefinition, make_wheel, send};
use crate::harness::{
    CommandOutput, NeapProcess, StoreFixture, assert_contains, repository, words,
};

/// The path of the checkout.
const CHECKOUT: &str = "tests/plugin-repository";

/// A server with a plugin folder and a repository, whose packages come from a folder.
struct RepositoryFixture {
    server: NeapProcess,
    folder: TempDir,
    _place: StoreFixture,
    _wheels: TempDir,
}

impl RepositoryFixture {
    /// Starts a server with these flags, in which `FOLDER` is the plugin folder.
    fn new(flags: &[&str]) -> Self {
        let (folder, wheels) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        make_wheel(wheels.path());
        let path = folder.path().to_str().unwrap();
        let flags = flags.iter().map(|flag| if *flag == "FOLDER" { path } else { *flag });
        let flags_with_pip: Vec<_> = flags.chain(["--package-manager", "pip"]).collect();
        let variables =
            [("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", wheels.path().to_str().unwrap())];
        let place = StoreFixture::memory();
        let server = NeapProcess::serve_with_variables(&place, &flags_with_pip, &variables);
        server.write(DB, "begin value=1i 1");
        Self { server, folder, _place: place, _wheels: wheels }
    }

    fn run(&self, arguments: &[&str]) -> CommandOutput {
        self.server.run_command(arguments)
    }

    /// Creates a trigger on requests to a path, and returns the answer of its plugin.
    fn answer_of(&self, plugin: &str, path: &str, arguments: &[(&str, &str)]) -> String {
        let trigger = TriggerDefinition::new(path, plugin, &format!("request:{path}"));
        let created = trigger.with(arguments).try_create(&self.server);
        assert_eq!(created.status, 200, "{plugin}: {}", created.text());
        let reply = self.server.get(&format!("/api/v3/engine/{path}"));
        assert_eq!(reply.status, 200, "{plugin}: {}", reply.text());
        reply.text()
    }

    fn has(&self, path: &str) -> bool {
        self.folder.path().join(path).exists()
    }
}

#[test]
fn a_plugin_of_a_registry_is_installed_with_what_its_manifest_needs() {
    let registry = StandInRepository::serve(&repository().join(CHECKOUT));
    let stage =
        RepositoryFixture::new(&["--plugin-dir", "FOLDER", "--plugin-repo", registry.url()]);
    let missing = |plugin: &str| {
        format!(
            "'{plugin}' needs Python packages that are not installed: leaves>=1.0. \
             Install them with: neap install package 'leaves>=1.0'"
        )
    };
    let public = "gh:influxdata/almanac";
    let create = [
        "create",
        "trigger",
        "a",
        "-d",
        DB,
        "--trigger-spec",
        "request:a",
        "--path",
        public,
    ];
    let refused = stage.run(&create).failed(1);
    assert_contains!(refused, &missing(public));
    let refused = stage.run(&["test", "schedule_plugin", "-d", DB, public]).failed(1);
    assert_contains!(refused, &missing(public));

    let listed = stage.run(&["show", "plugins", "--available", "--format", "json"]).succeeded();
    let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
    let shown: Vec<_> = listed
        .iter()
        .map(|plugin| json!([plugin["plugin"], plugin["version"], plugin["needs"]]))
        .collect();
    let needed = "leaves>=1.0, no-such-package-of-neap; python_version < '3', beacon";
    assert_eq!(
        shown,
        [
            json!(["gh:almanac", "1.0.0", needed]),
            json!(["gh:beacon", "0.3.0", "almanac, greeter"]),
            json!(["gh:damaged", "1.0.0", ""]),
            json!(["gh:greeter", "1.2.0", ""]),
        ]
    );

    let without = stage.run(&["install", "plugin", public, "--no-dependencies"]).succeeded();
    assert_contains!(without, "Python packages needed, but not installed: leaves>=1.0, ");
    let refused = TriggerDefinition::new("b", "almanac", "request:b").try_create(&stage.server);
    assert_eq!((refused.status, refused.text()), (400, missing("almanac")));

    let installed = stage.run(&["install", "plugin", "gh:influxdata/beacon"]).succeeded();
    let lines: Vec<_> = installed.lines().collect();
    assert_eq!(
        lines,
        [
            "Plugin beacon 0.3.0 installed in the plugin folder",
            "Plugin almanac 1.0.0 installed in the plugin folder",
            "Plugin greeter 1.2.0 installed in the plugin folder",
            "Installing Python packages: leaves>=1.0, no-such-package-of-neap; python_version < '3'",
            "Python packages installed",
        ]
    );
    assert!(stage.has("almanac/months.py") && !stage.has("greeter/test_greeter.py"));
    let answer: Value =
        serde_json::from_str(&stage.answer_of("almanac", "installed", &[])).unwrap();
    assert_eq!(answer, json!({ "months": 12, "leaves": 7 }));
    let answer: Value = serde_json::from_str(&stage.answer_of(public, "public", &[])).unwrap();
    assert_eq!(answer["months"], 12);
    let config = [("config_file_path", "greeter/greeter_config.toml")];
    assert_eq!(stage.answer_of("greeter", "greeter", &config), "good morning");
    let file = "gh:influxdata/greeter/greeter.py";
    assert_eq!(stage.answer_of(file, "file", &config), "good morning");
}

#[test]
fn a_plugin_of_a_checkout_is_installed_without_its_tests() {
    let checkout = repository().join(CHECKOUT);
    let place = checkout.to_str().unwrap();
    let stage = RepositoryFixture::new(&["--plugin-dir", "FOLDER", "--plugin-repo", place]);
    assert_eq!(stage.answer_of("gh:influxdata/greeter", "public", &[]), "hello");
    let install = words("install plugin gh:influxdata/beacon --no-dependencies");
    let installed = stage.run(&install).succeeded();
    assert_eq!(installed.lines().count(), 4, "{installed}");
    assert!(stage.has("greeter/greeter_config.toml") && !stage.has("greeter/test_greeter.py"));
    assert_eq!(stage.answer_of("greeter", "installed", &[]), "hello");
    let available = stage.run(&["show", "plugins", "--available", "--format", "csv"]).succeeded();
    assert_contains!(available, "gh:influxdata/greeter,1.2.0,process_request,,");
}

#[test]
fn a_server_without_a_plugin_folder_installs_plugins_in_its_bucket() {
    let registry = StandInRepository::serve(&repository().join(CHECKOUT));
    let stage = RepositoryFixture::new(&["--mode", "all,process"]);
    let install =
        |plugin: &str| stage.run(&["install", "plugin", plugin, "--plugin-repo", registry.url()]);
    assert_eq!(install("greeter").succeeded(), "Plugin greeter 1.2.0 installed in the bucket\n");
    assert_eq!(stage.answer_of("greeter", "greeter", &[]), "hello");
    let refused = install("missing").failed(1);
    assert_contains!(refused, "Plugin not found: missing");
    let refused = install("damaged").failed(1);
    assert_contains!(refused, "but the index names sha256:");
    let body = json!({ "plugin": "damaged", "repository": registry.url() });
    let reply = send(&stage.server, "POST", "/api/v3/plugins/install", &body);
    assert_eq!(reply.status, 400, "{}", reply.text());
    let upload = stage.server.get("/api/v3/plugins/files?plugin_name=damaged");
    assert_eq!(upload.status, 404);
}
