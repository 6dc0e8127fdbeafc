//! Tests of a session against a server with predefined responses.

use std::fs;

use neap_server::console::testing::{OutputBuffer, console};
use tempfile::TempDir;

use super::*;
use crate::shell::testing::MockServer;

/// Runs these inputs in a session, and returns its last outcome, its prompt, and its output.
fn run(
    server: &MockServer,
    database: Option<&str>,
    inputs: &[&str],
) -> (InputOutcome, String, OutputBuffer, OutputBuffer) {
    let (mut console, out, err) = console("");
    let settings = ShellSettings {
        database: database.map(str::to_owned),
        language: QueryLanguage::Sql,
        form: TerminalFormat::Pretty,
        as_of: None,
    };
    let client = server.client();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (flow, prompt) = runtime.block_on(async {
        let style = MessageStyle::default();
        let mut session = ShellSession::new(&mut console, client, World::system(), settings, style);
        let mut flow = session.run("\\t").await.unwrap();
        for input in inputs {
            flow = session.run(input).await.unwrap();
        }
        (flow, session.prompt())
    });
    (flow, prompt, out, err)
}

const TABLE: &str = "+---+\n| a |\n+---+\n| 1 |\n+---+";

#[test]
fn statements_are_sent_one_by_one_and_their_rows_counted() {
    let server = MockServer::new(&[(200, TABLE), (200, "{\"a\":1}\n{\"a\":2}\n")]);
    let inputs = ["-- first\nSELECT ';' AS a; \\f jsonl\n", "SELECT a;;"];
    let (flow, prompt, out, err) = run(&server, Some("home"), &inputs);
    assert_eq!((flow, prompt.as_str()), (InputOutcome::Continue, "home> "));
    assert_eq!(out.text(), format!("{TABLE}\n{}", "{\"a\":1}\n{\"a\":2}\n"));
    assert_eq!(err.text(), "times: off\n1 row\n2 rows\n");
    assert_eq!(
        server.requests(),
        [
            r#"/api/v3/query_sql {"db":"home","q":"-- first\nSELECT ';' AS a","format":"pretty"}"#,
            r#"/api/v3/query_sql {"db":"home","q":"SELECT a","format":"jsonl"}"#,
        ]
    );
}

#[test]
fn control_characters_of_values_are_shown_on_a_terminal() {
    let server =
        MockServer::new(&[(200, "+-\n| \u{1b}[2J |\n"), (200, "{\"a\":\"\\u001b[2J\"}\n")]);
    let (mut console, out, _) = console("");
    console.out_is_terminal = true;
    let settings = ShellSettings {
        database: Some("home".to_owned()),
        language: QueryLanguage::Sql,
        form: TerminalFormat::Pretty,
        as_of: None,
    };
    let client = server.client();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let style = MessageStyle::default();
        let mut session = ShellSession::new(&mut console, client, World::system(), settings, style);
        session.run("SELECT a; \\x\nSELECT a;").await.unwrap();
    });
    insta::assert_snapshot!(out.text(), @r"
    +-
    | \x1b[2J |
    -[ row 1 ]-
    a | \x1b[2J
    ");
}

#[test]
fn an_error_is_printed_and_ends_only_its_own_input() {
    let server = MockServer::new(&[(400, "Error during planning: no"), (200, TABLE)]);
    let inputs = ["SELECT nope; SELECT never;", "SELECT a;", "\\nope", "\\c"];
    let (flow, _, out, err) = run(&server, Some("home"), &inputs);
    assert_eq!(flow, InputOutcome::Failed);
    assert_eq!(out.text(), format!("{TABLE}\n"));
    insta::assert_snapshot!(err.text(), @r#"
    times: off
    error: Error during planning: no
    1 row
    error: unknown command \nope: \? lists the commands
    error: \c needs the name of a database
    "#);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_session_without_a_database_can_choose_one() {
    let databases = r#"[{"iox::database":"_internal"},{"iox::database":"home"}]"#;
    let listed = "+---------------+\n| iox::database |\n+---------------+\n| home          |\n+---------------+";
    let server = MockServer::new(&[(200, listed), (200, databases), (200, databases)]);
    let inputs = ["SELECT 1;", "\\l", "use nope;", "\\c home", "\\lang influxql", "\\asof 7"];
    let (_, prompt, out, err) = run(&server, None, &inputs);
    assert_eq!(prompt, "home influxql as of 7> ");
    assert_eq!(out.text(), format!("{listed}\n"));
    insta::assert_snapshot!(err.text(), @r#"
    times: off
    error: no database is selected: \l lists the databases, \c NAME selects one
    1 row
    error: database not found: nope
    "#);
    insta::assert_debug_snapshot!(server.requests(), @r#"
    [
        "/api/v3/configure/database?format=pretty",
        "/api/v3/configure/database?format=json",
        "/api/v3/configure/database?format=json",
    ]
    "#);
}

#[test]
fn influxql_and_as_of_queries_are_sent() {
    let server = MockServer::new(&[(200, TABLE), (200, TABLE)]);
    let inputs = ["\\lang influxql", "SHOW DATABASES", "\\asof 7", "SELECT /a;b/ FROM c"];
    run(&server, Some("home"), &inputs);
    insta::assert_debug_snapshot!(server.requests(), @r#"
    [
        "/api/v3/query_influxql {\"db\":\"home\",\"q\":\"SHOW DATABASES\",\"format\":\"pretty\"}",
        "/api/v3/query_influxql as of 7 {\"db\":\"home\",\"q\":\"SELECT /a;b/ FROM c\",\"format\":\"pretty\"}",
    ]
    "#);
}

#[test]
fn tables_columns_and_caches_are_described() {
    let found = "{\"table_name\":\"it's\"}\n";
    let described = [(200, found), (200, TABLE), (200, ""), (200, TABLE), (200, TABLE)];
    let server = MockServer::new(&[&[(200, TABLE)][..], &described].concat());
    let inputs = ["\\d", "\\d it's", "\\d nope", "\\dc"];
    let (_, _, out, err) = run(&server, Some("home"), &inputs);
    assert_eq!(out.text().matches(TABLE).count(), 4);
    insta::assert_snapshot!(err.text(), @r#"
    times: off
    1 row
    1 row
    error: table not found: nope
    last value caches:
    1 row
    distinct value caches:
    1 row
    "#);
    let requests = server.requests();
    let asked = |what: &str| requests.iter().filter(|request| request.contains(what)).count();
    assert_eq!(asked("information_schema.tables WHERE"), 3);
    assert_eq!(asked("table_name = 'it''s' ORDER BY column_name"), 1);
    assert_eq!(asked("FROM system.last_caches"), 1);
    assert_eq!(asked("FROM system.distinct_caches"), 1);
}

#[test]
fn rows_can_have_lines_of_their_own() {
    let server = MockServer::new(&[(200, "{\"host\":\"a\",\"n\":1}\n"), (200, TABLE)]);
    let (_, _, out, err) = run(&server, Some("home"), &["\\x", "SELECT 1;", "\\x", "SELECT 1;"]);
    assert_eq!(out.text(), format!("-[ row 1 ]-\nhost | a\nn    | 1\n{TABLE}\n"));
    insta::assert_snapshot!(err.text(), @r#"
    times: off
    rows on lines of their own: on
    1 row
    rows on lines of their own: off
    1 row
    "#);
    assert!(server.requests()[0].ends_with(r#""format":"jsonl"}"#));
}

#[test]
fn scripts_are_run_and_results_are_written_to_files() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (script, inner, result) = (path("a.sql"), path("b.sql"), path("result"));
    fs::write(&script, format!("\\f csv\nSELECT 1;\n\\i {inner}\nSELECT 3")).unwrap();
    fs::write(&inner, "SELECT\n2;\n").unwrap();
    let server =
        MockServer::new(&[(200, "a\n1\n"), (200, "a\n2\n"), (200, "a\n3\n"), (200, "a\n4\n")]);
    let to_file = format!("\\o {result}");
    let include = format!("\\i '{script}'");
    let inputs = [&*to_file, &include, "\\o", "SELECT 4;"];
    let (_, _, out, err) = run(&server, Some("home"), &inputs);
    assert_eq!(out.text(), "a\n4\n");
    assert_eq!(fs::read_to_string(&result).unwrap(), "a\n1\na\n2\na\n3\n");
    assert_eq!(err.text(), format!("times: off\n{}", "1 row\n".repeat(4)));
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn files_that_run_themselves_come_to_an_end() {
    let folder = TempDir::new().unwrap();
    let script = folder.path().join("a.sql").display().to_string();
    fs::write(&script, format!("\\i {script}\n")).unwrap();
    let server = MockServer::new(&[]);
    let nowhere = format!("\\i {}/nowhere.sql", folder.path().display());
    let (flow, _, _, err) = run(&server, None, &[&format!("\\i {script}"), &nowhere]);
    assert_eq!(flow, InputOutcome::Failed);
    let err = err.text().replace(&folder.path().display().to_string(), "…");
    insta::assert_snapshot!(err, @r#"
    times: off
    error: …/a.sql: files are nested too deeply
    error: …/nowhere.sql: No such file or directory (os error 2)
    "#);
}

#[test]
fn leaving_and_help_are_commands() {
    let server = MockServer::new(&[]);
    for leave in ["\\q", "exit", "quit;"] {
        assert_eq!(run(&server, None, &[leave]).0, InputOutcome::Quit);
    }
    let (flow, _, _, err) = run(&server, None, &["\\?"]);
    assert_eq!(flow, InputOutcome::Continue);
    assert!(err.text().contains("\\dc              list the caches\n"));
}
