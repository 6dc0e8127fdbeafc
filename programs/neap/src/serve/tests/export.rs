//! Tests of `neap export` against a listening server.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch},
    compute::{cast, concat_batches},
    datatypes::{DataType, Int32Type, TimestampNanosecondType},
    ipc::reader::FileReader,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::ServerUnderTest;
use crate::cli::{Environment, run};

/// Rows of three days with every type, and texts that need escapes.
const LINES: &str = r#"soil,bed=herbs moisture=38.5,count=-9223372036854775808i,size=18446744073709551615u,ok=true,note="a \"b\", \\ c" 1767225600000000000
soil,bed=herbs\ and\ more,row=a\=b\,c moisture=1e300 1767225600000000001
soil,bed=tomatoes moisture=-0.1,note="two
lines" 1767311999999999999
soil,bed=herbs moisture=38.25,ok=false 1767312000000000000
soil,bed=herbs note="" 1767484800000000000
air\ now temp=21.5 1767225600000000000
"#;

/// A server that listens, and the address of it.
struct ListeningServer {
    served: ServerUnderTest,
    url: String,
}

impl ListeningServer {
    async fn new() -> Self {
        Self::with(&["--object-store", "memory", "--without-auth"]).await
    }

    async fn with(args: &[&str]) -> Self {
        let served = ServerUnderTest::new(args).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let router = served.app.router.clone();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            served,
            url: format!("http://{address}"),
        }
    }

    async fn write(&self, database: &str, lines: &str) {
        let path = format!("/api/v3/write_lp?db={database}&precision=nanosecond");
        let (status, text) = self.served.request("POST", &path, lines).await;
        assert_eq!(status, 204, "{text}");
    }

    async fn rows(&self, database: &str, table: &str) -> String {
        let body = serde_json::json!({
            "db": database,
            "q": format!("SELECT * FROM \"{table}\" ORDER BY time"),
            "format": "jsonl",
        });
        let (status, text) = self
            .served
            .request("POST", "/api/v3/query_sql", &body.to_string())
            .await;
        assert_eq!(status, 200, "{text}");
        text
    }

    /// Runs a command line, and returns its exit status and its output.
    async fn run(&self, line: &str) -> (u8, String, String) {
        let words: Vec<String> = ["neap"]
            .into_iter()
            .chain(line.split_whitespace())
            .map(str::to_owned)
            .collect();
        let url = self.url.clone();
        let command = move || {
            let environment: Environment = [("NEAP_HOST_URL", url.as_str())].into_iter().collect();
            let (mut console, out, err) = crate::console::testing::console("");
            let words = words.into_iter().map(Into::into);
            let status = run(words, &environment, &mut console);
            (status, out.text(), err.text())
        };
        tokio::task::spawn_blocking(command).await.unwrap()
    }

    async fn export(&self, options: &str, folder: &TempDir) -> String {
        let (folder, line) = (folder.path().display(), "export --database garden");
        let line = format!("{line} {options} --output {folder}/out");
        let (status, out, err) = self.run(&line).await;
        assert_eq!(status, 0, "{line}: {out}{err}");
        out
    }
}

async fn garden() -> ListeningServer {
    let server = ListeningServer::new().await;
    server.write("garden", LINES).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_exported_as_one_parquet_file_for_each_table_and_day() {
    let server = garden().await;
    let folder = tempfile::tempdir().unwrap();
    let out = server.export("", &folder).await;
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
    let times = first.column_by_name("time").unwrap();
    let times = times.as_primitive::<TimestampNanosecondType>();
    assert!(times.values().contains(&1_767_225_600_000_000_001));
    let (status, out, err) = server
        .run(&format!("export --verify {}/out", folder.path().display()))
        .await;
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(out.starts_with("4 files with 6 rows and "), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn line_protocol_restores_every_value_and_type() {
    let server = garden().await;
    for compression in ["none", "gzip", "zstd"] {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("--format lp --compression {compression}");
        server.export(&options, &folder).await;
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
        server.write(&copy, &lines).await;
        for table in ["soil", "air now"] {
            let original = server.rows("garden", table).await;
            assert_eq!(server.rows(&copy, table).await, original, "{lines}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_formats_have_the_same_rows() {
    let server = garden().await;
    let export = async |options: &str| {
        let folder = tempfile::tempdir().unwrap();
        server.export(&format!("-t soil {options}"), &folder).await;
        files(&folder.path().join("out"))
    };
    let parquet = all_rows(&export("").await, "parquet");
    let plain: Vec<_> = parquet.iter().map(without_dictionaries).collect();
    for (options, extension) in [
        ("--compression none", "parquet"),
        ("--compression snappy", "parquet"),
        ("--compression gzip", "parquet"),
        ("--compression lz4", "parquet"),
    ] {
        let found = all_rows(&export(options).await, extension);
        assert_eq!(found, parquet, "{options}");
    }
    for compression in ["none", "lz4", "zstd"] {
        let options = format!("--format arrow --compression {compression}");
        let found = all_rows(&export(&options).await, "arrow");
        let found: Vec<_> = found.iter().map(|rows| rows.columns().to_vec()).collect();
        assert_eq!(found, plain, "{options}");
    }
    let json = export("--format jsonl").await;
    let lines: usize = json
        .values()
        .map(|text| text.iter().filter(|byte| **byte == b'\n').count())
        .sum();
    assert_eq!(lines, 5);
    let csv = export("--format csv").await;
    let csv = csv
        .values()
        .map(|text| String::from_utf8(text.clone()).unwrap());
    let csv: Vec<_> = csv.collect();
    assert!(
        csv.iter()
            .all(|text| text.starts_with("bed,count,moisture,note,ok,row,size,time\n")),
        "{csv:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_export_continues_with_the_state_it_began_with() {
    let server = garden().await;
    let folder = tempfile::tempdir().unwrap();
    server.export("", &folder).await;
    let out = folder.path().join("out");
    let complete = files(&out);
    // As after a kill: the manifest names a part less, and a file is half written.
    let manifest = fs::read_to_string(out.join("export.json")).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    manifest["complete"] = false.into();
    manifest["parts"].as_array_mut().unwrap().remove(1);
    fs::write(out.join("export.json"), manifest.to_string()).unwrap();
    fs::create_dir(out.join(".partial")).unwrap();
    fs::write(out.join(".partial/1"), "PAR1").unwrap();
    fs::remove_file(out.join("soil/day=2026-01-02/part-00000000000000.parquet")).unwrap();
    server
        .write("garden", "soil,bed=new moisture=1 1767225600000000000")
        .await;
    let text = server.export("", &folder).await;
    assert!(text.starts_with("6 rows in 4 files with "), "{text}");
    assert_eq!(files(&out), complete);
    // A complete export has nothing to do, and leaves nothing.
    assert_eq!(server.export("", &folder).await, text);
    assert_eq!(files(&out), complete);
    assert!(!out.join(".partial").exists());
    let refused = format!("export -d garden --format csv -o {}", out.display());
    let (status, _, err) = server.run(&refused).await;
    assert_eq!(status, 1);
    assert!(err.contains("has an export with another format"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn verification_reports_files_that_differ_are_missing_or_do_not_belong_there() {
    let server = garden().await;
    let folder = tempfile::tempdir().unwrap();
    server.export("--format csv", &folder).await;
    let out = folder.path().join("out");
    let part = |day: &str| out.join(format!("soil/day={day}/part-00000000000000.csv"));
    let first = fs::read(part("2026-01-01")).unwrap();
    fs::write(part("2026-01-01"), first.to_ascii_uppercase()).unwrap();
    fs::write(part("2026-01-02"), "").unwrap();
    fs::remove_file(part("2026-01-04")).unwrap();
    fs::write(out.join("soil/more.csv"), "").unwrap();
    let (status, _, err) = server
        .run(&format!("export --verify {}", out.display()))
        .await;
    assert_eq!(status, 1);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_time_range_and_a_query_select_rows() {
    let server = garden().await;
    let folder = tempfile::tempdir().unwrap();
    let range = "--from 2026-01-01T00:00:00.000000001Z --to 2026-01-02T00:00:00Z --format jsonl";
    let out = server.export(range, &folder).await;
    assert!(out.starts_with("2 rows in 1 files with "), "{out}");
    let name = "soil/day=2026-01-01/part-00000000000001.jsonl";
    assert!(files(&folder.path().join("out")).contains_key(name));
    let folder = tempfile::tempdir().unwrap();
    let query = "--format csv --query SELECT/**/bed,moisture/**/FROM/**/soil/**/WHERE/**/moisture>38/**/ORDER/**/BY/**/time/**/LIMIT/**/1";
    server.export(query, &folder).await;
    let files = files(&folder.path().join("out"));
    let text = String::from_utf8(files["query.csv"].clone()).unwrap();
    assert_eq!(text.lines().next(), Some("bed,moisture"));
    let (status, _, err) = server
        .run(&format!(
            "export -d garden -t nothing -o {}/other",
            folder.path().display()
        ))
        .await;
    assert_eq!(status, 1);
    assert!(err.contains("table not found: nothing"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_are_halved_until_the_server_sends_them() {
    let args = [
        "--object-store",
        "memory",
        "--without-auth",
        "--max-result-rows",
        "10",
    ];
    let server = ListeningServer::with(&args).await;
    let line = |row: i64| {
        format!(
            "m v={row} {}\n",
            1_767_225_600_000_000_000 + row * 600_000_000_000
        )
    };
    server
        .write("garden", &(0..144).map(line).collect::<String>())
        .await;
    let folder = tempfile::tempdir().unwrap();
    let out = server.export("", &folder).await;
    assert!(out.starts_with("144 rows in 16 files with "), "{out}");
    let rows = all_rows(&files(&folder.path().join("out")), "parquet");
    let total: usize = rows.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(total, 144);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_was_finished_before_a_kill_is_not_exported_twice() {
    let server = garden().await;
    let folder = tempfile::tempdir().unwrap();
    let query = "--query SELECT/**/bed/**/FROM/**/soil/**/LIMIT/**/2";
    let text = server.export(query, &folder).await;
    assert!(text.starts_with("2 rows in 1 files with "), "{text}");
    let out = folder.path().join("out");
    let manifest = fs::read_to_string(out.join("export.json")).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    manifest["complete"] = false.into();
    fs::write(out.join("export.json"), manifest.to_string()).unwrap();
    assert_eq!(server.export(query, &folder).await, text);
    let (status, verified, err) = server
        .run(&format!("export --verify {}", out.display()))
        .await;
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(
        verified.starts_with("1 files with 2 rows and "),
        "{verified}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_whose_names_differ_only_in_case_have_folders_that_differ_in_more() {
    let server = ListeningServer::new().await;
    let lines = "CPU v=1 1767225600000000000\ncpu v=2 1767225600000000000";
    server.write("garden", lines).await;
    let folder = tempfile::tempdir().unwrap();
    let text = server.export("--format lp", &folder).await;
    assert!(text.starts_with("2 rows in 2 files with "), "{text}");
    let files = files(&folder.path().join("out"));
    for (folder, line) in [("CPU", "CPU v=1 "), ("cpu~2", "cpu v=2 ")] {
        let file = &files[&format!("{folder}/day=2026-01-01/part-00000000000000.lp")];
        assert!(file.starts_with(line.as_bytes()), "{folder}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_into_a_directory_refuses_names_in_whose_way_something_is() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let args = [
        "--object-store",
        "file",
        "--data-dir",
        &data,
        "--without-auth",
    ];
    let server = ListeningServer::with(&args).await;
    server.write("garden", LINES).await;
    let copy = async |name: &str, mode: &str| {
        let sql = format!("COPY soil TO '{name}' STORED AS CSV OPTIONS (overwrite '{mode}')");
        let body = serde_json::json!({"db": "garden", "q": sql}).to_string();
        let request = server.served.request("POST", "/api/v3/query_sql", &body);
        request.await
    };
    assert_eq!(copy("a", "false").await.0, 200);
    assert_eq!(copy("b/c", "false").await.0, 200);
    let long = "x".repeat(256);
    for (name, expected) in [
        ("a/b", "is a file, not a directory"),
        ("b", "is a directory"),
        (long.as_str(), "the name has a part with 256 bytes"),
    ] {
        for mode in ["false", "true"] {
            let (status, text) = copy(name, mode).await;
            assert_eq!(status, 400, "{name}: {text}");
            assert!(text.contains(expected), "{name}: {text}");
        }
    }
}
