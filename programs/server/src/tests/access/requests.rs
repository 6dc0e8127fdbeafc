//! All requests with their access rules.

/// The tokens that may send a request.
#[derive(Clone, Copy, Debug)]
pub(in crate::tests) enum AccessRule {
    /// No token required.
    Anybody,
    /// Any token.
    Holders,
    /// Administrators and tokens with any database permission.
    Databases,
    /// Administrators and tokens with this action on `own`.
    Own(&'static str),
    /// Administrators and tokens with one of two actions on `own`.
    OwnEither(&'static str, &'static str),
    /// Administrators and tokens with this action on some database.
    Somewhere(&'static str),
    /// Administrators and tokens with the action on all databases.
    All(&'static str),
    /// Administrators and tokens with one of two actions on all databases.
    AllEither(&'static str, &'static str),
    /// Administrators and the token with both actions on `own`.
    OwnBoth(&'static str),
    /// Administrators and tokens with exactly this permission.
    Exactly(&'static str),
    /// Administrators, tokens with exactly this permission, and tokens with any database permission.
    ExactlyOrDatabase(&'static str),
    /// Administrators and auditors.
    Audit,
    /// Administrators.
    Admin,
}

impl AccessRule {
    /// Returns whether the request is allowed with `token`; `None` means no token.
    pub(in crate::tests) fn holds(self, token: Option<&str>) -> bool {
        let Some(token) = token else {
            return matches!(self, Self::Anybody);
        };
        let token = match token {
            "admin" | "named" | "user:Admin" => return true,
            "user:Auditor" => return self.holds_for_auditor(),
            "user:Member" => return self.holds_for_member(),
            // The role has these permissions.
            "user:own" => "db:own,gone:read,write",
            token => token,
        };
        let own = |action: &str| {
            token == format!("db:own,gone:{action}")
                || token == format!("db:*:{action}")
                || token == "db:own,gone:read,write" && ["read", "write"].contains(&action)
        };
        let all = |action: &str| token == format!("db:*:{action}");
        match self {
            Self::Anybody | Self::Holders => true,
            Self::Databases => token.starts_with("db:"),
            Self::Own(action) => own(action),
            Self::Somewhere(action) => own(action) || token == "db:other:*",
            Self::OwnEither(one, other) => own(one) || own(other),
            Self::All(action) => all(action),
            Self::AllEither(one, other) => all(one) || all(other),
            Self::OwnBoth(actions) => token == format!("db:own,gone:{actions}"),
            Self::Exactly(permission) => token == permission,
            Self::ExactlyOrDatabase(permission) => token == permission || token.starts_with("db:"),
            Self::Audit | Self::Admin => false,
        }
    }

    /// Returns whether the request is allowed for an auditor, who reads everything and changes nothing.
    fn holds_for_auditor(self) -> bool {
        let reads = |action: &str| matches!(action, "read" | "describe");
        match self {
            Self::Anybody | Self::Holders | Self::Databases | Self::Audit => true,
            Self::Own(action) | Self::Somewhere(action) | Self::All(action) => reads(action),
            Self::OwnEither(one, other) | Self::AllEither(one, other) => reads(one) || reads(other),
            Self::Exactly(permission) | Self::ExactlyOrDatabase(permission) => {
                permission.ends_with(":read")
            }
            Self::OwnBoth(_) | Self::Admin => false,
        }
    }

    /// Returns whether the request is allowed for a member without another role.
    fn holds_for_member(self) -> bool {
        match self {
            Self::Anybody | Self::Holders => true,
            Self::Exactly(permission) | Self::ExactlyOrDatabase(permission) => {
                ["health", "ping", "ready"]
                    .map(|name| format!("system:{name}:read"))
                    .iter()
                    .any(|endpoint| endpoint == permission)
            }
            _ => false,
        }
    }
}

/// A table row: method, path, body, access rule, and the status of an allowed request. `{gone}` is replaced by the name
/// of the dropped database and `{n}` by a different number each time. An allowed request must not change state that a
/// later row depends on; where it would, the request contains an error that is found after the access check.
pub(super) type AccessCase = (&'static str, &'static str, &'static str, AccessRule, u16);

pub(super) fn writing() -> Vec<AccessCase> {
    use AccessRule::{All, AllEither, Databases, Own, OwnEither, Somewhere};
    let requests = "/api/v3/row_delete_requests";
    let line = "m v=1 1";
    let range = r#"{"start":"2024-01-01T00:00:00Z","stop":"2024-01-02T00:00:00Z"}"#;
    vec![
        ("POST", "/api/v3/write_lp?db=own", line, Own("write"), 204),
        ("POST", "/api/v2/write?bucket=own", line, Own("write"), 204),
        ("POST", "/write?db=own", line, Own("write"), 204),
        (
            "POST",
            "/api/v3/write_lp?db=new{n}",
            line,
            All("write"),
            204,
        ),
        (
            "POST",
            "/api/v2/write?bucket=new{n}",
            line,
            All("write"),
            204,
        ),
        ("POST", "/write?db=new{n}", line, All("write"), 204),
        (
            "POST",
            "/api/v2/delete?bucket=own",
            range,
            OwnEither("write", "delete"),
            204,
        ),
        (
            "POST",
            "/api/v2/delete?bucket=missing",
            range,
            AllEither("write", "delete"),
            404,
        ),
        (
            "POST",
            "/api/v3/delete_rows",
            r#"{"db":"own","table":"m"}"#,
            OwnEither("write", "delete"),
            204,
        ),
        (
            "POST",
            "/api/v3/delete_rows",
            r#"{"db":"missing","table":"m"}"#,
            AllEither("write", "delete"),
            404,
        ),
        (
            "POST",
            requests,
            r#"{"db":"own","table":"m","all_time":true}"#,
            OwnEither("write", "delete"),
            200,
        ),
        (
            "POST",
            requests,
            r#"{"db":"missing","table":"m","all_time":true}"#,
            AllEither("write", "delete"),
            404,
        ),
        ("GET", requests, "", Databases, 200),
        (
            "POST",
            "/api/v3/row_delete_requests/1000000/abort",
            r#"{"reason":"x"}"#,
            AllEither("write", "delete"),
            404,
        ),
        ("GET", "/api/v3/enterprise/import", "", Databases, 200),
        (
            "POST",
            "/api/v3/enterprise/import",
            "",
            Somewhere("write"),
            400,
        ),
    ]
}

/// A request of another protocol: method, path, body, access rule.
pub(super) type ProtocolCase = (&'static str, &'static str, &'static str, AccessRule);

pub(super) fn other_protocols() -> Vec<ProtocolCase> {
    use AccessRule::{All, Own};
    let (read, write) = (Own("read"), Own("write"));
    let mut rows = vec![
        ("POST", "/api/v1/write?db=own", "", write),
        ("POST", "/api/v1/prom/write?db=own", "", write),
        ("POST", "/api/v1/write?db=missing", "", All("write")),
        ("POST", "/v1/metrics?db=own", "{}", write),
        ("POST", "/v1/logs?db=own", "{}", write),
        ("POST", "/v1/traces?db=own", "{}", write),
        ("POST", "/v1/traces?db=missing", "{}", All("write")),
        ("POST", "/imp?db=own", "", write),
        ("POST", "/api/v1/read?db=own", "", read),
        ("POST", "/api/v1/prom/read?db=own", "", read),
        ("GET", "/api/v1/labels?db=own", "", read),
        ("POST", "/api/v1/labels?db=own", "", read),
        ("GET", "/api/v1/label/job/values?db=own", "", read),
        ("GET", "/api/v1/series?db=own&match[]=m", "", read),
        ("GET", "/api/v1/metadata?db=own", "", read),
        ("GET", "/exec?db=own&query=SELECT+1", "", read),
        ("GET", "/exec?db=missing&query=SELECT+1", "", All("read")),
    ];
    rows.extend(influxdb2());
    rows
}

/// Requests for resources of InfluxDB 2. The bucket of the ids does not exist.
fn influxdb2() -> Vec<ProtocolCase> {
    use AccessRule::{Admin, All, Anybody, Exactly, Holders, Somewhere};
    let bucket = "/api/v2/buckets/6e656170000000ff";
    let mapping = "/api/v2/dbrps/6e656170000000ff";
    let authorization = "/api/v2/authorizations/746f00000000ffff";
    vec![
        ("GET", "/api/v2", "", Anybody),
        ("GET", "/api/v2/buckets", "", Holders),
        (
            "POST",
            "/api/v2/buckets",
            r#"{"name":"own"}"#,
            All("create"),
        ),
        ("GET", bucket, "", Holders),
        ("PATCH", bucket, "{}", Admin),
        ("DELETE", bucket, "", Somewhere("delete")),
        ("GET", "/api/v2/dbrps", "", Holders),
        ("POST", "/api/v2/dbrps", "{}", Holders),
        ("GET", mapping, "", Holders),
        ("DELETE", mapping, "", Holders),
        ("GET", "/api/v2/orgs", "", Holders),
        ("GET", "/api/v2/orgs/6e65617000000000", "", Holders),
        ("GET", "/api/v2/users", "", Holders),
        ("GET", "/api/v2/users/7573000000000001", "", Holders),
        ("GET", "/api/v2/me", "", Holders),
        ("GET", "/api/v2/labels", "", Holders),
        ("GET", "/api/v2/resources", "", Holders),
        ("GET", "/api/v2/authorizations", "", Holders),
        (
            "POST",
            "/api/v2/authorizations",
            "{}",
            Exactly("token:*:create"),
        ),
        ("GET", authorization, "", Holders),
        ("DELETE", authorization, "", Exactly("token:*:delete")),
        ("GET", "/api/v2/setup", "", Anybody),
    ]
}

pub(super) fn querying() -> Vec<AccessCase> {
    use AccessRule::{All, Audit, Databases, Own, OwnBoth};
    let sql = "/api/v3/query_sql";
    let influxql = "/api/v3/query_influxql";
    let influxdb2 = "/api/v2/query";
    vec![
        (
            "GET",
            "/api/v3/query_sql?db=own&q=SELECT+1",
            "",
            Own("read"),
            200,
        ),
        (
            "POST",
            sql,
            r#"{"db":"own","q":"SELECT 1"}"#,
            Own("read"),
            200,
        ),
        (
            "POST",
            sql,
            r#"{"db":"own","q":"SELECT * FROM system.queries"}"#,
            Own("read"),
            200,
        ),
        (
            "POST",
            sql,
            r#"{"db":"missing","q":"SELECT 1"}"#,
            All("read"),
            404,
        ),
        (
            "POST",
            sql,
            r#"{"db":"_internal","q":"SELECT 1"}"#,
            Audit,
            200,
        ),
        (
            "POST",
            sql,
            r#"{"db":"own","q":"DELETE FROM m WHERE time < '2020-01-01'"}"#,
            OwnBoth("read,write"),
            200,
        ),
        (
            "POST",
            influxql,
            r#"{"db":"own","q":"SHOW MEASUREMENTS"}"#,
            Own("read"),
            200,
        ),
        (
            "POST",
            influxql,
            r#"{"db":"missing","q":"SHOW MEASUREMENTS"}"#,
            All("read"),
            404,
        ),
        (
            "GET",
            "/api/v3/query_influxql?q=SHOW+DATABASES",
            "",
            Databases,
            200,
        ),
        (
            "GET",
            "/query?db=own&q=SHOW+MEASUREMENTS",
            "",
            Own("read"),
            200,
        ),
        ("GET", "/query?q=SHOW+DATABASES", "", Databases, 200),
        (
            "POST",
            influxdb2,
            r#"{"query":"from(bucket: \"own\") |> range(start: -1h)"}"#,
            Own("read"),
            200,
        ),
        (
            "POST",
            influxdb2,
            r#"{"query":"from(bucket: \"missing\") |> range(start: -1h)"}"#,
            All("read"),
            404,
        ),
        (
            "POST",
            influxdb2,
            r#"{"query":"buckets()"}"#,
            Databases,
            200,
        ),
        (
            "POST",
            influxdb2,
            r#"{"query":"SHOW MEASUREMENTS","type":"influxql","bucket":"own"}"#,
            Own("read"),
            200,
        ),
        ("GET", "/api/v3/export/databases", "", Databases, 200),
        ("GET", "/api/v3/export/tables?db=own", "", Own("read"), 200),
        (
            "GET",
            "/api/v3/export/tables?db=missing",
            "",
            All("read"),
            404,
        ),
        (
            "GET",
            "/api/v3/export/windows?db=own&table=m",
            "",
            Own("read"),
            200,
        ),
        (
            "GET",
            "/api/v3/export/window_data?db=own&table=m",
            "",
            Own("read"),
            200,
        ),
        (
            "GET",
            "/api/v3/export/window_data?db=own&table=missing",
            "",
            Own("read"),
            404,
        ),
        (
            "POST",
            "/query?q=CREATE+DATABASE+own",
            "",
            All("create"),
            200,
        ),
        (
            "POST",
            "/query?q=DROP+DATABASE+missing",
            "",
            All("delete"),
            200,
        ),
    ]
}

pub(super) fn configuring() -> Vec<AccessCase> {
    use AccessRule::{Admin, All, AllEither, Holders, Own, OwnEither};
    let database = "/api/v3/configure/database";
    let table = "/api/v3/configure/table";
    let twice = r#"{"db":"own","table":"m","tags":["a"],"fields":[{"name":"a","type":"utf8"}]}"#;
    let new = r#"{"db":"missing","table":"m","tags":["a"],"fields":[{"name":"a","type":"utf8"}]}"#;
    let kept = r#"{"db":"own","table":"m","tags":[],"fields":[],"retention_period":"1d"}"#;
    let mut rows = vec![
        ("GET", database, "", Holders, 200),
        ("POST", database, r#"{"db":"own"}"#, All("create"), 409),
        ("PUT", database, r#"{"db":"missing"}"#, Admin, 404),
        (
            "DELETE",
            "/api/v3/configure/database?db={gone}&hard_delete_at=never",
            "",
            Own("delete"),
            409,
        ),
        (
            "DELETE",
            "/api/v3/configure/database?db=missing",
            "",
            All("delete"),
            404,
        ),
        (
            "DELETE",
            "/api/v3/configure/database?db=_internal",
            "",
            Admin,
            500,
        ),
        (
            "POST",
            "/api/v3/configure/database/undelete?db={gone}&name=own",
            "",
            Admin,
            409,
        ),
        (
            "POST",
            "/api/v3/configure/database/undelete?db=missing",
            "",
            All("delete"),
            404,
        ),
        (
            "POST",
            "/api/v3/configure/database/rename?db=missing&name=x",
            "",
            Admin,
            404,
        ),
        (
            "DELETE",
            "/api/v3/configure/database/alias?alias=missing",
            "",
            All("delete"),
            404,
        ),
        (
            "POST",
            "/api/v3/configure/database/retention_period?db=missing&duration=1d",
            "",
            Admin,
            404,
        ),
        (
            "DELETE",
            "/api/v3/configure/database/retention_period?db=missing",
            "",
            Admin,
            404,
        ),
        ("GET", "/api/v3/configure/retention", "", Holders, 200),
        ("POST", table, twice, OwnEither("create", "write"), 400),
        ("POST", table, new, AllEither("create", "write"), 400),
        ("POST", table, kept, Admin, 409),
        ("PUT", table, r#"{"db":"own","table":"x"}"#, Admin, 404),
        ("PUT", table, r#"{"db":"missing","table":"m"}"#, Admin, 404),
        (
            "DELETE",
            "/api/v3/configure/table?db=own&table=missing",
            "",
            Own("delete"),
            404,
        ),
        (
            "DELETE",
            "/api/v3/configure/table?db=missing&table=m",
            "",
            All("delete"),
            404,
        ),
        (
            "POST",
            "/api/v3/configure/table/undelete?db=own&table=missing",
            "",
            Own("delete"),
            404,
        ),
        (
            "POST",
            "/api/v3/configure/table/rename?db=own&table=missing&name=x",
            "",
            Admin,
            404,
        ),
        (
            "DELETE",
            "/api/v3/configure/table/alias?db=own&alias=missing",
            "",
            Own("delete"),
            404,
        ),
        (
            "POST",
            "/api/v3/configure/table/column",
            r#"{"db":"own","table":"missing","column":"c","type":"tag"}"#,
            OwnEither("create", "write"),
            404,
        ),
        (
            "POST",
            "/api/v3/configure/table/retention_period?db=own&table=x&duration=1d",
            "",
            Admin,
            404,
        ),
        (
            "DELETE",
            "/api/v3/enterprise/configure/table/retention_period?db=own&table=x",
            "",
            Admin,
            404,
        ),
    ];
    for path in [
        "/api/v3/configure/last_cache",
        "/api/v3/configure/distinct_cache",
        "/api/v3/configure/file_index",
        "/api/v3/enterprise/configure/file_index",
    ] {
        let create = r#"{"db":"own","table":"missing","columns":["a"]}"#;
        let delete = r#"{"db":"own","table":"missing","name":"x"}"#;
        rows.push(("POST", path, create, Own("create"), 404));
        rows.push(("DELETE", path, delete, Own("delete"), 404));
        let elsewhere = r#"{"db":"missing","table":"m","name":"x"}"#;
        rows.push(("DELETE", path, elsewhere, All("delete"), 404));
    }
    rows
}

pub(super) fn remaining() -> Vec<AccessCase> {
    use AccessRule::{Admin, Anybody, Audit, Exactly, ExactlyOrDatabase, Holders, Own, OwnBoth};
    let wrong = r#"{"token_name":"x","permissions":[]}"#;
    let mut rows = vec![
        ("OPTIONS", "/write", "", Anybody, 204),
        ("GET", "/settings", "", Anybody, 200),
        (
            "POST",
            "/api/v3/configure/token/named_admin",
            r#"{"token_name":"named"}"#,
            Admin,
            409,
        ),
        ("GET", "/health", "", Exactly("system:health:read"), 200),
        (
            "GET",
            "/api/v1/health",
            "",
            Exactly("system:health:read"),
            200,
        ),
        ("GET", "/metrics", "", Exactly("system:metrics:read"), 200),
        ("GET", "/ready", "", Exactly("system:ready:read"), 200),
        ("GET", "/debug/pprof/profile?seconds=0", "", Admin, 400),
        ("POST", "/debug/pprof/profile?seconds=0", "", Admin, 400),
        ("GET", "/debug/pprof/heap?seconds=0", "", Admin, 400),
        ("POST", "/debug/pprof/heap?seconds=0", "", Admin, 400),
        (
            "GET",
            "/ping",
            "",
            ExactlyOrDatabase("system:ping:read"),
            200,
        ),
        (
            "POST",
            "/ping",
            "",
            ExactlyOrDatabase("system:ping:read"),
            200,
        ),
        (
            "GET",
            "/api/v3/configure/materialized_view?db=own",
            "",
            Own("read"),
            200,
        ),
        (
            "POST",
            "/api/v3/configure/materialized_view",
            r#"{"db":"own","name":"v","query":"SELECT 1"}"#,
            OwnBoth("read,write"),
            400,
        ),
        (
            "DELETE",
            "/api/v3/configure/materialized_view?db=own&name=missing",
            "",
            OwnBoth("read,write"),
            404,
        ),
        (
            "GET",
            "/api/v3/configure/query_concurrency_limit",
            "",
            Audit,
            200,
        ),
        (
            "PUT",
            "/api/v3/configure/query_concurrency_limit",
            r#"{"max_concurrent_queries":1}"#,
            Admin,
            400,
        ),
        (
            "DELETE",
            "/api/v3/configure/query_concurrency_limit",
            "",
            Admin,
            204,
        ),
        ("GET", "/nope", "", Holders, 404),
        ("GET", "/api/v3/enterprise/backup", "", Audit, 200),
        ("GET", "/api/v3/enterprise/backup/none", "", Audit, 404),
        ("GET", "/api/v3/enterprise/restore", "", Audit, 200),
        ("GET", "/api/v3/enterprise/restore/none", "", Audit, 404),
        ("POST", "/api/v3/enterprise/backup", "{}", Admin, 400),
        (
            "DELETE",
            "/api/v3/enterprise/backup",
            r#"{"name":"none"}"#,
            Admin,
            404,
        ),
        ("DELETE", "/api/v3/enterprise/backup/none", "", Admin, 404),
        ("POST", "/api/v3/enterprise/restore", "{}", Admin, 400),
        ("DELETE", "/api/v3/enterprise/restore/none", "", Admin, 404),
        // The requests of the tools have the rights of the token. These lack the header `Host`.
        ("POST", "/mcp", "{}", Holders, 400),
        ("GET", "/mcp", "", Holders, 400),
        (
            "GET",
            "/api/v3/enterprise/configure/query_groups",
            "",
            Audit,
            200,
        ),
        (
            "POST",
            "/api/v3/enterprise/configure/query_groups",
            r#"{"name":""}"#,
            Admin,
            400,
        ),
        (
            "GET",
            "/api/v3/enterprise/configure/query_groups/7",
            "",
            Audit,
            404,
        ),
        (
            "PUT",
            "/api/v3/enterprise/configure/query_groups/7",
            r#"{"name":"x"}"#,
            Admin,
            404,
        ),
        (
            "PATCH",
            "/api/v3/enterprise/configure/query_groups/7",
            r#"{"name":"x"}"#,
            Admin,
            404,
        ),
        (
            "DELETE",
            "/api/v3/enterprise/configure/query_groups/7",
            "",
            Admin,
            404,
        ),
        (
            "POST",
            "/api/v3/enterprise/configure/node/stop",
            r#"{"node_id":"none"}"#,
            Admin,
            404,
        ),
        (
            "GET",
            "/api/v3/enterprise/configure/node/stop?node_id=none",
            "",
            Audit,
            404,
        ),
        (
            "POST",
            "/api/v3/enterprise/configure/node/remove",
            r#"{"node_id":"none"}"#,
            Admin,
            404,
        ),
        (
            "GET",
            "/api/v3/engine/x",
            "",
            AccessRule::AllEither("read", "write"),
            404,
        ),
    ];
    for path in [
        "/api/v3/configure/token",
        "/api/v3/enterprise/configure/token",
    ] {
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
        (
            "POST",
            "/api/v3/authorize/reset-password",
            "{}",
            Anybody,
            400,
        ),
    ];
    for (method, path, body) in [
        ("PUT", "/api/v3/users/1000/roles", r#"{"roleIds":[]}"#),
        (
            "PUT",
            "/api/v3/roles/1000/permissions",
            r#"{"permissions":["db:own:read"]}"#,
        ),
        ("POST", "/api/v3/users/1000/require-password-reset", ""),
    ] {
        rows.push((method, path, body, update, 404));
    }
    rows
}

/// Requests to the processing engine. The trigger `own` of database `own` is a request trigger, and its plugin does not
/// exist.
pub(super) fn console() -> Vec<AccessCase> {
    use AccessRule::{All, Anybody, Holders, Own};
    let new = r#"{"kind":"query","name":"q","content":{}}"#;
    let changed = r#"{"name":"q","content":{},"version":1}"#;
    let list = "/api/v3/console/documents?db=own";
    let one = "/api/v3/console/documents/00000000000000000000000001?db=own";
    vec![
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
        (
            "GET",
            "/api/v3/console/documents?db=missing",
            "",
            All("read"),
            404,
        ),
        (
            "POST",
            "/api/v3/console/documents?db=missing",
            new,
            All("write"),
            404,
        ),
    ]
}

pub(super) fn processing() -> Vec<AccessCase> {
    use AccessRule::{Admin, AllEither, Audit, OwnEither};
    const TRIGGER: &str = "/api/v3/configure/processing_engine_trigger";
    const FILES: &str = "/api/v3/plugins/files";
    let create = r#"{"db":"missing","plugin_filename":"x.py","trigger_name":"t","trigger_settings":{},
        "trigger_specification":"all_tables"}"#;
    let package =
        r#"{"plugin_name":"missing","files":[{"relative_path":"__init__.py","content":""}]}"#;
    let mut rows = vec![
        ("POST", TRIGGER, create, Admin, 404),
        (
            "DELETE",
            "/api/v3/configure/processing_engine_trigger?db=own&trigger_name=missing",
            "",
            Admin,
            404,
        ),
        (
            "POST",
            "/api/v3/configure/processing_engine_trigger/enable?db=own&trigger_name=missing",
            "",
            Admin,
            404,
        ),
        (
            "POST",
            "/api/v3/configure/processing_engine_trigger/disable?db=own&trigger_name=missing",
            "",
            Admin,
            404,
        ),
        (
            "POST",
            FILES,
            r#"{"plugin_name":"../x.py","content":""}"#,
            Admin,
            400,
        ),
        (
            "PUT",
            FILES,
            r#"{"plugin_name":"missing","content":""}"#,
            Admin,
            404,
        ),
        (
            "GET",
            "/api/v3/plugins/files?plugin_name=missing",
            "",
            Audit,
            404,
        ),
        (
            "DELETE",
            "/api/v3/plugins/files?plugin_name=missing",
            "",
            Admin,
            404,
        ),
        ("PUT", "/api/v3/plugins/directory", package, Admin, 404),
        (
            "GET",
            "/api/v3/plugins/available?repository=/nowhere",
            "",
            Admin,
            500,
        ),
        (
            "POST",
            "/api/v3/plugins/install",
            r#"{"plugin":"gh:../x"}"#,
            Admin,
            400,
        ),
        (
            "POST",
            "/api/v3/configure/plugin_environment/install_packages",
            r#"{"packages":["--option"]}"#,
            Admin,
            400,
        ),
        (
            "POST",
            "/api/v3/configure/plugin_environment/install_requirements",
            r#"{"requirements_location":"--option"}"#,
            Admin,
            400,
        ),
        (
            "POST",
            "/api/v3/plugin_test/wal",
            r#"{"filename":"../x.py","database":"own","input_lp":""}"#,
            Admin,
            400,
        ),
        (
            "POST",
            "/api/v3/plugin_test/schedule",
            r#"{"filename":"../x.py","database":"own"}"#,
            Admin,
            400,
        ),
    ];
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
        let either = ("read", "write");
        rows.push((
            method,
            "/api/v3/engine/own",
            "",
            OwnEither(either.0, either.1),
            500,
        ));
        rows.push((
            method,
            "/api/v3/engine/missing",
            "",
            AllEither(either.0, either.1),
            404,
        ));
    }
    rows
}
