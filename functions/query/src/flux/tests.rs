//! Requests to `/api/v2/query`, over rows that the tests really write.

mod operations;
mod random_pipelines;

use axum::body::Body;
use http::{Request, header};
use serde_json::json;

use crate::tests::instance::QueryTestInstance;

const HOME: &str = "\
home,room=Kitchen temp=21.0,co=0i 1704096000000000000
home,room=Kitchen temp=23.0,co=1i 1704099600000000000
home,room=Living\\ Room temp=21.1 1704096000000000000
home temp=20.5 1704096000000000001
air,room=Kitchen,floor=1 clean=true,note=\"ok, so\" 1704096000000000000";

/// The range of [`HOME`].
const RANGE: &str = "range(start: 2024-01-01T08:00:00Z, stop: 2024-01-01T10:00:00Z)";

async fn home() -> QueryTestInstance {
    QueryTestInstance::with_rows(HOME).await
}

impl QueryTestInstance {
    /// Sends a request with a JSON body.
    async fn v2(&self, body: serde_json::Value) -> (u16, String) {
        let request = Request::post("/api/v2/query?org=any").body(Body::from(body.to_string()));
        self.send(request.unwrap()).await
    }

    /// Answers a query with all annotations, which must succeed.
    pub(super) async fn annotated(&self, query: &str) -> String {
        let annotations = ["datatype", "group", "default"];
        let body = json!({"query": query, "type": "flux", "dialect": {"annotations": annotations}});
        let (status, text) = self.v2(body).await;
        assert_eq!(status, 200, "{query}: {text}");
        text.replace("\r\n", "\n")
    }

    /// Answers a query with a header only, which must succeed.
    pub(super) async fn flux(&self, query: &str) -> String {
        let (status, text) = self.v2(json!({"query": query})).await;
        assert_eq!(status, 200, "{query}: {text}");
        text.replace("\r\n", "\n")
    }

    /// Answers a query of the series of [`HOME`], without the range in each row.
    pub(super) async fn home_flux(&self, calls: &str) -> String {
        let query = format!("from(bucket: \"db\") |> {RANGE} |> {calls}");
        let answer = self.flux(&query).await;
        answer
            .replace(",_start,_stop", "")
            .replace(",2024-01-01T08:00:00Z,2024-01-01T10:00:00Z", "")
    }

    /// Returns the message of a refused query.
    pub(super) async fn flux_error(&self, query: &str) -> String {
        let (status, text) = self.v2(json!({"query": query})).await;
        assert_eq!(status, 400, "{query}: {text}");
        let error: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(error["code"], "invalid");
        error["message"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn each_series_of_a_field_is_a_table() {
    let one = home().await;
    let query =
        format!("from(bucket: \"db\") |> {RANGE} |> filter(fn: (r) => r._measurement == \"home\")");
    let expected = "\
#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,long,string,string,string
#group,false,false,true,true,false,false,true,true,true
#default,_result,,,,,,,,
,result,table,_start,_stop,_time,_value,_field,_measurement,room
,,0,2024-01-01T08:00:00Z,2024-01-01T10:00:00Z,2024-01-01T08:00:00Z,0,co,home,Kitchen
,,0,2024-01-01T08:00:00Z,2024-01-01T10:00:00Z,2024-01-01T09:00:00Z,1,co,home,Kitchen

#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,double,string,string
#group,false,false,true,true,false,false,true,true
#default,_result,,,,,,,
,result,table,_start,_stop,_time,_value,_field,_measurement
,,1,2024-01-01T08:00:00Z,2024-01-01T10:00:00Z,2024-01-01T08:00:00.000000001Z,20.5,temp,home

#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,double,string,string,string
#group,false,false,true,true,false,false,true,true,true
#default,_result,,,,,,,,
,result,table,_start,_stop,_time,_value,_field,_measurement,room
,,2,2024-01-01T08:00:00Z,2024-01-01T10:00:00Z,2024-01-01T08:00:00Z,21,temp,home,Kitchen
,,2,2024-01-01T08:00:00Z,2024-01-01T10:00:00Z,2024-01-01T09:00:00Z,23,temp,home,Kitchen
,,3,2024-01-01T08:00:00Z,2024-01-01T10:00:00Z,2024-01-01T08:00:00Z,21.1,temp,home,Living Room

";
    assert_eq!(one.annotated(&query).await, expected);
    one.flush().await;
    assert_eq!(one.annotated(&query).await, expected);
}

#[tokio::test]
async fn ranges_include_their_start_and_exclude_their_stop() {
    let one = home().await;
    let count = async |range: &str| {
        let query = format!(
            "from(bucket: \"db\") |> range({range}) |> filter(fn: (r) => r._field == \"temp\") |> group() |> count()"
        );
        one.flux(&query).await
    };
    assert_eq!(
        count("start: 2024-01-01T08:00:00Z, stop: 2024-01-01T09:00:00Z").await,
        ",result,table,_value\n,_result,0,3\n\n"
    );
    assert_eq!(
        count("start: 2024-01-01T08:00:00.000000001Z, stop: 2024-01-01T09:00:00.000000001Z").await,
        ",result,table,_value\n,_result,0,2\n\n"
    );
    // A result without tables is an empty line.
    assert_eq!(count("start: 2025-01-01, stop: 2025-01-02").await, "\n");
}

#[tokio::test]
async fn bodies_are_text_or_json_and_the_dialect_is_that_of_the_request() {
    let one = home().await;
    let query = "buckets() |> keep(columns: [\"name\"])";
    for content_type in ["application/vnd.flux", "application/vnd.flux; charset=utf-8"] {
        let request = Request::post("/api/v2/query?orgID=0000000000000001")
            .header(header::CONTENT_TYPE, content_type)
            .body(Body::from(query))
            .unwrap();
        let (head, body) = one.exchange(request).await;
        assert_eq!(body, ",result,table,name\r\n,_result,0,db\r\n\r\n");
        assert_eq!(head.headers[header::CONTENT_TYPE], "text/csv; charset=utf-8");
    }
    let dialect = json!({"header": true, "delimiter": ";", "annotations": ["group"], "commentPrefix": "%",
        "dateTimeFormat": "RFC3339", "quoteChar": "\""});
    let body =
        json!({"query": query, "type": "flux", "extern": null, "params": null, "dialect": dialect});
    assert_eq!(
        one.v2(body).await,
        (
            200,
            "%group;false;false;false\r\n;result;table;name\r\n;_result;0;db\r\n\r\n".to_owned()
        )
    );
    let without_header = json!({"query": query, "dialect": {"header": false}});
    assert_eq!(one.v2(without_header).await, (200, ",_result,0,db\r\n\r\n".to_owned()));
}

#[tokio::test]
async fn refused_requests_are_json_with_a_code() {
    let one = home().await;
    let dialect = |dialect: serde_json::Value| json!({"query": "buckets()", "dialect": dialect});
    let cases = [
        (json!({}), 400, "invalid", "request body requires a query"),
        (json!({"query": "x", "type": "sql"}), 400, "invalid", "unknown query type: sql"),
        (
            dialect(json!({"delimiter": "ab"})),
            400,
            "invalid",
            "invalid dialect delimiter: must be one character",
        ),
        (
            dialect(json!({"annotations": ["x"]})),
            400,
            "invalid",
            "unknown dialect annotation type: x",
        ),
        (
            dialect(json!({"dateTimeFormat": "x"})),
            400,
            "invalid",
            "unknown dialect date time format: x",
        ),
        (
            dialect(json!({"commentPrefix": "##"})),
            400,
            "invalid",
            "invalid dialect comment prefix: must be length 0 or 1",
        ),
        (
            json!({"query": "buckets()", "now": "x"}),
            400,
            "invalid",
            "\"now\" is not a time: x",
        ),
        (
            json!({"query": "from(bucket: \"none\") |> range(start: 0)"}),
            404,
            "not found",
            "could not find bucket \"none\"",
        ),
        (
            json!({"query": "from(bucket: \"db\")"}),
            400,
            "invalid",
            "error: cannot submit unbounded read to \"db\"; try bounding 'from' with a call to 'range'",
        ),
    ];
    for (body, status, code, message) in cases {
        let error = json!({"code": code, "message": message}).to_string();
        assert_eq!(one.v2(body.clone()).await, (status, error), "{body}");
    }
    let request = Request::post("/api/v2/query").body(Body::from("{")).unwrap();
    let (status, text) = one.send(request).await;
    assert_eq!(status, 400);
    assert!(
        text.starts_with(r#"{"code":"invalid","message":"failed parsing request body as JSON: "#),
        "{text}"
    );
    let message = one
        .flux_error("from(bucket: \"db\") |> range(start: 0) |> fill(usePrevious: true)")
        .await;
    assert!(
        message.starts_with("error @1:42-1:46: fill() is not supported; in SQL: coalesce("),
        "{message}"
    );
}

#[tokio::test]
async fn influxql_reads_a_bucket() {
    let one = home().await;
    let body = json!({"type": "influxql", "bucket": "db", "query": "SELECT temp FROM home WHERE room = 'Kitchen'"});
    let (status, text) = one.v2(body).await;
    assert_eq!(status, 200);
    assert_eq!(
        text,
        "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"home\",\"columns\":[\"time\",\"temp\"],\
         \"values\":[[\"2024-01-01T08:00:00Z\",21],[\"2024-01-01T09:00:00Z\",23]]}]}]}\n"
    );
}

#[tokio::test]
async fn influxql_changes_nothing() {
    let one = home().await;
    for (name, rest) in [
        ("DROP MEASUREMENT", "home"),
        (
            "CREATE CONTINUOUS QUERY",
            "cq ON db BEGIN SELECT mean(temp) INTO hourly FROM home GROUP BY time(1h) END",
        ),
        ("DROP CONTINUOUS QUERY", "cq ON db"),
    ] {
        let query = format!("{name} {rest}");
        let body = json!({"type": "influxql", "bucket": "db", "query": query});
        let (_, text) = one.v2(body).await;
        let refusal = format!("{name} is supported only by /query");
        assert!(text.contains(&refusal), "{text}");
    }
}

#[tokio::test]
async fn a_bucket_is_not_the_default_retention_policy() {
    let one = home().await;
    one.changes("CREATE RETENTION POLICY week ON db DURATION INF REPLICATION 1 DEFAULT")
        .await;
    let query = "SELECT count(temp) FROM home";
    let body = json!({"type": "influxql", "bucket": "db", "query": query});
    let (status, text) = one.v2(body).await;
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("[\"1970-01-01T00:00:00Z\",4]"), "{text}");
}

#[tokio::test]
async fn several_results_have_their_names() {
    let one = home().await;
    let query = format!(
        "data = from(bucket: \"db\") |> {RANGE} |> filter(fn: (r) => r._field == \"temp\") |> group()\n\
         data |> count() |> yield(name: \"n\")\n\
         data |> max() |> keep(columns: [\"_value\", \"room\"]) |> yield(name: \"max\")\n\
         data |> filter(fn: (r) => r._value > 100.0) |> yield(name: \"none\")"
    );
    assert_eq!(
        one.annotated(&query).await,
        "#datatype,string,long,long\n#group,false,false,false\n#default,n,,\n,result,table,_value\n,,0,4\n\n\
         #datatype,string,long,double,string\n#group,false,false,false,false\n#default,max,,,\n\
         ,result,table,_value,room\n,,0,23,Kitchen\n\n\n"
    );
}

#[tokio::test]
async fn errors_after_the_first_result_are_tables() {
    let one = home().await;
    let query = format!(
        "buckets() |> keep(columns: [\"name\"]) |> yield(name: \"buckets\")\n\
         from(bucket: \"db\") |> {RANGE} |> group() |> yield(name: \"broken\")"
    );
    let answer = one.annotated(&query).await;
    assert!(
        answer.ends_with(
            ",,0,db\n\n\n#datatype,string,string\n#group,true,true\n#default,,\n,error,reference\n\
             ,\"error @2:89-2:96: schema collision: cannot group bool and string types together (column \"\"_value\"\")\",\n"
        ),
        "{answer}"
    );
}

#[tokio::test]
async fn buckets_are_databases_and_retention_policies() {
    let one = home().await;
    for name in ["db/week", "other/policy"] {
        let body = bytes::Bytes::from("home temp=1 1704096000000000000");
        one.service
            .write(name, body, neap_write::WriteOptions::default())
            .await
            .unwrap();
    }
    assert_eq!(
        one.annotated("buckets()").await,
        "#datatype,string,long,string,string,string,string,long\n\
         #group,false,false,false,false,true,false,false\n\
         #default,_result,,,,,,\n\
         ,result,table,name,id,organizationID,retentionPolicy,retentionPeriod\n\
         ,,0,db,6e65617000000001,6e65617000000000,,0\n\
         ,,0,db/week,6e65617000000002,6e65617000000000,,0\n\
         ,,0,other/policy,6e65617000000003,6e65617000000000,,0\n\n"
    );
    let count = async |bucket: &str| {
        let query = format!(
            "from({bucket}) |> {RANGE} |> filter(fn: (r) => r._field == \"temp\") |> group() |> count()"
        );
        one.flux(&query).await
    };
    for (bucket, rows) in [
        ("bucket: \"db\"", 4),
        ("bucket: \"db/autogen\"", 4),
        ("bucket: \"db/\"", 4),
        ("bucket: \"db/week\"", 1),
        ("bucketID: \"6e65617000000002\"", 1),
    ] {
        let expected = format!(",result,table,_value\n,_result,0,{rows}\n\n");
        assert_eq!(count(bucket).await, expected, "{bucket}");
    }
    // Grafana's variables.
    let names = r#"buckets() |> filter(fn: (r) => r.name =~ /^db/) |> rename(columns: {name: "_value"}) |> keep(columns: ["_value"])"#;
    assert_eq!(
        one.flux(names).await,
        ",result,table,_value\n,_result,0,db\n,_result,0,db/week\n\n"
    );
}

#[tokio::test]
async fn a_renamed_table_is_read_by_each_name() {
    let one = home().await;
    one.sql("ALTER TABLE home RENAME TO house").await;
    for name in ["home", "house"] {
        let count = format!(
            "filter(fn: (r) => r._measurement == \"{name}\" and r._field == \"co\") |> count()"
        );
        let expected = format!(
            ",result,table,_value,_field,_measurement,room\n,_result,0,2,co,{name},Kitchen\n\n"
        );
        assert_eq!(one.home_flux(&count).await, expected);
    }
    let other =
        "filter(fn: (r) => r._measurement != \"house\") |> group() |> count(column: \"_field\")";
    assert_eq!(
        one.home_flux(&format!("filter(fn: (r) => r._field == \"clean\") |> {other}"))
            .await,
        ",result,table,_field\n,_result,0,1\n\n"
    );
}

#[tokio::test]
async fn the_log_has_the_text_of_the_query() {
    let one = home().await;
    one.home_flux("filter(fn: (r) => r._field == \"temp\") |> last()").await;
    let logged = one
        .sql("SELECT query_type, query_text FROM system.queries WHERE query_type = 'flux'")
        .await;
    assert!(logged.contains("flux,\"from(bucket: "), "{logged}");
}
