//! Stores that published releases have written are read and continued. Those of later releases are refused.
//!
//! `scripts/release-fixture` makes an archive of each release, with a store and the answers of the release. Until 0.1.0 is published,
//! its archive is made anew after each change of a format.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use neap_test_inputs::{InputOrigin, skip};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{NeapProcess, Reply, ServerClient, StoreFixture, neap, repository, wait_for};

/// The time until rows are flushed and in the views: several times the flush lag.
const FLUSH_LIMIT: Duration = Duration::from_secs(90);

/// The program of a former release, for a test of both.
const FORMER_PROGRAM: &str = "NEAP_FORMER_BIN";

/// The store of a release, and its answers.
#[derive(Debug)]
struct ReleaseFixture {
    folder: TempDir,
    recorded: Value,
}

impl ReleaseFixture {
    fn all() -> Vec<Self> {
        let folder = repository().join("tests/e2e/data/releases");
        let archives = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let fixtures: Vec<_> = archives.map(|archive| Self::unpacked(&archive)).collect();
        assert!(!fixtures.is_empty());
        fixtures
    }

    fn unpacked(archive: &Path) -> Self {
        let folder = TempDir::new().unwrap();
        let unpacked =
            Command::new("tar").arg("xzf").arg(archive).current_dir(folder.path()).status();
        assert!(unpacked.unwrap().success(), "{}", archive.display());
        let answers = fs::read(folder.path().join("answers.json")).unwrap();
        let recorded = serde_json::from_slice(&answers).unwrap();
        Self { folder, recorded }
    }

    fn store(&self) -> StoreFixture {
        let path = self.folder.path().join("store");
        StoreFixture::at(path.to_str().unwrap())
    }

    fn serve(&self, program: &Path) -> (NeapProcess, ServerClient) {
        let started = NeapProcess::try_spawn(program, |command, address| {
            command.args(["serve", "--http-bind", "127.0.0.1:0", "--rollup-interval", "1s"]);
            command.arg("--tcp-listener-file-path").arg(address);
            command.args(self.store().flags);
        });
        let server = started.unwrap_or_else(|reason| panic!("{reason}"));
        let client = server.with_token(self.recorded["token"].as_str().unwrap());
        (server, client)
    }

    /// Returns the first answer of a server that is not that of the release.
    fn other_answer(&self, server: &ServerClient) -> Option<String> {
        let mut answers = self.recorded["answers"].as_array().unwrap().iter();
        answers.find_map(|answer| {
            let path = format!("/api/v3/query_{}", answer["language"].as_str().unwrap());
            let body = json!({"db": answer["db"], "q": answer["q"], "format": "json"});
            let reply =
                Reply::receive(server.request("POST", &path).body(body.to_string())).unwrap();
            assert_eq!(reply.status, 200, "{}: {}", answer["q"], reply.text());
            let rows: Value = serde_json::from_slice(&reply.bytes).unwrap();
            (rows != answer["rows"]).then(|| format!("{}: {rows}", answer["q"]))
        })
    }

    /// Returns the objects whose first bytes are a magic.
    fn objects(&self, magic: &[u8; 4]) -> Vec<PathBuf> {
        let mut folders = vec![self.folder.path().join("store")];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if fs::read(&path).unwrap().starts_with(magic) {
                    found.push(path);
                }
            }
        }
        assert!(!found.is_empty());
        found
    }
}

fn present_program() -> PathBuf {
    crate::harness::neap_binary()
}

fn speed_rows(server: &ServerClient, host: &str) -> u64 {
    let sql = format!("SELECT count(*) AS n FROM machine WHERE line = '{host}'");
    server.query("factory", &sql)[0]["n"].as_u64().unwrap()
}

#[test]
fn stores_of_all_releases_are_read_and_continued() {
    for release in ReleaseFixture::all() {
        let (process, server) = release.serve(&present_program());
        assert_eq!(release.other_answer(&server), None);
        // New rows go beside the former ones: into the tail, the sections, the caches and the view.
        server.write("factory", "machine,line=new,unit=u1 speed=1,load=2i 1767225600");
        assert_eq!(speed_rows(&server, "new"), 1);
        let view = "SELECT n FROM machine_1h WHERE line = 'new'";
        wait_for("the view", FLUSH_LIMIT, || {
            (server.query("factory", view) == [json!({"n": 1})]).then_some(())
        });
        let newest = "SELECT line FROM last_cache('machine', 'newest') WHERE line = 'new'";
        assert_eq!(server.query("factory", newest), [json!({"line": "new"})]);
        server.query("factory", "DELETE FROM machine WHERE line = 'new'");
        wait_for("the former answers", FLUSH_LIMIT, || {
            release.other_answer(&server).is_none().then_some(())
        });
        process.stop();
        let flags = release.store().flags;
        let check: Vec<&str> =
            ["fsck", "--full"].into_iter().chain(flags.iter().map(String::as_str)).collect();
        neap(&check).succeeded();
    }
}

/// An update of one process after the other. The former program is given by a variable, because it takes as long to compile
/// as the present one.
#[test]
fn the_former_and_the_present_program_serve_one_store() {
    let Some(former) = env::var_os(FORMER_PROGRAM) else {
        let missing = format!("no program of a former release ({FORMER_PROGRAM})");
        return skip(InputOrigin::External, missing);
    };
    for release in ReleaseFixture::all() {
        let (one, former_server) = release.serve(Path::new(&former));
        let (two, server) = release.serve(&present_program());
        let mut stamp = None;
        for n in 0..40_u32 {
            let (writer, reader) = match n % 2 {
                0 => (&former_server, &server),
                _ => (&server, &former_server),
            };
            let line =
                format!("machine,line=rolling,unit=u1 speed={n} {}", 1_767_225_600 + u64::from(n));
            stamp = Some(writer.write_after("factory", &line, stamp));
            let sql =
                "SELECT count(*) AS n, max(speed) AS speed FROM machine WHERE line = 'rolling'";
            let rows = reader.query_after("factory", sql, stamp);
            assert_eq!(rows, [json!({"n": n + 1, "speed": f64::from(n)})]);
            // Some rows are flushed by either program.
            if n % 10 == 9 {
                let flushed = "SELECT count(*) AS n FROM system.versions";
                let before = reader.query("factory", flushed);
                wait_for("a flush", FLUSH_LIMIT, || {
                    (reader.query("factory", flushed) != before).then_some(())
                });
            }
        }
        one.stop();
        assert_eq!(speed_rows(&server, "rolling"), 40);
        server.query("factory", "DELETE FROM machine WHERE line = 'rolling'");
        two.stop();
    }
}

#[test]
fn a_store_of_a_later_release_is_refused_and_not_changed() {
    for (magic, kind) in
        [(b"NRCT", "root catalog"), (b"NDCT", "database catalog"), (b"NMAN", "manifest")]
    {
        let release = ReleaseFixture::all().pop().unwrap();
        let objects = release.objects(magic);
        for object in &objects {
            let mut bytes = fs::read(object).unwrap();
            bytes[4] += 100;
            fs::write(object, &bytes).unwrap();
        }
        let message = format!("this release reads {kind} up to version");
        let started = NeapProcess::try_spawn(&present_program(), |command, address| {
            command.args(["serve", "--http-bind", "127.0.0.1:0", "--without-auth"]);
            command.arg("--tcp-listener-file-path").arg(address);
            command.args(release.store().flags);
        });
        match started {
            Err(reason) => assert!(reason.contains(&message), "{reason}"),
            Ok(server) => {
                let body = json!({"db": "factory", "q": "SELECT * FROM machine"}).to_string();
                let query = server.request("POST", "/api/v3/query_sql").body(body);
                let query = Reply::receive(query).unwrap();
                assert!(query.status >= 500, "{kind}: {}", query.text());
                let log = server.log();
                assert!(log.contains(&message) || query.text().contains(&message), "{kind}: {log}");
            }
        }
        for object in &objects {
            let name = object.display();
            assert!(fs::read(object).unwrap()[4] >= 100, "{name} was replaced");
        }
    }
}
