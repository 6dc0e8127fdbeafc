//! Optional test inputs. A test whose input is missing passes, and `scripts/test` lists such tests at the end.
//!
//! | variable | effect |
//! |---|---|
//! | `NEAP_TEST_SKIPPED` | file to which each test without an input appends a line; `scripts/test` sets and shows it |
//! | `NEAP_REQUIRE_TEST_INPUTS` | if set to any value, a missing [`InputOrigin::Installed`] fails the test |

#[cfg(test)]
mod fuzz_corpora;

use std::{fmt, fs::OpenOptions, io::Write, process::Command};

/// Origin of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputOrigin {
    /// A part of the project, or a program or service that `scripts/test` installs or starts.
    Installed,
    /// Third-party recordings, guides, and data, which exist next to the project on some machines.
    External,
}

/// Reports that a test is skipped because its input is missing.
///
/// # Panics
/// The input is [`InputOrigin::Installed`] and `NEAP_REQUIRE_TEST_INPUTS` is set, or the file in `NEAP_TEST_SKIPPED` can't be
/// written.
#[expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "it prints for the user of the tests"
)]
pub fn skip(input: InputOrigin, missing: impl fmt::Display) {
    let test = std::env::var("NEXTEST_TEST_NAME").unwrap_or_else(|_| thread_name());
    if input == InputOrigin::Installed && std::env::var_os("NEAP_REQUIRE_TEST_INPUTS").is_some() {
        panic!("{test} has no input: {missing}");
    }
    println!("skipped: {missing}");
    let Some(path) = std::env::var_os("NEAP_TEST_SKIPPED") else {
        return;
    };
    let file = OpenOptions::new().create(true).append(true).open(&path);
    // Each line is one write, because tests of other processes append to the file at the same time.
    let line = format!("{missing}\t{test}\n");
    if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
        panic!("{}: {error}", path.display());
    }
}

/// Prints the version of the kernel's Landlock; -1 if it has none.
const LANDLOCK_VERSION: &str = "import ctypes\nprint(ctypes.CDLL(None).syscall(444, None, 0, 1))";

/// Returns whether the kernel has this version of Landlock. Otherwise, the test is reported as skipped.
///
/// # Panics
/// As [`skip`].
pub fn has_landlock(version: i32) -> bool {
    let printed = Command::new("python3")
        .args(["-c", LANDLOCK_VERSION])
        .output();
    let printed = printed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let found = printed.ok().and_then(|printed| printed.trim().parse().ok());
    let is_there = found.is_some_and(|found: i32| found >= version);
    if !is_there {
        let missing = format!("the kernel has no Landlock of version {version}");
        skip(InputOrigin::External, missing);
    }
    is_there
}

fn thread_name() -> String {
    let thread = std::thread::current();
    thread.name().unwrap_or("a test").to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    #[ignore = "the other tests start it"]
    fn a_test_without_an_installed_input() {
        skip(InputOrigin::Installed, "no such program");
    }

    #[test]
    #[ignore = "the other tests start it"]
    fn a_test_without_an_external_input() {
        skip(InputOrigin::External, "no such data");
    }

    /// Runs one of the tests above with these variables; returns whether it passes.
    fn passes(test: &str, variables: &[(&str, &str)]) -> bool {
        let test = format!("tests::{test}");
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "--ignored", &test])
            .env_remove("NEAP_REQUIRE_TEST_INPUTS")
            .env_remove("NEAP_TEST_SKIPPED")
            .env("NEXTEST_TEST_NAME", &test)
            .envs(variables.iter().copied());
        command.output().unwrap().status.success()
    }

    #[test]
    fn a_missing_input_is_a_failure_where_it_is_installed_and_required() {
        let required = [("NEAP_REQUIRE_TEST_INPUTS", "1")];
        assert!(passes("a_test_without_an_installed_input", &[]));
        assert!(!passes("a_test_without_an_installed_input", &required));
        assert!(passes("a_test_without_an_external_input", &required));
    }

    #[test]
    fn each_test_without_an_input_adds_a_line_to_the_list() {
        let list = std::env::temp_dir().join(format!("neap-skipped-{}", std::process::id()));
        let variables = [("NEAP_TEST_SKIPPED", list.to_str().unwrap())];
        assert!(passes("a_test_without_an_installed_input", &variables));
        assert!(passes("a_test_without_an_external_input", &variables));
        let lines = fs::read_to_string(&list).unwrap();
        fs::remove_file(&list).unwrap();
        assert_eq!(
            lines,
            "no such program\ttests::a_test_without_an_installed_input\n\
             no such data\ttests::a_test_without_an_external_input\n"
        );
    }
}
