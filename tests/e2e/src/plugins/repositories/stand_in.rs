//! A stand-in for a repository of plugins with a registry, over HTTP.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    thread,
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Contents by path.
type Files = BTreeMap<String, Vec<u8>>;

/// Serves the files of a checkout, an index, and an archive of each plugin. The plugin `damaged` has the archive of another.
pub(super) struct StandInRepository {
    url: String,
}

impl StandInRepository {
    pub(super) fn serve(checkout: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/main", listener.local_addr().unwrap());
        let files = Arc::new(files(checkout, &url));
        thread::spawn(move || {
            for connection in listener.incoming() {
                let files = Arc::clone(&files);
                thread::spawn(move || answer(connection.unwrap(), &files));
            }
        });
        Self { url }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

fn answer(mut connection: TcpStream, files: &Files) {
    let mut lines = BufReader::new(connection.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(request) = lines.next() else {
        return;
    };
    // The headers end with an empty line.
    lines.find(String::is_empty);
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (status, body) = match files.get(path) {
        Some(body) => ("200 OK", body.as_slice()),
        None => ("404 Not Found", &b"404: Not Found"[..]),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    // The client may be gone.
    let _sent = connection.write_all(&[head.as_bytes(), body].concat());
}

fn files(checkout: &Path, url: &str) -> Files {
    let (mut files, mut entries) = (Files::new(), Vec::new());
    for plugin in fs::read_dir(checkout.join("influxdata")).unwrap() {
        let plugin = plugin.unwrap();
        let name = plugin.file_name().into_string().unwrap();
        let mut own = Files::new();
        for file in fs::read_dir(plugin.path()).unwrap() {
            let file = file.unwrap();
            if file.file_type().unwrap().is_file() {
                let content = fs::read(file.path()).unwrap();
                own.insert(file.file_name().into_string().unwrap(), content);
            }
        }
        for (file, content) in &own {
            files.insert(format!("/main/influxdata/{name}/{file}"), content.clone());
        }
        let manifest = String::from_utf8(own["manifest.toml"].clone()).unwrap();
        let entry = entry(&manifest);
        let version = entry["version"].as_str().unwrap().to_owned();
        own.retain(|file, _| !file.starts_with("test_"));
        let archive = archive(&format!("{name}-{version}"), &own);
        let hash = format!("sha256:{}", hex::encode(Sha256::digest(&archive)));
        for (version, hash, yanked) in [
            ("0.0.1", "sha256:0", false),
            (version.as_str(), hash.as_str(), false),
            ("9.0.0", "sha256:0", true),
        ] {
            let mut entry = entry.clone();
            entry["version"] = version.into();
            entry["hash"] = hash.into();
            if yanked {
                entry["yanked"] = true.into();
            }
            entries.push(entry);
        }
        if name == "greeter" {
            let damaged = json!({ "name": "damaged", "version": "1.0.0", "hash": "sha256:0", "yanked": false });
            files.insert("/main/artifacts/damaged-1.0.0.tar.gz".to_owned(), archive.clone());
            entries.push(damaged);
        }
        files.insert(format!("/main/artifacts/{name}-{version}.tar.gz"), archive);
    }
    let index = json!({
        "index_schema_version": "2.1", "artifacts_url": format!("{url}/artifacts"), "plugins": entries,
    });
    files.insert("/main/index.json".to_owned(), index.to_string().into_bytes());
    files
}

/// Returns the entry of the index for a manifest, in which each value is on one line.
fn entry(manifest: &str) -> Value {
    let value = |key: &str| {
        let lines = manifest.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let text = |text: &String| text.trim_matches('"').to_owned();
    let list = |key: &str| {
        let list = value(key).pop().unwrap_or_else(|| "[]".to_owned());
        serde_json::from_str::<Value>(&list).unwrap()
    };
    // The first name and version are those of the plugin itself.
    let (names, versions) = (value("name"), value("version"));
    let needed = names.iter().zip(&versions).skip(1).zip(value("index_url"));
    let plugins: Vec<_> = needed
        .map(|((name, version), index)| json!({ "name": text(name), "version": text(version), "index_url": text(&index) }))
        .collect();
    json!({
        "name": text(&names[0]),
        "version": text(&versions[0]),
        "description": text(&value("description")[0]),
        "triggers": list("triggers"),
        "dependencies": {
            "database_version": ">=3.0.0",
            "python": list("python"),
            "plugins": plugins,
        },
    })
}

fn archive(folder: &str, files: &Files) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("{folder}/{path}"), content.as_slice())
            .unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}
