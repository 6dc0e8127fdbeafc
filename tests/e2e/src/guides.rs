//! The examples of the public guides of InfluxDB 3 and QuestDB, and of some pages of `docs`, run step by step.
//!
//! `tests/guides` has a script for each part: every command and request with our own values, its exit status or HTTP
//! status, and its output. `run_page.py` runs the commands of a page of the documentation as they are printed.
//!
//! Not included, because Neap does not support it yet:
//!
//! | shown in the guides | missing |
//! |---|---|
//! | line protocol over TCP, arrays and other binary values | versions 2 and later of QuestDB's protocol, TCP |
//!
//! The tests of client libraries run the examples of the Python and the JavaScript client, and those of Flight SQL.
//!
//! Not included, because it needs more than the test machine has: Docker, the stores of Google and Azure, the Go client,
//! JDBC, Chronograf, Superset and Grafana themselves.

use std::{fs::File, time::Duration};

use tempfile::TempDir;

use crate::harness::{neap_binary, program, repository, s3_server_binary, tests, wait_for};

/// Variables with programs that scripts run if they are installed.
const OPTIONAL_PROGRAMS: [&str; 3] =
    ["NEAP_CLIENTS_PYTHON", "NEAP_INFLUXD", "NEAP_VICTORIA_METRICS"];

/// Maximum duration of a script.
const LIMIT: Duration = Duration::from_secs(240);

/// Pages whose commands need servers of other databases, or the time of views: scripts run them.
const PAGES_OF_SCRIPTS: [&str; 2] = ["downsampling", "migrate"];

/// Runs a script of `tests/guides` in a new folder.
fn follow(interpreter: &str, script: &str, arguments: &[&str]) {
    let folder = TempDir::new().unwrap();
    let work = folder.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let log = folder.path().join("log");
    let file = File::create(&log).unwrap();
    let mut command = program(interpreter.as_ref(), &work);
    command
        .arg(repository().join("tests/guides").join(script))
        .args(arguments)
        .env("HOME", &work)
        .env("WORK", &work)
        .env("NEAP", neap_binary())
        .env("NEAP_S3_SERVER", s3_server_binary())
        .stdout(file.try_clone().unwrap())
        .stderr(file);
    for variable in OPTIONAL_PROGRAMS {
        if let Some(path) = std::env::var_os(variable) {
            command.env(variable, path);
        }
    }
    let mut child = command.spawn().unwrap();
    let status = wait_for("end of a guide", LIMIT, || child.try_wait().unwrap());
    let log = std::fs::read_to_string(log).unwrap();
    print!("{log}");
    assert!(status.success(), "{script} {arguments:?}: {status}");
}

fn follow_script(script: &str) {
    follow("bash", script, &[]);
}

/// Runs the commands of a page of the documentation.
fn follow_page(path: &str) {
    follow("python3", "run_page.py", &[path]);
}

/// Declares a test for each page of `docs` that has blocks of code.
macro_rules! pages {
    ($($test:ident: $name:literal,)*) => {
        /// The names of the pages that are run.
        const PAGES: &[&str] = &[$($name),*];

        $(
            #[test]
            fn $test() {
                follow_page(concat!("docs/", $name, ".md"));
            }
        )*
    };
}

pages! {
    page_agents: "agents",
    page_backup: "backup",
    page_caches: "caches",
    page_clients: "clients",
    page_cluster: "cluster",
    page_cold_data: "cold-data",
    page_command_line: "command-line",
    page_concepts: "concepts",
    page_configuration: "configuration",
    page_console: "console",
    page_deployment: "deployment",
    page_edge: "edge",
    page_embedded: "embedded",
    page_export: "export",
    page_files: "files",
    page_flux: "flux",
    page_getting_started: "getting-started",
    page_iceberg: "iceberg",
    page_import: "import",
    page_influxql: "influxql",
    page_json: "json",
    page_opentelemetry: "opentelemetry",
    page_operations: "operations",
    page_plugins: "plugins",
    page_postgres: "postgres",
    page_prometheus: "prometheus",
    page_promql: "promql",
    page_questdb: "questdb",
    page_reliability: "reliability",
    page_rollups: "rollups",
    page_rules: "rules",
    page_sql: "sql",
    page_stores: "stores",
    page_system_tables: "system-tables",
    page_users: "users",
}

#[test]
fn page_readme() {
    follow_page("README.md");
}

/// Returns whether a page has a block of code: a fenced one, or an indented one after an empty line.
fn has_code(page: &str) -> bool {
    let mut pairs = page.lines().zip(page.lines().skip(1));
    page.contains("\n```") || pairs.any(|(line, next)| line.is_empty() && next.starts_with("    "))
}

#[test]
fn every_page_with_commands_is_run() {
    // Drawings alone.
    let others = ["architecture", "threat-model"];
    for entry in std::fs::read_dir(repository().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        let is_run = [PAGES, &PAGES_OF_SCRIPTS, &others].iter().any(|names| names.contains(&name));
        let page = std::fs::read_to_string(&path).unwrap();
        assert!(is_run || !has_code(&page), "docs/{name}.md is not run");
    }
}

tests! {
    servers_start_on_every_store_and_together => follow_script("serve.sh");
    tokens_are_created_and_shown => follow_script("tokens.sh");
    rows_are_written_and_deleted => follow_script("write.sh");
    rows_are_queried => follow_script("query.sh");
    caches_and_indexes_are_set_up => follow_script("caches.sh");
    plugins_are_tested_and_triggered => follow_script("plugins.sh");
    questdb_lines_come_over_http => follow_script("questdb.sh");
    the_python_client_writes => follow_script("python_client.sh");
    rows_move_from_other_databases => follow_script("migrate.sh");
    telegraf_rows_are_downsampled => follow_script("downsampling.sh");
}
