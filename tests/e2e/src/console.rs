//! The console: its page in the program, its documents in the bucket, and its tests in a browser.

mod assistant;
mod browser;
mod documents;

use std::fs;

use serde_json::json;

use crate::harness::{NeapProcess, Reply, StoreFixture, repository};

#[test]
fn the_page_of_the_built_program_is_served_without_a_token() {
    let server = NeapProcess::serve_with_tokens(&StoreFixture::memory(), &[]);
    let page = server.get("/");
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").is_some());
    let built = repository().join("console/web/dist");
    match fs::read_to_string(built.join("index.html")) {
        Ok(text) => {
            assert_eq!(page.text(), text);
            for entry in fs::read_dir(built.join("console/assets")).unwrap() {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                let file = server.get(&format!("/console/assets/{name}"));
                assert!(file.bytes == fs::read(entry.path()).unwrap(), "{name}");
            }
        }
        Err(_) => assert!(page.text().contains("npm run build"), "{}", page.text()),
    }
    assert_eq!(server.get("/console/assets/missing.js").status, 404);
    assert_eq!(server.get("/api/v3/console/session").status, 401);
}

#[test]
fn the_session_names_the_process_and_what_it_does() {
    let flags = ["--node-id", "n7", "--mode", "ingest,query"];
    let server = NeapProcess::serve_with(&StoreFixture::memory(), &flags);
    server.write("garden", "soil v=1 1");
    let session = server.get("/api/v3/console/session").text();
    let session: serde_json::Value = serde_json::from_str(&session).unwrap();
    assert_eq!(session["node_id"], "n7");
    assert_eq!(session["mode"], "ingest,query");
    assert_eq!(session["tokens_required"], false);
    assert_eq!(session["databases"][1]["name"], "garden");
}

#[test]
fn a_process_that_answers_no_queries_has_no_page() {
    let server = NeapProcess::serve_with(&StoreFixture::memory(), &["--mode", "ingest"]);
    for path in ["/", "/api/v3/console/session"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
}

#[test]
fn answers_are_arrow_streams_on_request() {
    let server = NeapProcess::serve(&StoreFixture::memory());
    server.write("db", "m,host=a v=1 1\nm,host=b v=2 2");
    for (path, text) in [
        ("/api/v3/query_sql", "SELECT host, v, time FROM m ORDER BY time"),
        ("/api/v3/query_influxql", "SELECT host, v FROM m"),
    ] {
        let body = json!({"db": "db", "q": text, "format": "arrow"}).to_string();
        let answer = Reply::receive(server.request("POST", path).body(body)).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/vnd.apache.arrow.stream"));
        // The first message begins with the mark of a stream, and the last one is its end.
        assert!(answer.bytes.starts_with(&[0xff; 4]), "{path}");
        assert!(answer.bytes.ends_with(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]), "{path}");
        for part in [b"host".as_slice(), b"iox::column::type", b"ab"] {
            let has = answer.bytes.windows(part.len()).any(|window| window == part);
            assert!(has, "{path}: {}", String::from_utf8_lossy(part));
        }
    }
}
