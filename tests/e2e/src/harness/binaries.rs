//! The paths of the programs under test.

use std::path::{Path, PathBuf};

/// Returns the program `neap`.
pub(crate) fn neap_binary() -> PathBuf {
    find("neap", "NEAP_BIN")
}

/// Returns the S3 server for tests.
pub(crate) fn s3_server_binary() -> PathBuf {
    find("neap-s3-server", "NEAP_S3_SERVER_BIN")
}

/// Returns the local emulation of AWS Lambda.
pub(crate) fn lambda_local_binary() -> PathBuf {
    find("neap-lambda-local", "NEAP_LAMBDA_LOCAL_BIN")
}

/// Returns a function for Lambda: `write`, `query`, `compact` or `engine`.
pub(crate) fn lambda_binary(function: &str) -> PathBuf {
    let variable = format!("NEAP_LAMBDA_{}_BIN", function.to_uppercase());
    find(&format!("neap-lambda-{function}"), &variable)
}

fn find(package: &str, variable: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "{variable}: there is no file {}", path.display());
        return path;
    }
    // The tests are in `deps` of the profile's folder; the programs are in the folder itself.
    let tests = std::env::current_exe().unwrap();
    let profile = tests.ancestors().nth(2).unwrap();
    let path = profile.join(format!("{package}{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.is_file(),
        "there is no {}: run `cargo build -p {package}`, or say in {variable} where it is",
        path.display()
    );
    path
}

/// Returns the root of the repository.
pub(crate) fn repository() -> &'static Path {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.unwrap()
}
