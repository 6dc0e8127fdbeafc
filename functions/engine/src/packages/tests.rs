//! Tests of environments and installers, with fake programs.

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;

struct PackagesFixture {
    folder: tempfile::TempDir,
}

impl PackagesFixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    /// Creates a program that records its arguments and then runs `then`.
    fn program(&self, name: &str, then: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        let calls = self.folder.path().join("calls");
        let text = format!("#!/bin/sh\necho \"{name} $*\" >> {}\n{then}\n", calls.display());
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn calls(&self) -> String {
        let calls = fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default();
        calls.replace(&self.folder.path().display().to_string(), "<folder>")
    }

    fn settings(&self, python: PathBuf, uv: PathBuf) -> PackageSettings {
        PackageSettings {
            environment: Some(self.folder.path().join("env")),
            python,
            uv,
            ..PackageSettings::default()
        }
    }

    /// Returns a script that creates an environment whose interpreter is a fake program.
    fn maker(&self, then: &str) -> String {
        let python = self.program("env-python", then);
        let bin = self.folder.path().join("env/bin");
        format!("mkdir -p {0}; cp {1} {0}/python", bin.display(), python.display())
    }
}

fn packages(settings: PackageSettings) -> PythonEnvironment {
    PythonEnvironment::new(settings, World::system())
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[tokio::test]
async fn pip_installs_into_an_environment_that_is_made_once() {
    let stage = PackagesFixture::new();
    let python = stage.program("python", &stage.maker("exit 0"));
    let packages = packages(stage.settings(python.clone(), stage.folder.path().join("no-uv")));
    assert_eq!(packages.python(), python);
    packages.install(&names(&["a==1", "b"])).await.unwrap();
    packages.install_requirements("/srv/requirements.txt").await.unwrap();
    assert_eq!(packages.python(), stage.folder.path().join("env/bin/python"));
    insta::assert_snapshot!(stage.calls(), @r#"
    python -m venv <folder>/env
    env-python -m pip install --no-input --disable-pip-version-check a==1 b
    env-python -m pip --version
    env-python -m pip install --no-input --disable-pip-version-check -r /srv/requirements.txt
    "#);
}

#[tokio::test]
async fn installers_get_the_named_variables_of_the_server_only() {
    let stage = PackagesFixture::new();
    let shows = "echo $CARGO_PKG_NAME $CARGO_MANIFEST_DIR ${PATH:+path}; exit 1";
    let mut settings = stage.settings(stage.program("python", shows), PathBuf::from("no-uv"));
    settings.passed_variables = vec!["CARGO_PKG_NAME".to_owned()];
    let error = packages(settings).install(&names(&["a"])).await.unwrap_err();
    let expected = format!(": {} path", env!("CARGO_PKG_NAME"));
    assert!(error.to_string().ends_with(&expected), "{error}");
}

#[tokio::test]
async fn an_incomplete_environment_without_pip_is_completed() {
    let stage = PackagesFixture::new();
    let unfinished = stage.folder.path().join("env/bin");
    fs::create_dir_all(&unfinished).unwrap();
    let without_pip = stage.program("without-pip", "exit 1");
    fs::copy(without_pip, unfinished.join("python")).unwrap();
    let python = stage.program("python", &stage.maker("exit 0"));
    let packages = packages(stage.settings(python, stage.folder.path().join("no-uv")));
    packages.install(&names(&["a"])).await.unwrap();
    insta::assert_snapshot!(stage.calls(), @r#"
    without-pip -m pip --version
    python -m venv <folder>/env
    env-python -m pip install --no-input --disable-pip-version-check a
    "#);
}

#[tokio::test]
async fn uv_is_used_if_installed() {
    let stage = PackagesFixture::new();
    let python = stage.program("python", "exit 1");
    let bin = stage.folder.path().join("env/bin");
    let make = format!("mkdir -p {0}; touch {0}/python", bin.display());
    let uv = stage.program("uv", &make);
    packages(stage.settings(python, uv)).install(&names(&["a"])).await.unwrap();
    insta::assert_snapshot!(stage.calls(), @r#"
    uv --version
    uv pip install --compile-bytecode --python <folder>/env/bin/python a
    "#);
}

#[tokio::test]
async fn installer_output_is_reported() {
    let stage = PackagesFixture::new();
    let python = stage.program("python", &stage.maker("echo No matching distribution >&2; exit 3"));
    let mut settings = stage.settings(python, stage.folder.path().join("no-uv"));
    let error = packages(settings.clone()).install(&names(&["a"])).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, PackageError::Failed(_)), "{text}");
    assert!(text.contains("exit status: 3: No matching distribution"), "{text}");

    settings.python = stage.program("broken", "echo no venv; exit 1");
    settings.environment = Some(stage.folder.path().join("other"));
    let error = packages(settings.clone()).install(&names(&["a"])).await.unwrap_err();
    assert!(matches!(error, PackageError::Environment(text) if text.ends_with("no venv")));

    settings.manager = PackageManager::Uv;
    let error = packages(settings.clone()).install(&names(&["a"])).await.unwrap_err();
    assert!(matches!(error, PackageError::NoManager(_)));
    settings.environment = None;
    let error = packages(settings).install(&names(&["a"])).await.unwrap_err();
    assert_eq!(error, PackageError::NoEnvironment);
}

#[tokio::test]
async fn an_installer_that_takes_too_long_is_killed_with_its_children() {
    let stage = PackagesFixture::new();
    let pid = stage.folder.path().join("pid");
    let hang = format!("sleep 600 & echo $! > {}; wait", pid.display());
    let python = stage.program("python", &stage.maker(&hang));
    let mut settings = stage.settings(python, stage.folder.path().join("no-uv"));
    settings.time = Duration::from_secs(2);
    let error = packages(settings).install(&names(&["a"])).await.unwrap_err();
    assert_eq!(error, PackageError::TooSlow(Duration::from_secs(2)));
    let child = fs::read_to_string(pid).unwrap();
    let stat = PathBuf::from(format!("/proc/{}/stat", child.trim()));
    let is_dead = || {
        // It may be a zombie until its new parent waits for it.
        fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "))
    };
    for _ in 0..100 {
        if is_dead() {
            return;
        }
        tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(50)))
            .await
            .unwrap();
    }
    assert!(is_dead());
}

#[tokio::test]
async fn invalid_package_names_reach_no_installer() {
    let stage = PackagesFixture::new();
    let python = stage.program("python", "exit 0");
    let mut settings = stage.settings(python.clone(), python);
    for wrong in ["", " ", "--index-url=x", " -e .", "a\nb", &"x".repeat(1_025)] {
        let packages = packages(settings.clone());
        let error = packages.install(&names(&["good", wrong])).await;
        assert!(matches!(error, Err(PackageError::Invalid(_))), "{wrong}");
        let error = packages.install_requirements(wrong).await;
        assert!(matches!(error, Err(PackageError::Invalid(_))), "{wrong}");
    }
    assert!(packages(settings.clone()).install(&[]).await.is_err());
    settings.manager = PackageManager::Disabled;
    let error = packages(settings).install(&names(&["a"])).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Package installation has been disabled. Contact your administrator for more information."
    );
    assert_eq!(stage.calls(), "");
}

fn requirements(texts: &[&str]) -> Vec<PackageRequirement> {
    texts.iter().map(|&text| text.to_owned().try_into().unwrap()).collect()
}

#[tokio::test]
async fn missing_packages_are_named_with_the_command_that_installs_them() {
    let stage = PackagesFixture::new();
    let python = stage.program("python", "echo 0 2");
    let environment = packages(stage.settings(python, stage.folder.path().join("no-uv")));
    environment.require("p", &[]).await.unwrap();
    assert_eq!(stage.calls(), "");
    let needed = requirements(&["influxdata-plugin-utils>=0.3.0", "here", "requests"]);
    let error = environment.require("gh:a/p", &needed).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "'gh:a/p' needs Python packages that are not installed: influxdata-plugin-utils>=0.3.0, requests. \
         Install them with: neap install package 'influxdata-plugin-utils>=0.3.0' requests"
    );
    for (name, script) in [("none", "echo"), ("noise", "echo x 7")] {
        let python = stage.program(name, script);
        let environment = packages(stage.settings(python, PathBuf::from("no-uv")));
        environment.require("p", &needed).await.unwrap();
    }
    let python = stage.program("broken", "echo no python >&2; exit 3");
    let environment = packages(stage.settings(python, PathBuf::from("no-uv")));
    let error = environment.require("p", &needed).await.unwrap_err();
    assert!(
        matches!(&error, PackageError::Unlisted(text) if text.ends_with("no python")),
        "{error}"
    );
}

#[tokio::test]
async fn requirements_are_compared_with_the_packages_of_the_interpreter() {
    let environment = packages(PackageSettings::default());
    let needed = requirements(&[
        "no-such-package-of-neap>=1",
        "no-such-package-of-neap; python_version < '3'",
    ]);
    let error = environment.require("p", &needed).await.unwrap_err();
    assert!(matches!(error, PackageError::Missing { packages, .. } if packages == needed[..1]));
}

#[test]
fn package_managers_round_trip_through_their_names() {
    for manager in ["discover", "pip", "uv", "disabled"] {
        let parsed: PackageManager = manager.parse().unwrap();
        assert_eq!(parsed.to_string(), manager);
    }
    assert!("conda".parse::<PackageManager>().is_err());
}
