//! Tests of the command line as a whole.

mod files;
mod guides;
mod listings;
mod manual;
mod names_in_paths;
mod resources;
mod server;
pub(super) mod shell;
mod tokens;
mod triggers;

use neap_server::console::testing::console;

use self::server::*;
use super::*;

/// Runs a command line and returns its exit status and its output.
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

/// Runs a shell command line against a server at `url`.
fn run_line(line: &str, url: &str, input: &str) -> (u8, String, String) {
    let commands = shell::commands(line);
    let words: Vec<_> = commands[0].words.iter().map(String::as_str).collect();
    run_with(&words, &[("NEAP_HOST_URL", url)].into_iter().collect(), input)
}

/// Runs a command line that succeeds, and returns its output.
fn succeeds(line: &str, url: &str) -> String {
    let (status, out, err) = run_line(line, url, "");
    assert_eq!(status, 0, "{err}");
    out
}

/// Runs a command line that fails, and returns its messages.
fn fails(line: &str, url: &str) -> String {
    let (status, _, err) = run_line(line, url, "");
    assert_eq!(status, FAILED, "{err}");
    err
}

#[test]
fn the_definition_of_the_command_line_is_valid() {
    definition().debug_assert();
    let variables =
        [("NEAP_DATABASE_NAME", "d"), ("NEAP_HOST_URL", "h"), ("NEAP_TLS_NO_VERIFY", "1")];
    variables
        .into_iter()
        .collect::<Environment>()
        .apply(definition())
        .debug_assert();
}

#[test]
fn without_a_command_the_server_is_started() {
    let after = |args: &[&str]| {
        let args = ["neap"].iter().chain(args).map(OsString::from).collect();
        let args = with_command(args).into_iter().skip(1);
        args.map(|arg| arg.into_string().unwrap()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(after(&[]), "serve");
    assert_eq!(after(&["--object-store", "memory"]), "serve --object-store memory");
    assert_eq!(after(&["--num-io-threads", "2"]), "--num-io-threads 2 serve");
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
    for help in [["create", "-h"], ["create", "--help-all"], ["query", "--help"]] {
        let (status, out, err) = run_with(&help, &none, "");
        assert_eq!((status, err.as_str()), (0, ""));
        assert!(out.contains("Usage: neap "), "{out}");
    }
    let (status, out, _) = run_with(&["--version"], &none, "");
    assert_eq!((status, out), (0, format!("neap {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn colours_are_used_on_terminals_without_no_color() {
    let help = |is_terminal, variables: &[(&str, &str)]| {
        let (mut console, out, _) = console("");
        console.out_is_terminal = is_terminal;
        let args = ["neap", "create", "--help"].map(OsString::from);
        let environment = variables.iter().copied().collect();
        assert_eq!(run(args, &environment, &mut console), 0);
        out.text()
    };
    assert!(help(true, &[]).contains('\u{1b}'));
    assert!(help(true, &[("NO_COLOR", "")]).contains('\u{1b}'));
    assert!(!help(true, &[("NO_COLOR", "1")]).contains('\u{1b}'));
    assert!(!help(false, &[]).contains('\u{1b}'));
}

#[test]
fn a_query_is_sent_and_its_result_printed() {
    let (url, requests) = server(&[&answer("200 OK", "+---+\n| a |\n+---+")]);
    let environment = [("INFLUXDB3_AUTH_TOKEN", "apiv3_x"), ("NEAP_HOST_URL", &url)]
        .into_iter()
        .collect();
    let (status, out, err) = run_with(&["q", "-d", "db", "SELECT a"], &environment, "");
    assert_eq!((status, err.as_str()), (0, ""));
    insta::assert_snapshot!(out, @r"
    +---+
    | a |
    +---+
    ");
    assert!(out.ends_with("+\n"), "{out:?}");
    let requests = requests.join().unwrap();
    assert_eq!(target(&requests[0]), "POST /api/v3/query_sql");
    assert!(requests[0].contains("authorization: Bearer apiv3_x\r\n"), "{}", requests[0]);
    assert_eq!(body(&requests[0]), r#"{"db":"db","q":"SELECT a","format":"pretty"}"#);
    assert!(requests[0].contains("x-neap-empty-table: columns\r\n"));
}

#[test]
fn control_characters_in_results_and_errors_are_escaped_on_terminals_only() {
    let bad = "| \u{1b}]0;x\u{7} \u{9b}2J |\n";
    for is_terminal in [false, true] {
        let answers = [answer("200 OK", bad), answer("400 Bad Request", bad)];
        let (url, _) = server(&[&answers[0], &answers[1]]);
        let environment = [("NEAP_HOST_URL", url.as_str())].into_iter().collect();
        let (mut console, out, err) = console("");
        (console.out_is_terminal, console.err_is_terminal) = (is_terminal, is_terminal);
        for _ in 0..2 {
            let args = ["neap", "query", "-d", "db", "SELECT a"].map(OsString::from);
            run(args, &environment, &mut console);
        }
        for text in [out.text(), err.text()] {
            assert_eq!(text.contains('\u{1b}'), !is_terminal, "{text:?}");
            let is_shown = text.contains(r"| \x1b]0;x\x07 \x9b2J |");
            assert_eq!(is_shown, is_terminal, "{text:?}");
        }
    }
}

#[test]
fn help_is_shown_as_a_command_too() {
    let none = Environment::default();
    for command in [vec![], vec!["create"], vec!["create", "token"]] {
        let with_option = [&command[..], &["--help"]].concat();
        let expected = run_with(&with_option, &none, "");
        assert_eq!(expected.0, 0);
        let as_command = [&["help"], &command[..]].concat();
        assert_eq!(run_with(&as_command, &none, ""), expected);
    }
}

#[test]
fn piped_statements_are_executed_one_after_the_other() {
    let table = "+---+\n| a |\n+---+\n| 1 |\n+---+";
    let (url, requests) = server(&[&answer("200 OK", "++\n++"), &answer("200 OK", table)]);
    let environment = [("NEAP_HOST_URL", &url)].into_iter().collect();
    let input = "CREATE MATERIALIZED VIEW v AS SELECT ';';\nSELECT 1;\n";
    let (status, out, err) = run_with(&["query", "-d", "db"], &environment, input);
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(out, format!("CREATE MATERIALIZED VIEW succeeded\n{table}\n"));
    let requests = requests.join().unwrap();
    assert!(body(&requests[1]).contains(r#""q":"\nSELECT 1;""#));
    let (status, _, err) =
        run_with(&["query", "-d", "db", "--format", "parquet"], &environment, input);
    assert_eq!(status, FAILED);
    assert!(err.contains("several statements"), "{err}");
}

#[test]
fn a_result_can_go_into_a_file() {
    let (url, requests) = server(&[&answer("200 OK", "a\n1\n")]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("result.csv");
    let path = file.to_str().unwrap();
    let args = ["query", "-H", &url, "-d", "db", "-l", "influxql", "--format", "csv", "-o", path];
    let (status, out, err) = run_with(&args, &Environment::default(), "SELECT a FROM m");
    assert_eq!((status, out.as_str(), err.as_str()), (0, "", ""));
    assert_eq!(std::fs::read_to_string(path).unwrap(), "a\n1\n");
    let requests = requests.join().unwrap();
    assert_eq!(target(&requests[0]), "POST /api/v3/query_influxql");
}

#[test]
fn an_expression_is_sent_as_a_form_and_its_series_are_printed() {
    let result = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a"},"value":[5,"1"]}]},"warnings":["PromQL warning: a doubt"]}"#;
    let (url, requests) = server(&[&answer("200 OK", result), &answer("200 OK", result)]);
    let query = |more: &[&str]| {
        let args = ["query", "-H", &url, "-d", "db", "-l", "promql", "sum(up)"];
        run_with(&[&args[..], more].concat(), &Environment::default(), "")
    };
    let (status, out, err) = query(&["--time", "5"]);
    assert_eq!((status, out.as_str()), (0, "up{job=\"a\"} => 1 @[5]\n"));
    assert!(err.contains("a doubt"), "{err}");
    let range = ["--start", "2026-01-31", "--end", "1769904000", "--step", "1h"];
    let (status, out, _) = query(&[&range[..], &["--format", "json"]].concat());
    assert_eq!((status, out.trim_end()), (0, result));
    let requests = requests.join().unwrap();
    assert_eq!(target(&requests[0]), "POST /api/v1/query");
    assert_eq!(body(&requests[0]), "db=db&query=sum%28up%29&time=5");
    assert_eq!(target(&requests[1]), "POST /api/v1/query_range");
    assert_eq!(
        body(&requests[1]),
        "db=db&query=sum%28up%29&start=2026-01-31T00%3A00%3A00Z&end=1769904000&step=1h"
    );
}

#[test]
fn times_of_expressions_are_refused_elsewhere() {
    let refused = |args: &[&str]| {
        let (status, _, err) = run_with(args, &Environment::default(), "");
        assert_ne!(status, 0, "{args:?}");
        err
    };
    let err = refused(&["query", "-d", "db", "--time", "5", "SELECT 1"]);
    assert!(err.contains("--language promql"), "{err}");
    let err = refused(&["query", "-d", "db", "-l", "promql", "--format", "csv", "up"]);
    assert!(err.contains("pretty and json"), "{err}");
    let err = refused(&["query", "-d", "db", "-l", "promql", "--start", "5", "up"]);
    assert!(err.contains("--end"), "{err}");
}

#[test]
fn refusals_are_shown_with_status_and_text() {
    let (url, requests) =
        server(&[&answer("404 Not Found", r#"{"error":"query error: database not found: db"}"#)]);
    let (status, out, err) = run_line("query -d db 'SELECT 1'", &url, "");
    assert_eq!((status, out.as_str()), (FAILED, ""));
    insta::assert_snapshot!(err, @"Query command failed: server responded with error [404 Not Found]: query error: database not found: db");
    requests.join().unwrap();
}

#[test]
fn lines_are_written_and_the_report_is_on_the_standard_error() {
    let (url, requests) = server(&[&answer("204 No Content", "")]);
    let line = "write -d 'my db' -p ns --accept-partial 'cpu v=1'";
    let (status, out, err) = run_line(line, &url, "");
    assert_eq!((status, out.as_str()), (0, ""));
    assert!(err.starts_with("wrote 1 row (7 B) in 1 request and "), "{err}");
    let requests = requests.join().unwrap();
    let expected = "POST /api/v3/write_lp?db=my+db&precision=ns&accept_partial=true";
    assert_eq!(target(&requests[0]), expected);
    assert_eq!(body(&requests[0]), "cpu v=1");
}

#[test]
fn the_report_has_the_number_of_rows_that_are_left_if_some_replace_others() {
    let (url, requests) = server(&[&answer("204 No Content\r\nx-neap-replaced-rows: 2", "")]);
    let (status, _, err) = run_line("write -d db 'm v=1 1' 'm v=2 1' 'm v=3 1'", &url, "");
    assert_eq!(status, 0);
    assert!(
        err.starts_with("wrote 3 rows (23 B) in 1 request and ")
            && err.ends_with(
                "/s; they became 1, because rows of a request with the same time and tags are one row\n"
            ),
        "{err}"
    );
    assert!(requests.join().unwrap()[0].contains("x-neap-count-replaced: true"));
    // Without the report, the server need not count them.
    let (url, requests) = server(&[&answer("204 No Content", "")]);
    assert_eq!(run_line("write -q -d db 'm v=1 1'", &url, "").0, 0);
    assert!(!requests.join().unwrap()[0].contains("x-neap-count-replaced"));
}

#[test]
fn long_input_is_split_and_refused_lines_are_located() {
    let refusal = r#"{"error":"partial write of line protocol occurred","data":[{"original_line":"b","line_number":1,"error_message":"No fields were provided"}]}"#;
    let (url, requests) =
        server(&[&answer("204 No Content", ""), &answer("400 Bad Request", refusal)]);
    let line = "write -d db --max-request-size 8 --max-concurrent-requests 1";
    let (status, out, err) = run_line(line, &url, "a v=1\nb\nc v=1\n");
    assert_eq!((status, out.as_str()), (FAILED, ""));
    insta::assert_snapshot!(err, @"
    Write command failed: server responded with error [400 Bad Request]: partial write of line protocol occurred
      line 3 of the standard input: No fields were provided
        b
    ");
    let requests = requests.join().unwrap();
    assert_eq!([body(&requests[0]), body(&requests[1])], ["a v=1\nb\n", "c v=1\n"]);
}

#[test]
fn requests_to_a_busy_server_are_retried() {
    let busy = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (url, requests) = server(&[busy, &answer("204 No Content", "")]);
    let (status, _, err) = run_line("write --quiet -d db --gzip 'cpu v=1'", &url, "");
    assert_eq!((status, err.as_str()), (0, ""));
    let requests = requests.join().unwrap();
    assert!(requests[1].contains("content-encoding: gzip\r\n"), "{}", requests[1]);
}

/// Returns the options of a command and of its subcommands that take times, with their names.
fn time_options(command: &clap::Command) -> Vec<(String, clap::Arg)> {
    let takes_time = |arg: &&clap::Arg| {
        let names = arg.get_value_names().unwrap_or_default();
        names.iter().any(|name| matches!(name.as_str(), "TIME" | "TIME|STAMP"))
    };
    let named = |arg: &clap::Arg| (format!("{} {arg}", command.get_name()), arg.clone());
    let own = command.get_arguments().filter(takes_time).map(named);
    own.chain(command.get_subcommands().flat_map(time_options)).collect()
}

#[test]
fn every_option_for_a_time_takes_dates() {
    let mut definition = definition();
    definition.build();
    let options = time_options(&definition);
    assert!(options.len() >= 11, "{options:?}");
    for (name, option) in options {
        let parser = option.get_value_parser().clone();
        let value = clap::Arg::new("value").value_parser(parser);
        let command = clap::Command::new("test").no_binary_name(true).arg(value);
        let is_accepted = |text: &str| command.clone().try_get_matches_from([text]).is_ok();
        for time in ["2026-11-01", "2026-11-01T12:00:00Z"] {
            assert!(is_accepted(time), "{name} {time}");
        }
        assert!(!is_accepted("yesterday"), "{name}");
    }
}

#[test]
fn a_query_can_ask_for_an_earlier_time() {
    let (url, requests) = server(&[&answer("200 OK", "a\n1\n")]);
    let time = "2026-01-31T12:00:00Z";
    let args = ["query", "-H", &url, "-d", "db", "--as-of", time, "SELECT 1"];
    let (status, _, err) = run_with(&args, &Environment::default(), "");
    assert_eq!((status, err.as_str()), (0, ""));
    let requests = requests.join().unwrap();
    assert!(requests[0].contains(&format!("x-neap-as-of: {time}\r\n")), "{}", requests[0]);
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
