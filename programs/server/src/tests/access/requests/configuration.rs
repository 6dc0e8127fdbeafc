//! Requests that configure databases and tables, with their access rules.

use super::{AccessCase, AccessRule};

pub(in crate::tests::access) fn configuring() -> Vec<AccessCase> {
    use AccessRule::{Admin, All, AllEither, Holders, Own, OwnEither};
    let database = "/api/v3/configure/database";
    let table = "/api/v3/configure/table";
    let twice = r#"{"db":"own","table":"m","tags":["a"],"fields":[{"name":"a","type":"utf8"}]}"#;
    let new = r#"{"db":"missing","table":"m","tags":["a"],"fields":[{"name":"a","type":"utf8"}]}"#;
    let kept = r#"{"db":"own","table":"m","tags":[],"fields":[],"retention_period":"1d"}"#;
    #[rustfmt::skip]
    let mut rows = vec![
        ("GET", database, "", Holders, 200),
        ("POST", database, r#"{"db":"own"}"#, All("create"), 409),
        ("PUT", database, r#"{"db":"missing"}"#, Admin, 404),
        ("DELETE", "/api/v3/configure/database?db={gone}&hard_delete_at=never", "", Own("delete"), 409),
        ("DELETE", "/api/v3/configure/database?db=missing", "", All("delete"), 404),
        ("DELETE", "/api/v3/configure/database?db=_internal", "", Admin, 500),
        ("POST", "/api/v3/configure/database/undelete?db={gone}&name=own", "", Admin, 409),
        ("POST", "/api/v3/configure/database/undelete?db=missing", "", All("delete"), 404),
        ("POST", "/api/v3/configure/database/rename?db=missing&name=x", "", Admin, 404),
        ("DELETE", "/api/v3/configure/database/alias?alias=missing", "", All("delete"), 404),
        ("POST", "/api/v3/configure/database/retention_period?db=missing&duration=1d", "", Admin, 404),
        ("DELETE", "/api/v3/configure/database/retention_period?db=missing", "", Admin, 404),
        ("GET", "/api/v3/configure/retention", "", Holders, 200),
        ("POST", "/api/v3/configure/cold_storage", r#"{"db":"missing","after":"1d","class":"GLACIER_IR"}"#, Admin, 404),
        ("DELETE", "/api/v3/configure/cold_storage?db=missing", "", Admin, 404),
        ("POST", table, twice, OwnEither("create", "write"), 400),
        ("POST", table, new, AllEither("create", "write"), 400),
        ("POST", table, kept, Admin, 409),
        ("PUT", table, r#"{"db":"own","table":"x"}"#, Admin, 404),
        ("PUT", table, r#"{"db":"missing","table":"m"}"#, Admin, 404),
        ("DELETE", "/api/v3/configure/table?db=own&table=missing", "", Own("delete"), 404),
        ("DELETE", "/api/v3/configure/table?db=missing&table=m", "", All("delete"), 404),
        ("POST", "/api/v3/configure/table/undelete?db=own&table=missing", "", Own("delete"), 404),
        ("POST", "/api/v3/configure/table/rename?db=own&table=missing&name=x", "", Admin, 404),
        ("DELETE", "/api/v3/configure/table/alias?db=own&alias=missing", "", Own("delete"), 404),
        (
            "POST",
            "/api/v3/configure/table/column",
            r#"{"db":"own","table":"missing","column":"c","type":"tag"}"#,
            OwnEither("create", "write"),
            404,
        ),
        (
            "PUT",
            "/api/v3/configure/table/column",
            r#"{"db":"own","table":"missing","column":"c","type":"float64"}"#,
            Admin,
            404,
        ),
        ("DELETE", "/api/v3/configure/table/column?db=own&table=missing&column=c", "", Own("delete"), 404),
        ("POST", "/api/v3/configure/table/column/rename?db=own&table=missing&column=c&name=x", "", Admin, 404),
        ("DELETE", "/api/v3/configure/table/column/alias?db=own&table=missing&alias=c", "", Own("delete"), 404),
        ("POST", "/api/v3/configure/table/retention_period?db=own&table=x&duration=1d", "", Admin, 404),
        ("DELETE", "/api/v3/enterprise/configure/table/retention_period?db=own&table=x", "", Admin, 404),
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
