//! Tests of the command line as a whole.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use super::*;
use crate::console::testing::console;

/// Runs a command line and gives its exit status and what it printed.
pub(super) fn run_with(
    args: &[&str],
    environment: &Environment,
    input: &str,
) -> (u8, String, String) {
    let (mut console, out, err) = console(input);
    let args = ["neap"].iter().chain(args).map(OsString::from);
    let status = run(args, environment, &mut console);
    (status, out.text(), err.text())
}

/// A server that answers the requests of one connection each with these, and gives the requests.
fn server(answers: &[&str]) -> (String, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers: Vec<_> = answers.iter().map(|&answer| answer.to_owned()).collect();
    let serve = move || {
        let answered = answers.into_iter().map(|answer| {
            let (mut connection, _) = listener.accept().unwrap();
            let request = read_request(&mut connection);
            connection.write_all(answer.as_bytes()).unwrap();
            request
        });
        answered.collect()
    };
    (url, thread::spawn(serve))
}

fn read_request(connection: &mut impl Read) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = connection.read(&mut buffer).unwrap();
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.parse::<usize>().unwrap())
        });
        if body.len() >= length.unwrap_or(0) {
            return text;
        }
    }
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn first_line(request: &str) -> &str {
    request.lines().next().unwrap()
}

fn body(request: &str) -> &str {
    request.split_once("\r\n\r\n").unwrap().1
}

#[test]
fn the_definition_of_the_command_line_is_sound() {
    CommandLine::command().debug_assert();
    let variables = [
        ("NEAP_DATABASE_NAME", "d"),
        ("NEAP_HOST_URL", "h"),
        ("NEAP_TLS_NO_VERIFY", "1"),
    ];
    variables
        .into_iter()
        .collect::<Environment>()
        .apply(CommandLine::command())
        .debug_assert();
}

#[test]
fn without_a_command_the_server_is_started() {
    let after = |args: &[&str]| {
        let args = ["neap"].iter().chain(args).map(OsString::from).collect();
        let args = with_command(args).into_iter().skip(1);
        args.map(|arg| arg.into_string().unwrap())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(after(&[]), "serve");
    assert_eq!(
        after(&["--object-store", "memory"]),
        "serve --object-store memory"
    );
    assert_eq!(
        after(&["--num-io-threads", "2"]),
        "--num-io-threads 2 serve"
    );
    assert_eq!(
        after(&["--num-io-threads=2", "query", "-d", "x"]),
        "--num-io-threads=2 query -d x"
    );
    for same in ["--help", "-V", "query x"] {
        let args: Vec<_> = same.split(' ').collect();
        assert_eq!(after(&args), same);
    }
}

#[test]
fn usage_errors_exit_with_2_and_help_with_0() {
    let none = Environment::default();
    let (status, out, err) = run_with(&["write", "--nonsense"], &none, "");
    assert_eq!((status, out.as_str()), (USAGE, ""));
    assert!(err.contains("unexpected argument '--nonsense'"), "{err}");
    let (status, _, err) = run_with(&["query", "SELECT 1"], &none, "");
    assert_eq!(status, USAGE);
    assert!(err.contains("--database <NAME>"), "{err}");
    for help in [
        ["create", "-h"],
        ["create", "--help-all"],
        ["query", "--help"],
    ] {
        let (status, out, err) = run_with(&help, &none, "");
        assert_eq!((status, err.as_str()), (0, ""));
        assert!(out.contains("Usage: neap "), "{out}");
    }
    let (status, out, _) = run_with(&["--version"], &none, "");
    assert_eq!(
        (status, out),
        (0, format!("neap {}\n", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn a_query_is_sent_and_its_result_printed() {
    let (url, requests) = server(&[&answer("200 OK", "+---+\n| a |\n+---+")]);
    let environment = [("INFLUXDB3_AUTH_TOKEN", "apiv3_x"), ("NEAP_HOST_URL", &url)];
    let environment = environment.into_iter().collect();
    let (status, out, err) = run_with(&["q", "-d", "db", "SELECT a"], &environment, "");
    assert_eq!((status, err.as_str()), (0, ""));
    insta::assert_snapshot!(out, @r"
    +---+
    | a |
    +---+
    ");
    assert!(out.ends_with("+\n"), "{out:?}");
    let requests = requests.join().unwrap();
    assert_eq!(first_line(&requests[0]), "POST /api/v3/query_sql HTTP/1.1");
    assert!(
        requests[0].contains("authorization: Bearer apiv3_x\r\n"),
        "{}",
        requests[0]
    );
    assert_eq!(
        body(&requests[0]),
        r#"{"db":"db","q":"SELECT a","format":"pretty"}"#
    );
}

#[test]
fn a_result_can_go_into_a_file() {
    let (url, requests) = server(&[&answer("200 OK", "a\n1\n")]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result.csv");
    let path = path.to_str().unwrap();
    let args = [
        "query", "-H", &url, "-d", "db", "-l", "influxql", "--format", "csv", "-o", path,
    ];
    let (status, out, err) = run_with(&args, &Environment::default(), "SELECT a FROM m");
    assert_eq!((status, out.as_str(), err.as_str()), (0, "", ""));
    assert_eq!(std::fs::read_to_string(path).unwrap(), "a\n1\n");
    let requests = requests.join().unwrap();
    assert_eq!(
        first_line(&requests[0]),
        "POST /api/v3/query_influxql HTTP/1.1"
    );
}

#[test]
fn refusals_are_shown_with_status_and_text() {
    let (url, requests) = server(&[&answer(
        "404 Not Found",
        r#"{"error":"query error: database not found: db"}"#,
    )]);
    let args = ["query", "--host", &url, "-d", "db", "SELECT 1"];
    let (status, out, err) = run_with(&args, &Environment::default(), "");
    assert_eq!((status, out.as_str()), (FAILED, ""));
    insta::assert_snapshot!(err, @r#"Query command failed: server responded with error [404 Not Found]: {"error":"query error: database not found: db"}"#);
    requests.join().unwrap();
}

#[test]
fn lines_are_written_and_nothing_is_printed() {
    let (url, requests) = server(&[&answer("204 No Content", "")]);
    let args = [
        "write",
        "--host",
        &url,
        "-d",
        "my db",
        "-p",
        "ns",
        "--accept-partial",
        "cpu v=1",
    ];
    let (status, out, err) = run_with(&args, &Environment::default(), "");
    assert_eq!((status, out.as_str(), err.as_str()), (0, "", ""));
    let requests = requests.join().unwrap();
    let expected = "POST /api/v3/write_lp?db=my+db&precision=ns&accept_partial=true HTTP/1.1";
    assert_eq!(first_line(&requests[0]), expected);
    assert_eq!(body(&requests[0]), "cpu v=1");
}

#[test]
fn long_input_is_several_requests_and_bad_lines_are_placed() {
    let refusal = r#"{"error":"partial write of line protocol occurred","data":[{"original_line":"b","line_number":1,"error_message":"No fields were provided"}]}"#;
    let (url, requests) = server(&[
        &answer("204 No Content", ""),
        &answer("400 Bad Request", refusal),
    ]);
    let args = [
        "write",
        "--host",
        &url,
        "-d",
        "db",
        "--max-request-size",
        "8",
        "--max-concurrent-requests",
        "1",
    ];
    let (status, out, err) = run_with(&args, &Environment::default(), "a v=1\nb\nc v=1\n");
    assert_eq!((status, out.as_str()), (FAILED, ""));
    insta::assert_snapshot!(err, @"
    Write command failed: server responded with error [400 Bad Request]: partial write of line protocol occurred
      line 3 of the standard input: No fields were provided
        b
    ");
    let requests = requests.join().unwrap();
    assert_eq!(
        [body(&requests[0]), body(&requests[1])],
        ["a v=1\nb\n", "c v=1\n"]
    );
}

#[test]
fn a_busy_server_is_asked_again() {
    let busy = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (url, requests) = server(&[busy, &answer("204 No Content", "")]);
    let args = ["write", "--host", &url, "-d", "db", "--gzip", "cpu v=1"];
    let (status, _, err) = run_with(&args, &Environment::default(), "");
    assert_eq!((status, err.as_str()), (0, ""));
    let requests = requests.join().unwrap();
    assert!(
        requests[1].contains("content-encoding: gzip\r\n"),
        "{}",
        requests[1]
    );
}

#[test]
fn databases_and_tables_are_created() {
    let created = answer("200 OK", "");
    let (url, requests) = server(&[
        &created,
        &created,
        &answer(
            "409 Conflict",
            "attempted to create a resource that already exists",
        ),
    ]);
    let environment = [("NEAP_HOST_URL", &url)].into_iter().collect();
    let database = ["create", "database", "d", "--retention-period", "7d"];
    let (status, out, _) = run_with(&database, &environment, "");
    assert_eq!(status, 0);
    insta::assert_snapshot!(out, @r#"Database "d" created successfully"#);
    let table = [
        "create",
        "table",
        "t",
        "-d",
        "d",
        "--tags",
        "a,b",
        "--fields",
        "f:float64,g:bool",
    ];
    let (status, out, _) = run_with(&table, &environment, "");
    assert_eq!(status, 0);
    insta::assert_snapshot!(out, @r#"Table "d"."t" created successfully"#);
    let (status, _, err) = run_with(&table, &environment, "");
    assert_eq!(status, FAILED);
    insta::assert_snapshot!(err, @"Create command failed: table 'd.t' already exists");
    let requests = requests.join().unwrap();
    assert_eq!(body(&requests[0]), r#"{"db":"d","retention_period":"7d"}"#);
    insta::assert_snapshot!(body(&requests[1]), @r#"{"db":"d","table":"t","tags":["a","b"],"fields":[{"name":"f","type":"float64"},{"name":"g","type":"bool"}]}"#);
}

#[test]
fn databases_and_tables_are_deleted_after_a_yes() {
    let deleted = answer("200 OK", "");
    let (url, requests) = server(&[&deleted, &deleted]);
    let environment = [("NEAP_HOST_URL", &url)].into_iter().collect();
    let (status, out, err) = run_with(&["delete", "database", "d"], &environment, "no\n");
    assert_eq!((status, out.as_str()), (FAILED, ""));
    insta::assert_snapshot!(err, @r#"
    Are you sure you want to delete "d"? Enter 'yes' or 'y' to confirm
    Delete command failed: Cannot proceed without confirmation
    "#);
    let (status, out, _) = run_with(&["delete", "database", "d"], &environment, "yes\n");
    assert_eq!(
        (status, out.as_str()),
        (0, "Database \"d\" deleted successfully\n")
    );
    let table = [
        "delete",
        "table",
        "t",
        "-d",
        "d",
        "-y",
        "--hard-delete",
        "now",
    ];
    let (status, out, err) = run_with(&table, &environment, "");
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(out, "Table \"d\".\"t\" deleted successfully\n");
    let requests = requests.join().unwrap();
    assert_eq!(
        first_line(&requests[0]),
        "DELETE /api/v3/configure/database?db=d HTTP/1.1"
    );
    let expected = "DELETE /api/v3/configure/table?db=d&table=t&hard_delete_at=now HTTP/1.1";
    assert_eq!(first_line(&requests[1]), expected);
}

#[test]
fn rows_are_deleted_by_time_and_tags_after_a_yes() {
    let (url, requests) = server(&[&answer("200 OK", "")]);
    let environment = [("NEAP_HOST_URL", &url)].into_iter().collect();
    let all = ["delete", "rows", "-d", "d", "-t", "t", "-y"];
    let (status, _, err) = run_with(&all, &environment, "");
    assert_eq!(status, USAGE, "{err}");
    let rows = [
        "delete",
        "rows",
        "-d",
        "d",
        "-t",
        "t",
        "--where",
        "host = 'a'",
        "--start",
        "2026-01-01T00:00:00Z",
    ];
    let (status, _, err) = run_with(&rows, &environment, "no\n");
    assert_eq!(status, FAILED);
    insta::assert_snapshot!(err, @r#"
    Are you sure you want to delete rows of "d"."t"? Enter 'yes' or 'y' to confirm
    Delete command failed: Cannot proceed without confirmation
    "#);
    let (status, out, _) = run_with(&rows, &environment, "y\n");
    assert_eq!(status, 0);
    insta::assert_snapshot!(out, @r#"Rows of "d"."t" deleted successfully"#);
    let requests = requests.join().unwrap();
    assert_eq!(
        first_line(&requests[0]),
        "POST /api/v3/delete_rows HTTP/1.1"
    );
    insta::assert_snapshot!(body(&requests[0]), @r#"{"db":"d","table":"t","condition":"host = 'a'","start":"2026-01-01T00:00:00Z"}"#);
}

#[test]
fn caches_are_created_and_deleted() {
    let created = r#"{"catalog_batch":{"n":1},"sequence_number":2}"#;
    let (url, requests) = server(&[
        &answer("201 Created", created),
        &answer("204 No Content", ""),
        &answer("409 Conflict", "there"),
        &answer("200 OK", ""),
        &answer("200 OK", ""),
    ]);
    let environment = [("NEAP_HOST_URL", &url)].into_iter().collect();
    let run = |line: &str| {
        let args: Vec<_> = line.split_whitespace().collect();
        run_with(&args, &environment, "")
    };
    let (status, out, err) = run("create last_cache -d d -t t --key-columns a,b --ttl 1h");
    assert_eq!((status, err.as_str()), (0, ""));
    insta::assert_snapshot!(out, @r#"
    new cache created: {
      "catalog_batch": {
        "n": 1
      },
      "sequence_number": 2
    }
    "#);
    let (status, out, _) = run("create distinct_cache -d d -t t --max-age 2d --columns a,b c");
    assert_eq!(status, 0);
    insta::assert_snapshot!(out, @"a cache already exists for the provided parameters");
    let (status, _, err) = run("create last_cache c -d d -t t --value-columns v --count 3");
    assert_eq!(status, FAILED);
    insta::assert_snapshot!(err, @"Create command failed: server responded with error [409 Conflict]: there");
    let (_, out, _) = run("delete last_cache c -d d -t t");
    insta::assert_snapshot!(out, @"last cache deleted successfully");
    let (_, out, _) = run("delete distinct_cache --cache-name c -d d -t t");
    insta::assert_snapshot!(out, @"distinct cache deleted successfully");
    for wrong in [
        "delete last_cache -d d -t t",
        "delete last_cache c --cache-name c -d d -t t",
        "create distinct_cache c -d d -t t",
        "create last_cache c -d d -t t --ttl soon",
    ] {
        assert_eq!(run(wrong).0, USAGE, "{wrong}");
    }
    let requests = requests.join().unwrap();
    insta::assert_snapshot!(body(&requests[0]), @r#"{"db":"d","table":"t","key_columns":["a","b"],"count":1,"ttl":3600}"#);
    insta::assert_snapshot!(body(&requests[1]), @r#"{"db":"d","table":"t","name":"c","columns":["a","b"],"max_cardinality":100000,"max_age":172800}"#);
    insta::assert_snapshot!(body(&requests[2]), @r#"{"db":"d","table":"t","name":"c","value_columns":["v"],"count":3,"ttl":14400}"#);
    assert_eq!(
        first_line(&requests[3]),
        "DELETE /api/v3/configure/last_cache?db=d&table=t&name=c HTTP/1.1"
    );
    assert_eq!(
        first_line(&requests[4]),
        "DELETE /api/v3/configure/distinct_cache?db=d&table=t&name=c HTTP/1.1"
    );
}

#[test]
fn deletions_are_taken_back() {
    let (url, requests) = server(&[
        &answer("200 OK", r#"{"name":"d"}"#),
        &answer("200 OK", r#"{"name":"new"}"#),
        &answer(
            "409 Conflict",
            "attempted to create a resource that already exists",
        ),
        &answer("200 OK", "<html>"),
    ]);
    let environment = [("NEAP_HOST_URL", &url)].into_iter().collect();
    let database = ["undelete", "database", "d-20260131T120000"];
    let (status, out, _) = run_with(&database, &environment, "");
    assert_eq!(status, 0);
    insta::assert_snapshot!(out, @r#"Database "d" undeleted successfully"#);
    let table = ["undelete", "table", "t", "-d", "d", "--name", "new"];
    let (status, out, _) = run_with(&table, &environment, "");
    assert_eq!(status, 0);
    insta::assert_snapshot!(out, @r#"Table "d"."new" undeleted successfully"#);
    let (status, _, err) = run_with(&database, &environment, "");
    assert_eq!(status, FAILED);
    insta::assert_snapshot!(err, @"Undelete command failed: server responded with error [409 Conflict]: attempted to create a resource that already exists");
    let (status, _, err) = run_with(&database, &environment, "");
    assert_eq!(status, FAILED);
    assert!(
        err.contains("answers something else than expected"),
        "{err}"
    );
    let requests = requests.join().unwrap();
    assert_eq!(
        first_line(&requests[0]),
        "POST /api/v3/configure/database/undelete?db=d-20260131T120000 HTTP/1.1"
    );
    assert_eq!(
        first_line(&requests[1]),
        "POST /api/v3/configure/table/undelete?db=d&table=t&name=new HTTP/1.1"
    );
}

#[test]
fn retention_is_updated_and_shown() {
    let kept = r#"[{"database":"d","table":"t","retention_period_ns":604800000000000,"source":"table"},
        {"database":"d","table":"u","retention_period_ns":null,"source":null}]"#;
    let (ok, done) = (answer("200 OK", ""), answer("204 No Content", ""));
    let (url, requests) = server(&[&ok, &ok, &done, &done, &answer("200 OK", kept)]);
    let environment = [("NEAP_HOST_URL", &url)].into_iter().collect();
    for (period, table) in [("7d", false), ("none", false), ("7d", true), ("none", true)] {
        let mut args = vec!["update"];
        args.extend(if table {
            vec!["table", "t"]
        } else {
            vec!["database"]
        });
        args.extend(["-d", "d", "--retention-period", period]);
        let (status, out, err) = run_with(&args, &environment, "");
        assert_eq!((status, err.as_str()), (0, ""));
        let named = if table {
            r#"Table "d"."t""#
        } else {
            r#"Database "d""#
        };
        assert_eq!(out, format!("{named} updated successfully\n"));
    }
    let show = ["show", "retention", "--database", "d"];
    let (status, out, _) = run_with(&show, &environment, "");
    assert_eq!(status, 0);
    insta::assert_snapshot!(out, @"
    +----------+-------+------------------+---------+
    | database | table | retention_period | set_for |
    +----------+-------+------------------+---------+
    | d        | t     | 7d               | table   |
    | d        | u     | infinite         |         |
    +----------+-------+------------------+---------+
    ");
    let requests = requests.join().unwrap();
    let path = "/api/v3/enterprise/configure/table/retention_period?db=d&table=t";
    let expected = [
        "PUT /api/v3/configure/database HTTP/1.1".to_owned(),
        "PUT /api/v3/configure/database HTTP/1.1".to_owned(),
        format!("POST {path}&duration=7d HTTP/1.1"),
        format!("DELETE {path} HTTP/1.1"),
        "GET /api/v3/configure/retention?db=d HTTP/1.1".to_owned(),
    ];
    let lines: Vec<_> = requests.iter().map(|request| first_line(request)).collect();
    assert_eq!(lines, expected);
    assert_eq!(body(&requests[0]), r#"{"db":"d","retention_period":"7d"}"#);
    assert_eq!(body(&requests[1]), r#"{"db":"d","retention_period":null}"#);
}

#[test]
fn a_query_can_ask_for_an_earlier_time() {
    let (url, requests) = server(&[&answer("200 OK", "a\n1\n")]);
    let time = "2026-01-31T12:00:00Z";
    let args = ["query", "-H", &url, "-d", "db", "--as-of", time, "SELECT 1"];
    let (status, _, err) = run_with(&args, &Environment::default(), "");
    assert_eq!((status, err.as_str()), (0, ""));
    let requests = requests.join().unwrap();
    assert!(
        requests[0].contains(&format!("x-neap-as-of: {time}\r\n")),
        "{}",
        requests[0]
    );
}

#[test]
fn databases_are_shown() {
    let (url, requests) = server(&[&answer("200 OK", "iox::database\nd\n")]);
    let args = [
        "show",
        "databases",
        "--host",
        &url,
        "--format",
        "csv",
        "--show-deleted",
    ];
    let (status, out, err) = run_with(&args, &Environment::default(), "");
    assert_eq!(
        (status, out.as_str(), err.as_str()),
        (0, "iox::database\nd\n", "")
    );
    let requests = requests.join().unwrap();
    let expected = "GET /api/v3/configure/database?format=csv&show_deleted=true HTTP/1.1";
    assert_eq!(first_line(&requests[0]), expected);
}

#[test]
fn the_stack_of_a_thread_is_large_enough_for_deep_recursion() {
    fn deepest(depth: usize) -> usize {
        let frame = std::hint::black_box([depth; 1 << 10]);
        match depth {
            0 => 0,
            _ => 1 + deepest(frame[0] - 1),
        }
    }
    let runtime = runtime().unwrap();
    let task = runtime.spawn(async { deepest(4_000) });
    assert_eq!(runtime.block_on(task).unwrap(), 4_000);
}
