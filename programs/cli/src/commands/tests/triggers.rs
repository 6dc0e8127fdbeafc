//! Tests of the commands for triggers, plugins and file indexes: requests and output.

use std::io::Write as _;

use super::{FAILED, USAGE, fails, run_line, server::*, succeeds};

#[test]
fn a_trigger_is_created() {
    let ok = answer("200 OK", "");
    let (url, requests) = server(&[&ok, &ok, &answer("404 Not Found", "Not found")]);
    let all = "create trigger t1 -d sensors --plugin test_plugin --trigger-spec table:foo \
        --trigger-arguments 'path=/m?f=json,arg2=two words' --run-asynchronous --error-behavior disable \
        --cancel-on-disconnect --disabled --node-spec nodes:a,b";
    let (status, out, err) = run_line(all, &url, "");
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(out, "Trigger t1 created successfully\n");
    let least = "create trigger t2 -d sensors --plugin-filename p.py --trigger-spec every:10s";
    assert_eq!(run_line(least, &url, "").0, 0);
    insta::assert_snapshot!(fails(least, &url), @"Create command failed: server responded with error [404 Not Found]: Not found");
    let requests = requests.join().unwrap();
    assert_eq!(target(&requests[0]), "POST /api/v3/configure/processing_engine_trigger");
    assert!(requests[0].contains("content-type: application/json\r\n"));
    insta::assert_snapshot!(body(&requests[0]), @r#"{"db":"sensors","disabled":true,"node_spec":"nodes:a,b","plugin_filename":"test_plugin","trigger_arguments":{"arg2":"two words","path":"/m?f=json"},"trigger_name":"t1","trigger_settings":{"cancel_on_disconnect":true,"error_behavior":"disable","run_async":true},"trigger_specification":"table:foo"}"#);
    insta::assert_snapshot!(body(&requests[1]), @r#"{"db":"sensors","disabled":false,"plugin_filename":"p.py","trigger_arguments":null,"trigger_name":"t2","trigger_settings":{"error_behavior":"log","run_async":false},"trigger_specification":"every:10s"}"#);
}

#[test]
fn invalid_trigger_options_are_usage_errors() {
    for line in [
        "create trigger t -d d --trigger-spec all_tables",
        "create trigger t -d d --path p.py",
        "create trigger t -d d --path p.py --trigger-spec never",
        "create trigger t --path p.py --trigger-spec all_tables",
        "create trigger -d d --path p.py --trigger-spec all_tables",
        "create trigger t -d d --path p.py --trigger-spec all_tables --trigger-arguments a",
        "create trigger t -d d --path p.py --trigger-spec all_tables --error-behavior panic",
        "enable trigger -d d",
        "disable trigger t",
        "delete trigger t",
        "test wal_plugin p.py -d d",
        "test wal_plugin p.py -d d --lp x --file y",
        "test schedule_plugin -d d",
        "install package",
        "install plugin",
        "create file_index -d d",
    ] {
        let (status, out, _) = run_line(line, "http://127.0.0.1:9", "");
        assert_eq!((status, out.as_str()), (USAGE, ""), "{line}");
    }
}

#[test]
fn plugins_are_uploaded_before_their_trigger_is_created() {
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("pack");
    std::fs::create_dir_all(package.join("sub")).unwrap();
    for path in ["__init__.py", "sub/more.py"] {
        std::fs::write(package.join(path), format!("# {path}")).unwrap();
    }
    let ok = answer("200 OK", "");
    let (url, requests) = server(&[ok.as_str(); 5]);
    let create = |path: &str| {
        let path = folder.path().join(path);
        let line = format!(
            "create trigger t -d d --path '{}' --upload --trigger-spec all_tables",
            path.display()
        );
        run_line(&line, &url, "")
    };
    std::fs::write(folder.path().join("one.py"), "import \"x\"\n").unwrap();
    assert_eq!(create("one.py").0, 0);
    assert_eq!(create("pack").0, 0);
    let (status, _, err) = create("none.py");
    assert_eq!(status, FAILED);
    assert!(err.ends_with("none.py: No such file or directory (os error 2)\n"), "{err}");
    let requests = requests.join().unwrap();
    let files = "POST /api/v3/plugins/files";
    let trigger = "POST /api/v3/configure/processing_engine_trigger";
    assert_eq!(targets(&requests), [files, trigger, files, files, trigger]);
    insta::assert_snapshot!(body(&requests[0]), @r#"{"content":"import \"x\"\n","plugin_name":"one.py"}"#);
    assert!(body(&requests[1]).contains(r#""plugin_filename":"one.py""#));
    insta::assert_snapshot!(body(&requests[2]), @r##"{"content":"# __init__.py","plugin_name":"pack/__init__.py"}"##);
    insta::assert_snapshot!(body(&requests[3]), @r##"{"content":"# sub/more.py","plugin_name":"pack/sub/more.py"}"##);
    assert!(body(&requests[4]).contains(r#""plugin_filename":"pack""#));
}

#[test]
fn the_plugin_of_a_trigger_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("pack");
    std::fs::create_dir(&package).unwrap();
    std::fs::write(package.join("__init__.py"), "a = 1").unwrap();
    let ok = answer("200 OK", "");
    let (url, requests) = server(&[&ok, &ok]);
    let update = |path: &std::path::Path| {
        let line = format!("update trigger -d d -t t1 -p '{}'", path.display());
        run_line(&line, &url, "")
    };
    let (status, out, _) = update(&package.join("__init__.py"));
    assert_eq!((status, out.as_str()), (0, "Trigger 't1' updated successfully\n"));
    let (status, out, _) = update(&package);
    assert_eq!(status, 0);
    insta::assert_snapshot!(out, @"Trigger 't1' updated successfully (atomic directory replacement)");
    let requests = requests.join().unwrap();
    assert_eq!(target(&requests[0]), "PUT /api/v3/plugins/files");
    insta::assert_snapshot!(body(&requests[0]), @r#"{"content":"a = 1","db":"d","plugin_name":"t1"}"#);
    assert_eq!(target(&requests[1]), "PUT /api/v3/plugins/directory");
    insta::assert_snapshot!(body(&requests[1]), @r#"{"db":"d","files":[{"content":"a = 1","relative_path":"__init__.py"}],"plugin_name":"t1"}"#);
}

#[test]
fn triggers_are_switched_and_deleted() {
    let ok = answer("200 OK", "");
    let busy = "Cannot delete running plugin t1. Disable it first or use --force.";
    let (url, requests) = server(&[&ok, &ok, &answer("500 Internal Server Error", busy), &ok]);
    assert_eq!(succeeds("enable trigger t1 -d d", &url), "Trigger t1 enabled successfully\n");
    assert_eq!(succeeds("disable trigger t1 -d d", &url), "Trigger t1 disabled successfully\n");
    insta::assert_snapshot!(fails("delete trigger t1 -d d", &url), @"Delete command failed: server responded with error [500 Internal Server Error]: Cannot delete running plugin t1. Disable it first or use --force.");
    assert_eq!(
        succeeds("delete trigger t1 -d d --force", &url),
        "Trigger t1 deleted successfully\n"
    );
    let requests = requests.join().unwrap();
    let path = "/api/v3/configure/processing_engine_trigger";
    let expected = [
        format!("POST {path}/enable?db=d&trigger_name=t1"),
        format!("POST {path}/disable?db=d&trigger_name=t1"),
        format!("DELETE {path}?db=d&trigger_name=t1&force=false"),
        format!("DELETE {path}?db=d&trigger_name=t1&force=true"),
    ];
    assert_eq!(targets(&requests), expected);
}

#[test]
fn actions_of_a_tested_plugin_are_printed() {
    let wal = r#"{"log_lines":["INFO: hello"],"database_writes":{"mydb":["t,a=b f=1i"]},"errors":["bad"]}"#;
    let schedule = r#"{"errors":[],"database_writes":{},"log_lines":[],"trigger_time":"2026-01-31T12:00:00Z"}"#;
    let (url, requests) =
        server(&[&answer("200 OK", wal), &answer("200 OK", wal), &answer("200 OK", schedule)]);
    let line = "test wal_plugin --lp 'm,tag1=a f1=1.0 123' -d sensors --input-arguments arg1=hello,arg2=world --cache-name c test.py";
    let (status, out, err) = run_line(line, &url, "");
    assert_eq!((status, err.as_str()), (0, ""));
    insta::assert_snapshot!(out, @r#"
    {
      "log_lines": [
        "INFO: hello"
      ],
      "database_writes": {
        "mydb": [
          "t,a=b f=1i"
        ]
      },
      "errors": [
        "bad"
      ]
    }
    "#);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines.lp");
    std::fs::write(&path, "m f=1\nm f=2\n").unwrap();
    let line = format!("test wal_plugin p.py -d d --file '{}'", path.display());
    assert_eq!(run_line(&line, &url, "").0, 0);
    let line = "test schedule_plugin p.py -d d --schedule '0 0 6 * * *'";
    insta::assert_snapshot!(succeeds(line, &url), @r#"
    {
      "trigger_time": "2026-01-31T12:00:00Z",
      "log_lines": [],
      "database_writes": {},
      "errors": []
    }
    "#);
    let requests = requests.join().unwrap();
    assert_eq!(target(&requests[0]), "POST /api/v3/plugin_test/wal");
    insta::assert_snapshot!(body(&requests[0]), @r#"{"cache_name":"c","database":"sensors","filename":"test.py","input_arguments":{"arg1":"hello","arg2":"world"},"input_lp":"m,tag1=a f1=1.0 123"}"#);
    insta::assert_snapshot!(body(&requests[1]), @r#"{"cache_name":null,"database":"d","filename":"p.py","input_arguments":null,"input_lp":"m f=1\nm f=2\n"}"#);
    assert_eq!(target(&requests[2]), "POST /api/v3/plugin_test/schedule");
    insta::assert_snapshot!(body(&requests[2]), @r#"{"cache_name":null,"database":"d","filename":"p.py","input_arguments":null,"schedule":"0 0 6 * * *"}"#);
}

#[test]
fn a_plugin_is_tested_with_compressed_line_protocol() {
    const LINES: &str = "m f=1\nm f=2\n";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(LINES.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(LINES.as_bytes(), 1).unwrap();
    let report = answer("200 OK", r#"{"log_lines":[],"database_writes":{},"errors":[]}"#);
    let (url, requests) = server(&[&report, &report]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines");
    for contents in [gzip, zstd] {
        std::fs::write(&path, contents).unwrap();
        let line = format!("test wal_plugin p.py -d d --file '{}'", path.display());
        let (status, _, err) = run_line(&line, &url, "");
        assert_eq!((status, err.as_str()), (0, ""));
    }
    for request in requests.join().unwrap() {
        assert!(body(&request).contains(r#""input_lp":"m f=1\nm f=2\n""#), "{request}");
    }
}

#[test]
fn package_installation_prints_nothing() {
    let ok = answer("200 OK", "");
    let disabled =
        "Package installation has been disabled. Contact your administrator for more information.";
    let (url, requests) = server(&[&ok, &ok, &answer("403 Forbidden", disabled)]);
    for line in ["install package pandas requests", "install package -r requirements.txt"] {
        let (status, out, err) = run_line(line, &url, "");
        assert_eq!((status, out.as_str(), err.as_str()), (0, "", ""));
    }
    let line = "install package x --package-manager uv --plugin-dir /p";
    let (status, _, err) = run_line(line, &url, "");
    assert_eq!(status, FAILED);
    let (warning, err) = err.split_once('\n').unwrap();
    insta::assert_snapshot!(warning, @"these options have no effect here, set them on `neap serve`: --plugin-dir, --package-manager");
    insta::assert_snapshot!(err, @"Install command failed: server responded with error [403 Forbidden]: Package installation has been disabled. Contact your administrator for more information.");
    let requests = requests.join().unwrap();
    let path = "/api/v3/configure/plugin_environment";
    assert_eq!(target(&requests[0]), format!("POST {path}/install_packages"));
    assert_eq!(body(&requests[0]), r#"{"packages":["pandas","requests"]}"#);
    assert_eq!(target(&requests[1]), format!("POST {path}/install_requirements"));
    assert_eq!(body(&requests[1]), r#"{"requirements_location":"requirements.txt"}"#);
}

#[test]
fn a_plugin_is_installed_before_the_packages_that_it_and_others_need() {
    let installed = r#"[
        {"name":"state_change","version":"1.3.0","place":"plugin folder","triggers":[],"python":["requests","pint>=0.2"]},
        {"name":"notifier","version":"1.0.0","place":"bucket","triggers":[],"python":["requests"]}]"#;
    let installed = answer("200 OK", installed);
    let ok = answer("200 OK", "");
    let nothing = answer(
        "200 OK",
        r#"[{"name":"a","version":"1.0.0","place":"bucket","triggers":[],"python":[]}]"#,
    );
    let refused = answer("400 Bad Request", "invalid plugin: no");
    let (url, requests) = server(&[&installed, &ok, &installed, &nothing, &refused]);
    let line = "install plugin gh:influxdata/state_change";
    let (status, out, err) = run_line(line, &url, "");
    assert_eq!((status, err.as_str()), (0, ""));
    insta::assert_snapshot!(out, @"
    Plugin state_change 1.3.0 installed in the plugin folder
    Plugin notifier 1.0.0 installed in the bucket
    Installing Python packages: pint>=0.2, requests
    Python packages installed
    ");
    let without = format!("{line} --no-dependencies --plugin-repo https://plugins.example");
    let (status, out, _) = run_line(&without, &url, "");
    assert_eq!(status, 0);
    assert!(
        out.ends_with("\nPython packages needed, but not installed: pint>=0.2, requests\n"),
        "{out}"
    );
    assert_eq!(succeeds("install plugin a", &url), "Plugin a 1.0.0 installed in the bucket\n");
    let (status, out, err) = run_line("install plugin a", &url, "");
    assert_eq!((status, out.as_str()), (FAILED, ""));
    insta::assert_snapshot!(err, @"Install command failed: server responded with error [400 Bad Request]: invalid plugin: no");
    let requests = requests.join().unwrap();
    assert_eq!(target(&requests[0]), "POST /api/v3/plugins/install");
    assert_eq!(
        body(&requests[0]),
        r#"{"plugin":"gh:influxdata/state_change","repository":null}"#
    );
    assert_eq!(
        target(&requests[1]),
        "POST /api/v3/configure/plugin_environment/install_packages"
    );
    assert_eq!(body(&requests[1]), r#"{"packages":["pint>=0.2","requests"]}"#);
    assert_eq!(
        body(&requests[2]),
        r#"{"plugin":"gh:influxdata/state_change","repository":"https://plugins.example"}"#
    );
}

#[test]
fn file_indexes_are_created_and_deleted() {
    let ok = answer("200 OK", "");
    let (url, requests) = server(&[&ok, &ok, &ok, &ok]);
    for (line, expected) in [
        (
            "create file_index -d d -t t a,b c",
            "File index of \"d\".\"t\" created successfully\n",
        ),
        ("create file_index a -d d", "File index of \"d\" created successfully\n"),
        (
            "delete file_index -d d -t t",
            "File index of \"d\".\"t\" deleted successfully\n",
        ),
        ("delete file_index -d d", "File index of \"d\" deleted successfully\n"),
    ] {
        let (status, out, _) = run_line(line, &url, "");
        assert_eq!((status, out.as_str()), (0, expected));
    }
    let requests = requests.join().unwrap();
    let path = "/api/v3/enterprise/configure/file_index";
    let (post, delete) = (format!("POST {path}"), format!("DELETE {path}"));
    assert_eq!(targets(&requests), [&post, &post, &delete, &delete]);
    let bodies: Vec<_> = requests.iter().map(|request| body(request)).collect();
    assert_eq!(
        bodies,
        [
            r#"{"columns":["a","b","c"],"db":"d","table":"t"}"#,
            r#"{"columns":["a"],"db":"d","table":null}"#,
            r#"{"db":"d","table":"t"}"#,
            r#"{"db":"d","table":null}"#,
        ]
    );
}

#[test]
fn nodes_are_stopped_and_removed() {
    let status = |state: &str| {
        let instance = format!(r#"{{"instance_id":"1","state":"{state}","is_answering":false}}"#);
        let successor = r#"{"instance_id":"2","state":"running","is_answering":true}"#;
        let body = format!(r#"{{"node_id":"host01","instances":[{instance},{successor}]}}"#);
        answer("200 OK", &body)
    };
    let asked = r#"{"instances":[{"instance_id":"1","state":"stopping","is_answering":false}]}"#;
    let asked = answer("200 OK", asked);
    let (url, requests) = server(&[
        &asked,
        &answer("200 OK", ""),
        &answer("404 Not Found", "no"),
        &asked,
        &status("stopping"),
        &status("stopped"),
        &asked,
    ]);
    let line = "stop node --node-id host01 --force --timeout 5m --no-wait";
    let (status, out, err) = run_line(line, &url, "");
    assert_eq!((status, err.as_str()), (0, ""));
    insta::assert_snapshot!(out, @r#"Node "host01" is asked to stop"#);
    let line = "remove node --node-id host01 --no-confirm --force-finalize";
    let (status, out, err) = run_line(line, &url, "");
    assert_eq!((status, err.as_str()), (0, ""));
    insta::assert_snapshot!(out, @r#"Node "host01" is removed"#);
    assert_eq!(run_line("stop node --node-id other", &url, "").0, FAILED);
    assert_eq!(run_line("stop node", &url, "").0, USAGE);
    // A process that was started under the same name since then is not waited for.
    let (status, out, err) = run_line("stop node --node-id host01", &url, "");
    assert_eq!((status, err.as_str()), (0, ""));
    insta::assert_snapshot!(out, @r#"Node "host01" is stopped"#);
    let line = "stop node --node-id host01 --timeout 0s";
    insta::assert_snapshot!(fails(line, &url), @"Stop command failed: node 'host01' did not stop within 0ns, and is stopping; it stops as soon as its requests in progress end");
    let requests = requests.join().unwrap();
    let path = "/api/v3/enterprise/configure/node";
    let stop = format!("POST {path}/stop");
    let get = format!("GET {path}/stop?node_id=host01");
    let remove = format!("POST {path}/remove");
    assert_eq!(targets(&requests), [&stop, &remove, &stop, &stop, &get, &get, &stop]);
    insta::assert_snapshot!(body(&requests[0]), @r#"{"node_id":"host01"}"#);
    insta::assert_snapshot!(body(&requests[1]), @r#"{"force_finalize":true,"node_id":"host01"}"#);
}

#[test]
fn query_groups_are_created_changed_and_deleted() {
    let ok = answer("200 OK", "{}");
    let list =
        r#"{"query_groups":[{"id":7,"name":"near","nodes":["a","b"],"replication_factor":1}]}"#;
    let list = answer("200 OK", list);
    let (url, requests) = server(&[&ok, &list, &list, &ok, &list, &ok, &list]);
    let (status, out, err) = run_line("create query_group near --nodes a,b", &url, "");
    assert_eq!((status, err.as_str()), (0, ""));
    insta::assert_snapshot!(out, @r#"Query group "near" created successfully"#);
    let (_, out, _) = run_line("show query_groups --format csv", &url, "");
    insta::assert_snapshot!(out, @r#"
    id,name,nodes,replication_factor
    7,near,"a,b",1
    "#);
    assert_eq!(run_line("update query_group near --nodes c", &url, "").0, 0);
    assert_eq!(run_line("delete query_group near --yes", &url, "").0, 0);
    insta::assert_snapshot!(fails("delete query_group far --yes", &url), @"Delete command failed: query group not found: far");
    let requests = requests.join().unwrap();
    let path = "/api/v3/enterprise/configure/query_groups";
    assert_eq!(target(&requests[3]), format!("PATCH {path}/7"));
    insta::assert_snapshot!(body(&requests[3]), @r#"{"nodes":["c"]}"#);
    assert_eq!(target(&requests[5]), format!("DELETE {path}/7"));
}
