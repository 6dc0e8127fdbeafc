//! Requests about the server, views, backups, tokens and users, with their access rules.

use super::{AccessCase, AccessRule};

pub(in crate::tests::access) fn remaining() -> Vec<AccessCase> {
    use AccessRule::{Admin, Anybody, Audit, Exactly, ExactlyOrDatabase, Holders, Own, OwnBoth};
    let wrong = r#"{"token_name":"x","permissions":[]}"#;
    #[rustfmt::skip]
    let mut rows = vec![
        ("OPTIONS", "/write", "", Anybody, 204),
        ("GET", "/settings", "", Anybody, 200),
        ("POST", "/api/v3/configure/token/named_admin", r#"{"token_name":"named"}"#, Admin, 409),
        ("GET", "/health", "", Exactly("system:health:read"), 200),
        ("GET", "/api/v1/health", "", Exactly("system:health:read"), 200),
        ("GET", "/metrics", "", Exactly("system:metrics:read"), 200),
        ("GET", "/ready", "", Exactly("system:ready:read"), 200),
        ("GET", "/debug/pprof/profile?seconds=0", "", Admin, 400),
        ("POST", "/debug/pprof/profile?seconds=0", "", Admin, 400),
        ("GET", "/debug/pprof/heap?seconds=0", "", Admin, 400),
        ("POST", "/debug/pprof/heap?seconds=0", "", Admin, 400),
        ("GET", "/ping", "", ExactlyOrDatabase("system:ping:read"), 200),
        ("POST", "/ping", "", ExactlyOrDatabase("system:ping:read"), 200),
        ("GET", "/api/v3/configure/materialized_view?db=own", "", Own("read"), 200),
        (
            "POST",
            "/api/v3/configure/materialized_view",
            r#"{"db":"own","name":"v","query":"SELECT 1"}"#,
            OwnBoth("read,write"),
            400,
        ),
        ("DELETE", "/api/v3/configure/materialized_view?db=own&name=missing", "", OwnBoth("read,write"), 404),
        ("GET", "/api/v3/configure/query_concurrency_limit", "", Audit, 200),
        ("PUT", "/api/v3/configure/query_concurrency_limit", r#"{"max_concurrent_queries":1}"#, Admin, 400),
        ("DELETE", "/api/v3/configure/query_concurrency_limit", "", Admin, 204),
        ("GET", "/nope", "", Holders, 404),
        ("GET", "/api/v3/enterprise/backup", "", Audit, 200),
        ("GET", "/api/v3/enterprise/backup/none", "", Audit, 404),
        ("GET", "/api/v3/enterprise/restore", "", Audit, 200),
        ("GET", "/api/v3/enterprise/restore/none", "", Audit, 404),
        ("POST", "/api/v3/enterprise/backup", "{}", Admin, 400),
        ("DELETE", "/api/v3/enterprise/backup", r#"{"name":"none"}"#, Admin, 404),
        ("DELETE", "/api/v3/enterprise/backup/none", "", Admin, 404),
        ("POST", "/api/v3/enterprise/restore", "{}", Admin, 400),
        ("DELETE", "/api/v3/enterprise/restore/none", "", Admin, 404),
        // The requests of the tools have the rights of the token. These lack the header `Host`.
        ("POST", "/mcp", "{}", Holders, 400),
        ("GET", "/mcp", "", Holders, 400),
        ("GET", "/api/v3/enterprise/configure/query_groups", "", Audit, 200),
        ("POST", "/api/v3/enterprise/configure/query_groups", r#"{"name":""}"#, Admin, 400),
        ("GET", "/api/v3/enterprise/configure/query_groups/7", "", Audit, 404),
        ("PUT", "/api/v3/enterprise/configure/query_groups/7", r#"{"name":"x"}"#, Admin, 404),
        ("PATCH", "/api/v3/enterprise/configure/query_groups/7", r#"{"name":"x"}"#, Admin, 404),
        ("DELETE", "/api/v3/enterprise/configure/query_groups/7", "", Admin, 404),
        ("POST", "/api/v3/enterprise/configure/node/stop", r#"{"node_id":"none"}"#, Admin, 404),
        ("GET", "/api/v3/enterprise/configure/node/stop?node_id=none", "", Audit, 404),
        ("POST", "/api/v3/enterprise/configure/node/remove", r#"{"node_id":"none"}"#, Admin, 404),
        ("GET", "/api/v3/engine/x", "", AccessRule::AllEither("read", "write"), 404),
    ];
    for path in ["/api/v3/configure/token", "/api/v3/enterprise/configure/token"] {
        rows.push(("POST", path, wrong, Exactly("token:*:create"), 400));
    }
    rows.extend(users());
    for path in [
        "/api/v3/configure/token?token_name=missing",
        "/api/v3/enterprise/configure/token?token_name=missing",
    ] {
        rows.push(("DELETE", path, "", Exactly("token:*:delete"), 404));
    }
    rows
}

/// Requests about users and roles.
fn users() -> Vec<AccessCase> {
    use AccessRule::{Anybody, Exactly};
    let (read, create) = (Exactly("user:*:read"), Exactly("user:*:create"));
    let (update, delete) = (Exactly("user:*:update"), Exactly("user:*:delete"));
    let role = r#"{"name":"x","permissions":[]}"#;
    let mut rows = vec![
        ("GET", "/api/v3/users", "", read, 200),
        ("GET", "/api/v3/users/1000", "", read, 404),
        ("GET", "/api/v3/users/1000/roles", "", read, 404),
        ("GET", "/api/v3/users_by_oauth_id/x", "", read, 404),
        ("GET", "/api/v3/roles", "", read, 200),
        ("GET", "/api/v3/roles/1000/permissions", "", read, 404),
        ("GET", "/api/v3/roles_by_name/Admin", "", read, 200),
        ("POST", "/api/v3/users", r#"{"username":"x"}"#, create, 400),
        ("POST", "/api/v3/roles", role, create, 400),
        ("PATCH", "/api/v3/users/1000", "{}", update, 404),
        ("DELETE", "/api/v3/users/1000", "", delete, 404),
        ("DELETE", "/api/v3/roles/1000", "", delete, 404),
        ("GET", "/api/v3/auth/oauth/config", "", Anybody, 200),
        ("GET", "/.well-known/jwks.json", "", Anybody, 200),
        ("POST", "/api/v3/authorize", "{}", Anybody, 400),
        ("POST", "/api/v3/authorize/refresh", "{}", Anybody, 400),
        ("POST", "/api/v3/authorize/reset-password", "{}", Anybody, 400),
    ];
    for (method, path, body) in [
        ("PUT", "/api/v3/users/1000/roles", r#"{"roleIds":[]}"#),
        ("PUT", "/api/v3/roles/1000/permissions", r#"{"permissions":["db:own:read"]}"#),
        ("POST", "/api/v3/users/1000/require-password-reset", ""),
    ] {
        rows.push((method, path, body, update, 404));
    }
    rows
}
