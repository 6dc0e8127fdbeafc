//! Where `/query` follows InfluxDB 1 and `/api/v3/query_influxql` follows InfluxDB 3.

use serde_json::json;

use super::{QueryTestInstance, home};
use crate::tests::instance::assert_answers;

/// A measurement whose rows lack some tags and fields.
const SPARSE: &str = "\
sparse,host=a,region=eu x=1,y=10i,s=\"p\" 10
sparse,host=b,region=eu x=2 20
sparse,region=us x=3,y=30i 30
sparse,host=a y=40i,s=\"q\" 40
sparse,host=b,region=us x=5,y=50i 50";

impl QueryTestInstance {
    async fn in_seconds(&self, q: &str) -> String {
        self.v1(&[("db", "db"), ("q", q), ("epoch", "s")]).await
    }
}

async fn sparse() -> QueryTestInstance {
    let one = home().await;
    one.write(SPARSE).await;
    one
}

#[tokio::test]
async fn errors_are_those_of_influxdb_1() {
    let one = home().await;
    let answers = r#"
    SELECT count(temp + 1) FROM home
        "error":"expected field argument in count()"
    SELECT nope(temp) FROM home
        "error":"undefined function nope()"
    SELECT mean(temp), co FROM home
        "error":"mixing aggregate and non-aggregate queries is not supported"
    SELECT max(temp), min(temp), co FROM home
        "error":"mixing multiple selector functions with tags or fields is not supported"
    SELECT temp + room FROM home
        "error":"type error: temp::float + room::tag: incompatible types: float and tag"
    SELECT temp & 1.5 FROM home
        "error":"type error: temp::float & 1.5: incompatible types: float and float"
    SELECT percentile(temp, 'a') FROM home
        "error":"expected float argument in percentile()"
    SELECT top(temp, 0) FROM home
        "error":"limit (0) in top function must be at least 1"
    SELECT top(temp, 5) FROM home LIMIT 2
        "error":"limit (5) in top function can not be larger than the LIMIT (2) in the select statement"
    SELECT top(temp, 2), bottom(temp, 2) FROM home
        "error":"selector function top() cannot be combined with other functions"
    SELECT distinct(temp), co FROM home
        "error":"aggregate function distinct() cannot be combined with other functions or fields"
    SELECT derivative(temp) FROM home GROUP BY time(1h)
        "error":"aggregate function required inside the call to derivative"
    SELECT derivative(mean(temp)) FROM home
        "error":"derivative aggregate requires a GROUP BY interval"
    SELECT derivative(temp, 3) FROM home
        "error":"second argument to derivative must be a duration, got *influxql.IntegerLiteral"
    SELECT moving_average(temp, 1) FROM home
        "error":"moving_average window must be greater than 1, got 1"
    SELECT sample(temp, 0) FROM home
        "error":"sample window must be greater than 1, got 0"
    SELECT temp FROM home fill(none)
        "error":"fill(none) must be used with a function"
    SELECT temp FROM home GROUP BY time(1h)
        "error":"GROUP BY requires at least one aggregate function"
    SELECT * + 1 FROM home
        "error":"unable to use wildcard in a binary expression"
    SELECT 1 FROM home
        "error":"field must contain at least one variable"
    SELECT time FROM home
        "error":"at least 1 non-time field must be queried"
    SELECT temp FROM home WHERE mean(temp) > 3
        "error":"invalid function call in condition: mean(temp)"
    SELECT temp FROM home WHERE time != 5
        "error":"invalid time comparison operator: !="
    SELECT temp FROM home WHERE time > 'yesterday'
        "error":"invalid operation: time and *influxql.StringLiteral are not compatible"
    SELECT temp FROM home WHERE time > '2023-02-30T00:00:00Z'
        "error":"invalid timestamp string"
    SELECT temp FROM home WHERE time > '2023-11-14 noon'
        "error":"invalid timestamp string"
    SELECT temp FROM home WHERE time > '1500-01-01'
        "error":"time 1500-01-01T00:00:00Z underflows time literal"
    SELECT temp FROM home WHERE time < '3000-01-01T00:00:00Z'
        "error":"time 3000-01-01T00:00:00Z overflows time literal"
    SELECT temp FROM home WHERE time > temp
        "error":"invalid operation: time and *influxql.VarRef are not compatible"
    SELECT temp FROM home WHERE time > true
        "error":"invalid operation: time and *influxql.BooleanLiteral are not compatible"
    SELECT temp FROM home WHERE temp > 1 OR time > ''
        "error":"invalid operation: time and *influxql.StringLiteral are not compatible"
    SELECT temp FROM home WHERE room =~ /(/
        "error":"error parsing regexp: missing closing ): `(`"
    SELECT temp FROM home WHERE room =~ /a)/
        "error":"error parsing regexp: unexpected ): `a)`"
    SELECT /[a/ FROM home
        "error":"error parsing regexp: missing closing ]: `[a`"
    SELECT v FROM (SELECT temp AS v FROM home ORDER BY time DESC)
        "error":"subqueries must be ordered in the same direction as the query itself"
    SELECT temp FROM nope.home
        "error":"retention policy not found: nope"
    SELECT temp FROM nope..home
        "error":"database not found: nope"
    SHOW GRANTS FOR someone
        "error":"user not found"
    "#;
    assert_answers(answers, async |q: &str| one.ask(q).await).await;
}

#[tokio::test]
async fn series_come_in_the_order_of_their_tags_and_of_time() {
    let one = sparse().await;
    let q = "SELECT x FROM sparse GROUP BY host";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"sparse","tags":{"host":""},"columns":["time","x"],"values":[["1970-01-01T00:00:30Z",3]]},{"name":"sparse","tags":{"host":"a"},"columns":["time","x"],"values":[["1970-01-01T00:00:10Z",1]]},{"name":"sparse","tags":{"host":"b"},"columns":["time","x"],"values":[["1970-01-01T00:00:20Z",2],["1970-01-01T00:00:50Z",5]]}]"#);
    let q = "SELECT max(x) FROM sparse GROUP BY host ORDER BY time DESC";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"sparse","tags":{"host":"b"},"columns":["time","max"],"values":[["1970-01-01T00:00:50Z",5]]},{"name":"sparse","tags":{"host":"a"},"columns":["time","max"],"values":[["1970-01-01T00:00:10Z",1]]},{"name":"sparse","tags":{"host":""},"columns":["time","max"],"values":[["1970-01-01T00:00:30Z",3]]}]"#);
    let body = json!({"db": "db", "q": "SELECT x FROM sparse GROUP BY host", "format": "csv"});
    insta::assert_snapshot!(one.v3(body).await.1, @"
    iox::measurement,time,host,x
    sparse,1970-01-01T00:00:10,a,1.0
    sparse,1970-01-01T00:00:20,b,2.0
    sparse,1970-01-01T00:00:50,b,5.0
    sparse,1970-01-01T00:00:30,,3.0
    ");
}

#[tokio::test]
async fn functions_of_series_go_backwards_with_descending_times() {
    let one = sparse().await;
    let q = "SELECT difference(x), elapsed(x), cumulative_sum(x) FROM sparse ORDER BY time DESC";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"sparse","columns":["time","difference","elapsed","cumulative_sum"],"values":[["1970-01-01T00:00:50Z",null,null,5],["1970-01-01T00:00:30Z",-2,-20000000000,8],["1970-01-01T00:00:20Z",-1,-10000000000,10],["1970-01-01T00:00:10Z",-1,-10000000000,11]]}]"#);
    let q = "SELECT derivative(mean(x), 10s) FROM sparse WHERE time >= 10s AND time < 40s \
             GROUP BY time(10s) ORDER BY time DESC";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"sparse","columns":["time","derivative"],"values":[["1970-01-01T00:00:20Z",-1],["1970-01-01T00:00:10Z",-1]]}]"#);
}

#[tokio::test]
async fn a_subquery_has_a_row_for_each_of_its_source() {
    let one = sparse().await;
    let answers = r#"
    SELECT v FROM (SELECT x + y AS v FROM sparse)
        {"results":[{"statement_id":0,"series":[{"name":"sparse","columns":["time","v"],"values":[[10,11],[20,null],[30,33],[40,null],[50,55]]}]}]}
    SELECT host FROM (SELECT min(x), host FROM sparse GROUP BY region)
        {"results":[{"statement_id":0,"series":[{"name":"sparse","columns":["time","host"],"values":[[10,"a"],[30,null]]}]}]}
    SELECT count(host) FROM (SELECT x, host FROM sparse)
        {"results":[{"statement_id":0,"series":[{"name":"sparse","columns":["time","count"],"values":[[0,3]]}]}]}
    SELECT distinct(host) FROM (SELECT x, host FROM sparse)
        {"results":[{"statement_id":0,"series":[{"name":"sparse","columns":["time","distinct"],"values":[[0,"a"],[0,"b"]]}]}]}
    SELECT region, x FROM (SELECT x FROM sparse)
        {"results":[{"statement_id":0,"series":[{"name":"sparse","columns":["time","region","x"],"values":[[10,null,1],[20,null,2],[30,null,3],[50,null,5]]}]}]}
    SELECT host, x FROM (SELECT x FROM sparse GROUP BY host)
        {"results":[{"statement_id":0,"series":[{"name":"sparse","columns":["time","host","x"],"values":[[10,"a",1],[20,"b",2],[30,"",3],[50,"b",5]]}]}]}
    SELECT nope FROM (SELECT x FROM sparse)
        {"results":[{"statement_id":0}]}
    "#;
    assert_answers(answers, async |q: &str| one.in_seconds(q).await).await;
}

#[tokio::test]
async fn samples_of_several_fields_are_combined() {
    let one = sparse().await;
    let q = "SELECT sample(*, 10) FROM sparse";
    let body = one.in_seconds(q).await;
    insta::assert_snapshot!(body, @r#"{"results":[{"statement_id":0,"series":[{"name":"sparse","columns":["time","sample_s","sample_x","sample_y"],"values":[[10,"p",1,10],[20,null,2,null],[30,null,3,30],[40,"q",null,40],[50,null,5,50]]}]}]}"#);
    let q = "SELECT sample(x, 2), sample(y, 1) FROM sparse";
    let body = one.in_seconds(q).await;
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    let rows = answer["results"][0]["series"][0]["values"].as_array().unwrap();
    let picked = |column: usize| rows.iter().filter(|row| !row[column].is_null()).count();
    assert_eq!((picked(1), picked(2)), (2, 1), "{body}");
}

#[tokio::test]
async fn groups_and_wildcards_follow_influxdb_1() {
    let one = sparse().await;
    let answers = r#"
    SELECT max(x), host FROM sparse WHERE time >= 10s AND time < 30s GROUP BY time(10s), host
        {"results":[{"statement_id":0,"series":[{"name":"sparse","tags":{"host":"a"},"columns":["time","max","host"],"values":[[10,1,"a"],[20,null,"a"]]},{"name":"sparse","tags":{"host":"b"},"columns":["time","max","host"],"values":[[10,null,"b"],[20,2,"b"]]}]}]}
    SELECT max(v) FROM (SELECT x AS v, host FROM sparse) GROUP BY *
        {"results":[{"statement_id":0,"series":[{"name":"sparse","columns":["time","max"],"values":[[50,5]]}]}]}
    SELECT * FROM sparse WHERE host = 'b' GROUP BY /r/
        {"results":[{"statement_id":0,"series":[{"name":"sparse","tags":{"region":"eu"},"columns":["time","s","x","y"],"values":[[20,null,2,null]]},{"name":"sparse","tags":{"region":"us"},"columns":["time","s","x","y"],"values":[[50,null,5,50]]}]}]}
    SELECT count(s), count(x) FROM sparse WHERE host = 'b'
        {"results":[{"statement_id":0,"series":[{"name":"sparse","columns":["time","count","count_1"],"values":[[0,null,2]]}]}]}
    SELECT integral(x) FROM sparse WHERE time >= 10s AND time <= 20s
        {"results":[{"statement_id":0,"series":[{"name":"sparse","columns":["time","integral"],"values":[[0,15]]}]}]}
    SHOW MEASUREMENT CARDINALITY WHERE host = 'z'
        {"results":[{"statement_id":0}]}
    "#;
    assert_answers(answers, async |q: &str| one.in_seconds(q).await).await;
}

#[tokio::test]
async fn fill_and_arithmetic_follow_influxdb_1() {
    let one = sparse().await;
    let answers = r#"
    SELECT x % 0, y % 0, x / 0 FROM sparse
        {"results":[{"statement_id":0,"series":[{"name":"sparse","columns":["time","x","y","x_1"],"values":[[10,null,0,0],[20,null,null,0],[30,null,0,0],[40,null,0,null],[50,null,0,0]]}]}]}
    SELECT percentile(x, 101) FROM sparse
        {"results":[{"statement_id":0,"series":[{"name":"sparse","columns":["time","percentile"],"values":[[50,5]]}]}]}
    SELECT first(s) FROM sparse WHERE time >= 10s AND time < 30s GROUP BY time(10s) fill(3)
        {"results":[{"statement_id":0,"series":[{"name":"sparse","columns":["time","first"],"values":[[10,"p"],[20,""]]}]}]}
    SELECT max(y), x FROM sparse WHERE time >= 30s AND time < 70s GROUP BY time(10s) fill(previous)
        {"results":[{"statement_id":0,"series":[{"name":"sparse","columns":["time","max","x"],"values":[[30,30,3],[40,40,3],[50,50,5],[60,50,5]]}]}]}
    SELECT max(y), x FROM sparse WHERE time >= 30s AND time < 70s GROUP BY time(10s) fill(7)
        {"results":[{"statement_id":0,"series":[{"name":"sparse","columns":["time","max","x"],"values":[[30,30,3],[40,40,7],[50,50,5],[60,7,7]]}]}]}
    "#;
    assert_answers(answers, async |q: &str| one.in_seconds(q).await).await;
}

#[tokio::test]
async fn a_name_of_a_tag_and_a_field_is_the_field() {
    let one = home().await;
    one.write("mixa,t=x v=1,f=3 1700000000000000000\nmixb,f=y v=2,t=4 1700000010000000000")
        .await;
    let q = "SELECT v FROM mixa, mixb";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"mixa","columns":["time","v"],"values":[["2023-11-14T22:13:20Z",1]]},{"name":"mixb","columns":["time","v"],"values":[["2023-11-14T22:13:30Z",2]]}]"#);
    let q = "SELECT v FROM mixa, mixb GROUP BY t";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"mixa","tags":{"t":"x"},"columns":["time","v"],"values":[["2023-11-14T22:13:20Z",1]]},{"name":"mixb","tags":{"t":""},"columns":["time","v"],"values":[["2023-11-14T22:13:30Z",2]]}]"#);
    let q = "SELECT t, v FROM mixa, mixb";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"mixa","columns":["time","t","v"],"values":[["2023-11-14T22:13:20Z",null,1]]},{"name":"mixb","columns":["time","t","v"],"values":[["2023-11-14T22:13:30Z",4,2]]}]"#);
    let q = "SELECT f::tag, v FROM mixa, mixb";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"mixa","columns":["time","f","v"],"values":[["2023-11-14T22:13:20Z",null,1]]},{"name":"mixb","columns":["time","f","v"],"values":[["2023-11-14T22:13:30Z","y",2]]}]"#);
    let q = "SELECT * FROM mixa, mixb";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"mixa","columns":["time","f","f_1","t","t_1","v"],"values":[["2023-11-14T22:13:20Z",3,null,null,"x",1]]},{"name":"mixb","columns":["time","f","f_1","t","t_1","v"],"values":[["2023-11-14T22:13:30Z",null,"y",4,null,2]]}]"#);
    let q = "SELECT count(*) FROM mixa, mixb";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"mixa","columns":["time","count_f","count_t","count_v"],"values":[["1970-01-01T00:00:00Z",1,null,1]]},{"name":"mixb","columns":["time","count_f","count_t","count_v"],"values":[["1970-01-01T00:00:00Z",null,1,1]]}]"#);
    let q = "SELECT v FROM mixa, mixb WHERE f = 3";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"mixa","columns":["time","v"],"values":[["2023-11-14T22:13:20Z",1]]}]"#);
    let q = "SELECT v FROM (SELECT v FROM mixa, mixb) WHERE v > 1";
    insta::assert_snapshot!(one.ask(q).await, @r#""series":[{"name":"mixb","columns":["time","v"],"values":[["2023-11-14T22:13:30Z",2]]}]"#);
}
