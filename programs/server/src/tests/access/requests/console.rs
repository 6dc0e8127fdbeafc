//! Requests of the console, with their access rules.

use super::{AccessCase, AccessRule};

pub(in crate::tests::access) fn console() -> Vec<AccessCase> {
    use AccessRule::{All, Anybody, Holders, Own};
    let new = r#"{"kind":"query","name":"q","content":{}}"#;
    let changed = r#"{"name":"q","content":{},"version":1}"#;
    let list = "/api/v3/console/documents?db=own";
    let one = "/api/v3/console/documents/00000000000000000000000001?db=own";
    let question = r#"{"task":"explain","language":"sql","statement":"SELECT 1"}"#;
    vec![
        // No model is set.
        ("POST", "/api/v3/console/assistant?db=own", question, Own("read"), 405),
        ("POST", "/api/v3/console/assistant?db=missing", question, All("read"), 404),
        ("GET", "/", "", Anybody, 200),
        ("HEAD", "/", "", Anybody, 200),
        ("GET", "/console/assets/missing.js", "", Anybody, 404),
        ("GET", "/api/v3/console/session", "", Holders, 200),
        ("GET", list, "", Own("read"), 200),
        ("GET", one, "", Own("read"), 404),
        ("POST", list, new, Own("write"), 201),
        ("PUT", one, changed, Own("write"), 404),
        (
            "DELETE",
            "/api/v3/console/documents/00000000000000000000000001?db=own&version=1",
            "",
            Own("write"),
            404,
        ),
        ("GET", "/api/v3/console/documents?db=missing", "", All("read"), 404),
        ("POST", "/api/v3/console/documents?db=missing", new, All("write"), 404),
    ]
}
