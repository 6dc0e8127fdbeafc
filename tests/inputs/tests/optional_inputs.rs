//! Tests of what happens to a test without its input.
//!
//! `scripts/quickstart` builds this test beside the program, so that Cargo gives the dependencies the features of the tests.

use std::{
    env, fs, io,
    process::{self, Command},
};

use neap_test_inputs::{InputOrigin, skip};

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
fn passes(test: &str, variables: &[(&str, &str)]) -> io::Result<bool> {
    let program = env::args_os().next().unwrap_or_default();
    let mut command = Command::new(program);
    command
        .args(["--exact", "--ignored", test])
        .env_remove("NEAP_REQUIRE_TEST_INPUTS")
        .env_remove("NEAP_TEST_SKIPPED")
        .env("NEXTEST_TEST_NAME", test)
        .envs(variables.iter().copied());
    Ok(command.output()?.status.success())
}

#[test]
fn a_missing_input_is_a_failure_where_it_is_installed_and_required() {
    let required = [("NEAP_REQUIRE_TEST_INPUTS", "1")];
    assert!(passes("a_test_without_an_installed_input", &[]).unwrap());
    assert!(!passes("a_test_without_an_installed_input", &required).unwrap());
    assert!(passes("a_test_without_an_external_input", &required).unwrap());
}

#[test]
fn each_test_without_an_input_adds_a_line_to_the_list() {
    let list = env::temp_dir().join(format!("neap-skipped-{}", process::id()));
    let variables = [("NEAP_TEST_SKIPPED", list.to_str().unwrap())];
    assert!(passes("a_test_without_an_installed_input", &variables).unwrap());
    assert!(passes("a_test_without_an_external_input", &variables).unwrap());
    let lines = fs::read_to_string(&list).unwrap();
    fs::remove_file(&list).unwrap();
    assert_eq!(
        lines,
        "no such program\ta_test_without_an_installed_input\n\
         no such data\ta_test_without_an_external_input\n"
    );
}
