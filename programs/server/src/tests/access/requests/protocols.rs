//! Requests of other protocols, with their access rules.

use super::AccessRule;

/// A request of another protocol: method, path, body, access rule.
type ProtocolCase = (&'static str, String, &'static str, AccessRule);

pub(in crate::tests::access) fn other_protocols() -> Vec<ProtocolCase> {
    use AccessRule::{All, Own};
    let (read, append) = (Own("read"), Own("append"));
    let rows = [
        ("POST", "/api/v1/write?db=own", "", append),
        ("POST", "/api/v1/prom/write?db=own", "", append),
        ("POST", "/api/v1/write?db=missing", "", All("write")),
        ("POST", "/v1/metrics?db=own", "{}", append),
        ("POST", "/v1/logs?db=own", "{}", append),
        ("POST", "/v1/traces?db=own", "{}", append),
        ("POST", "/v1/traces?db=missing", "{}", All("write")),
        ("POST", "/imp?db=own", "", append),
        ("POST", "/api/v1/read?db=own", "", read),
        ("POST", "/api/v1/prom/read?db=own", "", read),
        ("GET", "/exec?db=own&query=SELECT+1", "", read),
        ("GET", "/exec?db=missing&query=SELECT+1", "", All("read")),
        ("GET", "/exec?db=own&query=DROP+TABLE+IF+EXISTS+missing", "", Own("delete")),
    ];
    let all = rows.into_iter().chain(iceberg()).chain(jaeger()).chain(influxdb2());
    let cases = all.map(|(method, path, body, rule)| (method, path.to_owned(), body, rule));
    cases.chain(prometheus()).collect()
}

/// Requests of Prometheus's HTTP interface, below each of its prefixes.
fn prometheus() -> Vec<ProtocolCase> {
    use AccessRule::{All, Own, OwnBoth, Somewhere};
    let (read, some) = (Own("read"), Somewhere("read"));
    let range = "query_range?db=own&query=m&start=0&end=1&step=1";
    let rows = [
        ("GET", "query?db=own&query=m", read),
        ("POST", "query?db=own&query=m", read),
        ("GET", "query?db=missing&query=m", All("read")),
        ("GET", range, read),
        ("POST", range, read),
        ("GET", "query_exemplars?db=own&query=m", read),
        ("POST", "query_exemplars?db=own&query=m", read),
        ("GET", "format_query?query=m", some),
        ("POST", "format_query?query=m", some),
        ("GET", "parse_query?query=m", some),
        ("POST", "parse_query?query=m", some),
        ("GET", "labels?db=own", read),
        ("POST", "labels?db=own", read),
        ("GET", "label/job/values?db=own", read),
        ("GET", "series?db=own&match[]=m", read),
        ("POST", "series?db=own&match[]=m", read),
        ("GET", "metadata?db=own", read),
        ("GET", "rules?db=own", read),
        ("GET", "alerts?db=own", read),
        ("GET", "status/buildinfo", some),
    ];
    let prefixes = ["/api/v1", "/prometheus/api/v1"].into_iter();
    let cases = prefixes.flat_map(|prefix| {
        rows.map(|(method, path, rule)| (method, format!("{prefix}/{path}"), "", rule))
    });
    let change = OwnBoth("read,write");
    let rules = [
        ("GET", "", read),
        ("GET", "/n", read),
        ("PUT", "/n", change),
        ("POST", "/n", change),
        ("DELETE", "/n", change),
        ("GET", "/n/g", read),
        ("DELETE", "/n/g", change),
    ];
    let rule_cases = rules.map(|(method, path, rule)| {
        let body = match method {
            "PUT" => r#"{"groups":[{"name":"g","rules":[{"record":"r","expr":"m"}]}]}"#,
            "POST" => r#"{"name":"g","rules":[{"record":"r","expr":"m"}]}"#,
            _ => "",
        };
        (method, format!("/prometheus/config/v1/rules{path}?db=own"), body, rule)
    });
    cases.chain(rule_cases).collect()
}

/// Requests of readers of Iceberg tables.
fn iceberg() -> [(&'static str, &'static str, &'static str, AccessRule); 7] {
    use AccessRule::{All, Own, Somewhere};
    let (read, some) = (Own("read"), Somewhere("read"));
    [
        ("GET", "/iceberg/v1/config", "", some),
        ("GET", "/iceberg/v1/namespaces", "", some),
        ("GET", "/iceberg/v1/namespaces?parent=own", "", read),
        ("GET", "/iceberg/v1/namespaces/own", "", read),
        ("GET", "/iceberg/v1/namespaces/missing", "", All("read")),
        ("GET", "/iceberg/v1/namespaces/own/tables", "", read),
        ("GET", "/iceberg/v1/namespaces/own/tables/m", "", read),
    ]
}

/// Requests of Jaeger's page.
fn jaeger() -> [(&'static str, &'static str, &'static str, AccessRule); 6] {
    use AccessRule::{All, Own};
    let read = Own("read");
    [
        ("GET", "/api/services?db=own", "", read),
        ("GET", "/api/services?db=missing", "", All("read")),
        ("GET", "/api/services/shop/operations?db=own", "", read),
        ("GET", "/api/operations?db=own&service=shop", "", read),
        ("GET", "/api/traces?db=own&service=shop", "", read),
        ("GET", "/api/traces/0af7651916cd43dd?db=own", "", read),
    ]
}

/// Requests for resources of InfluxDB 2. The bucket of the ids does not exist.
fn influxdb2() -> Vec<(&'static str, &'static str, &'static str, AccessRule)> {
    use AccessRule::{Admin, All, Anybody, Exactly, Holders, Somewhere};
    let bucket = "/api/v2/buckets/6e656170000000ff";
    let mapping = "/api/v2/dbrps/6e656170000000ff";
    let authorization = "/api/v2/authorizations/746f00000000ffff";
    vec![
        ("GET", "/api/v2", "", Anybody),
        ("GET", "/api/v2/buckets", "", Holders),
        ("POST", "/api/v2/buckets", r#"{"name":"own"}"#, All("create")),
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
        ("POST", "/api/v2/authorizations", "{}", Exactly("token:*:create")),
        ("GET", authorization, "", Holders),
        ("DELETE", authorization, "", Exactly("token:*:delete")),
        ("GET", "/api/v2/setup", "", Anybody),
    ]
}
