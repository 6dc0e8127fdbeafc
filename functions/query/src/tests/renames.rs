//! Renamed databases and tables: statements with both names, with rows in the tail, in sections and in merged sections, with
//! caches and materialized views.

use std::time::Duration;

use serde_json::json;

use super::{
    QueryTestInstance,
    caches::{create_distinct, create_last},
};

/// The clock starts at 1700000000 s.
const HOUR: i64 = 1_699_999_200;

const FOREVER: Duration = Duration::from_secs(1_000_000);

impl QueryTestInstance {
    /// Returns the status and the message of a statement that is refused.
    pub(super) async fn rejected(&self, sql: &str) -> (u16, String) {
        let (status, body) = self.post(json!({"db": "db", "q": sql, "format": "csv"})).await;
        assert!(status >= 400, "{sql}: {body}");
        (status, body)
    }
}

fn line(table: &str, room: &str, minutes: i64, temp: i64) -> String {
    let time = (HOUR + minutes * 60) * 1_000_000_000;
    format!("{table},room={room} temp={temp}i {time}")
}

/// Checks that statements with either name of the table have the same answer.
async fn assert_same(one: &QueryTestInstance, statement: &str) -> String {
    let [former, present] = ["home", "house"].map(|name| statement.replace("TABLE", name));
    let answer = one.sql(&former).await;
    assert_eq!(one.sql(&present).await, answer, "{statement}");
    answer
}

#[tokio::test]
async fn rows_from_before_and_after_a_rename_are_those_of_one_table() {
    let one = QueryTestInstance::with_rows(&line("home", "a", 0, 1)).await;
    one.flush().await;
    one.write(&line("home", "b", 1, 2)).await;
    let everything = "SELECT room, temp FROM TABLE ORDER BY time";
    one.sql("ALTER TABLE home RENAME TO house").await;
    let mut expected = "room,temp\na,1\nb,2\n".to_owned();
    assert_eq!(assert_same(&one, everything).await, expected);
    for (number, name) in ["home", "house"].into_iter().enumerate() {
        let temp = 3 + i64::try_from(number).unwrap();
        one.write(&line(name, "c", temp, temp)).await;
        expected = format!("{expected}c,{temp}\n");
        assert_eq!(assert_same(&one, everything).await, expected);
        one.flush().await;
        assert_eq!(assert_same(&one, everything).await, expected);
    }
    assert!(one.merge().await > 0);
    assert_eq!(assert_same(&one, everything).await, expected);
    assert_same(&one, "SELECT TABLE.room, max(TABLE.temp) AS m FROM TABLE GROUP BY 1 ORDER BY 1")
        .await;
    one.sql("DELETE FROM home WHERE room = 'a'").await;
    one.sql("DELETE FROM house WHERE room = 'b'").await;
    assert_eq!(assert_same(&one, everything).await, "room,temp\nc,3\nc,4\n");
}

#[tokio::test]
async fn listings_have_the_present_name_and_the_aliases() {
    let one = QueryTestInstance::with_rows(&line("home", "a", 0, 1)).await;
    one.sql("ALTER TABLE home RENAME TO house").await;
    one.sql("ALTER DATABASE db RENAME TO \"db-2\"").await;
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'iox'";
    assert_eq!(one.sql(tables).await, "table_name\nhouse\n");
    let databases = "SELECT database_name FROM system.databases";
    assert_eq!(one.sql_in("_internal", databases).await, "database_name\n_internal\ndb-2\n");
    let aliases = "SELECT * FROM system.aliases";
    let expected = "database_name,table_name,column_name,alias\ndb-2,,,db\ndb-2,house,,home\n";
    for database in ["db", "db-2", "_internal"] {
        assert_eq!(one.sql_in(database, aliases).await, expected, "{database}");
    }
    let measurements = one.influxql("SHOW MEASUREMENTS").await;
    assert!(
        measurements.contains("house") && !measurements.contains("home"),
        "{measurements}"
    );
}

#[tokio::test]
async fn influxql_reads_a_table_by_each_name() {
    let one = QueryTestInstance::with_rows(&line("home", "a", 0, 1)).await;
    one.flush().await;
    one.sql("ALTER TABLE home RENAME TO house").await;
    one.write(&line("house", "b", 1, 2)).await;
    for name in ["home", "house"] {
        let rows = one.influxql(&format!("SELECT sum(temp) FROM {name}")).await;
        assert!(rows.contains(&format!("\"{name}\"")) && rows.contains(",3]"), "{rows}");
        let keys = one.influxql(&format!("SHOW TAG KEYS FROM {name}")).await;
        assert!(keys.contains("room"), "{keys}");
        let policies = one.influxql("SHOW RETENTION POLICIES ON db").await;
        assert!(policies.contains("autogen"), "{policies}");
    }
    one.sql("ALTER DATABASE db RENAME TO other").await;
    for database in ["db", "other"] {
        let statement = format!("SELECT sum(temp) FROM \"{database}\".autogen.home");
        assert!(one.influxql(&statement).await.contains(",3]"), "{database}");
        let policies = one.influxql(&format!("SHOW RETENTION POLICIES ON {database}")).await;
        assert!(policies.contains("autogen"), "{policies}");
        // Clients create their database at every start.
        one.influxql(&format!("CREATE DATABASE {database}")).await;
    }
    one.influxql("DELETE FROM home WHERE room = 'a'").await;
    assert_eq!(one.sql("SELECT room FROM house").await, "room\nb\n");
}

#[tokio::test]
async fn caches_of_a_renamed_table_keep_their_contents() {
    let one = QueryTestInstance::with_rows(&line("home", "a", 0, 1)).await;
    create_last(&one, "latest", &["room"], None, 1, FOREVER).await;
    create_distinct(&one, "rooms", &["room"], 100, FOREVER).await;
    one.flush().await;
    one.fill_caches().await;
    one.sql("ALTER TABLE home RENAME TO house").await;
    one.write(&line("house", "b", 1, 2)).await;
    for _ in 0..2 {
        let latest = "SELECT room, temp FROM last_cache('TABLE', 'latest') ORDER BY room";
        assert_eq!(assert_same(&one, latest).await, "room,temp\na,1\nb,2\n");
        let rooms = "SELECT room FROM distinct_cache('TABLE', 'rooms') ORDER BY room";
        assert_eq!(assert_same(&one, rooms).await, "room\na\nb\n");
        one.flush().await;
    }
    let listed = one.sql("SELECT \"table\", name FROM system.last_caches").await;
    assert_eq!(listed, "table,name\nhouse,latest\n");
}

#[tokio::test]
async fn views_follow_renames_of_their_source_and_of_their_table() {
    let one = QueryTestInstance::alone().await;
    let query = "SELECT date_bin(INTERVAL '1 hour', time) AS time, room, count(*) AS n FROM home GROUP BY 1, room";
    one.write(&line("home", "a", 0, 1)).await;
    one.flush().await;
    one.create_view("hourly", query).await;
    one.refresh().await;
    one.sql("ALTER TABLE home RENAME TO house").await;
    one.sql("ALTER TABLE hourly RENAME TO counts").await;
    for (number, name) in ["home", "house"].into_iter().enumerate() {
        one.write(&line(name, "b", i64::try_from(number).unwrap(), 2)).await;
        one.flush().await;
        one.refresh().await;
        let expected = format!("room,n\na,1\nb,{}\n", number + 1);
        for table in ["hourly", "counts"] {
            let stored = format!("SELECT room, n FROM {table} ORDER BY room");
            assert_eq!(one.sql(&stored).await, expected);
        }
    }
    // Queries of the source are answered from the view under each name.
    let aggregate = "SELECT room, count(*) AS n FROM TABLE GROUP BY room ORDER BY room";
    assert_eq!(assert_same(&one, aggregate).await, "room,n\na,1\nb,2\n");
    for name in ["home", "house"] {
        let plan = one.plan(&aggregate.replace("TABLE", name)).await;
        assert!(plan.contains("TableScan: counts"), "{plan}");
    }
    let shown = "SELECT source_table, target_table FROM system.materialized_views";
    assert_eq!(one.sql(shown).await, "source_table,target_table\nhouse,counts\n");
    let (status, message) = one.rejected("ALTER TABLE house DROP ALIAS home").await;
    assert_eq!(status, 409);
    assert_contains!(message, "materialized view 'hourly' uses the alias 'home'");
    one.sql("DROP MATERIALIZED VIEW hourly").await;
    one.sql("ALTER TABLE house DROP ALIAS home").await;
    one.rejected("SELECT * FROM home").await;
}

#[tokio::test]
async fn a_view_needs_the_name_in_its_query() {
    let one = QueryTestInstance::with_rows(&line("home", "a", 0, 1)).await;
    one.sql("ALTER TABLE home RENAME TO house").await;
    let query =
        "SELECT date_bin(INTERVAL '1 hour', time) AS time, count(temp) AS n FROM home GROUP BY 1";
    one.create_view("hourly", query).await;
    let (status, message) = one.rejected("ALTER TABLE house DROP ALIAS home").await;
    assert_eq!(status, 409, "{message}");
}

#[tokio::test]
async fn aliases_are_dropped_from_their_own_table_or_database() {
    let one = QueryTestInstance::with_rows(&line("home", "a", 0, 1)).await;
    one.write(&line("other", "a", 0, 1)).await;
    one.catalog.create_database("second", None).await.unwrap();
    one.sql("ALTER TABLE home RENAME TO house").await;
    one.sql("ALTER DATABASE second RENAME TO third").await;
    for (statement, status) in [
        ("ALTER TABLE other DROP ALIAS home", 404),
        ("ALTER TABLE missing DROP ALIAS home", 404),
        ("ALTER TABLE house DROP ALIAS house", 404),
        ("ALTER DATABASE db DROP ALIAS second", 404),
        ("ALTER DATABASE third DROP ALIAS third", 404),
        ("ALTER TABLE missing RENAME TO x", 404),
        ("ALTER TABLE other RENAME TO house", 409),
        ("ALTER TABLE other RENAME TO home", 409),
        ("ALTER DATABASE db RENAME TO second", 409),
        ("ALTER TABLE other ADD COLUMN x decimal", 400),
        ("EXPLAIN ALTER TABLE other RENAME TO x", 400),
    ] {
        let (answered, message) = one.rejected(statement).await;
        assert_eq!(answered, status, "{statement}: {message}");
    }
    one.sql("ALTER DATABASE third DROP ALIAS second").await;
    one.sql("ALTER TABLE house DROP ALIAS home").await;
    assert_eq!(one.sql("SELECT * FROM system.aliases").await, "");
}

#[tokio::test]
async fn an_added_column_has_no_values_yet() {
    let one = QueryTestInstance::with_rows(&line("home", "a", 0, 1)).await;
    one.flush().await;
    one.sql("ALTER TABLE home ADD COLUMN humidity double").await;
    one.sql("ALTER TABLE home ADD COLUMN IF NOT EXISTS humidity double").await;
    assert_eq!(one.rejected("ALTER TABLE home ADD COLUMN humidity double").await.0, 409);
    assert_eq!(one.rejected("ALTER TABLE home ADD COLUMN humidity bigint").await.0, 400);
    let rows = "SELECT room, humidity FROM home ORDER BY time";
    assert_eq!(one.sql(rows).await, "room,humidity\na,\n");
    one.write(&format!("home,room=b humidity=1.5 {}", (HOUR + 60) * 1_000_000_000))
        .await;
    assert_eq!(one.sql(rows).await, "room,humidity\na,\nb,1.5\n");
}

#[tokio::test]
async fn a_get_request_alters_nothing() {
    let one = QueryTestInstance::with_rows(&line("home", "a", 0, 1)).await;
    let path = "/api/v3/query_sql?db=db&q=ALTER+TABLE+home+RENAME+TO+house";
    let (status, body) = one.get(path).await;
    assert_eq!(status, 405, "{body}");
    assert!(body.contains("require a POST request"), "{body}");
    assert_eq!(one.sql("SELECT * FROM system.aliases").await, "");
}
