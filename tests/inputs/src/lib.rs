//! What tests and benchmarks share: optional inputs, the number of random cases, generated data, and tables of texts.
//!
//! A test whose input is missing passes, and `scripts/test` lists such tests at the end. A simulation takes the number of its
//! schedules from `NEAP_SIM_SEEDS`, and else from `NEAP_TEST_CASES`.
//!
//! | variable | effect |
//! |---|---|
//! | `NEAP_TEST_SKIPPED` | file to which each test without an input appends a line; `scripts/test` sets and shows it |
//! | `NEAP_REQUIRE_TEST_INPUTS` | if set to any value, a missing [`InputOrigin::Installed`] fails the test |
//! | `NEAP_TEST_CASES` | of 256 random cases, the number that a test tries; `scripts/test` sets 13, a twentieth |
//! | `NEAP_SIM_SEEDS` | the number of schedules that each simulation tries |

#[cfg(test)]
mod fuzz_corpora;
pub mod tsbs;
mod xor_shift;

use std::{fmt, fs::OpenOptions, io::Write, process::Command};

pub use xor_shift::XorShift;

/// Origin of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputOrigin {
    /// A part of the project, or a program or service that `scripts/test --all` installs or starts.
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

/// Returns how many random cases a property or a simulation tries that has `all` in the whole run. `NEAP_TEST_CASES` scales it,
/// and not `PROPTEST_CASES`, because proptest replaces the number of every property by the value of that variable.
pub fn cases(all: u32) -> u32 {
    let of_256 = number("NEAP_TEST_CASES").unwrap_or(256);
    let cases = (u64::from(all) * of_256).div_ceil(256).max(1);
    u32::try_from(cases).unwrap_or(u32::MAX)
}

/// Returns how many schedules a simulation tries that has `all` in the whole run.
pub fn seeds(all: u32) -> u64 {
    number("NEAP_SIM_SEEDS").unwrap_or_else(|| cases(all).into())
}

/// Returns the number in a variable of the environment; `None` if it is not set.
///
/// # Panics
/// The variable is no number.
#[expect(clippy::panic, reason = "the user of the tests gave the number")]
pub fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|error| panic!("{variable} is {text}: {error}")))
}

/// Returns the texts before and after ` ==> ` in each line of a table, without blank lines.
///
/// # Panics
/// A line has no ` ==>`.
#[expect(clippy::panic, reason = "the table is a part of a test")]
pub fn text_pairs(table: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = table.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| {
        let pair = line.split_once(" ==>");
        let (before, after) = pair.unwrap_or_else(|| panic!("{line} has no ` ==>`"));
        (before, after.trim_start())
    })
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
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
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
