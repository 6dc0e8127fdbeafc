//! The main job on Azure Blob Storage, as far as Azurite emulates it.
//!
//! `scripts/test --all` installs Azurite. The variable `NEAP_AZURITE` names its program `azurite-blob`.

use std::{
    fs::{self, File},
    path::Path,
    process::Child,
    time::Duration,
};

use neap_test_inputs::{InputOrigin, skip};
use tempfile::TempDir;

use crate::{
    harness::{Reply, ServerClient, StoreFixture, program, wait_for},
    main_job::check_main_job,
};

/// Maximum duration of a start of Azurite.
const START: Duration = Duration::from_secs(60);

/// The account of Azurite, whose key is well known.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

const CONTAINER: &str = "measurements";

/// The query of a request that creates a container, with a signature by [`KEY`] that is valid until 2099.
const CREATE_CONTAINER: &str = "restype=container&sv=2023-11-03&ss=b&srt=c&sp=c&se=2099-01-01T00%3A00%3A00Z\
    &sig=i%2FFv4dJsGWgRh2qi2Fy%2F%2BOilEJxL4MQQl8wlC0SeGw4%3D";

/// A running Azurite with its objects in memory, killed on drop.
#[derive(Debug)]
struct Azurite {
    child: Child,
    folder: TempDir,
}

impl Azurite {
    /// Starts Azurite, or skips the test if it is not installed.
    fn start() -> Option<Self> {
        let Some(path) = std::env::var_os("NEAP_AZURITE") else {
            skip(InputOrigin::Installed, "NEAP_AZURITE does not name the program");
            return None;
        };
        let folder = TempDir::new().unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let mut command = program(Path::new(&path), folder.path());
        command
            .args(["--blobHost", "127.0.0.1", "--blobPort", "0", "--silent"])
            .args(["--inMemoryPersistence", "--disableTelemetry"])
            // Longer than the client keeps idle connections.
            .args(["--blobKeepAliveTimeout", "60"])
            // The client may use a newer version of the interface.
            .arg("--skipApiVersionCheck")
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let child = command.spawn().unwrap();
        Some(Self { child, folder })
    }

    /// Waits until Azurite listens, and creates a container.
    fn create_container(&mut self) -> StoreFixture {
        let log = self.folder.path().join("log");
        let url = wait_for("address of Azurite", START, || {
            let printed = fs::read_to_string(&log).unwrap();
            assert_eq!(self.child.try_wait().unwrap(), None, "{printed}");
            let (_, url) = printed.split_once("listens on ")?;
            url.split_once('\n').map(|(url, _)| url.to_owned())
        });
        let endpoint = format!("{url}/{ACCOUNT}");
        let path = format!("/{CONTAINER}?{CREATE_CONTAINER}");
        let create = ServerClient::at(&endpoint).request("PUT", &path).body("");
        let created = Reply::receive(create).unwrap();
        assert_eq!(created.status, 201, "{}", created.text());
        StoreFixture::azure(&endpoint, CONTAINER, ACCOUNT, KEY)
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn the_main_job_is_done_on_a_container() {
    if let Some(mut azurite) = Azurite::start() {
        check_main_job(&azurite.create_container());
    }
}
