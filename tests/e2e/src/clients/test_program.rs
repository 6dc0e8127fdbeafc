//! Programs that test a client library.

use std::{
    ffi::OsStr,
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use neap_test_inputs::{InputOrigin, skip};

use crate::harness::{program, repository, wait_for};

/// Maximum duration of a program, unless it has its own.
const LIMIT: Duration = Duration::from_secs(400);

/// A program that ends with status 0 if its tests pass.
#[derive(Debug)]
pub(crate) struct TestProgram {
    command: Command,
    name: String,
    limit: Duration,
}

impl TestProgram {
    /// Returns the tests of a Python module; `None` if the libraries are not installed.
    pub(crate) fn python(module: &str) -> Option<Self> {
        Self::python_module("NEAP_CLIENTS_PYTHON", module)
    }

    /// Returns a Python program with arguments; `None` if the libraries are not installed.
    pub(crate) fn python_program(name: &str, arguments: &[&OsStr]) -> Option<Self> {
        let folder = repository().join("tests/clients");
        let mut found = Self::installed("NEAP_CLIENTS_PYTHON", &folder, name)?;
        found.command.args(["-B", name]).args(arguments);
        Some(found)
    }

    /// Returns the tests of a Python module that needs the readers of Iceberg tables; `None` if they are not installed.
    pub(super) fn iceberg_reader(module: &str) -> Option<Self> {
        Self::python_module("NEAP_ICEBERG_PYTHON", module)
    }

    /// Returns the tests of a Python module that needs SQLAlchemy 2; `None` if it is not installed.
    pub(super) fn sqlalchemy(module: &str) -> Option<Self> {
        Self::python_module("NEAP_SQLALCHEMY_PYTHON", module)
    }

    /// Returns the tests of a JavaScript module; `None` if the libraries are not installed.
    pub(super) fn node(module: &str) -> Option<Self> {
        let folder = repository().join("tests/clients/node");
        let mut found = Self::installed("NEAP_CLIENTS_NODE", &folder, module)?;
        found.command.args(["--test", module]);
        Some(found)
    }

    /// Returns the tests of a Python module for the interpreter in a variable.
    fn python_module(variable: &str, module: &str) -> Option<Self> {
        let folder = repository().join("tests/clients");
        let mut found = Self::installed(variable, &folder, module)?;
        found.command.args(["-B", "-m", "unittest", "-v", module]);
        Some(found)
    }

    /// Returns a command that runs the interpreter in a variable, or skips the test.
    fn installed(variable: &str, folder: &Path, name: &str) -> Option<Self> {
        let Some(interpreter) = std::env::var_os(variable) else {
            let missing = format!("{variable} names no interpreter that has the client libraries");
            skip(InputOrigin::Installed, missing);
            return None;
        };
        Some(Self {
            command: program(&PathBuf::from(interpreter), folder),
            name: name.to_owned(),
            limit: LIMIT,
        })
    }

    /// Adds arguments of the program.
    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets the maximum duration of the program.
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Sets an environment variable of the program.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs the program with this home, and asserts that its tests pass.
    pub(crate) fn run(mut self, home: &Path) {
        let log = home.join("clients.log");
        let output = File::create(&log).unwrap();
        self.command
            .env("HOME", home)
            .stdout(output.try_clone().unwrap())
            .stderr(output);
        let mut child = self.command.spawn().unwrap();
        let status =
            wait_for("end of the tests of a client", self.limit, || child.try_wait().unwrap());
        let log = std::fs::read_to_string(log).unwrap();
        assert!(status.success(), "{}: {status}\n{log}", self.name);
    }
}
