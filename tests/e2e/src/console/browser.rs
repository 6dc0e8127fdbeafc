//! The browser tests of the console, which are in `console/web/tests`.
//!
//! | variable | names |
//! |---|---|
//! | `NEAP_CONSOLE_NPM` | npm, if the packages of `console/web` are installed |
//! | `NEAP_CHROMIUM` | Chromium |

use std::{fs::File, path::PathBuf, time::Duration};

use neap_test_inputs::{InputOrigin, skip};

use crate::harness::{neap_binary, program, repository, s3_server_binary, wait_for};

/// Maximum duration of all browser tests.
const LIMIT: Duration = Duration::from_secs(2_000);

/// Returns the program in a variable, or skips the test.
fn installed(variable: &str, origin: InputOrigin, missing: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map(PathBuf::from);
    if path.is_none() {
        skip(origin, format_args!("{variable}: {missing}"));
    }
    path
}

#[test]
fn the_console_works_in_a_browser() {
    let npm = installed(
        "NEAP_CONSOLE_NPM",
        InputOrigin::Installed,
        "no Node.js 20 with npm, so the console is not tested in a browser",
    );
    let Some(npm) = npm else { return };
    let chromium = installed(
        "NEAP_CHROMIUM",
        InputOrigin::External,
        "no Chromium, so the console is not tested in a browser",
    );
    let Some(chromium) = chromium else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let output = File::create(&log).unwrap();
    let web = repository().join("console/web");
    let mut command = program(&npm, &web);
    command
        .args(["run", "--silent", "test:browser"])
        .env("HOME", folder.path())
        .env("NEAP_BIN", neap_binary())
        .env("NEAP_S3_SERVER_BIN", s3_server_binary())
        .env("NEAP_CHROMIUM", chromium)
        .stdout(output.try_clone().unwrap())
        .stderr(output);
    let mut child = command.spawn().unwrap();
    let status = wait_for("end of the browser tests", LIMIT, || child.try_wait().unwrap());
    let log = std::fs::read_to_string(log).unwrap();
    assert!(status.success(), "{status}\n{log}");
}
