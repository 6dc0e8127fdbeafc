//! Tests of the token commands: requests, output, and tokens that must not be printed.

use serde_json::Value;

use super::{FAILED, USAGE, fails, run_line, run_with, server::*};
use crate::commands::Environment;

const CREATED: &str = r#"{"id":0,"name":"_admin","token":"apiv3_new","hash":"00","created_at":"2026-01-31T12:00:00Z","expiry":null}"#;

#[test]
fn the_operator_token_is_created_without_a_token_or_body() {
    let (url, requests) = server(&[&answer("201 Created", CREATED)]);
    let (status, out, err) = run_line("create token --admin", &url, "");
    assert_eq!((status, err.as_str()), (0, ""));
    insta::assert_snapshot!(out, @r"

    New token created successfully!

    Token: apiv3_new
    HTTP Requests Header: Authorization: Bearer apiv3_new

    IMPORTANT: Store this token securely, as it will not be shown again.
    ");
    let requests = requests.join().unwrap();
    assert_eq!(target(&requests[0]), "POST /api/v3/configure/token/admin");
    assert_eq!(body(&requests[0]), "");
}

#[test]
fn programs_get_a_token_as_json() {
    let (url, requests) = server(&[&answer("201 Created", CREATED)]);
    let line = "create token --admin --name deploy --expiry 1h --format json";
    let (status, out, _) = run_line(line, &url, "");
    assert_eq!(status, 0);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["token"], "apiv3_new");
    assert!(json["help_msg"].is_string());
    let requests = requests.join().unwrap();
    assert_eq!(target(&requests[0]), "POST /api/v3/configure/token/named_admin");
    assert_eq!(body(&requests[0]), r#"{"token_name":"deploy","expiry_secs":3600}"#);
}

#[test]
fn a_resource_token_has_permissions() {
    let created = answer("201 Created", CREATED);
    let (url, requests) = server(&[&created, &created]);
    let one = "create token --permission 'db:*:read,write' --expiry 90d --name 'rw all databases'";
    assert_eq!(run_line(one, &url, "").0, 0);
    let two = "create token --permission db:a,b:read --permission system:ping:read --name two";
    assert_eq!(run_line(two, &url, "").0, 0);
    let requests = requests.join().unwrap();
    assert_eq!(target(&requests[0]), "POST /api/v3/enterprise/configure/token");
    insta::assert_snapshot!(body(&requests[0]), @r#"{"token_name":"rw all databases","permissions":[{"resource_type":"db","resource_names":["*"],"actions":["read","write"]}],"expiry_secs":7776000}"#);
    insta::assert_snapshot!(body(&requests[1]), @r#"{"token_name":"two","permissions":[{"resource_type":"db","resource_names":["a","b"],"actions":["read"]},{"resource_type":"system","resource_names":["ping"],"actions":["read"]}],"expiry_secs":null}"#);
}

#[test]
fn a_key_for_clients_of_questdb_stays_with_the_client() {
    let created = r#"{"id":1,"name":"sensors","public_key":{"x":"…","y":"…"}}"#;
    let created = answer("201 Created", created);
    let (url, requests) = server(&[&created, &created]);
    let line = "create token --questdb sensors --permission db:home:write --expiry 90d";
    let (status, out, err) = run_line(line, &url, "");
    assert_eq!((status, err.as_str()), (0, ""));
    let options = out.split("addr=HOST:9009;").nth(1).unwrap();
    let (options, rest) = options.split_once('\n').unwrap();
    assert!(rest.contains("IMPORTANT: Store this key securely"), "{out}");
    let value = |name: &str| {
        let mut options = options.split(';').filter_map(|option| option.split_once('='));
        let found = options.find(|(option, _)| *option == name).unwrap();
        found.1.to_owned()
    };
    let (status, json, _) = run_line(&format!("{line} --format json"), &url, "");
    assert_eq!(status, 0);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["username"], "sensors");
    assert_ne!(json["token"], value("token"));
    let requests = requests.join().unwrap();
    let sent: Value = serde_json::from_str(body(&requests[0])).unwrap();
    assert_eq!(sent["public_key"]["x"], value("token_x"));
    assert_eq!(sent["public_key"]["y"], value("token_y"));
    assert_eq!(
        (&sent["token_name"], &sent["expiry_secs"]),
        (&"sensors".into(), &7_776_000.into())
    );
    assert!(!requests[0].contains(&value("token")));
    assert_eq!(value("username"), "sensors");
}

#[test]
fn a_server_without_keys_is_reported() {
    let (url, requests) = server(&[&answer("201 Created", CREATED)]);
    let line = "create token --questdb sensors --permission db:home:write";
    let (status, out, err) = run_line(line, &url, "");
    assert_eq!((status, out.as_str()), (FAILED, ""));
    assert!(!err.contains("apiv3_"), "{err}");
    requests.join().unwrap();
    for refused in [
        "create token --questdb sensors",
        "create token --questdb sensors --name x --permission db:home:write",
        "create token --questdb sensors --admin",
    ] {
        let (status, _, err) = run_line(refused, &url, "");
        assert_ne!(status, 0, "{refused}: {err}");
    }
}

#[test]
fn the_operator_token_is_replaced_after_confirmation() {
    let created = answer("201 Created", CREATED);
    let (url, requests) = server(&[&created, &created]);
    let line = "create token --admin --regenerate --token apiv3_old";
    let (status, out, err) = run_line(line, &url, "y\n");
    assert_eq!((status, out.as_str()), (FAILED, ""));
    insta::assert_snapshot!(err, @"
    Are you sure you want to regenerate admin token? Enter 'yes' to confirm
    Create command failed: Failed to create token, error: Cannot proceed without confirmation
    ");
    let (status, out, _) = run_line(line, &url, "yes\n");
    assert_eq!(status, 0);
    assert!(out.contains("\nToken: apiv3_new\n"), "{out}");
    let (status, _, err) = run_line(&format!("{line} --yes"), &url, "");
    assert_eq!((status, err.as_str()), (0, ""));
    for request in requests.join().unwrap() {
        assert_eq!(target(&request), "POST /api/v3/configure/token/admin/regenerate");
        assert!(request.contains("authorization: Bearer apiv3_old\r\n"));
    }
}

#[test]
fn token_creation_errors_are_shown_without_tokens() {
    let (url, requests) = server(&[
        &answer("409 Conflict", "token name already exists, _admin"),
        &answer("401 Unauthorized", r#"{"error": "the request was not authenticated"}"#),
        &answer("201 Created", r#"{"tokens":["apiv3_hidden"]}"#),
        &answer("201 Created", r#""apiv3_hidden""#),
    ]);
    let line = "create token --admin --token apiv3_mine";
    let run = || {
        let (status, out, err) = run_line(line, &url, "");
        assert_eq!((status, out.as_str()), (FAILED, ""));
        assert!(!err.contains("apiv3_"), "{err}");
        err
    };
    insta::assert_snapshot!(run(), @"Create command failed: Failed to create token, error: server responded with error [409 Conflict]: token name already exists, _admin");
    insta::assert_snapshot!(run(), @r"
    Create command failed: Failed to create token, error: server responded with error [401 Unauthorized]: the request was not authenticated
    The server requires a valid token: pass it with --token, set NEAP_AUTH_TOKEN, or sign in with `neap auth login`
    ");
    insta::assert_snapshot!(run(), @"Create command failed: Failed to create token, error: the server's answer has no token");
    insta::assert_snapshot!(run(), @"Create command failed: Failed to create token, error: the server's answer has no token");
    requests.join().unwrap();
    let (status, _, err) = run_line("create token --admin", "http://127.0.0.1:9", "");
    assert_eq!(status, FAILED);
    assert!(
        err.starts_with("Create command failed: Failed to create token, error: cannot connect to http://127.0.0.1:9/: "),
        "{err}"
    );
}

#[test]
fn a_token_file_needs_no_server() {
    let folder = tempfile::tempdir().unwrap();
    let file_path = folder.path().join("admin.json");
    let path = file_path.to_str().unwrap();
    let args = [
        "create",
        "token",
        "--admin",
        "--offline",
        "--output-file",
        path,
        "--name",
        "first",
    ];
    let (status, out, err) = run_with(&args, &Environment::default(), "");
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(out, format!("Token saved to: {path}\n"));
    let text = std::fs::read_to_string(path).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(file["name"], "first");
    assert_eq!(file["token"].as_str().unwrap().len(), 92);
    assert_eq!(file.get("expiry_millis"), None);
    let (status, out, err) = run_with(&args, &Environment::default(), "");
    assert_eq!((status, out.as_str()), (FAILED, ""));
    assert!(err.starts_with("Create command failed: /"), "{err}");
    assert_eq!(std::fs::read_to_string(path).unwrap(), text);
}

#[test]
fn invalid_token_options_are_usage_errors() {
    for line in [
        "create token",
        "create token --admin --permission db:a:read --name n",
        "create token --permission db:a:read",
        "create token --permission db:a --name n",
        "create token --admin --expiry 1h",
        "create token --admin --name n --expiry soon",
        "create token --admin --regenerate --name n",
        "create token --admin --offline",
        "create token --admin --output-file /nowhere/f",
        "create token --permission db:a:read --name n --offline --output-file /nowhere/f",
        "create token --permission db:a:read --name n --regenerate",
        "create token --admin --format yaml",
        "delete token",
    ] {
        let (status, out, _) = run_line(line, "http://127.0.0.1:9", "");
        assert_eq!((status, out.as_str()), (USAGE, ""), "{line}");
    }
}

#[test]
fn tokens_are_deleted_after_confirmation() {
    let (url, requests) = server(&[
        &answer("200 OK", ""),
        &answer("404 Not Found", "the requested resource was not found: a b"),
    ]);
    let line = "delete token --token-name 'a b'";
    let (status, out, err) = run_line(line, &url, "\n");
    assert_eq!((status, out.as_str()), (FAILED, ""));
    insta::assert_snapshot!(err, @r#"
    Are you sure you want to delete "a b"? Enter 'yes' or 'y' to confirm
    Delete command failed: Cannot proceed without confirmation
    "#);
    let (status, out, _) = run_line(line, &url, "y\n");
    assert_eq!((status, out.as_str()), (0, "Token \"a b\" deleted successfully\n"));
    insta::assert_snapshot!(fails(&format!("{line} -y"), &url), @"Delete command failed: server responded with error [404 Not Found]: the requested resource was not found: a b");
    let requests = requests.join().unwrap();
    assert_eq!(target(&requests[0]), "DELETE /api/v3/configure/token?token_name=a+b");
}

#[test]
fn a_token_is_deleted_with_those_that_it_created() {
    let names = r#"{"deleted_tokens":["a","b"]}"#;
    let (url, requests) = server(&[&answer("200 OK", names), &answer("200 OK", "")]);
    let line = "delete token --token-name a --with-created";
    let (status, out, err) = run_line(line, &url, "y\n");
    insta::assert_snapshot!(err, @r#"Are you sure you want to delete "a" and the tokens that it created? Enter 'yes' or 'y' to confirm"#);
    assert_eq!(status, 0);
    insta::assert_snapshot!(out, @r#"
    Token "a" deleted successfully
    Token "b" deleted successfully
    "#);
    insta::assert_snapshot!(fails(&format!("{line} -y"), &url), @"Delete command failed: the server has deleted this token, and not the tokens that it created: it does not know --with-created");
    assert_eq!(
        target(&requests.join().unwrap()[0]),
        "DELETE /api/v3/configure/token?token_name=a&with_created=true"
    );
}

#[test]
fn the_operator_token_is_not_deleted() {
    let (status, out, err) = run_line("delete token --token-name _admin", "http://127.0.0.1:9", "");
    assert_eq!((status, err.as_str()), (0, ""));
    insta::assert_snapshot!(out, @r#"The operator token "_admin" can't be deleted. To replace it: neap create token --admin --regenerate --token TOKEN"#);
}
