//! Files of rows over HTTP: formats, refused rows, limits and permissions.

use serde_json::{Value, json};

use crate::harness::{NeapProcess, Reply, ServerClient, StoreFixture, assert_contains, gzip};

const CSV: &str = "time,host,usage,n\n\
    2026-01-01T00:00:00Z,a,0.5,1\n\
    2026-01-01T00:00:01Z,b,1,2\n";

/// Uploads a file with the parameters of a query string.
fn upload(server: &ServerClient, query: &str, content_type: Option<&str>, file: &[u8]) -> Reply {
    let path = format!("/api/v3/write_file?{query}");
    let mut request = server.request("POST", &path).body(file.to_vec());
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    Reply::receive(request).unwrap()
}

/// Returns the body of an answer as JSON.
fn json_of(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.bytes).unwrap_or_else(|error| panic!("{error}: {}", reply.text()))
}

#[test]
fn files_of_all_formats_have_the_rows_of_their_table() {
    let server = NeapProcess::serve(&StoreFixture::memory());
    let reply = upload(&server, "db=d&table=cpu&tag=host&format=csv", None, CSV.as_bytes());
    assert_eq!(reply.status, 204, "{}", reply.text());
    assert!(reply.stamp().is_some());
    let expected = [
        json!({ "host": "a", "n": 1, "time": "2026-01-01T00:00:00", "usage": 0.5 }),
        json!({ "host": "b", "n": 2, "time": "2026-01-01T00:00:01", "usage": 1.0 }),
    ];
    let rows = |database: &str| server.query(database, "SELECT * FROM cpu ORDER BY host");
    assert_eq!(rows("d"), expected);

    let query = "/api/v3/query_sql?db=d&q=SELECT%20*%20FROM%20cpu";
    let jsonl = server.get(&format!("{query}&format=jsonl"));
    let parquet = server.get(&format!("{query}&format=parquet"));
    for (database, content_type, file) in [
        ("lines", Some("application/x-ndjson"), jsonl.bytes.clone()),
        ("sniffed", None, jsonl.bytes),
        ("parquet", Some("application/vnd.apache.parquet"), parquet.bytes.clone()),
        ("sniffed-parquet", Some("application/octet-stream"), parquet.bytes),
        ("compressed", Some("text/csv"), gzip(CSV)),
    ] {
        let query = format!("db={database}&table=cpu&tag=host");
        let reply = upload(&server, &query, content_type, &file);
        assert_eq!(reply.status, 204, "{database}: {}", reply.text());
        assert_eq!(rows(database), expected, "{database}");
    }
}

#[test]
fn annotated_csv_of_influxdb_2_has_tables_and_types() {
    let server = NeapProcess::serve(&StoreFixture::memory());
    let file = "\
#group,false,false,false,false,true,true,true
#datatype,string,long,dateTime:RFC3339,double,string,string,string
#default,_result,,,,,,
,result,table,_time,_value,_field,_measurement,host
,,0,2026-01-01T00:00:00Z,0.5,usage,cpu,a
,,1,2026-01-01T00:00:00Z,7,load,cpu,a
,,2,2026-01-01T00:00:00Z,9,free,mem,a
";
    let reply = upload(&server, "db=d&format=csv", None, file.as_bytes());
    assert_eq!(reply.status, 204, "{}", reply.text());
    assert_eq!(
        server.query("d", "SELECT host, usage, load FROM cpu"),
        [json!({ "host": "a", "load": 7.0, "usage": 0.5 })]
    );
    assert_eq!(server.query("d", "SELECT free FROM mem"), [json!({ "free": 9.0 })]);
}

#[test]
fn refused_rows_are_reported_by_their_number() {
    let server = NeapProcess::serve(&StoreFixture::memory());
    server.write("d", "m,t=a f=1,n=1i 1");
    let file = "time,t,f,n\n2,b,2,2\n3,b,3\n4,b,4,x\n5,b,5,5\n";
    let query = "db=d&table=m&tag=t&precision=s&format=csv";
    let reply = upload(&server, query, None, file.as_bytes());
    assert_eq!(reply.status, 400);
    assert_eq!(
        json_of(&reply),
        json!({
            "error": "partial write of line protocol occurred",
            "data": [
                {
                    "original_line": "",
                    "line_number": 2,
                    "error_message": "the row has 3 columns, but the header has 4",
                },
                {
                    "original_line": "time=4, t=b, f=4",
                    "line_number": 3,
                    "error_message": "value `x` of column 'n' is not a valid integer",
                },
            ],
        })
    );

    // The type that is given is not inferred.
    let text = b"time,t,note\n2,b,12\n5,b,x\n";
    let typed = format!("{query}&column=note%3Dstring");
    assert_eq!(upload(&server, &typed, None, text).status, 204);
    assert_eq!(
        server.query("d", "SELECT note FROM m WHERE note IS NOT NULL ORDER BY time"),
        [json!({ "note": "12" }), json!({ "note": "x" })]
    );

    // Integers are converted to the floats of the table. Without partial writes, nothing is stored.
    let file = b"time,t,f\n6,b,2\n7,b\n";
    let all = format!("{query}&accept_partial=false");
    let reply = upload(&server, &all, None, file);
    assert_eq!(reply.status, 400);
    assert_eq!(json_of(&reply)["data"]["line_number"], json!(2));
    let count = || server.query("d", "SELECT f FROM m WHERE t = 'a' OR n IS NULL ORDER BY time");
    assert_eq!(count(), [json!({ "f": 1.0 })]);
    let reply = upload(&server, query, None, file);
    assert_eq!(reply.status, 400);
    assert_eq!(count(), [json!({ "f": 1.0 }), json!({ "f": 2.0 })]);
}

#[test]
fn malformed_uploads_are_refused() {
    let limit = ["--max-http-request-size", "10000"];
    let server = NeapProcess::serve_with(&StoreFixture::memory(), &limit);
    let zeros = format!("v\n{}", "0\n".repeat(1_000_000));
    let large = CSV.repeat(1000);
    for (query, file, status, error) in [
        ("table=m", CSV.as_bytes(), 400, "missing query parameter 'db'"),
        ("db=d&tags=host", CSV.as_bytes(), 400, "unknown query parameter 'tags'"),
        ("db=d&format=csv", CSV.as_bytes(), 400, "the rows need the name of a table"),
        (
            "db=d&table=m",
            CSV.as_bytes(),
            415,
            "the format of the file is not recognized: name it (csv, jsonl, parquet or arrow)",
        ),
        (
            "db=d&table=m&format=csv&time_column=at",
            CSV.as_bytes(),
            400,
            "the time column 'at' does not exist",
        ),
        (
            "db=d&table=m&format=arrow",
            b"no arrow",
            400,
            "cannot read Arrow data after row 0",
        ),
        (
            "db=d&table=m&format=csv",
            &gzip(zeros),
            413,
            "the file has more than 80000 bytes when it is decoded",
        ),
        (
            "db=d&table=m&format=csv",
            large.as_bytes(),
            413,
            "max request size (10000 bytes) exceeded",
        ),
    ] {
        let reply = upload(&server, query, None, file);
        assert_eq!(reply.status, status, "{query}: {}", reply.text());
        assert!(reply.text().contains(error), "{query}: {}", reply.text());
    }
}

#[test]
fn an_upload_needs_the_permission_to_write() {
    let server = NeapProcess::serve_with_tokens(&StoreFixture::memory(), &[]);
    let admin = server.first_token();
    for database in ["d", "other"] {
        server.with_token(&admin).write(database, "known v=1i 1");
    }
    let query = "db=d&table=cpu&format=csv";
    for (permission, status) in [
        ("db:d:read", 403),
        ("db:other:write", 403),
        ("db:d:write", 204),
        ("db:d:append", 403),
    ] {
        let client = server.with_token(&server.create_token(&admin, permission));
        let reply = upload(&client, query, None, CSV.as_bytes());
        assert_eq!(reply.status, status, "{permission}: {}", reply.text());
    }
    assert_eq!(upload(&server, query, None, CSV.as_bytes()).status, 401);
}

#[test]
fn rows_that_replace_each_other_create_no_table_unless_the_client_allows_it() {
    let server = NeapProcess::serve(&StoreFixture::memory());
    let hosts = (0..10).map(|host| format!("2026-01-01T00:00:00Z,h{host},1\n"));
    let file = "time,host,v\n".to_owned() + &hosts.collect::<String>();
    let query = "db=d&table=cpu&format=csv";
    let refused = upload(&server, query, None, file.as_bytes());
    assert_eq!(refused.status, 400);
    assert_contains!(refused.text(), "9 of 10 rows");
    assert_contains!(refused.text(), "columns with texts: 'host'");
    let path = format!("/api/v3/write_file?{query}");
    let request = server.request("POST", &path).header("x-neap-allow-duplicates", "true");
    let allowed = Reply::receive(request.body(file.clone())).unwrap();
    assert_eq!((allowed.status, allowed.header("x-neap-warning")), (204, None));
    // The table exists now.
    let warned = upload(&server, query, None, file.as_bytes());
    assert_eq!(warned.status, 204, "{}", warned.text());
    assert!(warned.header("x-neap-warning").unwrap().starts_with("9 of 10 rows"));
    let tagged = upload(&server, "db=d&table=tagged&tag=host&format=csv", None, file.as_bytes());
    assert_eq!((tagged.status, tagged.header("x-neap-warning")), (204, None));
    assert_eq!(server.query("d", "SELECT host FROM tagged").len(), 10);
}
