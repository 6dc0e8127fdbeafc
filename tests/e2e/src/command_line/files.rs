//! Files of rows: CSV, JSON lines and Parquet.

use serde_json::json;

use super::CommandFixture;
use crate::harness::words;

#[test]
fn files_of_rows_are_written_with_their_types() {
    let stage = CommandFixture::new();
    let csv = stage.file(
        "cpu.csv",
        "time,host,usage,n,up\n2026-01-01T00:00:00Z,a,0.5,1,true\n2026-01-01T00:00:01Z,b,1,2,false\n",
    );
    let write = ["write", "--quiet", "-d", "db", "--table", "cpu", "--tag", "host"];
    let output = stage.run(&[&write[..], &["--file", &csv]].concat());
    assert_eq!(output.succeeded(), "");
    let lines = "{\"time\":1767225602,\"host\":\"c\",\"usage\":2.5}\n";
    let output = stage.run_with_input(&[&write[..], &["--format", "jsonl"]].concat(), lines);
    assert_eq!(output.succeeded(), "");
    let sql = "SELECT * FROM cpu ORDER BY time";
    let rows = stage.server.query("db", sql);
    assert_eq!(
        rows,
        [
            json!({ "host": "a", "n": 1, "time": "2026-01-01T00:00:00", "up": true, "usage": 0.5 }),
            json!({ "host": "b", "n": 2, "time": "2026-01-01T00:00:01", "up": false, "usage": 1.0 }),
            json!({ "host": "c", "time": "2026-01-01T00:00:02", "usage": 2.5 }),
        ]
    );

    // A Parquet file of a query is a file to write.
    let parquet_path = stage.files.path().join("cpu.parquet");
    let parquet = parquet_path.to_str().unwrap();
    let query = ["query", "-d", "db", "--format", "parquet", "--output"];
    stage.run(&[&query[..], &[parquet, sql]].concat()).succeeded();
    let copy = ["write", "--quiet", "-d", "copy", "--table", "cpu", "--tag", "host", "-f"];
    assert_eq!(stage.run(&[&copy[..], &[parquet]].concat()).succeeded(), "");
    assert_eq!(stage.server.query("copy", sql), rows);
}

#[test]
fn refused_rows_are_reported_by_their_numbers_and_an_upload_can_continue() {
    let stage = CommandFixture::new();
    stage.server.write("db", "m v=1i 1");
    let file = stage.file("m.csv", "time,v\n2,2\n3,x,y\n4,4\n");
    let write = words("write --quiet -d db --table m --precision s -f");
    let run = |file: &str| stage.run(&[&write[..], &[file]].concat());
    let message = run(&file).failed(1).replace(&file, "m.csv");
    insta::assert_snapshot!(message, @"
    Write command failed: rows of the input cannot be written
      row 2 of m.csv: the row has 3 columns, but the header has 2
    ");
    let texts = stage.file("texts.csv", "time,v\n5,a\n");
    let message = run(&texts).failed(1).replace(&texts, "texts.csv");
    insta::assert_snapshot!(message, @r#"
    Write command failed: server responded with error [400 Bad Request]: partial write of line protocol occurred
      row 1 of texts.csv: invalid column type for column 'v', expected iox::column_type::field::integer, got iox::column_type::field::string
        m v="a" 5000000000
    "#);
    let more = stage.file("more.csv", "time,v\n2,7\n6,8\n");
    let write = [
        "write",
        "--quiet",
        "-d",
        "db",
        "--table",
        "m",
        "-p",
        "s",
        "--start-at",
        "2",
        "-f",
        &more,
    ];
    stage.run(&write).succeeded();
    let rows = stage.server.query("db", "SELECT v FROM m ORDER BY time");
    assert_eq!(rows, [1, 2, 4, 8].map(|v| json!({ "v": v })));
}
