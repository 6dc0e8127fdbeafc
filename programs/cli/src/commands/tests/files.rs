//! Tests of files of rows and lines.

use std::{io::Write as _, os::unix::fs::PermissionsExt};

use super::*;

/// Writes a file and returns its folder and its path.
fn file(name: &str, contents: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, contents).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

/// Runs `neap write` with these options, and returns its exit status, its messages and its requests.
fn write(args: &[&str], input: &str, answers: &[&str]) -> (u8, String, Vec<String>) {
    let (url, requests) = server(answers);
    let args = [&["write", "--quiet", "--host", &url, "-d", "db"], args].concat();
    let (status, out, err) = run_with(&args, &Environment::default(), input);
    assert_eq!(out, "");
    (status, err, requests.join().unwrap())
}

#[test]
fn rows_of_a_file_are_written_as_lines_in_nanoseconds() {
    let (_folder, path) = file("a.csv", "time,room,celsius\n1700000000,attic,21.5\n");
    let args = ["--file", &path, "--table", "home", "--tag", "room", "-p", "s"];
    let (status, err, requests) = write(&args, "", &[&answer("204 No Content", "")]);
    assert_eq!((status, err.as_str()), (0, ""));
    let expected = "POST /api/v3/write_lp?db=db&precision=ns";
    assert_eq!(target(&requests[0]), expected);
    assert_eq!(body(&requests[0]), "home,room=attic celsius=21.5 1700000000000000000\n");
}

#[test]
fn csv_is_read_with_another_delimiter_a_decimal_comma_and_given_types() {
    let contents = "time;room;celsius;code\n1;attic;21,5;7\n2;cellar;NA;8\n3;hall;warm;9\n";
    let (_folder, path) = file("a.csv", contents);
    let common = ["--file", &path, "--table", "home", "--tag", "room", "-p", "s"];
    let dialect = ["--decimal-comma", "--null", "NA", "--column", "code=string"];
    let args = [&common[..], &dialect].concat();
    let (status, err, requests) = write(&args, "", &[&answer("204 No Content", "")]);
    assert_eq!(status, FAILED);
    assert_eq!(
        body(&requests[0]),
        "home,room=attic celsius=21.5,code=\"7\" 1000000000\nhome,room=cellar code=\"8\" 2000000000\n"
    );
    assert!(
        err.contains("row 3") && err.contains("value `warm` of column 'celsius'"),
        "{err}"
    );
    let (_, err, _) = write(&["m v=1", "--delimiter", ";"], "", &[]);
    assert!(err.contains("--delimiter has no effect on line protocol"), "{err}");
    let (_folder, path) = file("a.jsonl", "{}\n");
    let (_, err, _) = write(&["--file", &path, "--table", "m", "--null", "NA"], "", &[]);
    assert!(err.contains("--null has an effect on CSV only"), "{err}");
}

#[test]
fn compressed_line_protocol_is_written_as_its_lines() {
    const LINES: &str = "home,room=attic celsius=21.5 1\nhome,room=attic celsius=22 2\n";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(LINES.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(LINES.as_bytes(), 1).unwrap();
    let (folder, cut_off) = file("cut.lp.gz", "");
    std::fs::write(&cut_off, &gzip[..12]).unwrap();
    for (name, contents) in [
        ("a.lp.gz", gzip.as_slice()),
        ("a.lp.zst", zstd.as_slice()),
        ("no_extension", gzip.as_slice()),
        ("a.lp", LINES.as_bytes()),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, contents).unwrap();
        let args = ["--file", path.to_str().unwrap()];
        let (status, err, requests) = write(&args, "", &[&answer("204 No Content", "")]);
        assert_eq!((status, err.as_str()), (0, ""), "{name}");
        assert_eq!(body(&requests[0]), LINES, "{name}");
    }
    let (status, err, _) = write(&["--file", &cut_off], "", &[]);
    assert_eq!(status, FAILED);
    assert!(err.contains("the compressed file is cut off"), "{err}");
}

#[test]
fn with_a_format_the_arguments_are_files_or_the_standard_input() {
    let (_folder, path) = file("rows", "{\"at\":\"01.02.2026 10:00\",\"v\":1}\n");
    let args = [
        "--format",
        "jsonl",
        "--measurement",
        "m",
        "--time-column",
        "at",
        "--time-format",
        "%d.%m.%Y %H:%M",
        "--time-zone",
        "+01:00",
        "--parallel",
        "1",
        &path,
        "-",
    ];
    let input = "{\"at\":\"01.02.2026 11:00\",\"v\":2}\n";
    let ok = answer("204 No Content", "");
    let (status, err, requests) = write(&args, input, &[&ok, &ok]);
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(
        [body(&requests[0]), body(&requests[1])],
        ["m v=1i 1769936400000000000\n", "m v=2i 1769940000000000000\n"]
    );
}

#[test]
fn refused_rows_are_named_whether_the_server_or_the_file_refuses_them() {
    let (_folder, path) = file("a.csv", "v\n1\n2,3\n4\n");
    let refusal = r#"{"error":"partial write of line protocol occurred","data":[{"original_line":"m v=4i","line_number":2,"error_message":"too large"}]}"#;
    let args = ["--file", &path, "--table", "m"];
    let (status, err, requests) = write(&args, "", &[&answer("400 Bad Request", refusal)]);
    assert_eq!(status, FAILED);
    let err = err.replace(&path, "a.csv");
    insta::assert_snapshot!(err, @"
    Write command failed: server responded with error [400 Bad Request]: partial write of line protocol occurred
      row 2 of a.csv: the row has 2 columns, but the header has 1
      row 3 of a.csv: too large
        m v=4i
    ");
    assert_eq!(body(&requests[0]), "m v=1i\nm v=4i\n");
}

#[test]
fn a_failed_upload_tells_where_to_continue() {
    let (_folder, path) = file("a.csv", "v\n1\n2\n3\n");
    let args = ["--file", &path, "--table", "m", "--parallel", "1", "--max-request-size", "8"];
    let answers = [&*answer("204 No Content", ""), &*answer("401 Unauthorized", "no")];
    let (status, err, _) = write(&args, "", &answers);
    assert_eq!(status, FAILED);
    let err = err.replace(&path, "a.csv");
    assert!(
        err.contains("\n  everything before row 2 of a.csv is answered: continue with `--start-at 2` and the file a.csv"),
        "{err}"
    );
    let args = ["--file", &path, "--table", "m", "--start-at", "2"];
    let (status, _, requests) = write(&args, "", &[&answer("204 No Content", "")]);
    assert_eq!(status, 0);
    assert_eq!(body(&requests[0]), "m v=2i\nm v=3i\n");
}

/// Refusal of the first line of a request.
const REFUSAL: &str = r#"{"error":"partial write of line protocol occurred","data":[{"original_line":"m v=2i","line_number":1,"error_message":"too large"}]}"#;

#[test]
fn a_failed_upload_still_tells_the_refused_rows() {
    let (_folder, path) = file("a.csv", "v\n1\n2\n3\n");
    let answers = [
        &*answer("204 No Content", ""),
        &*answer("400 Bad Request", REFUSAL),
        &*answer("403 Forbidden", "no"),
    ];
    let stopped = |accept_partial: &str| {
        let mut args = vec!["--file", &*path, "--table", "m", "--parallel", "1"];
        args.extend(["--max-request-size", "8", accept_partial]);
        let (status, err, _) = write(&args, "", &answers);
        assert_eq!(status, FAILED);
        err.replace(&path, "a.csv")
    };
    insta::assert_snapshot!(stopped("--accept-partial"), @"
    Write command failed: server responded with error [403 Forbidden]: no
      everything before row 3 of a.csv is answered: continue with `--start-at 3` and the file a.csv
      refused earlier: server responded with error [400 Bad Request]: partial write of line protocol occurred
      row 2 of a.csv: too large
        m v=2i
    ");
    let err = stopped("--accept-partial=false");
    assert!(err.contains("continue with `--start-at 2` and"), "{err}");
}

#[test]
fn rows_before_an_unreadable_part_are_written() {
    let csv = "#datatype measurement,long\nm,v\na,1\na,2\n#concat,x\n";
    let (_folder, path) = file("a.csv", csv);
    let args = ["--file", &path, "--parallel", "1", "--max-request-size", "8"];
    let answers = [&*answer("204 No Content", ""), &*answer("400 Bad Request", REFUSAL)];
    let (status, err, requests) = write(&args, "", &answers);
    assert_eq!(status, FAILED);
    assert_eq!(body(&requests[1]), "a v=2i\n");
    let err = err.replace(&path, "a.csv");
    assert!(
        err.contains("continue with `--start-at 3` and the file a.csv")
            && err.contains("row 2 of a.csv: too large"),
        "{err}"
    );
}

#[test]
fn a_first_row_is_refused_for_several_files_and_for_line_protocol() {
    let (_folder, path) = file("a.csv", "v\n1\n");
    let (_lines_folder, lines) = file("a.lp", "m v=1\n");
    let message = |args: &[&str]| {
        let args = [&["--table", "m", "--start-at", "2"], args].concat();
        let (status, err, _) = write(&args, "", &[]);
        assert_eq!(status, 2, "{err}");
        err
    };
    for args in [["--file", &path, "--file", &path], ["--file", &lines, "--file", &path]] {
        let err = message(&args);
        assert!(err.contains("--start-at applies to a single file"), "{err}");
    }
    let err = message(&["--file", &lines]);
    assert!(err.contains("has no effect on line protocol"), "{err}");
}

#[test]
fn files_and_options_that_do_not_fit_are_refused_before_anything_is_sent() {
    let (_folder, path) = file("a.csv", "time,v\n1,2\n");
    let message = |args: &[&str], status| {
        let (got, err, _) = write(args, "m v=1\n", &[]);
        assert_eq!(got, status, "{err}");
        err.replace(&path, "a.csv")
    };
    insta::assert_snapshot!(message(&["--file", &path], FAILED), @"Write command failed: cannot read a.csv: the rows need the name of a table");
    insta::assert_snapshot!(message(&["--file", &path, "--table", "m", "--time-column", "at"], FAILED), @"Write command failed: cannot read a.csv: the time column 'at' does not exist");
    insta::assert_snapshot!(message(&["--table", "m"], 2), @"error: --table has no effect on line protocol: name the format of the input with --format");
    insta::assert_snapshot!(message(&["--format", "parquet", "-"], FAILED), @"Write command failed: cannot read the standard input: Parquet cannot be read from a stream: save it as a file");
}

#[test]
fn the_token_of_a_source_is_in_a_private_file_and_not_cut_off() {
    let (_folder, path) = file("token", &"x".repeat(20_000));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let line =
        format!("import influxdb --from http://127.0.0.1:1 --source-token-file {path} --dry-run");
    let err = fails(&line, "http://127.0.0.1:1").replace(&path, "token");
    insta::assert_snapshot!(err, @r"
    warning: --source-token-file token: users other than its owner may read it; chmod 600 token
    Import command failed: token: the file has more than 16384 bytes
    ");
}
