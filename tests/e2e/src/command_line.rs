//! The commands against a server: their output, their messages, and their exit status.

mod files;
mod tokens;

use std::{fs, time::Duration};

use serde_json::json;
use tempfile::TempDir;

use crate::harness::{
    CommandOutput, NeapProcess, StoreFixture, assert_contains, neap, neap_binary, neap_with_input,
    wait_for,
};

const LINES: &str = "cpu,host=a usage=0.5,n=3i 1700000000\ncpu,host=b usage=1.5 1700000000\n";

/// A server, and `neap` commands against it.
struct CommandFixture {
    server: NeapProcess,
    place: StoreFixture,
    files: TempDir,
}

impl CommandFixture {
    fn new() -> Self {
        Self::with(&[])
    }

    /// Starts a server with these options.
    fn with(options: &[&str]) -> Self {
        let place = StoreFixture::directory();
        let files = TempDir::new().unwrap();
        Self {
            server: NeapProcess::serve_with(&place, options),
            place,
            files,
        }
    }

    fn run(&self, arguments: &[&str]) -> CommandOutput {
        self.run_with_input(arguments, "")
    }

    fn run_with_input(&self, arguments: &[&str], input: &str) -> CommandOutput {
        let arguments = [arguments, &["--host", self.server.url()]].concat();
        neap_with_input(&arguments, input.as_bytes())
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.files.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

#[test]
fn without_flags_the_server_prints_instructions() {
    let server = NeapProcess::without_flags();
    let first = wait_for("greeting", Duration::from_secs(30), || {
        let log = server.log();
        log.contains("query:").then_some(log)
    });
    let data = server.folder().join(".local/share/neap");
    let url = server.url();
    let binary = neap_binary();
    let program = binary.display();
    let greeting: Vec<_> = first.lines().skip_while(|line| !line.starts_with("Neap ")).collect();
    assert_eq!(
        greeting[..4],
        [
            format!("Neap {} is ready at {url}", env!("CARGO_PKG_VERSION")),
            format!("  data:   directory {}", data.display()),
            format!(
                "  write:  {program} write --host {url} --database mydb 'cpu,host=a usage=0.5'"
            ),
            format!("  query:  {program} query --host {url} --database mydb 'SELECT * FROM cpu'"),
        ]
    );
    // The printed example works.
    let write =
        neap(&["write", "--quiet", "--host", url, "--database", "mydb", "cpu,host=a usage=0.5"]);
    assert_eq!(write.succeeded(), "");
    let sql = "SELECT host, usage FROM cpu";
    let query = neap(&["query", "--host", url, "--database", "mydb", sql]).succeeded();
    insta::assert_snapshot!(query, @r"
    +------+-------+
    | host | usage |
    +------+-------+
    | a    | 0.5   |
    +------+-------+
    ");
    assert!(data.is_dir());
    assert!(server.stop().success());
}

#[test]
fn caches_are_created_listed_queried_and_deleted() {
    let stage = CommandFixture::new();
    let with = |what: [&str; 2], arguments: &[&str]| {
        let table = ["--database", "home", "--table", "home"];
        stage.run(&[&what[..], &table[..], arguments].concat())
    };
    let lines = "home,room=Kitchen temp=22.4,hum=36.1\nhome,room=Attic temp=12.4,hum=39";
    let write = ["write", "--quiet", "--database", "home", lines];
    stage.run(&write).succeeded();
    let created = with(
        ["create", "last_cache"],
        &["--value-columns", "hum,temp", "--count", "3", "latest"],
    )
    .succeeded();
    assert_eq!(created, "last cache \"latest\" created successfully\n");
    let created = with(["create", "distinct_cache"], &["--columns", "room"]);
    assert!(created.succeeded().contains("home_room_distinct_cache"));

    let query = |sql| {
        let arguments = ["query", "--database", "home", "--format", "csv", sql];
        stage.run(&arguments).succeeded()
    };
    assert_eq!(
        query("SELECT name, count, ttl FROM system.last_caches"),
        "name,count,ttl\nlatest,3,14400\n"
    );
    assert_eq!(
        query("SELECT room, hum, temp FROM last_cache('home', 'latest')"),
        "room,hum,temp\nAttic,39.0,12.4\nKitchen,36.1,22.4\n"
    );
    assert_eq!(query("SELECT * FROM distinct_cache('home')"), "room\nAttic\nKitchen\n");

    let out = with(["delete", "last_cache"], &["latest"]).succeeded();
    assert_eq!(out, "last cache deleted successfully\n");
    let again = with(["delete", "last_cache"], &["latest"]).failed(1);
    insta::assert_snapshot!(again, @"Delete command failed: server responded with error [404 Not Found]: the requested resource was not found: latest");
    let distinct = "home_room_distinct_cache";
    let out = with(["delete", "distinct_cache"], &["--cache-name", distinct]).succeeded();
    assert_eq!(out, "distinct cache deleted successfully\n");
}

#[test]
fn databases_are_created_shown_and_deleted() {
    let stage = CommandFixture::new();
    let out = stage.run(&["create", "database", "one"]).succeeded();
    assert_eq!(out, "Database \"one\" created successfully\n");
    let with_retention = ["create", "database", "two", "--retention-period", "30d"];
    stage.run(&with_retention).succeeded();
    insta::assert_snapshot!(stage.run(&["create", "database", "one"]).failed(1), @"Create command failed: server responded with error [409 Conflict]: attempted to create a resource that already exists");
    insta::assert_snapshot!(stage.run(&["create", "database", "-"]).failed(1), @"Create command failed: server responded with error [400 Bad Request]: db name did not start with a number or letter");

    let show = |format| stage.run(&["show", "databases", "--format", format]).succeeded();
    insta::assert_snapshot!(show("pretty"), @r"
    +---------------+
    | iox::database |
    +---------------+
    | _internal     |
    | one           |
    | two           |
    +---------------+
    ");
    assert_eq!(show("csv"), "iox::database\n_internal\none\ntwo\n");
    assert_eq!(
        show("json"),
        "[{\"iox::database\":\"_internal\"},{\"iox::database\":\"one\"},{\"iox::database\":\"two\"}]\n"
    );
    assert_eq!(
        show("jsonl"),
        "{\"iox::database\":\"_internal\"}\n{\"iox::database\":\"one\"}\n{\"iox::database\":\"two\"}\n"
    );

    let question = "Are you sure you want to delete \"two\"? Enter 'yes' or 'y' to confirm\n";
    let refused = stage.run_with_input(&["delete", "database", "two"], "no\n").failed(1);
    let reason = "Delete command failed: Cannot proceed without confirmation\n";
    assert_eq!(refused, format!("{question}{reason}"));
    let deleted = stage.run_with_input(&["delete", "database", "two"], "yes\n");
    assert_eq!((deleted.status, deleted.err.as_str()), (Some(0), question));
    assert_eq!(deleted.out, "Database \"two\" deleted successfully\n");
    insta::assert_snapshot!(stage.run(&["delete", "database", "two", "-y"]).failed(1), @"Delete command failed: server responded with error [404 Not Found]: the requested resource was not found: two");
    insta::assert_snapshot!(stage.run(&["delete", "database", "one", "-y", "--hard-delete", "soon"]).failed(1), @"Delete command failed: server responded with error [400 Bad Request]: Cannot parse the timestamp: premature end of input");
    assert_eq!(show("csv"), "iox::database\n_internal\none\n");
    let all = stage
        .run(&["show", "databases", "--show-deleted", "--format", "csv"])
        .succeeded();
    let [head, internal, one, two] = all.lines().collect::<Vec<_>>()[..] else {
        panic!("{all}")
    };
    assert_eq!(head, "iox::database,deleted");
    assert_eq!((internal, one), ("_internal,false", "one,false"));
    assert!(two.starts_with("two-2") && two.ends_with(",true"), "{two}");
}

#[test]
fn tables_are_created_and_deleted() {
    let stage = CommandFixture::new();
    let table = ["create", "table", "t", "--database", "db", "--tags", "b,a"];
    let create = [&table[..], &["--fields", "v:float64,n:int64,s:utf8"]].concat();
    assert_eq!(stage.run(&create).succeeded(), "Table \"db\".\"t\" created successfully\n");
    insta::assert_snapshot!(stage.run(&create).failed(1), @"Create command failed: table 'db.t' already exists");
    let unknown = [&table[..], &["--fields", "v:decimal"]].concat();
    insta::assert_snapshot!(stage.run(&unknown).failed(2), @r"
    error: invalid value 'v:decimal' for '--fields [<FIELDS>...]': 'decimal' is not one of utf8, int64, uint64, float64, bool

    For more information, try '--help'.
    ");
    stage
        .run(&["write", "--quiet", "-d", "db", "t,a=1 v=1,n=2i,s=\"x\" 1"])
        .succeeded();
    let delete = ["delete", "table", "t", "-d", "db", "--yes"];
    assert_eq!(stage.run(&delete).succeeded(), "Table \"db\".\"t\" deleted successfully\n");
    insta::assert_snapshot!(stage.run(&delete).failed(1), @"Delete command failed: server responded with error [404 Not Found]: Table t not in DB schema for db");
    insta::assert_snapshot!(stage.run(&["query", "-d", "db", "SELECT * FROM t"]).failed(1), @"Query command failed: server responded with error [400 Bad Request]: Error during planning: table 'public.iox.t' not found");
}

#[test]
fn lines_are_written_from_arguments_files_and_the_standard_input() {
    let stage = CommandFixture::new();
    let file = stage.file("lp", LINES);
    let write = |more: &[&str], input| {
        let output =
            stage.run_with_input(&[&["write", "--quiet", "-d", "db"], more].concat(), input);
        assert_eq!(output.succeeded(), "", "{more:?}");
    };
    write(&["cpu,host=c usage=1 1700000000"], "");
    write(&["--file", &file, "--gzip"], "");
    write(&["--precision", "ms"], "cpu,host=d usage=2 1700000000000\n");
    write(&["-", "--gzip", "--no-sync"], "cpu,host=e usage=3 1700000000\n");
    write(&["-f", &file, "-f", "-"], "cpu,host=f usage=4 1700000000\n");
    let reported = stage.run(&["write", "-d", "db", "reported n=1i 1"]);
    assert_eq!((reported.status, reported.out.as_str()), (Some(0), ""));
    let (start, rate) = ("wrote 1 row (15 B) in 1 request and ", "/s\n");
    assert!(
        reported.err.starts_with(start) && reported.err.ends_with(rate),
        "{}",
        reported.err
    );
    let lines = ["same,host=a n=1i 1", "same,host=b n=1i 1", "same,host=a n=2i 1"];
    let reported = stage.run(&[&["write", "-d", "db"], &lines[..]].concat());
    let reason =
        "/s; they became 2, because rows of a request with the same time and tags are one row\n";
    assert!(reported.err.ends_with(reason), "{}", reported.err);
    let rows = wait_for("row that was not synced", Duration::from_secs(30), || {
        let rows = stage.server.query("db", "SELECT host FROM cpu ORDER BY host");
        (rows.len() == 6).then_some(rows)
    });
    let hosts = ["a", "b", "c", "d", "e", "f"].map(|host| json!({ "host": host }));
    assert_eq!(rows, hosts);
}

#[test]
fn refused_writes_report_the_lines_and_fail() {
    let stage = CommandFixture::new();
    let partial = format!("{LINES}cpu,host=b usage=\"x\" 1700000001\n\nbad\n");
    let output = stage.run_with_input(&["write", "--quiet", "-d", "db"], &partial);
    insta::assert_snapshot!(output.failed(1), @r#"
    Write command failed: server responded with error [400 Bad Request]: partial write of line protocol occurred
      line 3 of the standard input: invalid column type for column 'usage', expected iox::column_type::field::float, got iox::column_type::field::string
        cpu,host=b usage="x" 1700000001
      line 4 of the standard input: Expected at least one space character, got end of input
        bad
    "#);
    assert_eq!(stage.server.query("db", "SELECT count(*) AS n FROM cpu"), [json!({ "n": 2 })]);
    let output =
        stage.run(&["write", "--quiet", "-d", "db", "--accept-partial=false", "m v=1\nm v"]);
    insta::assert_snapshot!(output.failed(1), @r"
    Write command failed: server responded with error [400 Bad Request]: parsing failed for write_lp endpoint
      line 2: No fields were provided
        m v
    ");
    let output = stage.run(&["write", "--quiet", "-d", "db", "m", "v=1"]);
    insta::assert_snapshot!(output.failed(1), @"Write command failed: more than one argument: put the line protocol in quotes: neap write --database db 'm v=1'");
    let output = stage.run(&["write", "--quiet", "-d", "db", "several n=1i 1", "several n=2i 2"]);
    output.succeeded();
    assert_eq!(
        stage.server.query("db", "SELECT count(*) AS n FROM several"),
        [json!({ "n": 2 })]
    );
    let output = stage.run(&["write", "--quiet", "-d", "db", "--file", "/nowhere.lp"]);
    insta::assert_snapshot!(output.failed(1), @"Write command failed: /nowhere.lp: No such file or directory (os error 2)");
    let output = stage.run(&["write", "m v=1"]);
    assert!(output.failed(2).contains("--database <NAME>"));
    let output =
        neap(&["write", "--quiet", "-d", "db", "--host", "127.0.0.1:1", "m v=1"]).failed(1);
    let start = "Write command failed: cannot connect to http://127.0.0.1:1/: ";
    assert!(output.starts_with(start), "{output}");
}

#[test]
fn results_have_all_formats_on_the_standard_output_and_in_files() {
    let stage = CommandFixture::new();
    stage.run_with_input(&["write", "--quiet", "-d", "db"], LINES).succeeded();
    let sql = "SELECT * FROM cpu ORDER BY host";
    let query = |format: &str| stage.run(&["query", "-d", "db", sql, "--format", format]);
    insta::assert_snapshot!(query("pretty").succeeded(), @r"
    +------+---+---------------------+-------+
    | host | n | time                | usage |
    +------+---+---------------------+-------+
    | a    | 3 | 2023-11-14T22:13:20 | 0.5   |
    | b    |   | 2023-11-14T22:13:20 | 1.5   |
    +------+---+---------------------+-------+
    ");
    insta::assert_snapshot!(query("csv").succeeded(), @r"
    host,n,time,usage
    a,3,2023-11-14T22:13:20,0.5
    b,,2023-11-14T22:13:20,1.5
    ");
    insta::assert_snapshot!(query("jsonl").succeeded(), @r#"
    {"host":"a","n":3,"time":"2023-11-14T22:13:20","usage":0.5}
    {"host":"b","time":"2023-11-14T22:13:20","usage":1.5}
    "#);
    insta::assert_snapshot!(query("json").succeeded(), @r#"[{"host":"a","n":3,"time":"2023-11-14T22:13:20","usage":0.5},{"host":"b","time":"2023-11-14T22:13:20","usage":1.5}]"#);
    let parquet = query("parquet");
    assert_eq!((parquet.status, &parquet.bytes[..4]), (Some(0), &b"PAR1"[..]));
    assert!(parquet.bytes.ends_with(b"PAR1"));

    let path = stage.file("out", "an older result");
    for format in ["pretty", "json", "jsonl", "csv", "parquet"] {
        let output = stage.run(&["q", "-d", "db", sql, "--format", format, "-o", &path]);
        assert_eq!(output.succeeded(), "");
        let (stored, mut printed) = (fs::read(&path).unwrap(), query(format).bytes);
        if matches!(format, "pretty" | "json") {
            assert_eq!(printed.pop(), Some(b'\n'), "for people, with a line break at the end");
        }
        assert_eq!(stored, printed, "{format}");
    }
    stage.run(&["query", "-d", "db", "SELECT * FROM nope", "-o", &path]).failed(1);
    let stored = fs::read(&path).unwrap();
    assert!(stored.starts_with(b"PAR1"), "a query that fails leaves the file as it is");
}

#[test]
fn queries_come_from_arguments_files_and_the_standard_input() {
    let stage = CommandFixture::new();
    stage.run_with_input(&["write", "--quiet", "-d", "db"], LINES).succeeded();
    let file = stage.file("sql", "SELECT count(*) AS n\nFROM cpu\n");
    let csv = ["--format", "csv"];
    let by_file = stage.run(&[&["query", "-d", "db", "-f", &file], &csv[..]].concat());
    assert_eq!(by_file.succeeded(), "n\n2\n");
    let arguments = [&["query", "-d", "db"], &csv[..]].concat();
    let by_input = stage.run_with_input(&arguments, "SELECT max(usage) AS m FROM cpu");
    assert_eq!(by_input.succeeded(), "m\n1.5\n");
    insta::assert_snapshot!(stage.run(&["query", "-d", "db"]).failed(1), @"Query command failed: no query given: pass it as an argument, in a file with --file, or to standard input");
    insta::assert_snapshot!(stage.run(&["query", "-d", "nodb", "SELECT 1"]).failed(1), @"Query command failed: server responded with error [404 Not Found]: query error: database not found: nodb");
    insta::assert_snapshot!(stage.run(&["query", "-d", "db", "--format", "xml", "SELECT 1"]).failed(2), @r"
    error: invalid value 'xml' for '--format <FORMAT>'
      [possible values: pretty, json, jsonl, csv, parquet]

    For more information, try '--help'.
    ");
}

#[test]
fn stores_are_checked_and_flushed_without_a_server() {
    for place in [
        StoreFixture::memory(),
        StoreFixture::directory(),
        StoreFixture::neap_s3_server(),
    ] {
        let out = neap(&place.after(&["check-store"])).succeeded();
        let lines: Vec<_> = out.lines().collect();
        let (last, checks) = lines.split_last().unwrap();
        assert!(
            checks.len() > 10 && checks.iter().all(|check| check.starts_with("ok ")),
            "{out}"
        );
        assert!(last.ends_with(" can be used"), "{out}");
    }
    // Only the command flushes.
    let stage = CommandFixture::with(&["--mode", "ingest,query"]);
    let empty = neap(&stage.place.after(&["compact"])).succeeded();
    let folder = stage.place.folder().display();
    assert_eq!(empty, format!("no databases in directory {folder}\n"));
    stage.run_with_input(&["write", "--quiet", "-d", "db"], LINES).succeeded();
    let compact = || neap(&stage.place.after(&["compact", "-d", "db"])).succeeded();
    // Rows that were acknowledged before the command are flushed, also those of the last seconds.
    let flushed = compact();
    let (wait, flushed) = flushed.split_once('\n').unwrap();
    assert!(
        wait.starts_with("waiting ") && wait.ends_with(" s until the newest rows can be flushed"),
        "{wait}"
    );
    let start = "db: 1 segments are now 1 sections with 2 rows in ";
    assert!(flushed.starts_with(start) && flushed.ends_with(" bytes\n"), "{flushed}");
    assert_eq!(compact(), "db: there is nothing to flush\n");
    let unknown = neap(&stage.place.after(&["compact", "-d", "nope"])).failed(1);
    assert_eq!(unknown, "Compact command failed: database not found: nope\n");
}

#[test]
fn a_bucket_is_created_once_and_has_no_findings() {
    let server = StoreFixture::neap_s3_server();
    let place = StoreFixture::s3(server.endpoint().unwrap(), "measurements");
    let create = place.after(&["create", "bucket"]);
    assert_eq!(neap(&create).succeeded(), "bucket 'measurements' created\n");
    assert_eq!(neap(&create).succeeded(), "bucket 'measurements' exists and is not changed\n");
    let report = neap(&place.after(&["check-store"])).succeeded();
    assert!(
        report.contains(
            "ok       versioning\nok       object lock\nok       lifecycle rules\nok       interrupted uploads\n\
             ok       bucket policy\nok       public policy\nok       public access\nok       encryption\n\
             ok       replication\nok       notifications\n"
        ),
        "{report}"
    );
    let folder = StoreFixture::directory();
    assert_eq!(
        neap(&folder.after(&["create", "bucket"])).failed(1),
        "Create command failed: --object-store: file has no buckets that Neap can create\n"
    );
}

#[test]
fn invalid_command_lines_have_a_separate_exit_status() {
    assert_eq!(
        neap(&["--version"]).succeeded(),
        format!("neap {}\n", env!("CARGO_PKG_VERSION"))
    );
    let help = neap(&["--help"]).succeeded();
    for command in ["serve", "query", "write", "create", "delete", "show", "compact", "check-store"]
    {
        assert!(help.contains(&format!("\n  {command} ")), "{command}: {help}");
    }
    for (arguments, reason) in [
        (&["frobnicate"][..], "unrecognized subcommand 'frobnicate'"),
        (&["serve", "--mode", "sing"], "invalid value 'sing' for '--mode <MODE>'"),
        (
            &["query", "-d", "db", "--host", "ftp://x", "SELECT 1"],
            "neither http nor https",
        ),
        (
            &["create", "database", "x", "--retention-period", "soon"],
            "invalid value 'soon'",
        ),
    ] {
        let text = neap(arguments).failed(2);
        assert_contains!(text, reason);
    }
    let stage = CommandFixture::new();
    let address = stage.server.url().strip_prefix("http://").unwrap();
    let taken = neap(&["serve", "--object-store", "memory", "--http-bind", address]).failed(1);
    let start = format!("Serve command failed: cannot listen on {address}: ");
    assert!(taken.starts_with(&start), "{taken}");
}
