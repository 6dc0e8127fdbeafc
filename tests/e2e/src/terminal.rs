//! The program on a terminal: the shell of `neap query`, and progress bars.

mod screen;

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use tempfile::TempDir;

use self::screen::{CTRL_C, CTRL_D, CTRL_R, ENTER, Options, TAB, UP, VirtualTerminal};
use crate::harness::{NeapProcess, StoreFixture, assert_contains, neap, wait_for};

const LINES: &str =
    "home,room=Kitchen temp=22.5,hum=36.1 1700000000\nhome,room=Attic temp=12.5 1700000060\n";

/// A query that does not end within a test.
const ENDLESS: &str = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000000) \
    SELECT max(i) FROM n;";

/// Maximum wait for an effect on the server.
const LIMIT: Duration = Duration::from_secs(120);

/// A server with a database, and a home folder for its user.
struct ShellFixture {
    server: NeapProcess,
    home: TempDir,
}

impl ShellFixture {
    fn new() -> Self {
        let server = NeapProcess::serve(&StoreFixture::memory());
        server.write("house", LINES);
        Self { server, home: TempDir::new().unwrap() }
    }

    /// Starts the shell, and waits until it is ready for statements.
    fn shell(&self) -> VirtualTerminal {
        self.shell_with(&Options::default())
    }

    fn shell_with(&self, options: &Options<'_>) -> VirtualTerminal {
        let arguments = ["query", "--host", self.server.url(), "-d", "house"];
        let shell = VirtualTerminal::run_with(&arguments, self.home.path(), options);
        shell.wait_for_line("house>");
        shell
    }
}

/// Waits until an endless query runs on the server, or until none does.
fn wait_for_endless(server: &NeapProcess, is_running: bool) {
    let sql = "SELECT id FROM system.queries WHERE running AND query_text LIKE 'WITH RECURSIVE%'";
    wait_for("state of the query", LIMIT, || {
        let runs = !server.query("house", sql).is_empty();
        (runs == is_running).then_some(())
    });
}

/// Replaces every time in a screen text by the same one.
fn without_times(text: &str) -> String {
    let lines = text.lines().map(|line| match line.rsplit_once(" (") {
        Some((rows, time)) if time.ends_with("s)") => format!("{rows} (…)"),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_statement_of_several_lines_is_answered() {
    let stage = ShellFixture::new();
    let mut shell = stage.shell();
    shell.press("SELECT room, temp");
    shell.press(ENTER);
    shell.press("FROM home -- a comment; not the end");
    shell.press(ENTER);
    let answer = shell.enter("ORDER BY room;", "house>");
    let (_, answer) = answer.split_once("ORDER BY room;\n").unwrap();
    insta::assert_snapshot!(without_times(answer), @r"
    +---------+------+
    | room    | temp |
    +---------+------+
    | Attic   | 12.5 |
    | Kitchen | 22.5 |
    +---------+------+
    2 rows (…)
    ");
    shell.press(CTRL_D);
    assert_eq!(shell.end().0, Some(0));
}

#[test]
fn names_and_keywords_are_completed() {
    let stage = ShellFixture::new();
    let shell = stage.shell();
    shell.press("SELECT ro FROM ho");
    complete(&shell, "house> SELECT ro FROM home");
    // Moves back to the end of `ro`.
    shell.press(&"\u{1b}[D".repeat(" FROM home".len()));
    // `room` is a column; `round` and `row_number` are functions.
    shell.press("o");
    complete(&shell, "house> SELECT room FROM home");
    shell.press("\u{1b}[F");
    shell.press(" ORDER B");
    complete(&shell, "house> SELECT room FROM home ORDER BY");
    let answer = shell.enter(" room LIMIT 1;", "house>");
    assert_contains!(answer, "| Attic |");
    shell.press("\\c ho");
    complete(&shell, "house> \\c house");
}

/// Presses Tab until the line equals `line`, because at first the names may still be loading.
fn complete(shell: &VirtualTerminal, line: &str) {
    shell.press(TAB);
    let mut looks = 0;
    shell.wait_for(line, |screen| {
        looks += 1;
        if looks % 40 == 0 {
            shell.press(TAB);
        }
        (screen.lines().last() == Some(line)).then_some(())
    });
}

#[test]
fn tables_are_described() {
    let stage = ShellFixture::new();
    let shell = stage.shell();
    let prompt = "house>";
    insta::assert_snapshot!(without_times(&shell.enter("\\d", prompt)), @r"
    +------------+
    | table_name |
    +------------+
    | home       |
    +------------+
    1 row (…)
    ");
    let columns = shell.enter("\\d home", prompt);
    let rows: Vec<Vec<&str>> = columns
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows[0], ["column_name", "data_type", "kind"]);
    assert_eq!(rows[1], ["hum", "Float64", "field"]);
    assert_eq!(rows[2], ["room", "Dictionary(Int32, Utf8)", "tag"]);
    assert_eq!(rows[3], ["temp", "Float64", "field"]);
    assert_eq!((rows[4][0], rows[4][2], rows.len()), ("time", "time", 5));
    assert_eq!(shell.enter("\\d nope", prompt), "error: table not found: nope");
    shell.enter("\\x", prompt);
    let rows = shell.enter("SELECT room, hum FROM home ORDER BY room;", prompt);
    insta::assert_snapshot!(without_times(&rows), @r"
    -[ row 1 ]-
    room | Attic
    -[ row 2 ]-
    room | Kitchen
    hum  | 36.1
    2 rows (…)
    ");
    let caches = shell.enter("\\dc", prompt);
    assert_eq!(caches.matches("0 rows").count(), 2, "{caches}");
}

#[test]
fn a_session_without_a_database_chooses_one() {
    let stage = ShellFixture::new();
    stage.server.write("office", "desks n=1 1700000000");
    let arguments = ["query", "--host", stage.server.url()];
    let mut shell = VirtualTerminal::run(&arguments, stage.home.path());
    let none = "(no database)>";
    shell.wait_for_line(none);
    let hint = "error: no database is selected: \\l lists the databases, \\c NAME selects one";
    assert_eq!(shell.enter("SELECT 1;", none), hint);
    let databases = shell.enter("\\l", none);
    assert_contains!(databases, "| house ");
    assert_contains!(databases, "| office ");
    assert_eq!(shell.enter("\\c nope", none), "error: database not found: nope");
    assert_eq!(shell.enter("use office;", "office>"), "");
    let answer =
        shell.enter("\\f csv", "office>") + &shell.enter("SELECT n FROM desks;", "office>");
    assert_eq!(without_times(&answer), "n\n1.0\n1 row (…)");
    shell.press("exit");
    shell.press(ENTER);
    assert_eq!(shell.end().0, Some(0));
}

#[test]
fn an_error_is_red_and_the_session_goes_on() {
    let stage = ShellFixture::new();
    let shell = stage.shell();
    let error = shell.enter("SELECT * FROM nope;", "house>");
    assert!(error.starts_with("error: ") && error.contains("nope"), "{error}");
    assert!(shell.transcript().contains("\u{1b}[31merror: "));
    let error = shell.enter("\\frobnicate", "house>");
    assert_eq!(error, "error: unknown command \\frobnicate: \\? lists the commands");
    assert!(shell.enter("SELECT 1 AS one;", "house>").contains("| one |"));

    let plain = Options { variables: &[("NO_COLOR", "1")], ..Options::default() };
    let shell = stage.shell_with(&plain);
    shell.enter("SELECT * FROM nope;", "house>");
    assert!(!shell.transcript().contains("\u{1b}[31m"));
}

#[test]
fn ctrl_c_cancels_a_line_or_a_query() {
    let stage = ShellFixture::new();
    let mut shell = stage.shell();
    shell.press("SELECT 'never");
    shell.press(ENTER);
    shell.press("ended");
    shell.wait_for_text("ended");
    shell.press(CTRL_C);
    shell.wait_for_line("house>");
    assert!(shell.enter("SELECT 1 AS one;", "house>").contains("| one |"));

    shell.press(ENDLESS);
    shell.press(ENTER);
    // Ctrl+C is a signal only while the statement runs; before, it is an ordinary key.
    wait_for_endless(&stage.server, true);
    shell.press(CTRL_C);
    shell.wait_for_text("cancelled");
    // The server has stopped the query.
    wait_for_endless(&stage.server, false);
    shell.wait_for_line("house>");
    assert!(shell.enter("SELECT 2 AS two;", "house>").contains("| two |"));
    shell.press(CTRL_D);
    assert_eq!(shell.end().0, Some(0));
}

#[test]
fn the_history_is_available_in_the_next_session() {
    let stage = ShellFixture::new();
    let mut shell = stage.shell();
    shell.press("SELECT 1");
    shell.press(ENTER);
    shell.enter("AS one;", "house>");
    shell.enter("SELECT 2 AS two;", "house>");
    shell.enter("SELECT 'apiv3_secret' AS three;", "house>");
    shell.press(CTRL_D);
    assert_eq!(shell.end().0, Some(0));
    let file = stage.home.path().join(".local/state/neap/query_history");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let kept = fs::read_to_string(&file).unwrap();
    assert_eq!(kept, "SELECT 1\\nAS one;\nSELECT 2 AS two;\n");

    let shell = stage.shell();
    shell.press(UP);
    shell.wait_for_line("house> SELECT 2 AS two;");
    let answer = shell.enter("", "house>");
    assert_contains!(answer, "| two |");
    shell.press(CTRL_R);
    shell.press("one");
    shell.wait_for_text("AS one;");
    let answer = shell.enter("", "house>");
    assert_contains!(answer, "| one |");
}

#[test]
fn only_a_terminal_is_a_shell() {
    let stage = ShellFixture::new();
    let home = stage.home.path();
    let piped = Options { pipe_out: true, ..Options::default() };
    let arguments = ["query", "--host", stage.server.url(), "-d", "house"];
    let mut terminal = VirtualTerminal::run_with(&arguments, home, &piped);
    assert_eq!(terminal.end(), (Some(1), String::new()));
    assert!(terminal.screen().starts_with("Query command failed: no query given: "));
    let mut terminal = VirtualTerminal::run(&["query", "SELECT 1"], home);
    assert_eq!(terminal.end().0, Some(2));
    assert!(terminal.screen().contains("--database <NAME>"));
}

#[test]
fn progress_is_shown_only_on_terminals() {
    let place = StoreFixture::directory();
    let server = NeapProcess::serve(&place);
    let home = TempDir::new().unwrap();
    let file = home.path().join("big.lp");
    let lines = (0..100_000)
        .map(|row| format!("cpu,host=h{} usage={row} {}\n", row % 100, 1_700_000_000 + row));
    fs::write(&file, lines.collect::<String>()).unwrap();
    let file = file.to_str().unwrap();
    let size = ["--max-request-size", "200KB"];
    let write = [&["write", "--host", server.url(), "-d", "big", "-f", file], &size[..]].concat();
    let bar = "B/s, ";
    shows_progress(&write, home.path(), bar, "requests");

    wait_for("section to check", LIMIT, || {
        neap(&place.after(&["compact", "-d", "big"]));
        let sections = server.query("big", "SELECT path FROM system.parquet_files");
        (!sections.is_empty()).then_some(())
    });
    let fsck = place.after(&["fsck", "--full"]);
    shows_progress(&fsck, home.path(), "big ", "");
}

/// Checks that a command draws a bar on a terminal and removes it at its end, and draws none into a pipe.
fn shows_progress(arguments: &[&str], home: &Path, bar: &str, at_end: &str) {
    let mut terminal = VirtualTerminal::run(arguments, home);
    assert_eq!(terminal.end().0, Some(0));
    let transcript = terminal.transcript();
    assert!(transcript.contains(bar) && transcript.contains('█'), "{transcript}");
    let screen = terminal.screen();
    assert!(!screen.contains('█') && screen.contains(at_end), "{screen}");

    let piped = Options { pipe_err: true, ..Options::default() };
    let mut terminal = VirtualTerminal::run_with(arguments, home, &piped);
    let (status, errors) = terminal.end();
    assert_eq!(status, Some(0), "{errors}");
    // `write` reports its throughput at the end.
    assert!(
        errors.is_empty() || errors.starts_with("wrote ") && errors.lines().count() == 1,
        "{errors}"
    );
    assert!(!terminal.transcript().contains('█'));
}
