//! InfluxQL requests in both interfaces, over rows that the test really writes.

mod default_policies;
mod limits;
mod permissions;
mod select_into;
mod server_statements;
mod several_databases;
mod users;
mod v1_rules;
mod views_into_databases;
mod windows;

use std::time::Duration;

use axum::body::Body;
use http::{Request, header};
use serde_json::json;

use crate::tests::instance::{QueryTestInstance, assert_answers};

const HOME: &str = "\
home,room=Kitchen temp=21.0,co=0i 1704096000000000000
home,room=Kitchen temp=23.0,co=1i 1704099600000000000
home,room=Living\\ Room temp=21.1,co=0i 1704096000000000000
home temp=20.5 1704096000000000001
units,src=a v=1i 1704096000000000000
units,src=b,kind=x v=2i 1704099600000000000";

async fn home() -> QueryTestInstance {
    QueryTestInstance::with_rows(HOME).await
}

/// Encodes the parameters of a request as a form.
fn form(pairs: &[(&str, &str)]) -> String {
    serde_urlencoded::to_string(pairs).unwrap()
}

impl QueryTestInstance {
    async fn v1(&self, pairs: &[(&str, &str)]) -> String {
        let (status, body) = self.get(&format!("/query?{}", form(pairs))).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    async fn v1_of(&self, database: &str, q: &str) -> String {
        self.v1(&[("db", database), ("q", q)]).await
    }

    /// Returns the answer to a GET without the common frame.
    async fn ask(&self, q: &str) -> String {
        let body = self.v1(&[("db", "db"), ("q", q)]).await;
        let inner = body
            .strip_prefix(r#"{"results":[{"statement_id":0"#)
            .and_then(|body| body.strip_suffix("}]}\n"));
        inner.unwrap_or(&body).trim_start_matches(',').to_owned()
    }

    async fn change(&self, q: &str) -> (u16, String) {
        let request = Request::post("/query?db=db")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form(&[("q", q)])));
        self.send(request.unwrap()).await
    }

    pub(crate) async fn changes(&self, q: &str) {
        let done = "{\"results\":[{\"statement_id\":0}]}\n";
        assert_eq!(self.change(q).await, (200, done.to_owned()), "{q}");
    }

    async fn v3(&self, body: serde_json::Value) -> (u16, String) {
        let request = Request::post("/api/v3/query_influxql");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }
}

#[tokio::test]
async fn columns_of_the_answer_are_sorted_last_unless_the_order_has_others() {
    let one = home().await;
    let first = async |q: &str| {
        let plan = one.ask(&format!("EXPLAIN {q}")).await;
        let operators = ["RankSortExec", "SortExec", "ProjectionExec"];
        let places = operators.map(|name| (plan.find(name).unwrap_or(usize::MAX), name));
        places.into_iter().min().unwrap().1
    };
    for (q, operator) in [
        ("SELECT * FROM home", "RankSortExec"),
        ("SELECT temp FROM home GROUP BY room", "RankSortExec"),
        // Windows may be null.
        ("SELECT mean(temp) FROM home GROUP BY time(1h), room", "SortExec"),
        // Rows of one time are sorted by their room.
        ("SELECT temp FROM home", "ProjectionExec"),
    ] {
        assert_eq!(first(q).await, operator, "{q}");
    }
}

#[tokio::test]
async fn names_of_users_may_be_those_of_the_planner() {
    let one = home().await;
    one.write(
        "odd,out:0=a,tag:out:0=x v=2 2\nodd,out:0=b,tag:out:0=w v=1 1\nodd,out:0=a,tag:out:0=w v=0 3",
    )
    .await;
    insta::assert_snapshot!(one.ask(r#"SELECT v FROM odd GROUP BY "out:0""#).await, @r#""series":[{"name":"odd","tags":{"out:0":"a"},"columns":["time","v"],"values":[["1970-01-01T00:00:02Z",2],["1970-01-01T00:00:03Z",0]]},{"name":"odd","tags":{"out:0":"b"},"columns":["time","v"],"values":[["1970-01-01T00:00:01Z",1]]}]"#);
    insta::assert_snapshot!(one.ask(r#"SELECT v FROM odd GROUP BY "out:0", "tag:out:0""#).await, @r#""series":[{"name":"odd","tags":{"out:0":"a","tag:out:0":"w"},"columns":["time","v"],"values":[["1970-01-01T00:00:03Z",0]]},{"name":"odd","tags":{"out:0":"a","tag:out:0":"x"},"columns":["time","v"],"values":[["1970-01-01T00:00:02Z",2]]},{"name":"odd","tags":{"out:0":"b","tag:out:0":"w"},"columns":["time","v"],"values":[["1970-01-01T00:00:01Z",1]]}]"#);
    insta::assert_snapshot!(one.ask(r#"SELECT time AS "out:0", v FROM odd"#).await, @r#""series":[{"name":"odd","columns":["out:0","v"],"values":[["1970-01-01T00:00:01Z",1],["1970-01-01T00:00:02Z",2],["1970-01-01T00:00:03Z",0]]}]"#);
}

#[tokio::test]
async fn rows_are_divided_into_series() {
    let one = home().await;
    let q = "SELECT temp FROM home GROUP BY room";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"home","tags":{"room":""},"columns":["time","temp"],"values":[["2024-01-01T08:00:00.000000001Z",20.5]]},{"name":"home","tags":{"room":"Kitchen"},"columns":["time","temp"],"values":[["2024-01-01T08:00:00Z",21],["2024-01-01T09:00:00Z",23]]},{"name":"home","tags":{"room":"Living Room"},"columns":["time","temp"],"values":[["2024-01-01T08:00:00Z",21.1]]}]"#);
    let pairs = [("db", "db"), ("q", q), ("epoch", "s"), ("pretty", "true")];
    insta::assert_snapshot!(one.v1(&pairs).await, @r#"
    {
      "results": [
        {
          "statement_id": 0,
          "series": [
            {
              "name": "home",
              "tags": {
                "room": ""
              },
              "columns": [
                "time",
                "temp"
              ],
              "values": [
                [
                  1704096000,
                  20.5
                ]
              ]
            },
            {
              "name": "home",
              "tags": {
                "room": "Kitchen"
              },
              "columns": [
                "time",
                "temp"
              ],
              "values": [
                [
                  1704096000,
                  21
                ],
                [
                  1704099600,
                  23
                ]
              ]
            },
            {
              "name": "home",
              "tags": {
                "room": "Living Room"
              },
              "columns": [
                "time",
                "temp"
              ],
              "values": [
                [
                  1704096000,
                  21.1
                ]
              ]
            }
          ]
        }
      ]
    }
    "#);
    let chunked = [("db", "db"), ("q", q), ("chunked", "true"), ("chunk_size", "1")];
    insta::assert_snapshot!(one.v1(&chunked).await, @r#"
    {"results":[{"statement_id":0,"series":[{"name":"home","tags":{"room":""},"columns":["time","temp"],"values":[["2024-01-01T08:00:00.000000001Z",20.5]]}],"partial":true}]}
    {"results":[{"statement_id":0,"series":[{"name":"home","tags":{"room":"Kitchen"},"columns":["time","temp"],"values":[["2024-01-01T08:00:00Z",21]],"partial":true}],"partial":true}]}
    {"results":[{"statement_id":0,"series":[{"name":"home","tags":{"room":"Kitchen"},"columns":["time","temp"],"values":[["2024-01-01T09:00:00Z",23]]}],"partial":true}]}
    {"results":[{"statement_id":0,"series":[{"name":"home","tags":{"room":"Living Room"},"columns":["time","temp"],"values":[["2024-01-01T08:00:00Z",21.1]]}]}]}
    "#);
}

#[tokio::test]
async fn each_statement_has_its_own_result() {
    let one = home().await;
    let q = "SELECT v FROM units; SELECT nope(v) FROM units; SHOW TAG KEYS; SELECT * FROM missing";
    insta::assert_snapshot!(one.v1(&[("db", "db"), ("q", q)]).await, @r#"{"results":[{"statement_id":0,"series":[{"name":"units","columns":["time","v"],"values":[["2024-01-01T08:00:00Z",1],["2024-01-01T09:00:00Z",2]]}]},{"statement_id":1,"error":"undefined function nope()"},{"statement_id":2,"series":[{"name":"home","columns":["tagKey"],"values":[["room"]]},{"name":"units","columns":["tagKey"],"values":[["kind"],["src"]]}]},{"statement_id":3}]}"#);
    let accept = |format: &'static str, q: &str| {
        let path = format!("/query?{}", form(&[("db", "db"), ("q", q)]));
        Request::get(path).header(header::ACCEPT, format).body(Body::empty()).unwrap()
    };
    let (head, body) = one.exchange(accept("application/csv", q)).await;
    assert_eq!(head.headers[header::CONTENT_TYPE], "application/csv");
    insta::assert_snapshot!(body, @r#"
    name,tags,time,v
    units,,1704096000000000000,1
    units,,1704099600000000000,2

    error
    undefined function nope()

    name,tags,tagKey
    home,,room
    units,,kind
    units,,src
    "#);
    let (status, _) = one.send(accept("application/xml", q)).await;
    assert_eq!(status, 400);
    for path in ["/query?db=db", "/query?db=db&q=", "/query?db=db&q=%20;"] {
        let (status, body) = one.get(path).await;
        assert_eq!(status, 400);
        assert_eq!(body, r#"{"error":"missing required parameter \"q\""}"#);
    }
}

#[tokio::test]
async fn show_statements_describe_tables() {
    let one = home().await;
    let answers = r#"
    SHOW MEASUREMENTS
        "series":[{"name":"measurements","columns":["name"],"values":[["home"],["units"]]}]
    SHOW MEASUREMENTS WITH MEASUREMENT =~ /^u/
        "series":[{"name":"measurements","columns":["name"],"values":[["units"]]}]
    SHOW MEASUREMENTS WHERE room = 'Kitchen'
        "series":[{"name":"measurements","columns":["name"],"values":[["home"]]}]
    SHOW TAG KEYS FROM units
        "series":[{"name":"units","columns":["tagKey"],"values":[["kind"],["src"]]}]
    SHOW TAG KEYS FROM units WHERE src = 'a'
        "series":[{"name":"units","columns":["tagKey"],"values":[["src"]]}]
    SHOW FIELD KEYS
        "series":[{"name":"home","columns":["fieldKey","fieldType"],"values":[["co","integer"],["temp","float"]]},{"name":"units","columns":["fieldKey","fieldType"],"values":[["v","integer"]]}]
    SHOW TAG VALUES WITH KEY = room
        "series":[{"name":"home","columns":["key","value"],"values":[["room","Kitchen"],["room","Living Room"]]}]
    SHOW TAG VALUES WITH KEY =~ /./ WHERE src = 'b'
        "series":[{"name":"units","columns":["key","value"],"values":[["kind","x"],["src","b"]]}]
    SHOW TAG VALUES FROM units WITH KEY IN (src, kind) LIMIT 2 OFFSET 1
        "series":[{"name":"units","columns":["key","value"],"values":[["src","a"],["src","b"]]}]
    SHOW TAG VALUES FROM units WITH KEY = src WHERE time < '2024-01-01T09:00:00Z'
        "series":[{"name":"units","columns":["key","value"],"values":[["src","a"]]}]
    SHOW SERIES
        "series":[{"columns":["key"],"values":[["home"],["home,room=Kitchen"],["home,room=Living\\ Room"],["units,kind=x,src=b"],["units,src=a"]]}]
    SHOW SERIES FROM home WHERE room =~ /L/
        "series":[{"columns":["key"],"values":[["home,room=Living\\ Room"]]}]
    SHOW SERIES CARDINALITY
        "series":[{"name":"home","columns":["count"],"values":[[3]]},{"name":"units","columns":["count"],"values":[[2]]}]
    SHOW MEASUREMENT CARDINALITY
        "series":[{"columns":["count"],"values":[[2]]}]
    SHOW TAG KEY CARDINALITY
        "series":[{"name":"home","columns":["count"],"values":[[1]]},{"name":"units","columns":["count"],"values":[[2]]}]
    SHOW FIELD KEY CARDINALITY
        "series":[{"name":"home","columns":["count"],"values":[[2]]},{"name":"units","columns":["count"],"values":[[1]]}]
    SHOW TAG VALUES CARDINALITY WITH KEY = room
        "series":[{"name":"home","columns":["count"],"values":[[2]]}]
    SHOW TAG VALUES WITH KEY = src SLIMIT 1
        "series":[{"name":"units","columns":["key","value"],"values":[["src","a"],["src","b"]]}]
    SHOW TAG VALUES WITH KEY =~ /./ LIMIT 1 SLIMIT 1 SOFFSET 1
        "series":[{"name":"units","columns":["key","value"],"values":[["kind","x"]]}]
    SHOW TAG KEYS WHERE src = 'a' SLIMIT 1
        "series":[{"name":"units","columns":["tagKey"],"values":[["src"]]}]
    SHOW FIELD KEYS WHERE src = 'a' SLIMIT 1 SOFFSET 1
        "series":[{"name":"units","columns":["fieldKey","fieldType"],"values":[["v","integer"]]}]
    SHOW TAG VALUES CARDINALITY WITH KEY = src LIMIT 1 SLIMIT 1
        "series":[{"name":"units","columns":["count"],"values":[[2]]}]
    SHOW TAG VALUES ON nowhere WITH KEY = room
        "error":"database not found: nowhere"
    SHOW NOTHING
        "error":"error in InfluxQL statement: parsing error: invalid SHOW statement, expected DATABASES, FIELD KEYS, MEASUREMENTS, TAG KEYS, TAG VALUES, or RETENTION POLICIES following SHOW at pos 5"
    "#;
    assert_answers(answers, async |statement: &str| one.ask(statement).await).await;
}

#[tokio::test]
async fn databases_and_policies_are_created_changed_and_dropped() {
    let one = home().await;
    let rps = "SHOW RETENTION POLICIES ON db";
    insta::assert_snapshot!(one.ask("SHOW DATABASES").await, @r#""series":[{"name":"databases","columns":["name"],"values":[["_internal"],["db"]]}]"#);
    insta::assert_snapshot!(one.ask(rps).await, @r#""series":[{"name":"retention_policies","columns":["name","duration","shardGroupDuration","replicaN","futureWriteLimit","pastWriteLimit","default"],"values":[["autogen","0s","168h0m0s",1,"0s","0s",true]]}]"#);
    one.changes("CREATE DATABASE other").await;
    one.changes("CREATE DATABASE other").await;
    one.changes("CREATE RETENTION POLICY \"week\" ON db DURATION 7d REPLICATION 1")
        .await;
    one.changes("ALTER RETENTION POLICY autogen ON db DURATION 90d").await;
    insta::assert_snapshot!(one.ask("SHOW DATABASES").await, @r#""series":[{"name":"databases","columns":["name"],"values":[["_internal"],["db"],["db/week"],["other"]]}]"#);
    insta::assert_snapshot!(one.ask(rps).await, @r#""series":[{"name":"retention_policies","columns":["name","duration","shardGroupDuration","replicaN","futureWriteLimit","pastWriteLimit","default"],"values":[["autogen","2160h0m0s","24h0m0s",1,"0s","0s",true],["week","168h0m0s","24h0m0s",1,"0s","0s",false]]}]"#);
    one.changes("ALTER RETENTION POLICY week ON db DURATION INF").await;
    insta::assert_snapshot!(one.ask(rps).await, @r#""series":[{"name":"retention_policies","columns":["name","duration","shardGroupDuration","replicaN","futureWriteLimit","pastWriteLimit","default"],"values":[["autogen","2160h0m0s","24h0m0s",1,"0s","0s",true],["week","0s","168h0m0s",1,"0s","0s",false]]}]"#);
    one.changes("DROP RETENTION POLICY week ON db").await;
    one.changes("DROP DATABASE other").await;
    one.changes("DROP DATABASE other").await;
    insta::assert_snapshot!(one.ask("SHOW DATABASES").await, @r#""series":[{"name":"databases","columns":["name"],"values":[["_internal"],["db"]]}]"#);
    for refused in [
        "CREATE RETENTION POLICY one ON nowhere DURATION 1d REPLICATION 1",
        "ALTER RETENTION POLICY one ON db DURATION 1d",
        "DROP RETENTION POLICY autogen ON db",
        "DROP DATABASE _internal",
        "CREATE DATABASE \"a/b/c d\"",
    ] {
        let (status, body) = one.change(refused).await;
        assert_eq!(status, 200, "{refused}");
        assert!(body.contains("\"error\":"), "{refused}: {body}");
    }
}

#[tokio::test]
async fn a_policy_that_is_created_again_stays_as_it_is() {
    let one = home().await;
    let week = "CREATE RETENTION POLICY week ON db DURATION 7d REPLICATION 1";
    one.changes(week).await;
    one.changes(week).await;
    one.changes("CREATE RETENTION POLICY autogen ON db DURATION INF REPLICATION 1 DEFAULT")
        .await;
    for other in [
        "CREATE RETENTION POLICY week ON db DURATION 1h REPLICATION 1",
        "CREATE RETENTION POLICY week ON db REPLICATION 1",
        "CREATE RETENTION POLICY autogen ON db DURATION 1h REPLICATION 1",
    ] {
        let (_, body) = one.change(other).await;
        assert!(body.contains(r#""error":"retention policy already exists""#), "{other}: {body}");
    }
    let rps = one.ask("SHOW RETENTION POLICIES ON db").await;
    assert!(rps.contains(r#"["autogen","0s""#), "{rps}");
    assert!(rps.contains(r#"["week","168h0m0s""#), "{rps}");
}

#[tokio::test]
async fn no_statement_is_executed_if_one_does_not_parse() {
    let one = home().await;
    let (_, body) = one.change("CREATE DATABASE x; SHOW NOTHING; SHOW DATABASES").await;
    assert!(
        body.starts_with(r#"{"results":[{"statement_id":0,"error":"error in InfluxQL statement:"#),
        "{body}"
    );
    assert!(!one.ask("SHOW DATABASES").await.contains(r#"["x"]"#));
}

#[tokio::test]
async fn rows_and_tables_are_deleted() {
    let one = home().await;
    let count = "SELECT count(temp) FROM home";
    one.changes("DELETE FROM home WHERE room = 'Kitchen' AND time < '2024-01-01T08:30:00Z'")
        .await;
    one.pass(Duration::from_secs(1));
    insta::assert_snapshot!(one.ask(count).await, @r#""series":[{"name":"home","columns":["time","count"],"values":[["1970-01-01T00:00:00Z",3]]}]"#);
    one.changes("DROP SERIES FROM /^h/ WHERE room = 'Kitchen'").await;
    one.pass(Duration::from_secs(1));
    insta::assert_snapshot!(one.ask(count).await, @r#""series":[{"name":"home","columns":["time","count"],"values":[["1970-01-01T00:00:00Z",2]]}]"#);
    insta::assert_snapshot!(one.change("DELETE FROM home WHERE temp > 3").await.1, @r#"{"results":[{"statement_id":0,"error":"DELETE can't filter by the field 'temp', only by time and tags"}]}"#);
    // A repeated drop is no error.
    for table in ["home", "home", "nothing"] {
        one.changes(&format!("DROP MEASUREMENT {table}")).await;
    }
    one.pass(Duration::from_secs(10));
    insta::assert_snapshot!(one.ask("SHOW MEASUREMENTS").await, @r#""series":[{"name":"measurements","columns":["name"],"values":[["units"]]}]"#);
}

#[tokio::test]
async fn get_requests_and_the_v3_interface_reject_changes() {
    let one = home().await;
    insta::assert_snapshot!(one.ask("DROP DATABASE db").await, @r#""error":"DROP DATABASE requires a POST request""#);
    for q in ["DROP DATABASE db", "CREATE DATABASE x", "DELETE FROM home"] {
        let (status, body) = one.v3(json!({"db": "db", "q": q})).await;
        assert_eq!(status, 405, "{q}");
        assert!(body.starts_with("This feature is not implemented: "), "{body}");
    }
    insta::assert_snapshot!(one.ask("SHOW DATABASES").await, @r#""series":[{"name":"databases","columns":["name"],"values":[["_internal"],["db"]]}]"#);
}

#[tokio::test]
async fn continuous_queries_are_created_and_dropped_by_get_requests() {
    let one = home().await;
    let create = "CREATE CONTINUOUS QUERY \"cq\" ON \"db\" BEGIN SELECT mean(temp) INTO hourly FROM home \
                  GROUP BY time(1h) END";
    assert_eq!(one.ask(create).await, "");
    let shown = one.ask("SHOW CONTINUOUS QUERIES").await;
    assert!(shown.contains(r#"["cq","#), "{shown}");
    assert_eq!(one.ask("DROP CONTINUOUS QUERY \"cq\" ON \"db\"").await, "");
    let shown = one.ask("SHOW CONTINUOUS QUERIES").await;
    assert!(!shown.contains(r#"["cq","#), "{shown}");
    let (status, body) = one.v3(json!({"db": "db", "q": create})).await;
    assert_eq!(status, 405, "{body}");
}

#[tokio::test]
async fn the_interface_of_v3_answers_one_statement() {
    let one = home().await;
    let ask = async |body: serde_json::Value| {
        let (status, body) = one.v3(body).await;
        format!("{status} {body}\n")
    };
    let mut answers = String::new();
    for body in [
        json!({"db": "db", "q": "SELECT mean(temp) FROM home GROUP BY room"}),
        json!({"q": "SELECT v FROM db.autogen.units WHERE src = $s", "params": {"s": "b"}}),
        json!({"db": "db", "q": "SHOW TAG VALUES WITH KEY = room", "format": "csv"}),
        json!({"db": "db", "q": "SHOW SERIES", "format": "csv"}),
        json!({"q": "SHOW DATABASES"}),
        json!({"q": "SHOW RETENTION POLICIES"}),
        json!({"q": "SELECT v FROM units"}),
        json!({"db": "nowhere", "q": "SELECT v FROM units"}),
        json!({"db": "db", "q": "SELECT v FROM other..units"}),
        json!({"db": "db", "q": "SELECT v FROM a..units, b..units"}),
        json!({"db": "db", "q": "SELECT v FROM units; SELECT v FROM units"}),
        json!({"db": "db", "q": ""}),
        json!({"db": "db", "q": "SELECT v FROM units WHERE src = $s"}),
        json!({"db": "db", "q": "SELECT v INTO x FROM units"}),
        json!({"db": "db"}),
    ] {
        answers.push_str(&ask(body).await);
    }
    insta::assert_snapshot!(answers, @r#"
    200 [{"iox::measurement":"home","time":"1970-01-01T00:00:00","room":"Kitchen","mean":22.0},{"iox::measurement":"home","time":"1970-01-01T00:00:00","room":"Living Room","mean":21.1},{"iox::measurement":"home","time":"1970-01-01T00:00:00","mean":20.5}]
    200 [{"iox::measurement":"units","time":"2024-01-01T09:00:00","v":2}]
    200 iox::measurement,key,value
    home,room,Kitchen
    home,room,Living Room

    200 iox::measurement,key
    home,home
    home,"home,room=Kitchen"
    home,"home,room=Living\ Room"
    units,"units,kind=x,src=b"
    units,"units,src=a"

    200 [{"iox::database":"_internal","deleted":false},{"iox::database":"db","deleted":false}]
    200 [{"iox::database":"_internal","name":"autogen","duration":"168h0m0s"},{"iox::database":"db","name":"autogen","duration":"0s"}]
    400 must specify a 'db' parameter, or provide the database in the InfluxQL query
    404 {"error":"query error: database not found: nowhere"}
    400 provided a database in both the parameters (db) and query string (other) that do not match, if providing a query that specifies the database, you can omit the 'database' parameter from your request
    400 can only perform queries on a single database
    400 must provide only one InfluxQl statement per query
    400 must provide only one InfluxQl statement per query
    400 error in InfluxQL statement: Bind parameter 's' was referenced in the InfluxQL statement but its value is undefined
    400 SELECT INTO is supported only by /query
    400 serde json error: missing field `q` at line 1 column 11
    "#);
    let (status, body) = one.get("/api/v3/query_influxql").await;
    assert_eq!((status, body.as_str()), (400, "missing query parameters 'db' and 'q'"));
    let path = form(&[("db", "db"), ("q", "SHOW MEASUREMENTS"), ("format", "jsonl")]);
    let (_, body) = one.get(&format!("/api/v3/query_influxql?{path}")).await;
    insta::assert_snapshot!(body, @r#"
    {"iox::measurement":"measurements","name":"home"}
    {"iox::measurement":"measurements","name":"units"}
    "#);
}

#[tokio::test]
async fn a_retention_policy_is_a_database_of_its_own() {
    let one = home().await;
    one.changes("CREATE RETENTION POLICY week ON db DURATION INF REPLICATION 1")
        .await;
    let body = bytes::Bytes::from_static(b"m f=1 1704096000000000000");
    one.pass(Duration::from_millis(1));
    let written = one.service.write("db/week", body, neap_write::WriteOptions::default());
    written.await.unwrap();
    let q = "SELECT f FROM m";
    insta::assert_snapshot!(one.v1(&[("db", "db"), ("rp", "Week"), ("q", q)]).await, @r#"{"results":[{"statement_id":0,"series":[{"name":"m","columns":["time","f"],"values":[["2024-01-01T08:00:00Z",1]]}]}]}"#);
    insta::assert_snapshot!(one.ask("SELECT f FROM week.m").await, @r#""series":[{"name":"m","columns":["time","f"],"values":[["2024-01-01T08:00:00Z",1]]}]"#);
    insta::assert_snapshot!(one.ask("SELECT f FROM autogen.m").await, @"");
    insta::assert_snapshot!(one.ask("SELECT f FROM month.m").await, @r#""error":"retention policy not found: month""#);
}
