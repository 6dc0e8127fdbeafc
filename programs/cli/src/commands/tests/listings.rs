//! Tests of `neap show`.

use super::{FAILED, USAGE, fails, run_line, server::*, succeeds};

#[test]
fn databases_are_shown() {
    let (url, requests) = server(&[&answer("200 OK", "iox::database\nd\n")]);
    let line = "show databases --format csv --show-deleted --show-settings";
    let (status, out, err) = run_line(line, &url, "");
    assert_eq!((status, out.as_str(), err.as_str()), (0, "iox::database\nd\n", ""));
    let requests = requests.join().unwrap();
    let expected = "GET /api/v3/configure/database?format=csv&show_deleted=true&show_settings=true";
    assert_eq!(target(&requests[0]), expected);
}

#[test]
fn lists_are_system_tables_of_the_servers_own_database() {
    for (what, table) in [("tokens", "tokens"), ("plugins", "plugin_files"), ("nodes", "nodes")] {
        let (url, requests) = server(&[&answer("200 OK", "a\n1\n")]);
        let (status, out, err) = run_line(&format!("show {what} --format csv"), &url, "");
        assert_eq!((status, out.as_str(), err.as_str()), (0, "a\n1\n", ""));
        let requests = requests.join().unwrap();
        assert_eq!(target(&requests[0]), "POST /api/v3/query_sql");
        let expected =
            format!(r#"{{"db":"_internal","format":"csv","q":"SELECT * FROM system.{table}"}}"#);
        assert_eq!(body(&requests[0]), expected);
    }
}

#[test]
fn the_plugins_of_a_repository_are_listed() {
    let plugins = r#"[{"plugin":"gh:influxdata/state_change","version":"1.3.0","triggers":["process_writes","process_request"],
        "python":["requests"],"plugins":["notifier"],"description":"Finds changes"}]"#;
    let plugins = answer("200 OK", plugins);
    let (url, requests) = server(&[&plugins, &plugins]);
    let (status, out, err) = run_line("show plugins --available", &url, "");
    assert_eq!((status, err.as_str()), (0, ""));
    insta::assert_snapshot!(out, @"
    +----------------------------+---------+---------------------------------+--------------------+---------------+
    | plugin                     | version | triggers                        | needs              | description   |
    +----------------------------+---------+---------------------------------+--------------------+---------------+
    | gh:influxdata/state_change | 1.3.0   | process_writes, process_request | requests, notifier | Finds changes |
    +----------------------------+---------+---------------------------------+--------------------+---------------+
    ");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugins.csv");
    let line = format!(
        "show plugins --available --plugin-repo /srv/plugins --format csv --output '{}'",
        path.display()
    );
    assert_eq!(run_line(&line, &url, ""), (0, String::new(), String::new()));
    let csv = std::fs::read_to_string(path).unwrap();
    assert!(
        csv.starts_with("plugin,version,triggers,needs,description\ngh:influxdata/"),
        "{csv}"
    );
    let requests = requests.join().unwrap();
    assert_eq!(target(&requests[0]), "GET /api/v3/plugins/available");
    assert_eq!(
        target(&requests[1]),
        "GET /api/v3/plugins/available?repository=%2Fsrv%2Fplugins"
    );
    for line in ["show plugins --available --format parquet", "show plugins --plugin-repo x"] {
        assert_eq!(run_line(line, "http://127.0.0.1:9", "").0, USAGE, "{line}");
    }
}

#[test]
fn a_list_can_go_into_a_file() {
    let (url, requests) = server(&[&answer("200 OK", "PAR1")]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.parquet");
    let line = format!("show tokens --format parquet --output '{}'", path.display());
    let (status, out, err) = run_line(&line, &url, "");
    assert_eq!((status, out.as_str(), err.as_str()), (0, "", ""));
    assert_eq!(std::fs::read(path).unwrap(), b"PAR1");
    requests.join().unwrap();
}

#[test]
fn system_tables_are_listed_and_shown() {
    let (url, requests) =
        server(&[&answer("200 OK", "+--+"), &answer("200 OK", "[]"), &answer("200 OK", "")]);
    // Options are accepted before and after the subcommand.
    assert_eq!(succeeds("show system --database d table-list", &url), "+--+\n");
    let line = "show system table queries -d d -l 5 -o issue_time -s id,phase --format json";
    assert_eq!(succeeds(line, &url), "[]\n");
    let line = format!("show system -H {url} --token apiv3_x table tokens");
    assert_eq!(run_line(&line, "http://127.0.0.1:9", "").0, 0);
    let requests = requests.join().unwrap();
    insta::assert_snapshot!(body(&requests[0]), @r#"{"db":"d","format":"pretty","q":"SELECT table_name, array_agg(column_name ORDER BY column_name) AS column_names FROM information_schema.columns WHERE table_schema = 'system' GROUP BY table_name ORDER BY table_name"}"#);
    insta::assert_snapshot!(body(&requests[1]), @r#"{"db":"d","format":"json","q":"SELECT id, phase FROM system.\"queries\" ORDER BY issue_time LIMIT 5"}"#);
    insta::assert_snapshot!(body(&requests[2]), @r#"{"db":"_internal","format":"pretty","q":"SELECT * FROM system.\"tokens\" LIMIT 100"}"#);
    assert!(requests[2].contains("authorization: Bearer apiv3_x\r\n"));
}

#[test]
fn the_error_for_an_unknown_system_table_lists_the_existing_tables() {
    let refusal = answer("400 Bad Request", "table 'public.system.x' not found");
    let tables = answer(
        "200 OK",
        r#"[{"table_name":"queries","column_names":[]},{"table_name":"tokens"}]"#,
    );
    let (url, requests) = server(&[&refusal, &tables, &refusal, &refusal]);
    insta::assert_snapshot!(fails("show system table x", &url), @"Show command failed: system table 'x' not found, there are: queries, tokens");
    insta::assert_snapshot!(fails("show system table x", &url), @"Show command failed: server responded with error [400 Bad Request]: table 'public.system.x' not found");
    requests.join().unwrap();
}

#[test]
fn a_summary_shows_the_first_rows_of_each_system_table() {
    let tables = r#"[{"table_name":"queries"},{"table_name":"tokens"}]"#;
    let (url, requests) = server(&[
        &answer("200 OK", tables),
        &answer("200 OK", "a\n1\n"),
        &answer("200 OK", "b\n2\n"),
    ]);
    insta::assert_snapshot!(succeeds("show system summary -d d --limit 3 --format csv", &url), @"
    queries summary:
    a
    1
    tokens summary:
    b
    2
    ");
    let requests = requests.join().unwrap();
    assert!(body(&requests[1]).contains("ORDER BY issue_time DESC LIMIT 3"));
    assert!(body(&requests[2]).contains("system.\\\"tokens\\\" LIMIT 3"));
    let line = "show system summary -d d --format parquet";
    assert_eq!(run_line(line, "http://127.0.0.1:9", "").0, USAGE);
}

#[test]
fn no_license_is_needed() {
    insta::assert_snapshot!(succeeds("show license", "http://127.0.0.1:9"), @"Neap is free software: it needs no license");
}

#[test]
fn authentication_errors_hint_at_the_token_options() {
    let refusal = answer("401 Unauthorized", r#"{"error": "the request was not authenticated"}"#);
    let (url, requests) = server(&[&refusal, &refusal]);
    for line in ["show databases --token apiv3_wrong", "write -d d 'a b=1'"] {
        let (status, out, err) = run_line(line, &url, "");
        assert_eq!((status, out.as_str()), (FAILED, ""));
        assert!(!err.contains("apiv3_"), "{err}");
        let hint = "\nThe server requires a valid token: pass it with --token, set NEAP_AUTH_TOKEN, or sign in with `neap auth login`\n";
        assert!(err.ends_with(hint), "{err}");
    }
    requests.join().unwrap();
}
