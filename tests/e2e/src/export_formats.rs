//! `neap export`: formats, compression, interruptions, and the check of exported files.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch},
    compute::{cast, concat_batches},
    datatypes::{DataType, Int32Type, TimestampNanosecondType},
    ipc::reader::FileReader,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{CommandOutput, NeapProcess, Reply, StoreFixture, assert_contains, neap};

/// Rows of three days with every type, and texts that need escapes.
const LINES: &str = r#"soil,bed=herbs moisture=38.5,count=-9223372036854775808i,size=18446744073709551615u,ok=true,note="a \"b\", \\ c" 1767225600000000000
soil,bed=herbs\ and\ more,row=a\=b\,c moisture=1e300 1767225600000000001
soil,bed=tomatoes moisture=-0.1,note="two
lines" 1767311999999999999
soil,bed=herbs moisture=38.25,ok=false 1767312000000000000
soil,bed=herbs note="" 1767484800000000000
air\ now temp=21.5 1767225600000000000
"#;

/// A server of a garden's rows.
struct ExportServer(NeapProcess);

impl ExportServer {
    fn new() -> Self {
        Self::with(&StoreFixture::memory(), &[])
    }

    fn with(store: &StoreFixture, flags: &[&str]) -> Self {
        Self(NeapProcess::serve_with(store, flags))
    }

    fn write(&self, database: &str, lines: &str) {
        let path = format!("/api/v3/write_lp?db={database}&precision=nanosecond");
        let request = self.0.request("POST", &path).body(lines.to_owned());
        let reply = Reply::receive(request).unwrap();
        assert_eq!(reply.status, 204, "{}", reply.text());
    }

    fn rows(&self, database: &str, table: &str) -> Vec<Value> {
        let sql = format!("SELECT * FROM \"{table}\" ORDER BY time");
        self.0.query(database, &sql)
    }

    /// Runs a command line.
    fn run(&self, line: &str) -> CommandOutput {
        let host = ["--host", self.0.url()];
        let words: Vec<_> = line.split_whitespace().chain(host).collect();
        neap(&words)
    }

    /// Exports the database into the folder, and returns what the command prints.
    fn export(&self, options: &str, folder: &TempDir) -> String {
        let (folder, line) = (folder.path().display(), "export --database garden");
        let line = format!("{line} {options} --output {folder}/out");
        self.run(&line).succeeded()
    }
}

fn garden() -> ExportServer {
    let server = ExportServer::new();
    server.write("garden", LINES);
    server
}

/// Returns the files of an export by their paths.
fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
                continue;
            }
            let name = path.strip_prefix(root).unwrap().display().to_string();
            if !matches!(name.as_str(), "export.json" | "SHA256SUMS") {
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn all_rows(files: &BTreeMap<String, Vec<u8>>, extension: &str) -> Vec<RecordBatch> {
    let of_format = files.iter().filter(|(name, _)| name.ends_with(extension));
    let batches = of_format.map(|(_, bytes)| {
        let bytes = bytes::Bytes::from(bytes.clone());
        let (schema, batches): (_, Vec<_>) = match extension {
            "parquet" => {
                let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
                let schema = Arc::clone(reader.schema());
                (schema, reader.build().unwrap().collect())
            }
            _ => {
                let reader = FileReader::try_new(std::io::Cursor::new(bytes), None).unwrap();
                (reader.schema(), reader.collect())
            }
        };
        let batches: Vec<_> = batches.into_iter().map(Result::unwrap).collect();
        concat_batches(&schema, &batches).unwrap()
    });
    batches.collect()
}

/// Returns columns with plain texts in place of dictionaries.
fn without_dictionaries(rows: &RecordBatch) -> Vec<ArrayRef> {
    let columns = rows.columns().iter();
    let plain = columns.map(|column| match column.data_type() {
        DataType::Dictionary(_, values) => cast(column, values).unwrap(),
        _ => Arc::clone(column),
    });
    plain.collect()
}

#[test]
fn a_database_is_exported_as_one_parquet_file_for_each_table_and_day() {
    let server = garden();
    let folder = tempfile::tempdir().unwrap();
    let out = server.export("", &folder);
    assert!(out.starts_with("6 rows in 4 files with "), "{out}");
    let files = files(&folder.path().join("out"));
    insta::assert_debug_snapshot!(files.keys().collect::<Vec<_>>(), @r#"
    [
        "air%20now/day=2026-01-01/part-00000000000000.parquet",
        "soil/day=2026-01-01/part-00000000000000.parquet",
        "soil/day=2026-01-02/part-00000000000000.parquet",
        "soil/day=2026-01-04/part-00000000000000.parquet",
    ]
    "#);
    let rows = all_rows(&files, "parquet");
    let first = &rows[1];
    assert_eq!(first.num_rows(), 3);
    let beds = first.column_by_name("bed").unwrap();
    assert!(beds.as_dictionary_opt::<Int32Type>().is_some());
    let times = first.column_by_name("time").unwrap().as_primitive::<TimestampNanosecondType>();
    assert!(times.values().contains(&1_767_225_600_000_000_001));
    let verified = format!("export --verify {}/out", folder.path().display());
    let out = server.run(&verified).succeeded();
    assert!(out.starts_with("4 files with 6 rows and "), "{out}");
}

#[test]
fn line_protocol_restores_every_value_and_type() {
    let server = garden();
    for compression in ["none", "gzip", "zstd"] {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("--format lp --compression {compression}");
        server.export(&options, &folder);
        let mut lines = String::new();
        for (name, bytes) in files(&folder.path().join("out")) {
            let text = match name.rsplit_once('.').unwrap().1 {
                "gz" => std::io::read_to_string(flate2::read::GzDecoder::new(&bytes[..])).unwrap(),
                "zst" => String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap(),
                _ => String::from_utf8(bytes).unwrap(),
            };
            lines.push_str(&text);
        }
        let copy = format!("copy_{compression}");
        server.write(&copy, &lines);
        for table in ["soil", "air now"] {
            let original = server.rows("garden", table);
            assert_eq!(server.rows(&copy, table), original, "{lines}");
        }
    }
}

#[test]
fn all_formats_have_the_same_rows() {
    let server = garden();
    let export = |options: &str| {
        let folder = tempfile::tempdir().unwrap();
        server.export(&format!("-t soil {options}"), &folder);
        files(&folder.path().join("out"))
    };
    let parquet = all_rows(&export(""), "parquet");
    let plain: Vec<_> = parquet.iter().map(without_dictionaries).collect();
    for (options, extension) in [
        ("--compression none", "parquet"),
        ("--compression snappy", "parquet"),
        ("--compression gzip", "parquet"),
        ("--compression lz4", "parquet"),
    ] {
        let found = all_rows(&export(options), extension);
        assert_eq!(found, parquet, "{options}");
    }
    for compression in ["none", "lz4", "zstd"] {
        let options = format!("--format arrow --compression {compression}");
        let found: Vec<_> = all_rows(&export(&options), "arrow")
            .iter()
            .map(|rows| rows.columns().to_vec())
            .collect();
        assert_eq!(found, plain, "{options}");
    }
    let json = export("--format jsonl");
    let lines: usize = json
        .values()
        .map(|text| text.iter().filter(|byte| **byte == b'\n').count())
        .sum();
    assert_eq!(lines, 5);
    let csv: Vec<_> = export("--format csv")
        .values()
        .map(|text| String::from_utf8(text.clone()).unwrap())
        .collect();
    assert!(
        csv.iter()
            .all(|text| text.starts_with("bed,count,moisture,note,ok,row,size,time\n")),
        "{csv:?}"
    );
}

#[test]
fn an_interrupted_export_continues_with_the_state_it_began_with() {
    let server = garden();
    let folder = tempfile::tempdir().unwrap();
    server.export("", &folder);
    let out = folder.path().join("out");
    let complete = files(&out);
    // As after a kill: the manifest names a part less, and a file is half written.
    let manifest = fs::read_to_string(out.join("export.json")).unwrap();
    let mut manifest: Value = serde_json::from_str(&manifest).unwrap();
    manifest["complete"] = false.into();
    manifest["parts"].as_array_mut().unwrap().remove(1);
    fs::write(out.join("export.json"), manifest.to_string()).unwrap();
    fs::create_dir(out.join(".partial")).unwrap();
    fs::write(out.join(".partial/1"), "PAR1").unwrap();
    fs::remove_file(out.join("soil/day=2026-01-02/part-00000000000000.parquet")).unwrap();
    server.write("garden", "soil,bed=new moisture=1 1767225600000000000");
    let text = server.export("", &folder);
    assert!(text.starts_with("6 rows in 4 files with "), "{text}");
    assert_eq!(files(&out), complete);
    // A complete export has nothing to do, and leaves nothing.
    assert_eq!(server.export("", &folder), text);
    assert_eq!(files(&out), complete);
    assert!(!out.join(".partial").exists());
    let refused = format!("export -d garden --format csv -o {}", out.display());
    let err = server.run(&refused).failed(1);
    assert_contains!(err, "has an export with another format");
}

#[test]
fn verification_reports_files_that_differ_are_missing_or_do_not_belong_there() {
    let server = garden();
    let folder = tempfile::tempdir().unwrap();
    server.export("--format csv", &folder);
    let out = folder.path().join("out");
    let part = |day: &str| out.join(format!("soil/day={day}/part-00000000000000.csv"));
    let first = fs::read(part("2026-01-01")).unwrap();
    fs::write(part("2026-01-01"), first.to_ascii_uppercase()).unwrap();
    fs::write(part("2026-01-02"), "").unwrap();
    fs::remove_file(part("2026-01-04")).unwrap();
    fs::write(out.join("soil/more.csv"), "").unwrap();
    let err = server.run(&format!("export --verify {}", out.display())).failed(1);
    for expected in [
        "soil/day=2026-01-01/part-00000000000000.csv: its checksum is another one",
        "soil/day=2026-01-02/part-00000000000000.csv: it has 0 bytes instead of ",
        "soil/day=2026-01-04/part-00000000000000.csv: it is missing",
        "soil/more.csv: it is not part of the export",
        "Export command failed: 4 differences were found",
    ] {
        assert!(err.contains(expected), "{expected}: {err}");
    }
}

#[test]
fn a_time_range_and_a_query_select_rows() {
    let server = garden();
    let folder = tempfile::tempdir().unwrap();
    let range = "--from 2026-01-01T00:00:00.000000001Z --to 2026-01-02T00:00:00Z --format jsonl";
    let out = server.export(range, &folder);
    assert!(out.starts_with("2 rows in 1 files with "), "{out}");
    let name = "soil/day=2026-01-01/part-00000000000001.jsonl";
    assert!(files(&folder.path().join("out")).contains_key(name));
    let folder = tempfile::tempdir().unwrap();
    let query = "--format csv --query SELECT/**/bed,moisture/**/FROM/**/soil/**/WHERE/**/moisture>38/**/ORDER/**/BY/**/time/**/LIMIT/**/1";
    server.export(query, &folder);
    let files = files(&folder.path().join("out"));
    let text = String::from_utf8(files["query.csv"].clone()).unwrap();
    assert_eq!(text.lines().next(), Some("bed,moisture"));
    let other = format!("export -d garden -t nothing -o {}/other", folder.path().display());
    let err = server.run(&other).failed(1);
    assert_contains!(err, "table not found: nothing");
}

#[test]
fn slices_are_halved_until_the_server_sends_them() {
    let server = ExportServer::with(&StoreFixture::memory(), &["--max-result-rows", "10"]);
    let line =
        |row: i64| format!("m v={row} {}\n", 1_767_225_600_000_000_000 + row * 600_000_000_000);
    server.write("garden", &(0..144).map(line).collect::<String>());
    let folder = tempfile::tempdir().unwrap();
    let out = server.export("", &folder);
    assert!(out.starts_with("144 rows in 16 files with "), "{out}");
    let rows = all_rows(&files(&folder.path().join("out")), "parquet");
    let total: usize = rows.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(total, 144);
}

#[test]
fn a_query_that_was_finished_before_a_kill_is_not_exported_twice() {
    let server = garden();
    let folder = tempfile::tempdir().unwrap();
    let query = "--query SELECT/**/bed/**/FROM/**/soil/**/LIMIT/**/2";
    let text = server.export(query, &folder);
    assert!(text.starts_with("2 rows in 1 files with "), "{text}");
    let out = folder.path().join("out");
    let manifest = fs::read_to_string(out.join("export.json")).unwrap();
    let mut manifest: Value = serde_json::from_str(&manifest).unwrap();
    manifest["complete"] = false.into();
    fs::write(out.join("export.json"), manifest.to_string()).unwrap();
    assert_eq!(server.export(query, &folder), text);
    let verified = server.run(&format!("export --verify {}", out.display())).succeeded();
    assert!(verified.starts_with("1 files with 2 rows and "), "{verified}");
}

#[test]
fn tables_whose_names_differ_only_in_case_have_folders_that_differ_in_more() {
    let server = ExportServer::new();
    let lines = "CPU v=1 1767225600000000000\ncpu v=2 1767225600000000000";
    server.write("garden", lines);
    let folder = tempfile::tempdir().unwrap();
    let text = server.export("--format lp", &folder);
    assert!(text.starts_with("2 rows in 2 files with "), "{text}");
    let files = files(&folder.path().join("out"));
    for (folder, line) in [("CPU", "CPU v=1 "), ("cpu~2", "cpu v=2 ")] {
        let file = &files[&format!("{folder}/day=2026-01-01/part-00000000000000.lp")];
        assert!(file.starts_with(line.as_bytes()), "{folder}");
    }
}

#[test]
fn copy_into_a_directory_refuses_names_in_whose_way_something_is() {
    let store = StoreFixture::directory();
    let server = ExportServer::with(&store, &[]);
    server.write("garden", LINES);
    let copy = |name: &str, mode: &str| {
        let sql = format!("COPY soil TO '{name}' STORED AS CSV OPTIONS (overwrite '{mode}')");
        let body = json!({"db": "garden", "q": sql}).to_string();
        let request = server.0.request("POST", "/api/v3/query_sql").body(body);
        Reply::receive(request).unwrap()
    };
    assert_eq!(copy("a", "false").status, 200);
    assert_eq!(copy("b/c", "false").status, 200);
    let long = "x".repeat(256);
    for (name, expected) in [
        ("a/b", "is a file, not a directory"),
        ("b", "is a directory"),
        (long.as_str(), "the name has a part with 256 bytes"),
    ] {
        for mode in ["false", "true"] {
            let refused = copy(name, mode);
            assert_eq!(refused.status, 400, "{name}: {}", refused.text());
            assert!(refused.text().contains(expected), "{name}: {}", refused.text());
        }
    }
}
