//! Renamed databases and tables: requests with both names, and the answers of the endpoints.

use std::time::Duration;

use neap_bucket::MAX_CATALOG_AGE;

use super::test_bed::{WriteInstance, WriteTestBed, assert_answers, send};

const DATABASE: &str = "/api/v3/configure/database";
const TABLE: &str = "/api/v3/configure/table";

async fn sent(instance: &WriteInstance, method: &str, path: &str) {
    let reply = send(instance, method, path, "").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, ""), "{path}");
}

async fn rename_database(instance: &WriteInstance, name: &str, new_name: &str) {
    let path = format!("{DATABASE}/rename?db={name}&name={new_name}");
    sent(instance, "POST", &path).await;
}

async fn rename_table(instance: &WriteInstance, db: &str, name: &str, new_name: &str) {
    let path = format!("{TABLE}/rename?db={db}&table={name}&name={new_name}");
    sent(instance, "POST", &path).await;
}

async fn written(instance: &WriteInstance, db: &str, lines: &'static str) {
    let reply = instance.write(db, lines).await;
    assert_eq!(reply.status, 204, "{db}: {}", reply.body);
}

#[tokio::test(start_paused = true)]
async fn lines_with_the_former_names_go_to_the_renamed_table() {
    let fixture = WriteTestBed::new();
    let instance = fixture.sole_instance();
    written(&instance, "home", "cpu,host=a v=1 1").await;
    rename_database(&instance, "home", "house").await;
    rename_table(&instance, "home", "cpu", "processor").await;
    written(&instance, "home", "cpu,host=a w=2 2").await;
    written(&instance, "house", "processor,host=a x=3 3").await;
    written(&instance, "house", "processor,host=b v=4 4\ncpu,zone=c y=5 5").await;
    let columns = ["processor host,v,w,x,zone,y"];
    assert_eq!(instance.tables("house").await, columns);
    assert_eq!(instance.tables("home").await, columns);
    assert_eq!(fixture.rows().await, 5);
    let segments = fixture.segments().await;
    let tables: Vec<_> = segments
        .iter()
        .flat_map(|segment| segment.tables())
        .map(|rows| rows.table)
        .collect();
    assert!(tables.iter().all(|table| *table == tables[0]), "{tables:?}");

    sent(&instance, "DELETE", &format!("{TABLE}/alias?db=house&alias=cpu")).await;
    sent(&instance, "DELETE", &format!("{DATABASE}/alias?alias=home")).await;
    written(&instance, "house", "cpu,host=a v=6 6").await;
    assert_eq!(instance.tables("house").await, [columns[0], "cpu host,v"]);
    written(&instance, "home", "m v=7 7").await;
    assert_eq!(instance.tables("home").await, ["m v"]);
}

#[tokio::test(start_paused = true)]
async fn rows_are_deleted_under_the_former_names() {
    let fixture = WriteTestBed::new();
    let instance = fixture.sole_instance();
    written(&instance, "home", "cpu,host=a v=1 1").await;
    rename_database(&instance, "home", "house").await;
    rename_table(&instance, "home", "cpu", "processor").await;
    for (db, table) in [("home", "cpu"), ("house", "processor"), ("home", "processor")] {
        let body = format!(r#"{{"db":"{db}","table":"{table}","condition":"host=a"}}"#);
        let reply = send(&instance, "POST", "/api/v3/delete_rows", &body).await;
        assert_eq!(reply.status, 204, "{db}.{table}: {}", reply.body);
        assert!(reply.stamp().is_some(), "{db}.{table}");
        let path = format!("/api/v2/delete?bucket={db}");
        let body = r#"{"start":"1970-01-01T00:00:00Z","stop":"1971-01-01T00:00:00Z","predicate":"host=\"a\""}"#;
        let reply = send(&instance, "POST", &path, body).await;
        assert_eq!(reply.status, 204, "{db}: {}", reply.body);
        assert!(reply.stamp().is_some(), "{db}");
    }
    for predicate in [
        "_measurement=cpu AND host=a",
        "_measurement=processor AND host=a",
        "_measurement=cpu OR _measurement=processor",
    ] {
        let times = r#""start":"1970-01-01T00:00:00Z","stop":"1971-01-01T00:00:00Z""#;
        let body = format!(r#"{{{times},"predicate":"{predicate}"}}"#);
        let reply = send(&instance, "POST", "/api/v2/delete?bucket=home", &body).await;
        assert_eq!(reply.status, 204, "{predicate}: {}", reply.body);
        assert!(reply.stamp().is_some(), "{predicate}");
    }
    let of_request = |predicate: &str| {
        format!(r#"{{"db":"home","table":"cpu","all_time":true,"predicate":"{predicate}"}}"#)
    };
    for (predicate, status) in [
        ("_measurement=cpu", 200),
        ("_measurement=processor", 200),
        ("_measurement=memory", 400),
    ] {
        let body = of_request(predicate);
        let reply = send(&instance, "POST", "/api/v3/row_delete_requests", &body).await;
        assert_eq!(reply.status, status, "{predicate}: {}", reply.body);
    }
}

#[tokio::test(start_paused = true)]
async fn another_instance_writes_to_the_renamed_table_before_and_after_it_knows_the_name() {
    let fixture = WriteTestBed::new();
    let (one, other) = (fixture.instance(), fixture.instance());
    written(&other, "home", "cpu,host=a v=1 1").await;
    rename_database(&one, "home", "house").await;
    rename_table(&one, "house", "cpu", "processor").await;
    // The catalogs of the other instance are those from before the rename.
    written(&other, "home", "cpu,host=a v=2 2").await;
    written(&other, "house", "processor,host=a v=3 3").await;
    fixture.sleep(MAX_CATALOG_AGE + Duration::from_secs(1)).await;
    written(&other, "house", "processor,host=a v=4 4").await;
    assert_eq!(one.tables("house").await, ["processor host,v"]);
    sent(&one, "DELETE", &format!("{TABLE}/alias?db=house&alias=cpu")).await;
    written(&other, "house", "cpu,host=a v=5 5").await;
    assert_eq!(one.tables("house").await, ["processor host,v", "cpu host,v"]);
}

#[tokio::test(start_paused = true)]
async fn refusals_name_the_reason() {
    let fixture = WriteTestBed::new();
    let instance = fixture.sole_instance();
    written(&instance, "home", "a v=1 1\nb v=1 1").await;
    written(&instance, "other", "a v=1 1").await;
    rename_database(&instance, "home", "house").await;
    rename_table(&instance, "house", "a", "c").await;
    let requests = r#"
        POST /api/v3/configure/database/rename?db=house&name=other ==> 409 attempted to create a resource that already exists
        POST /api/v3/configure/database/rename?db=other&name=home ==> 409 {"code":"name is an alias","error":"'home' is an alias of 'house': use this name, or delete the alias first"}
        DELETE /api/v3/configure/database?db=home ==> 409 {"code":"name is an alias","error":"'home' is an alias of 'house': use this name, or delete the alias first"}
        POST /api/v3/configure/database/rename?db=house&name=a/b ==> 400 'a/b' can't be a new name: a retention policy has the name of its database
        DELETE /api/v3/configure/database/alias?alias=house ==> 404 the requested resource was not found: house
        POST /api/v3/configure/table/rename?db=house&table=b&name=c ==> 409 attempted to create a resource that already exists
        POST /api/v3/configure/table/rename?db=house&table=b&name=a ==> 409 {"code":"name is an alias","error":"'a' is an alias of 'c': use this name, or delete the alias first"}
        DELETE /api/v3/configure/table?db=house&table=a ==> 409 {"code":"name is an alias","error":"'a' is an alias of 'c': use this name, or delete the alias first"}
        POST /api/v3/configure/table/rename?db=house&table=nope&name=x ==> 404 Table nope not in DB schema for house
        POST /api/v3/configure/table/rename?db=nope&table=a&name=x ==> 404 Database not found nope
        POST /api/v3/configure/table/rename?db=house&table=b ==> 400 serde error: missing field `name`
        POST /api/v3/configure/database {"db":"home"} ==> 409 {"code":"name is an alias","error":"'home' is an alias of 'house': use this name, or delete the alias first"}
        POST /api/v3/configure/table {"db":"house","table":"a","tags":[],"fields":[]} ==> 409 {"code":"name is an alias","error":"'a' is an alias of 'c': use this name, or delete the alias first"}
    "#;
    assert_answers(&instance, requests).await;
}

#[tokio::test(start_paused = true)]
async fn columns_are_added_with_their_types() {
    let fixture = WriteTestBed::new();
    let instance = fixture.sole_instance();
    written(&instance, "home", "t v=1 1").await;
    let path = format!("{TABLE}/column");
    for (column, column_type) in [
        ("host", "tag"),
        ("f", "float64"),
        ("i", "int64"),
        ("u", "uint64"),
        ("s", "utf8"),
        ("b", "bool"),
    ] {
        let body =
            format!(r#"{{"db":"home","table":"t","column":"{column}","type":"{column_type}"}}"#);
        let reply = send(&instance, "POST", &path, &body).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, ""), "{column}");
    }
    assert_eq!(instance.tables("home").await, ["t v,host,f,i,u,s,b"]);
    written(&instance, "home", "t,host=a f=1,i=1i,u=1u,s=\"x\",b=true 2").await;
    let requests = r#"
        POST /api/v3/configure/table/column {"db":"home","table":"t","column":"v","type":"float64"} ==> 409 attempted to create a resource that already exists
        POST /api/v3/configure/table/column {"db":"home","table":"t","column":"v","type":"int64"} ==> 400 invalid column type for column 'v', expected iox::column_type::field::float, got iox::column_type::field::integer
        POST /api/v3/configure/table/column {"db":"home","table":"t","column":"x","type":"decimal"} ==> 400 'decimal' is not one of tag, utf8, int64, uint64, float64, bool
        POST /api/v3/configure/table/column {"db":"home","table":"t","column":"","type":"tag"} ==> 400 column name cannot be empty
    "#;
    assert_answers(&instance, requests).await;
}
