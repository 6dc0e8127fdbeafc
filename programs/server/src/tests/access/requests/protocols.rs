//! Requests of other protocols, with their access rules.

use super::AccessRule;

/// A request of another protocol: method, path, body, access rule.
type ProtocolCase = (&'static str, &'static str, &'static str, AccessRule);

pub(in crate::tests::access) fn other_protocols() -> Vec<ProtocolCase> {
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
        (
            "GET",
            "/exec?db=own&query=DROP+TABLE+IF+EXISTS+missing",
            "",
            Own("delete"),
        ),
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
