//! Tests of the commands for databases, tables, rows and caches: requests and output.

use super::{FAILED, USAGE, fails, run_line, server::*, succeeds};

#[test]
fn databases_and_tables_are_created() {
    let created = answer("200 OK", "");
    let (url, requests) = server(&[
        &created,
        &created,
        &answer("409 Conflict", "attempted to create a resource that already exists"),
    ]);
    insta::assert_snapshot!(succeeds("create database d --retention-period 7d", &url), @r#"Database "d" created successfully"#);
    let table = "create table t -d d --tags a,b --fields f:float64,g:bool";
    insta::assert_snapshot!(succeeds(table, &url), @r#"Table "d"."t" created successfully"#);
    insta::assert_snapshot!(fails(table, &url), @"Create command failed: table 'd.t' already exists");
    let requests = requests.join().unwrap();
    assert_eq!(body(&requests[0]), r#"{"db":"d","retention_period":"7d"}"#);
    insta::assert_snapshot!(body(&requests[1]), @r#"{"db":"d","fields":[{"name":"f","type":"float64"},{"name":"g","type":"bool"}],"table":"t","tags":["a","b"]}"#);
}

#[test]
fn databases_and_tables_are_deleted_after_confirmation() {
    let deleted = answer("200 OK", "");
    let (url, requests) = server(&[&deleted, &deleted]);
    let (status, out, err) = run_line("delete database d", &url, "no\n");
    assert_eq!((status, out.as_str()), (FAILED, ""));
    insta::assert_snapshot!(err, @r#"
    Are you sure you want to delete "d"? Enter 'yes' or 'y' to confirm
    Delete command failed: Cannot proceed without confirmation
    "#);
    let (status, out, _) = run_line("delete database d", &url, "yes\n");
    assert_eq!((status, out.as_str()), (0, "Database \"d\" deleted successfully\n"));
    let (status, out, err) = run_line("delete table t -d d -y --hard-delete now", &url, "");
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(out, "Table \"d\".\"t\" deleted successfully\n");
    let requests = requests.join().unwrap();
    assert_eq!(target(&requests[0]), "DELETE /api/v3/configure/database?db=d");
    let expected = "DELETE /api/v3/configure/table?db=d&table=t&hard_delete_at=now";
    assert_eq!(target(&requests[1]), expected);
}

#[test]
fn rows_are_deleted_by_time_and_tags_after_confirmation() {
    let (url, requests) = server(&[&answer("200 OK", "")]);
    let (status, _, err) = run_line("delete rows -d d -t t -y", &url, "");
    assert_eq!(status, USAGE, "{err}");
    let rows = "delete rows -d d -t t --where \"host = 'a'\" --start 2026-01-01T00:00:00Z";
    let (status, _, err) = run_line(rows, &url, "no\n");
    assert_eq!(status, FAILED);
    insta::assert_snapshot!(err, @r#"
    Are you sure you want to delete rows of "d"."t"? Enter 'yes' or 'y' to confirm
    Delete command failed: Cannot proceed without confirmation
    "#);
    let (status, out, _) = run_line(rows, &url, "y\n");
    assert_eq!(status, 0);
    insta::assert_snapshot!(out, @r#"Rows of "d"."t" deleted successfully"#);
    let requests = requests.join().unwrap();
    assert_eq!(target(&requests[0]), "POST /api/v3/delete_rows");
    insta::assert_snapshot!(body(&requests[0]), @r#"{"condition":"host = 'a'","db":"d","start":"2026-01-01T00:00:00Z","table":"t"}"#);
}

#[test]
fn options_that_are_not_given_are_not_sent() {
    let pairs = r#"
        delete rows -y -d d -t t --all-time ==> {"all_time":true,"db":"d","table":"t"}
        delete rows -y -d d -t t --min-time -5 --predicate 'host = "a"' ==> {"db":"d","min_time":-5,"predicate":"host = \"a\"","table":"t"}
        create backup ==> {"force":false,"type":"full"}
        create backup b --force --incremental --parent a ==> {"force":true,"name":"b","parent":"a","type":"incremental"}
        create restore -y --backup b ==> {"backup_name":"b","keep_retention":false}
        create restore -d d --as-of 7 --to e --keep-retention ==> {"as_of":"7","database":"d","keep_retention":true,"to":"e"}
    "#;
    let started = answer("200 OK", r#"{"sequence":3,"backup_name":"b","restore_id":"r"}"#);
    let (url, requests) = server(&[started.as_str(); 6]);
    let (lines, bodies): (Vec<_>, Vec<_>) = neap_test_inputs::text_pairs(pairs).unzip();
    for line in lines {
        let (status, _, err) = run_line(line, &url, "");
        assert_eq!(status, 0, "{line}: {err}");
    }
    let sent = requests.join().unwrap();
    assert_eq!(sent.iter().map(|request| body(request)).collect::<Vec<_>>(), bodies);
}

#[test]
fn caches_are_created_and_deleted() {
    let created = r#"{"catalog_batch":{"Database":{"ops":[{"CreateLastCache":{"name":"t_a_b"}}]}},"sequence_number":2}"#;
    let (url, requests) = server(&[
        &answer("201 Created", created),
        &answer("201 Created", created),
        &answer("204 No Content", ""),
        &answer("409 Conflict", "there"),
        &answer("200 OK", ""),
        &answer("200 OK", ""),
    ]);
    let run = |line: &str| run_line(line, &url, "");
    let (status, out, err) = run("create last_cache -d d -t t --key-columns a,b --ttl 1h");
    assert_eq!((status, err.as_str()), (0, ""));
    insta::assert_snapshot!(out, @r#"last cache "t_a_b" created successfully"#);
    let (_, out, _) = run("create last_cache -d d -t t --key-columns a,b --ttl 1h --format json");
    assert!(out.starts_with("{\n  \"catalog_batch\": {"), "{out}");
    let (status, out, _) = run("create distinct_cache -d d -t t --max-age 2d --columns a,b c");
    assert_eq!(status, 0);
    insta::assert_snapshot!(out, @"a cache already exists for the provided parameters");
    let (status, _, err) = run("create last_cache c -d d -t t --value-columns v --count 3");
    assert_eq!(status, FAILED);
    insta::assert_snapshot!(err, @"Create command failed: server responded with error [409 Conflict]: there");
    let (_, out, _) = run("delete last_cache c -d d -t t");
    insta::assert_snapshot!(out, @"last cache deleted successfully");
    let (_, out, _) = run("delete distinct_cache --cache-name c -d d -t t");
    insta::assert_snapshot!(out, @"distinct cache deleted successfully");
    for wrong in [
        "delete last_cache -d d -t t",
        "delete last_cache c --cache-name c -d d -t t",
        "create distinct_cache c -d d -t t",
        "create last_cache c -d d -t t --ttl soon",
    ] {
        assert_eq!(run(wrong).0, USAGE, "{wrong}");
    }
    let requests = requests.join().unwrap();
    insta::assert_snapshot!(body(&requests[0]), @r#"{"count":1,"db":"d","key_columns":["a","b"],"table":"t","ttl":3600}"#);
    insta::assert_snapshot!(body(&requests[2]), @r#"{"columns":["a","b"],"db":"d","max_age":172800,"max_cardinality":100000,"name":"c","table":"t"}"#);
    insta::assert_snapshot!(body(&requests[3]), @r#"{"count":3,"db":"d","name":"c","table":"t","ttl":14400,"value_columns":["v"]}"#);
    assert_eq!(target(&requests[4]), "DELETE /api/v3/configure/last_cache?db=d&table=t&name=c");
    assert_eq!(
        target(&requests[5]),
        "DELETE /api/v3/configure/distinct_cache?db=d&table=t&name=c"
    );
}

#[test]
fn deletions_are_reverted() {
    let (url, requests) = server(&[
        &answer("200 OK", r#"{"name":"d"}"#),
        &answer("200 OK", r#"{"name":"new"}"#),
        &answer("409 Conflict", "attempted to create a resource that already exists"),
        &answer("200 OK", "<html>"),
    ]);
    let database = "undelete database d-20260131T120000";
    insta::assert_snapshot!(succeeds(database, &url), @r#"Database "d" undeleted successfully"#);
    insta::assert_snapshot!(succeeds("undelete table t -d d --name new", &url), @r#"Table "d"."new" undeleted successfully"#);
    insta::assert_snapshot!(fails(database, &url), @"Undelete command failed: server responded with error [409 Conflict]: attempted to create a resource that already exists");
    let (status, _, err) = run_line(database, &url, "");
    assert_eq!(status, FAILED);
    assert!(err.contains("unexpected response from "), "{err}");
    let requests = requests.join().unwrap();
    assert_eq!(
        target(&requests[0]),
        "POST /api/v3/configure/database/undelete?db=d-20260131T120000"
    );
    assert_eq!(
        target(&requests[1]),
        "POST /api/v3/configure/table/undelete?db=d&table=t&name=new"
    );
}

#[test]
fn the_order_of_writes_is_updated_without_the_retention() {
    let ok = answer("200 OK", "");
    let (url, requests) = server(&[&ok, &ok, &ok]);
    for line in [
        "update database d --order strict",
        "update database -d d --order clock -r none",
        "create database d --order strict",
    ] {
        let (status, _, err) = run_line(line, &url, "");
        assert_eq!((status, err.as_str()), (0, ""));
    }
    for refused in [
        "update database -d d",
        "update database -d d --order loose",
        "update database d -d d --order strict",
        "update database --order strict",
    ] {
        assert_eq!(run_line(refused, &url, "").0, USAGE);
    }
    let requests = requests.join().unwrap();
    assert_eq!(body(&requests[0]), r#"{"db":"d","order":"strict"}"#);
    let both = r#"{"db":"d","order":"clock","retention_period":null}"#;
    assert_eq!(body(&requests[1]), both);
    assert_eq!(body(&requests[2]), r#"{"db":"d","order":"strict"}"#);
}

#[test]
fn retention_is_updated_and_shown() {
    let kept = r#"[{"database":"d","table":"t","retention_period_ns":604800000000000,"source":"table"},
        {"database":"d","table":"u","retention_period_ns":null,"source":null}]"#;
    let (ok, done) = (answer("200 OK", ""), answer("204 No Content", ""));
    let (url, requests) = server(&[&ok, &ok, &done, &done, &answer("200 OK", kept)]);
    for (what, named) in [("database", r#"Database "d""#), ("table t", r#"Table "d"."t""#)] {
        for period in ["7d", "none"] {
            let line = format!("update {what} -d d --retention-period {period}");
            let (status, out, err) = run_line(&line, &url, "");
            assert_eq!((status, err.as_str()), (0, ""));
            assert_eq!(out, format!("{named} updated successfully\n"));
        }
    }
    insta::assert_snapshot!(succeeds("show retention --database d", &url), @"
    +----------+-------+------------------+---------+
    | database | table | retention_period | set_for |
    +----------+-------+------------------+---------+
    | d        | t     | 7d               | table   |
    | d        | u     | infinite         |         |
    +----------+-------+------------------+---------+
    ");
    let requests = requests.join().unwrap();
    let path = "/api/v3/enterprise/configure/table/retention_period?db=d&table=t";
    let expected = [
        "PUT /api/v3/configure/database".to_owned(),
        "PUT /api/v3/configure/database".to_owned(),
        format!("POST {path}&duration=7d"),
        format!("DELETE {path}"),
        "GET /api/v3/configure/retention?db=d".to_owned(),
    ];
    assert_eq!(targets(&requests), expected);
    assert_eq!(body(&requests[0]), r#"{"db":"d","retention_period":"7d"}"#);
    assert_eq!(body(&requests[1]), r#"{"db":"d","retention_period":null}"#);
}

#[test]
fn the_storage_class_of_old_rows_is_set_and_cleared() {
    let (ok, done) = (answer("200 OK", ""), answer("204 No Content", ""));
    let (url, requests) = server(&[&ok, &done, &done, &done, &done]);
    for line in [
        "create database d --cold-after 90d --cold-class glacier_ir",
        "update table t --database d --cold-after 1y --cold-class STANDARD_IA",
        "update table t --database d --cold-after none",
        "update database --database d --cold-after none",
    ] {
        let (status, _, err) = run_line(line, &url, "");
        assert_eq!((status, err.as_str()), (0, ""), "{line}");
    }
    for (line, expected) in [
        ("--cold-after 90d", "--cold-class"),
        ("--cold-class GLACIER_IR", "--cold-after"),
        ("--cold-after 90d --cold-class DEEP_ARCHIVE", "must be restored for hours"),
    ] {
        let (status, _, err) = run_line(&format!("update database --database d {line}"), &url, "");
        assert_eq!(status, USAGE, "{line}");
        assert!(err.contains(expected), "{err}");
    }
    let requests = requests.join().unwrap();
    let path = "/api/v3/configure/cold_storage";
    let expected = [
        "POST /api/v3/configure/database".to_owned(),
        format!("POST {path}"),
        format!("POST {path}"),
        format!("DELETE {path}?db=d&table=t"),
        format!("DELETE {path}?db=d"),
    ];
    assert_eq!(targets(&requests), expected);
    assert_eq!(body(&requests[1]), r#"{"after":"90d","class":"GLACIER_IR","db":"d"}"#);
    assert_eq!(
        body(&requests[2]),
        r#"{"after":"1y","class":"STANDARD_IA","db":"d","table":"t"}"#
    );
}

#[test]
fn what_writes_create_is_set_for_a_database() {
    let done = answer("200 OK", "");
    let (url, requests) = server(&[&done, &done]);
    assert_eq!(run_line("create database d --auto-create columns", &url, "").0, 0);
    assert_eq!(run_line("update database --database d --auto-create none", &url, "").0, 0);
    let (status, _, err) = run_line("update database --database d --auto-create some", &url, "");
    assert_eq!(status, USAGE);
    assert!(err.contains("`all`, `columns` or `none`"), "{err}");
    let requests = requests.join().unwrap();
    assert_eq!(body(&requests[0]), r#"{"auto_create":"columns","db":"d"}"#);
    assert_eq!(body(&requests[1]), r#"{"auto_create":"none","db":"d"}"#);
}

#[test]
fn what_rows_do_to_earlier_ones_is_set_for_a_database() {
    let done = answer("200 OK", "");
    let (url, requests) = server(&[&done, &done]);
    for line in [
        "create database d --on-duplicate keep",
        "update database --database d --on-duplicate replace",
    ] {
        assert_eq!(run_line(line, &url, "").0, 0, "{line}");
    }
    let (status, _, err) = run_line("create database d --on-duplicate ignore", &url, "");
    assert_eq!(status, USAGE);
    assert!(err.contains("`replace` or `keep`"), "{err}");
    let requests = requests.join().unwrap();
    assert_eq!(body(&requests[0]), r#"{"db":"d","on_duplicate":"keep"}"#);
    assert_eq!(body(&requests[1]), r#"{"db":"d","on_duplicate":"replace"}"#);
}

#[test]
fn databases_tables_and_columns_are_renamed_and_columns_are_added_and_deleted() {
    let done = answer("200 OK", "");
    let alias = "'t' is an alias of 'u': use this name, or delete the alias first";
    let refusal = format!(r#"{{"error":"{alias}","code":"{}"}}"#, neap_http::NAME_IS_ALIAS);
    let conflict = answer("409 Conflict", &refusal);
    let answers = [[done.as_str(); 9].as_slice(), &[conflict.as_str()]].concat();
    let (url, requests) = server(&answers);
    let pairs = r#"
        rename database a b ==> Database "a" renamed to "b"
        rename table t u -d b ==> Table "b"."t" renamed to "u"
        create column v -d b -t u --type float64 ==> Column "b"."u"."v" created successfully
        rename column v w -d b -t u ==> Column "b"."u"."v" renamed to "w"
        delete column_alias v -d b -t u ==> Alias "b"."u"."v" deleted successfully
        update column w -d b -t u --type float64 ==> Column "b"."u"."w" updated successfully
        delete column w -y -d b -t u ==> Column "b"."u"."w" deleted successfully
        delete table_alias t -d b ==> Alias "b"."t" deleted successfully
        delete database_alias a ==> Alias "a" deleted successfully
    "#;
    for (line, printed) in neap_test_inputs::text_pairs(pairs) {
        let (status, out, err) = run_line(line, &url, "");
        assert_eq!((status, err.as_str()), (0, ""), "{line}");
        assert_eq!(out.trim_end(), printed);
    }
    let (status, _, err) = run_line("create table t -d b", &url, "");
    assert_eq!(status, FAILED);
    assert_eq!(
        err.trim_end(),
        format!("Create command failed: server responded with error [409 Conflict]: {alias}")
    );
    assert_eq!(run_line("create column v -d b -t u --type decimal", &url, "").0, USAGE);
    let requests = requests.join().unwrap();
    assert_eq!(
        targets(&requests),
        [
            "POST /api/v3/configure/database/rename?db=a&name=b",
            "POST /api/v3/configure/table/rename?db=b&table=t&name=u",
            "POST /api/v3/configure/table/column",
            "POST /api/v3/configure/table/column/rename?db=b&table=u&column=v&name=w",
            "DELETE /api/v3/configure/table/column/alias?db=b&table=u&alias=v",
            "PUT /api/v3/configure/table/column",
            "DELETE /api/v3/configure/table/column?db=b&table=u&column=w",
            "DELETE /api/v3/configure/table/alias?db=b&alias=t",
            "DELETE /api/v3/configure/database/alias?alias=a",
            "POST /api/v3/configure/table",
        ]
    );
    let column = r#"{"column":"v","db":"b","table":"u","type":"float64"}"#;
    assert_eq!(body(&requests[2]), column);
}
