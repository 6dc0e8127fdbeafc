//! Tests of configuration files: values and error messages.

use std::fs;

use clap::CommandFactory;

use super::*;
use crate::commands::{CommandLine, Environment, tests::run_with};

fn parse(text: &str) -> Result<ConfigFile, String> {
    let parsed = ConfigFile::parse(Path::new("neap.toml"), text, &CommandLine::command());
    parsed.map_err(|error| error.to_string())
}

fn mistakes(text: &str) -> String {
    parse(text).unwrap_err()
}

#[test]
fn options_of_all_kinds_are_read() {
    let file = parse(
        "bucket = 'b'\n\
         max_concurrent_queries = 1_000\n\
         aws-allow-http = true\n\
         [serve]\n\
         mode = ['query', \"compact\"]\n\
         without-auth = false\n\
         http-bind = '127.0.0.1:1'\n\
         [client]\n\
         database = 'd'\n",
    )
    .unwrap();
    let get = |command: &str, flag: &str| file.get(command, flag).map(|found| found.values.clone());
    let values = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect());
    assert_eq!(get("serve", "bucket"), values(&["b"]));
    assert_eq!(get("compact", "bucket"), values(&["b"]));
    assert_eq!(get("serve", "max-concurrent-queries"), values(&["1000"]));
    assert_eq!(get("serve", "aws-allow-http"), values(&["true"]));
    assert_eq!(get("serve", "mode"), values(&["query", "compact"]));
    assert_eq!(get("serve", "without-auth"), values(&["false"]));
    assert_eq!(get("serve", "http-bind"), values(&["127.0.0.1:1"]));
    assert_eq!(get("compact", "http-bind"), None);
    assert_eq!(get("query", "database"), values(&["d"]));
    assert_eq!(file.get("serve", "http-bind").unwrap().line, 7);
}

#[test]
fn a_file_without_end_is_refused() {
    let variables: Environment = [("NEAP_CONFIG", "/dev/zero")].into_iter().collect();
    let refused = find(None, &variables, &CommandLine::command()).unwrap_err();
    assert_eq!(refused.to_string(), "/dev/zero: the file has more than 1048576 bytes");
}

#[test]
fn files_of_packages_and_examples_are_valid() {
    for text in [
        include_str!("../../../../../infra/debian/neap.toml"),
        include_str!("../../../../../infra/docker/neap.toml"),
        include_str!("../../../../../infra/systemd/three-nodes/node-1.toml"),
        include_str!("../../../../../infra/systemd/three-nodes/node-2.toml"),
        include_str!("../../../../../infra/systemd/three-nodes/node-3.toml"),
    ] {
        assert!(parse(text).is_ok(), "{:?}\n{text}", parse(text).err());
    }
}

#[test]
fn errors_name_their_lines() {
    insta::assert_snapshot!(mistakes("a = 1\n[serve\n"), @"neap.toml:2: unclosed table, expected `]`");
    insta::assert_snapshot!(mistakes(
        "htp-bind = 'x'\n\
         max-databases = 'many'\n\
         http-timeout = '0s'\n\
         mode = ['query', 'everything']\n\
         aws-allow-http = 'yes'\n\
         bucket = true\n\
         node-id = ['a', 'b']\n\
         cluster-id = 2026-01-01\n\
         host = 'ftp://h'\n\
         [serve]\n\
         host = 'http://h'\n\
         [client]\n\
         http-bind = 'x'\n\
         [query]\n\
         a = 1\n"
    ), @"
    neap.toml:1: unknown option htp-bind: is http-bind meant?
    neap.toml:2: max-databases: invalid value 'many': a number of at least 1 is expected
    neap.toml:3: http-timeout: invalid value '0s': a duration longer than 0s is expected
    neap.toml:4: mode: invalid value 'everything' [possible values: all, ingest, query, compact, process]
    neap.toml:5: aws-allow-http: true or false is expected, not a text
    neap.toml:6: bucket: a value is expected, not true or false
    neap.toml:7: node-id: one value is expected, not an array
    neap.toml:8: cluster-id: a date is not a valid option value
    neap.toml:9: host: invalid value 'ftp://h': 'ftp' is neither http nor https
    neap.toml:11: unknown option host of serve
    neap.toml:13: unknown option http-bind of clients
    neap.toml:14: unknown section [query]
    ");
    insta::assert_snapshot!(mistakes("node_id = 'a'\nnode-id = 'b'\n"), @"neap.toml:1: node_id is already set in line 2");
}

#[test]
fn the_command_line_may_name_the_file() {
    let named = |args: &[&str]| {
        let args: Vec<_> = args.iter().map(OsString::from).collect();
        named_in(&args)
    };
    assert_eq!(named(&["neap", "--config", "f"]), Some("f".into()));
    assert_eq!(named(&["neap", "query", "--config=f"]), Some("f".into()));
    assert_eq!(named(&["neap", "query", "--", "--config=f"]), None);
}

/// Creates a folder with a configuration file, and an environment that points to it.
fn folder(text: &str) -> (tempfile::TempDir, Environment) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("neap")).unwrap();
    fs::write(folder.path().join("neap").join(FILE), text).unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    let environment = [("XDG_CONFIG_HOME", path)].into_iter().collect();
    (folder, environment)
}

fn shown(folder: &tempfile::TempDir, text: &str) -> String {
    text.replace(&folder.path().display().to_string(), "")
}

#[test]
fn a_good_configuration_is_shown_without_its_secrets() {
    let text = "bucket = 'b'\nobject-store = 's3'\naws-secret-access-key = 'secret1'\n\
                aws-access-key-id = 'secret2'\n\
                gen1-duration = '5m'\n\
                [serve]\nhttp-bind = 'localhost:1'\nmode = ['query']\n\
                [client]\ntoken = 'secret3'\n";
    let (folder, environment) = folder(text);
    let path = folder.path().to_str().unwrap().to_owned();
    let more: Environment = [
        ("XDG_CONFIG_HOME", path.as_str()),
        ("NEAP_HTTP_BIND", "localhost:2"),
        ("INFLUXDB3_TEST_MODE", "1"),
    ]
    .into_iter()
    .collect();
    drop(environment);
    let (status, out, err) = run_with(&["config", "check"], &more, "");
    assert_eq!((status, err.as_str()), (0, ""), "{out}");
    assert!(!out.contains("secret1") && !out.contains("secret2") && !out.contains("secret3"));
    insta::assert_snapshot!(shown(&folder, &out), @r#"
    /neap/neap.toml
    [serve]
      aws-access-key-id = ***  # neap.toml, line 4
      aws-secret-access-key = ***  # neap.toml, line 3
      bucket = "b"  # neap.toml, line 1
      gen1-duration = "5m"  # neap.toml, line 5, without effect here
      http-bind = "localhost:2"  # variable NEAP_HTTP_BIND
      mode = "query"  # neap.toml, line 8
      object-store = "s3"  # neap.toml, line 2
    [client]
      token = ***  # neap.toml, line 10
    configuration is good
    "#);
}

#[test]
fn urls_are_shown_without_their_passwords() {
    let text = "object-store = 's3'\nbucket = 'b'\naws-endpoint = 'http://me:secret@s3:9000/x'\n\
                [client]\nhost = 'https://secret@db/'\n";
    let (folder, environment) = folder(text);
    let (_, out, err) = run_with(&["config", "check"], &environment, "");
    assert!(!out.contains("secret") && !err.contains("secret"), "{out}{err}");
    insta::assert_snapshot!(shown(&folder, &out), @r#"
    /neap/neap.toml
    [serve]
      aws-endpoint = "http://***@s3:9000/x"  # neap.toml, line 3
      bucket = "b"  # neap.toml, line 2
      object-store = "s3"  # neap.toml, line 1
    [client]
      host = "https://***@db/"  # neap.toml, line 5
    "#);
    let wrong = mistakes("host = 'ftp://me:secret@h/a@b'\n");
    insta::assert_snapshot!(wrong, @"neap.toml:1: host: invalid value 'ftp://***@b': 'ftp' is neither http nor https");
    for (text, expected) in [
        ("http://a/b?c", "http://a/b?c"),
        ("me@home", "me@home"),
        ("x://a:b@c y://d@e,z://f", "x://***@c y://***@e,z://f"),
        ("x://a:p/w@d@c", "x://***@c"),
        ("a:b@c:1", "***@c:1"),
    ] {
        assert_eq!(value::shown(text), expected);
    }
}

#[test]
fn an_invalid_configuration_fails_every_command_except_help() {
    let (folder, environment) = folder("nothing = 1\n");
    for args in [&["config", "check"][..], &["query", "-d", "d", "SELECT 1"]] {
        let (status, out, err) = run_with(args, &environment, "");
        assert_eq!((status, out.as_str()), (1, ""), "{err}");
        insta::allow_duplicates! {
            insta::assert_snapshot!(shown(&folder, &err), @"
            invalid configuration:
            /neap/neap.toml:1: unknown option nothing
            ");
        }
    }
    assert_eq!(run_with(&["--help"], &environment, "").0, 0);
    let missing = run_with(&["config", "check", "--config", "/no/such"], &environment, "");
    insta::assert_snapshot!(missing.2, @"
    invalid configuration:
    /no/such: No such file or directory (os error 2)
    ");
}

#[test]
fn conflicting_options_are_found_before_the_start() {
    let (folder, environment) = folder("[serve]\ntls-cert = '/no/such'\nlog-filter = '=='\n");
    let (status, _, err) = run_with(&["config", "check"], &environment, "");
    assert_eq!(status, 1);
    insta::assert_snapshot!(shown(&folder, &err), @"
    Config command failed: errors in the configuration:
    --tls-cert is set, but --tls-key is not: HTTPS requires both
    --log-filter ==: invalid filter directive
    ");
    let wrong: Environment =
        [("NEAP_MAX_TABLES", "none"), ("NEAP_HTTP_BIND", "8181")].into_iter().collect();
    let (status, _, err) = run_with(&["config", "check"], &wrong, "");
    assert_eq!(status, 1);
    insta::assert_snapshot!(err, @"
    Config command failed: errors in the configuration:
    NEAP_HTTP_BIND: invalid value '8181': a host and a port are expected, such as 0.0.0.0:8181
    NEAP_MAX_TABLES: invalid value 'none': a number of at least 1 is expected
    ");
    let remote: Environment = [("NEAP_OBJECT_STORE", "s3")].into_iter().collect();
    let (status, _, err) = run_with(&["config", "check"], &remote, "");
    assert_eq!(status, 1);
    assert!(err.contains("--bucket is needed with --object-store s3"), "{err}");
}

#[test]
fn probable_mistakes_in_variables_are_warned_of() {
    let process: Environment = [
        ("NEAP_HTP_BIND", "localhost:1"),
        ("NEAP_SERVICE_HOST", "10.0.0.1"),
        ("NEAP_CONFIG", ""),
        ("NEAP_MAX_TABLES", "5"),
        ("NEAP_HOST_URL", "http://127.0.0.1:1"),
    ]
    .into_iter()
    .collect();
    let environment = process.with_file("# comment\nNEAP_BUCKET\nNEAP_AUTH_TOKN=secret\n");
    let (_, out, err) = run_with(&["config", "check"], &environment, "");
    assert!(!out.contains("secret") && !err.contains("secret"));
    insta::assert_snapshot!(err, @"
    warning: line 2 of .env is not NAME=value
    warning: no option has the variable NEAP_AUTH_TOKN: is NEAP_AUTH_TOKEN meant?
    warning: no option has the variable NEAP_HTP_BIND: is NEAP_HTTP_BIND meant?
    warning: no option has the variable NEAP_SERVICE_HOST
    ");
    let (_, _, err) = run_with(&["query", "-d", "d", "SELECT 1"], &environment, "");
    assert!(err.contains("is NEAP_HTTP_BIND meant?"), "{err}");
    assert!(!err.contains("NEAP_SERVICE_HOST"), "{err}");
}

#[test]
fn variables_override_the_file_and_the_file_overrides_defaults() {
    let (folder, _) = folder("host = 'http://127.0.0.1:1'\ndatabase = 'd'\n");
    let path = folder.path().to_str().unwrap();
    let from_file = [("XDG_CONFIG_HOME", path)].into_iter().collect();
    let args = ["query", "SELECT 1"];
    let (status, _, err) = run_with(&args, &from_file, "");
    assert_eq!(status, 1);
    assert!(err.contains("127.0.0.1:1"), "{err}");
    let both = [("XDG_CONFIG_HOME", path), ("NEAP_HOST_URL", "http://127.0.0.1:2")];
    let (_, _, err) = run_with(&args, &both.into_iter().collect(), "");
    assert!(err.contains("127.0.0.1:2"), "{err}");
}
