use std::{collections::BTreeSet, path::Path};

use super::*;

#[tokio::test]
async fn the_function_of_the_call_must_be_there() {
    let mut stage = WorkerFixture::new("def nothing():\n    pass\n");
    let mut texts = vec![stage.failure().await];
    stage.run.call = PluginInput::Writes { tables: Vec::new(), stamp: None };
    texts.push(stage.failure().await);
    stage.run.call = PluginInput::Schedule { time: neap_bucket::StoreTime::from_micros(0) };
    texts.push(stage.failure().await);
    let expected = [
        "the process_request function is not present in the plugin. Should be defined as: process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None) -> Tuple[str, Optional[Dict[str, str]]]",
        "the process_writes function is not present in the plugin. Should be defined as: process_writes(influxdb3_local, table_batches, args=None)",
        "the process_scheduled_call function is not present in the plugin. Should be defined as: process_scheduled_call(influxdb3_local, call_time, args=None)",
    ];
    assert_eq!(texts, expected);
}

#[tokio::test]
async fn a_file_plugin_has_fresh_globals_in_each_run() {
    let mut stage = WorkerFixture::new(
        r#"
count = globals().get("count", 0) + 1
def process_request(local, query, headers, body, args=None):
    global count
    count += 1
    return f"{count} {__name__ == '__main__'}"
"#,
    );
    assert_eq!(stage.text().await, "2 False");
    assert_eq!(stage.text().await, "2 False");
    stage.rewrite(&request_function("return 'new'"), "1");
    assert_eq!(stage.text().await, "2 False", "of the same version, it is not read again");
    stage.rewrite(&request_function("return 'new'"), "2");
    assert_eq!(stage.text().await, "new");
}

#[tokio::test]
async fn a_package_is_imported_once_and_again_when_it_has_changed() {
    let mut stage = WorkerFixture::new("");
    let package = stage.folder.path().join("many_files");
    std::fs::create_dir_all(package.join("inner")).unwrap();
    let main = r#"
from .helper import count
from .inner import deep
import many_files.helper
def process_request(local, query, headers, body, args=None):
    from . import late
    count.append(1)
    local.write(LineBuilder("m").int64_field("f", len(count)))
    import sys
    return f"{len(count)} {deep.NAME} {late.NAME} {many_files.helper.count is count} {'' in sys.path}"
"#;
    let write = |name: &str, text: &str| std::fs::write(package.join(name), text).unwrap();
    write("__init__.py", main);
    write("helper.py", "count = []\n");
    write("late.py", "NAME = 'late'\n");
    write("inner/__init__.py", "");
    write("inner/deep.py", "NAME = 'deep'\n");
    stage.run.code.path = package.clone();
    assert_eq!(stage.text().await, "1 deep late True False");
    assert_eq!(stage.text().await, "2 deep late True False");
    write("late.py", "NAME = 'changed'\n");
    stage.run.code.version = "2".into();
    assert_eq!(stage.text().await, "1 deep changed True False");
    write("helper.py", "count = [\n");
    stage.run.code.version = "3".into();
    let text = stage.failure().await;
    let start = "Failed to import plugin module 'many_files': SyntaxError: ";
    let hint = "\nHint: Check for syntax errors or missing dependencies in Python files.";
    assert!(text.starts_with(start) && text.ends_with(hint), "{text}");
    write("helper.py", "count = []\n");
    stage.run.code.version = "4".into();
    assert_eq!(stage.text().await, "1 deep changed True False");
    write("__init__.py", "");
    stage.run.code.version = "5".into();
    assert!(stage.failure().await.starts_with("the process_request function is not present"));
    assert!(!package.join("__pycache__").exists());
}

#[tokio::test]
async fn an_exception_is_named_in_each_phase_with_the_place_in_the_plugin() {
    let mut stage = WorkerFixture::new("");
    let cases = [
        ("raise ValueError('at import')", "ValueError: at import"),
        (
            "import no_such_module",
            "ModuleNotFoundError: No module named 'no_such_module'. If it is a Python package, install it with: neap install package no_such_module",
        ),
        (
            "import json.no_such_module",
            "ModuleNotFoundError: No module named 'json.no_such_module'",
        ),
        ("def f(:", "SyntaxError: invalid syntax (plugin.py, line 1)"),
        ("import sys\nsys.exit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt: "),
    ];
    for (version, (source, expected)) in cases.into_iter().enumerate() {
        stage.rewrite(source, &version.to_string());
        assert_eq!(stage.failure().await, expected);
    }
    let bodies = [
        ("return 1 / 0", "ZeroDivisionError: division by zero"),
        ("raise KeyError('k')", "KeyError: 'k'"),
        ("import sys\nsys.exit()", "SystemExit: "),
        (
            "class Bad(Exception):\n    def __str__(self): return 1 / 0\nraise Bad()",
            "process_request.<locals>.Bad: <exception str() failed>",
        ),
        (
            "class S:\n    def __str__(self): raise OSError('of str')\nlocal.info(S())",
            "OSError: of str",
        ),
        ("def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded"),
        ("raise ValueError('\\ud800')", "ValueError: ?"),
    ];
    for (version, (body, expected)) in bodies.into_iter().enumerate() {
        stage.rewrite(&request_function(body), &format!("b{version}"));
        assert_eq!(stage.failure().await, format!("Python function call failed: {expected}"));
    }
    stage.rewrite("process_request = 7", "not callable");
    let expected = "Python function call failed: TypeError: 'int' object is not callable";
    assert_eq!(stage.failure().await, expected);
    stage.run.code.path = stage.folder.path().join("none.py");
    assert!(stage.failure().await.starts_with("FileNotFoundError: "));
}

#[tokio::test]
async fn a_traceback_shows_the_plugin_and_nothing_of_its_host() {
    let stage = WorkerFixture::new(
        r#"
def helper():
    raise ValueError("deep")
def process_request(local, query, headers, body, args=None):
    try:
        helper()
    except ValueError as error:
        raise RuntimeError("outer") from error
"#,
    );
    let Err(RunError::Plugin { traceback, .. }) = stage.run().await else {
        panic!("it should fail");
    };
    let folder = stage.folder.path().display().to_string();
    let traceback = traceback.unwrap().replace(&folder, "<folder>");
    // Newer interpreters underline the expression.
    let lines = traceback
        .lines()
        .filter(|line| line.is_empty() || !line.trim_matches([' ', '^', '~']).is_empty());
    let traceback = lines.collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(traceback);
}

#[tokio::test]
async fn a_plugin_has_its_folder_and_only_the_named_variables_of_the_server_in_its_environment() {
    let settings = WorkerSettings {
        plugin_folder: Some("/some/plugins".into()),
        passed_variables: vec!["CARGO_MANIFEST_DIR".to_owned()],
        ..settings()
    };
    let body = r#"
import os, sys
return [os.environ[n] for n in ("PLUGIN_DIR", "INFLUXDB3_PLUGIN_DIR")] + [[n for n in os.environ if n.startswith("CARGO")], sys.argv, sys.stdin.read()]
"#;
    let stage = WorkerFixture::with(settings, &request_function(body));
    let expected = r#"["/some/plugins", "/some/plugins", ["CARGO_MANIFEST_DIR"], ["plugin"], ""]"#;
    assert!(std::env::var_os("CARGO_PKG_NAME").is_some());
    assert_eq!(stage.text().await, expected);
}

#[tokio::test]
async fn an_interpreter_that_is_not_there_is_named() {
    let missing = WorkerSettings { python: "/no/such/python".into(), ..settings() };
    let stage = WorkerFixture::with(missing, "");
    let expected = "the Python interpreter '/no/such/python' can't be started: No such file or directory (os error 2)";
    assert_eq!(stage.run().await.unwrap_err().to_string(), expected);
    assert_eq!(stage.workers.check().await.unwrap_err().to_string(), expected);
    let other = tempfile::tempdir().unwrap();
    let script = other.path().join("python");
    std::fs::write(&script, "#!/bin/sh\necho this is no Python >&2\nexit 3\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, mode).unwrap();
    stage.workers.use_python(script);
    let error = stage.workers.check().await.unwrap_err().to_string();
    assert!(error.ends_with("can't be started: this is no Python"), "{error}");
    stage.workers.use_python("python3".into());
    let version = stage.workers.check().await.unwrap();
    assert!(version.starts_with("3."), "{version}");
}

#[tokio::test]
async fn a_virtual_environment_gives_its_packages_to_processes_from_then_on() {
    let stage = WorkerFixture::of_body(
        r#"
found = local.cache.get("found", 0)
local.cache.put("found", found + 1)
try:
    import only_there
    return f"{only_there.NAME} {found}"
except ImportError:
    return f"nothing {found}"
"#,
    );
    assert_eq!(stage.text().await, "nothing 0");
    let environment = stage.folder.path().join("venv");
    let made = tokio::process::Command::new("python3")
        .args(["-m", "venv", "--without-pip"])
        .arg(&environment)
        .status()
        .await
        .unwrap();
    assert!(made.success());
    let library = std::fs::read_dir(environment.join("lib")).unwrap().next().unwrap().unwrap();
    let package = library.path().join("site-packages/only_there.py");
    std::fs::write(package, "NAME = 'there'").unwrap();
    stage.workers.use_python(environment.join("bin/python"));
    assert_eq!(stage.text().await, "there 1", "and the cache is as it was");
}

/// Writes a package with a module of its name, which an installer can build without other packages.
fn write_package(folder: &Path, version: &str) {
    let backend = format!(
        r#"
import zipfile
def build_wheel(folder, settings=None, metadata=None):
    name = "replaced-{version}-py3-none-any.whl"
    info = "replaced-{version}.dist-info/"
    with zipfile.ZipFile(folder + "/" + name, "w") as wheel:
        wheel.writestr("replaced/__init__.py", "VERSION = '{version}'")
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: replaced\nVersion: {version}\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(info + "RECORD", "")
    return name
"#
    );
    let project =
        "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n";
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("pyproject.toml"), project).unwrap();
    std::fs::write(folder.join("backend.py"), backend).unwrap();
}

async fn python(program: &Path, arguments: &[&str]) {
    let mut command = tokio::process::Command::new(program);
    let output = command.args(arguments).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
}

#[tokio::test]
async fn a_package_replaced_by_another_program_is_reimported_and_the_cache_is_kept() {
    let stage = WorkerFixture::of_body(
        r#"
import os
runs = local.cache.get("runs", 0) + 1
local.cache.put("runs", runs)
try:
    import replaced
except ImportError:
    replaced = None
return f"{getattr(replaced, 'VERSION', None)} {runs} {os.getpid()}"
"#,
    );
    let environment = stage.folder.path().join("venv");
    python("python3".as_ref(), &["-m", "venv", environment.to_str().unwrap()]).await;
    let interpreter = environment.join("bin/python");
    stage.workers.use_python(interpreter.clone());
    let source = stage.folder.path().join("source");
    let mut seen = Vec::new();
    let mut processes = BTreeSet::new();
    let steps: [&[&str]; 4] = [&[], &["1.0"], &["2.0"], &["uninstall"]];
    for step in steps {
        let pip = ["-m", "pip", "--disable-pip-version-check"];
        match step {
            ["uninstall"] => {
                python(&interpreter, &[&pip[..], &["uninstall", "-y", "replaced"]].concat()).await
            }
            [version] => {
                write_package(&source, version);
                let install = ["install", "--no-index", source.to_str().unwrap()];
                python(&interpreter, &[&pip[..], &install].concat()).await;
            }
            _ => {}
        }
        // The second run uses the same process.
        for _ in 0..2 {
            let text = stage.text().await;
            let (text, process) = text.rsplit_once(' ').unwrap();
            seen.push(text.to_owned());
            processes.insert(process.to_owned());
        }
    }
    let expected = ["None 1", "None 2", "1.0 3", "1.0 4", "2.0 5", "2.0 6", "None 7", "None 8"];
    assert_eq!(seen, expected);
    assert_eq!(processes.len(), steps.len());
}

#[tokio::test]
async fn a_run_that_replaces_builtins_does_not_affect_the_next_run() {
    let stage = WorkerFixture::of_body(
        r#"
import builtins, io, signal, sys
print("seen", LineBuilder("m").int64_field("f", 1).build())
sys.stdout = io.StringIO()
sys.stderr = None
print("lost")
del builtins.LineBuilder
signal.signal(signal.SIGINT, signal.SIG_IGN)
return "done"
"#,
    );
    for _ in 0..2 {
        assert_eq!(stage.text().await, "done");
    }
    assert_eq!(stage.recorder.log(), ["INFO: seen m f=1i"; 2]);
}
