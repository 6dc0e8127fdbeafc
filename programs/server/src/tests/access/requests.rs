//! All requests with their access rules.

mod administration;
mod configuration;
mod console;
mod plugins;
mod protocols;

pub(super) use self::{
    administration::remaining, configuration::configuring, console::console, plugins::processing,
    protocols::other_protocols,
};

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
    /// Administrators and tokens with both actions on `own`.
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
            // The roles have these permissions.
            "user:own" => "db:own,gone:read,write",
            "user:appender" => "db:own,gone:append",
            token => token,
        };
        let all = |action: &str| grants(token, "db:*:", action);
        let own = |action: &str| grants(token, "db:own,gone:", action) || all(action);
        match self {
            Self::Anybody | Self::Holders => true,
            Self::Databases => token.starts_with("db:"),
            Self::Own(action) => own(action),
            Self::Somewhere(action) => own(action) || token == "db:other:*",
            Self::OwnEither(one, other) => own(one) || own(other),
            Self::All(action) => all(action),
            Self::AllEither(one, other) => all(one) || all(other),
            Self::OwnBoth(actions) => {
                actions.split(',').all(|action| grants(token, "db:own,gone:", action))
            }
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

/// Returns whether a token grants an action on the databases with this prefix.
fn grants(token: &str, databases: &str, wanted: &str) -> bool {
    let actions = token.strip_prefix(databases);
    actions.is_some_and(|actions| {
        actions
            .split(',')
            .any(|action| action == wanted || (action, wanted) == ("write", "append"))
    })
}

/// A table row: method, path, body, access rule, and the status of an allowed request. `{gone}` is replaced by the name
/// of the dropped database and `{n}` by a different number each time. An allowed request must not change state that a
/// later row depends on; where it would, the request contains an error that is found after the access check.
pub(super) type AccessCase = (&'static str, &'static str, &'static str, AccessRule, u16);

#[rustfmt::skip]
pub(super) fn writing() -> Vec<AccessCase> {
    use AccessRule::{All, AllEither, Databases, Own, OwnEither, Somewhere};
    let requests = "/api/v3/row_delete_requests";
    let line = "m v=1 1";
    let range = r#"{"start":"2024-01-01T00:00:00Z","stop":"2024-01-02T00:00:00Z"}"#;
    vec![
        ("POST", "/api/v3/write_lp?db=own", line, Own("append"), 204),
        ("POST", "/api/v2/write?bucket=own", line, Own("append"), 204),
        ("POST", "/write?db=own", line, Own("append"), 204),
        ("POST", "/api/v3/write_lp?db=new{n}", line, All("write"), 204),
        ("POST", "/api/v2/write?bucket=new{n}", line, All("write"), 204),
        ("POST", "/write?db=new{n}", line, All("write"), 204),
        ("POST", "/api/v2/delete?bucket=own", range, OwnEither("write", "delete"), 204),
        ("POST", "/api/v2/delete?bucket=missing", range, AllEither("write", "delete"), 404),
        ("POST", "/api/v3/delete_rows", r#"{"db":"own","table":"m"}"#, OwnEither("write", "delete"), 204),
        ("POST", "/api/v3/delete_rows", r#"{"db":"missing","table":"m"}"#, AllEither("write", "delete"), 404),
        ("POST", requests, r#"{"db":"own","table":"m","all_time":true}"#, OwnEither("write", "delete"), 200),
        ("POST", requests, r#"{"db":"missing","table":"m","all_time":true}"#, AllEither("write", "delete"), 404),
        ("GET", requests, "", Databases, 200),
        (
            "POST",
            "/api/v3/row_delete_requests/1000000/abort",
            r#"{"reason":"x"}"#,
            AllEither("write", "delete"),
            404,
        ),
        ("GET", "/api/v3/sync/position?db=own&site=a&source=01ARZ3NDEKTSV4RRFFQ69G5FAV", "", Own("write"), 200),
        ("GET", "/api/v3/sync/position?db=missing&site=a&source=01ARZ3NDEKTSV4RRFFQ69G5FAV", "", All("write"), 404),
        ("POST", "/api/v3/sync/rows?db=own&site=a&source=01ARZ3NDEKTSV4RRFFQ69G5FAV", "", Own("write"), 400),
        (
            "POST",
            "/api/v3/sync/deletes?db=own&site=a&source=01ARZ3NDEKTSV4RRFFQ69G5FAV",
            r#"{"deletes":[]}"#,
            Own("write"),
            400,
        ),
        ("GET", "/api/v3/enterprise/import", "", Databases, 200),
        ("POST", "/api/v3/enterprise/import", "", Somewhere("append"), 400),
    ]
}

#[rustfmt::skip]
pub(super) fn querying() -> Vec<AccessCase> {
    use AccessRule::{All, Audit, Databases, Own, OwnBoth, OwnEither};
    let sql = "/api/v3/query_sql";
    let execute = "/api/v3/execute_sql";
    let influxql = "/api/v3/query_influxql";
    let influxdb2 = "/api/v2/query";
    vec![
        ("GET", "/api/v3/query_sql?db=own&q=SELECT+1", "", Own("read"), 200),
        ("POST", sql, r#"{"db":"own","q":"SELECT 1"}"#, Own("read"), 200),
        ("POST", sql, r#"{"db":"own","q":"SELECT * FROM system.queries"}"#, Own("read"), 200),
        ("POST", sql, r#"{"db":"missing","q":"SELECT 1"}"#, All("read"), 404),
        ("POST", sql, r#"{"db":"_internal","q":"SELECT 1"}"#, Audit, 200),
        ("POST", sql, r#"{"db":"own","q":"DELETE FROM m WHERE time < '2020-01-01'"}"#, OwnBoth("read,write"), 200),
        (
            "POST",
            execute,
            r#"{"db":"own","q":"INSERT INTO m (time) SELECT time FROM m"}"#,
            OwnBoth("read,append"),
            200,
        ),
        (
            "POST",
            execute,
            r#"{"db":"own","q":"DELETE FROM m WHERE time < '2020-01-01'"}"#,
            OwnBoth("read,write"),
            200,
        ),
        (
            "POST",
            execute,
            r#"{"db":"own","q":"CREATE TABLE IF NOT EXISTS m (v DOUBLE)"}"#,
            OwnEither("create", "write"),
            200,
        ),
        ("POST", execute, r#"{"db":"own","q":"DROP TABLE IF EXISTS missing"}"#, Own("delete"), 200),
        ("POST", execute, r#"{"db":"missing","q":"DELETE FROM m"}"#, All("read"), 404),
        ("POST", execute, r#"{"q":"CREATE DATABASE own"}"#, All("create"), 409),
        ("POST", execute, r#"{"q":"DROP DATABASE IF EXISTS missing"}"#, All("delete"), 200),
        ("POST", influxql, r#"{"db":"own","q":"SHOW MEASUREMENTS"}"#, Own("read"), 200),
        ("POST", influxql, r#"{"db":"missing","q":"SHOW MEASUREMENTS"}"#, All("read"), 404),
        ("GET", "/api/v3/query_influxql?q=SHOW+DATABASES", "", Databases, 200),
        ("GET", "/query?db=own&q=SHOW+MEASUREMENTS", "", Own("read"), 200),
        ("GET", "/query?q=SHOW+DATABASES", "", Databases, 200),
        ("POST", influxdb2, r#"{"query":"from(bucket: \"own\") |> range(start: -1h)"}"#, Own("read"), 200),
        ("POST", influxdb2, r#"{"query":"from(bucket: \"missing\") |> range(start: -1h)"}"#, All("read"), 404),
        ("POST", influxdb2, r#"{"query":"buckets()"}"#, Databases, 200),
        ("POST", influxdb2, r#"{"query":"SHOW MEASUREMENTS","type":"influxql","bucket":"own"}"#, Own("read"), 200),
        ("GET", "/api/v3/export/databases", "", Databases, 200),
        ("GET", "/api/v3/export/tables?db=own", "", Own("read"), 200),
        ("GET", "/api/v3/export/tables?db=missing", "", All("read"), 404),
        ("GET", "/api/v3/export/windows?db=own&table=m", "", Own("read"), 200),
        ("GET", "/api/v3/export/window_data?db=own&table=m", "", Own("read"), 200),
        ("GET", "/api/v3/export/window_data?db=own&table=missing", "", Own("read"), 404),
        ("POST", "/query?q=CREATE+DATABASE+own", "", All("create"), 200),
        ("POST", "/query?q=DROP+DATABASE+missing", "", All("delete"), 200),
    ]
}
