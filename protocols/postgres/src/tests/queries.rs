//! Queries: the simple and the extended protocol, cancellation, tools.

use std::time::{Duration, SystemTime};

use futures::StreamExt;
use neap_write::WriteOptions;
use tokio_postgres::{NoTls, error::ErrorPosition, types::Type};

use super::test_bed::{DATABASE, ListenerTestBed, state, texts};

#[tokio::test]
async fn a_text_of_several_statements_is_answered_one_by_one() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    let rows = texts(
        &client,
        "SELECT host, usage FROM cpu ORDER BY usage; SHOW search_path; SELECT 'a;b' AS c",
    )
    .await;
    assert_eq!(
        rows,
        [vec!["a", "0.5"], vec!["a", "1.5"], vec!["b", "2.5"], vec!["iox"], vec!["a;b"]]
    );
    assert_eq!(texts(&client, "SELECT min(time) FROM cpu").await, [["1970-01-01 00:00:01"]]);
    assert_eq!(
        texts(&client, "SELECT array_agg(host ORDER BY host) FROM cpu").await,
        [["{a,a,b}"]]
    );
    assert!(texts(&client, " ; ").await.is_empty());
}

#[tokio::test]
async fn placeholders_of_all_types_are_bound_in_binary() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    let statement = client
        .prepare("SELECT usage, n, host FROM cpu WHERE host = $1 AND usage > $2 AND n < $3 AND time >= $4")
        .await
        .unwrap();
    assert_eq!(statement.params(), [Type::TEXT, Type::FLOAT8, Type::INT8, Type::TIMESTAMP]);
    let types: Vec<&Type> = statement.columns().iter().map(|column| column.type_()).collect();
    assert_eq!(types, [&Type::FLOAT8, &Type::INT8, &Type::TEXT]);
    let since = SystemTime::UNIX_EPOCH + Duration::from_secs(2);
    let rows = client.query(&statement, &[&"a", &1.0_f64, &10_i64, &since]).await.unwrap();
    let row = &rows[0];
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (row.get::<_, f64>(0), row.get::<_, i64>(1), row.get::<_, &str>(2)),
        (1.5, 2, "a")
    );
    let time = client.query_one("SELECT max(time) AS t FROM cpu", &[]).await.unwrap();
    assert_eq!(time.get::<_, SystemTime>(0), since);
}

#[tokio::test]
async fn placeholders_have_the_types_to_which_they_are_converted() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    let statement = client
        .prepare("SELECT $1::BIGINT + 1 AS n, CAST($2 AS BOOLEAN) AS b, $3::VARCHAR AS t")
        .await
        .unwrap();
    assert_eq!(statement.params(), [Type::INT8, Type::BOOL, Type::TEXT]);
    let row = client.query_one(&statement, &[&41_i64, &true, &"a"]).await.unwrap();
    assert_eq!(
        (row.get::<_, i64>(0), row.get::<_, bool>(1), row.get::<_, &str>(2)),
        (42, true, "a")
    );
}

#[tokio::test]
async fn values_are_looked_for_in_arrays() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    let statement = client
        .prepare(
            "SELECT n FROM cpu \
             WHERE host = ANY($1) AND n = ANY($2) AND usage = ANY($3) AND time = ANY($4)",
        )
        .await
        .unwrap();
    let types = [Type::TEXT_ARRAY, Type::INT8_ARRAY, Type::FLOAT8_ARRAY, Type::TIMESTAMP_ARRAY];
    assert_eq!(statement.params(), types);
    let times = vec![SystemTime::UNIX_EPOCH + Duration::from_secs(2)];
    let hosts = vec![Some("a"), None, Some("z")];
    for (numbers, expected) in [(vec![2_i64, 3], vec![2_i64]), (Vec::new(), Vec::new())] {
        let rows = client
            .query(&statement, &[&hosts, &numbers, &vec![1.5, 2.5], &times])
            .await
            .unwrap();
        let found: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(found, expected);
    }
    let converted = "SELECT n FROM cpu WHERE n = ANY($1::INT[]) AND host = ANY($2::TEXT[])";
    let statement = client.prepare(converted).await.unwrap();
    assert_eq!(statement.params(), [Type::INT4_ARRAY, Type::TEXT_ARRAY]);
    let row = client.query_one(&statement, &[&vec![1_i32, 9], &vec!["a"]]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
}

#[tokio::test]
async fn rows_of_other_types_than_those_described_are_refused() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    let all = client.prepare("SELECT * FROM cpu").await.unwrap();
    let some = client.prepare("SELECT * FROM cpu WHERE n > $1").await.unwrap();
    assert_eq!(client.query(&all, &[]).await.unwrap().len(), 3);
    // The new column is before the others.
    let line = "cpu,host=a busy=1 4000000000";
    bed.writes.write(DATABASE, line.into(), WriteOptions::default()).await.unwrap();
    let error = client.query(&all, &[]).await.unwrap_err();
    assert_eq!(state(&error), "0A000");
    let error = client.query(&some, &[&0_i64]).await.unwrap_err();
    assert_eq!(state(&error), "0A000");
    // Drivers prepare the statement again if the error names this function of PostgreSQL.
    let routine = error.as_db_error().unwrap().routine();
    assert_eq!(routine, Some("RevalidateCachedQuery"));
    let again = client.prepare("SELECT * FROM cpu").await.unwrap();
    assert_eq!(client.query(&again, &[]).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_portal_returns_its_rows_in_parts() {
    let bed = ListenerTestBed::new().await;
    let mut client = bed.connect().await;
    let transaction = client.transaction().await.unwrap();
    let statement = transaction.prepare("SELECT n FROM cpu ORDER BY n").await.unwrap();
    let portal = transaction.bind(&statement, &[]).await.unwrap();
    for expected in [vec![1_i64, 2], vec![3], vec![]] {
        let rows = transaction.query_portal(&portal, 2).await.unwrap();
        let values: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(values, expected);
    }
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn errors_have_codes_and_positions_and_the_connection_continues() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    for (sql, code) in [
        ("SELECT * FROM missing", "42P01"),
        ("SELECT missing FROM cpu", "42703"),
        ("SELECT 1 +", "42601"),
        ("SELECT 1/0", "22012"),
        ("SELECT relname FROM pg_class WHERE", "42601"),
        ("UPDATE cpu SET usage = 1", "0A000"),
        ("SAVEPOINT a", "25P01"),
        ("ROLLBACK TO a", "25P01"),
        ("FETCH missing", "34000"),
    ] {
        let error = client.simple_query(sql).await.unwrap_err();
        assert_eq!(state(&error), code, "{sql}: {error:?}");
        assert_eq!(texts(&client, "SELECT 1").await, [["1"]]);
    }
    for (sql, place) in [
        ("SELECT 1; SELECT 1 2 3", 20),
        ("SELECT 1; SELECT 1 +", 21),
        ("INSERT INTO cpu (time, n) VALUES (now() 1)", 41),
        ("SELECT 1;\nINSERT INTO cpu (time n) VALUES (1)", 33),
        ("COPY (SELECT 1 2 3) TO STDOUT", 16),
        ("BEGIN; DECLARE c CURSOR FOR SELECT 1 2 3", 38),
        ("ROLLBACK; FETCH 1 FROM", 23),
    ] {
        let error = client.simple_query(sql).await.unwrap_err();
        let position = error.as_db_error().and_then(|error| error.position());
        assert!(
            matches!(position, Some(ErrorPosition::Original(found)) if *found == place),
            "{sql}: {error:?}"
        );
    }
    let error = client.simple_query("UPDATE cpu SET usage = 1").await.unwrap_err();
    assert!(error.as_db_error().unwrap().hint().is_some(), "{error:?}");
}

#[tokio::test]
async fn rows_are_copied_out_in_three_formats() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    let copied = async |sql: &str| {
        let stream = client.copy_out(sql).await.unwrap();
        let parts: Vec<_> = stream.map(Result::unwrap).collect().await;
        parts.concat()
    };
    let query = "COPY (SELECT host, n, NULL AS e FROM cpu ORDER BY n LIMIT 2) TO STDOUT";
    assert_eq!(copied(query).await, b"a\t1\t\\N\na\t2\t\\N\n");
    let csv = format!("{query} (FORMAT csv, HEADER)");
    assert_eq!(copied(&csv).await, b"host,n,e\na,1,\na,2,\n");
    let binary = copied("COPY (SELECT n FROM cpu WHERE n = 3) TO STDOUT (FORMAT binary)").await;
    assert!(binary.starts_with(b"PGCOPY\n\xff\r\n\0"));
    assert!(binary.ends_with(b"\0\x01\0\0\0\x08\0\0\0\0\0\0\0\x03\xff\xff"));
}

#[tokio::test]
async fn each_copied_row_is_a_message() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    // More than a batch, and more than is sent at once.
    let query = "COPY (SELECT value, 'text' AS t FROM generate_series(1, 20000)) TO STDOUT";
    let stream = client.copy_out(query).await.unwrap();
    let lines: Vec<_> = stream.map(Result::unwrap).collect().await;
    let expected = (1..=20_000).map(|number| format!("{number}\ttext\n"));
    assert!(lines.iter().eq(expected.collect::<Vec<_>>().iter()));
    let stream = client.copy_out(&format!("{query} (FORMAT binary)")).await.unwrap();
    let rows: Vec<_> = stream.map(Result::unwrap).collect().await;
    assert_eq!(rows.len(), 20_001);
    let row = |number: i64| {
        let number = number.to_be_bytes();
        [&b"\0\x02\0\0\0\x08"[..], &number, b"\0\0\0\x04text"].concat()
    };
    let header = &b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"[..];
    assert_eq!(rows[0], [header, &row(1)].concat());
    assert!((2..).zip(&rows[1..20_000]).all(|(number, bytes)| *bytes == row(number)));
    assert_eq!(rows[20_000], &b"\xff\xff"[..]);
}

#[tokio::test]
async fn a_row_with_a_value_that_its_type_lacks_is_left_out() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    let query = "SELECT 'text' AS t, CAST(n AS DECIMAL(38, 0)) AS n \
                 FROM (VALUES ('1'), ('79228162514264337593543950336')) AS v(n)";
    let error = client.simple_query(query).await.unwrap_err();
    assert_eq!(state(&error), "22003");
    let stream = client.copy_out(&format!("COPY ({query}) TO STDOUT")).await.unwrap();
    let mut parts = Box::pin(stream);
    assert_eq!(parts.next().await.unwrap().unwrap(), "text\t1\n");
    assert_eq!(state(&parts.next().await.unwrap().unwrap_err()), "22003");
    assert_eq!(texts(&client, "SELECT 1").await, [["1"]]);
}

#[tokio::test]
async fn a_cancelled_statement_ends_and_the_connection_continues() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    let cancel = client.cancel_token();
    let endless = "SELECT sum(a.value * b.value) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
    let query = client.simple_query(endless);
    let cancelling = async {
        // A request that arrives before the statement has no effect, so it is repeated.
        for _ in 0..100_000 {
            cancel.cancel_query(NoTls).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let error = tokio::select! {
        outcome = query => outcome.unwrap_err(),
        () = cancelling => panic!("the statement was not cancelled"),
    };
    assert_eq!(state(&error), "57014");
    assert_eq!(texts(&client, "SELECT 1").await, [["1"]]);
}

#[tokio::test]
async fn a_statement_has_a_timeout() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    client.batch_execute("SET statement_timeout = '50ms'").await.unwrap();
    let endless = "SELECT sum(a.value * b.value) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
    let error = client.simple_query(endless).await.unwrap_err();
    assert_eq!(state(&error), "57014");
    client.batch_execute("RESET statement_timeout").await.unwrap();
    assert_eq!(texts(&client, "SHOW statement_timeout").await, [["0"]]);
}

#[tokio::test]
async fn a_huge_statement_of_a_tool_is_refused() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    let chain = vec!["true"; 10_000].join(" OR ");
    let refused = client
        .simple_query(&format!("SELECT relname FROM pg_class WHERE {chain}"))
        .await;
    assert_eq!(state(&refused.unwrap_err()), "42000");
    let mut nested = "WITH c0 AS (SELECT oid FROM pg_class)".to_owned();
    for level in 1..30 {
        let before = level - 1;
        nested.push_str(&format!(
            ", c{level} AS (SELECT a.oid FROM c{before} a JOIN c{before} b ON a.oid OPERATOR(pg_catalog.=) b.oid)"
        ));
    }
    let refused = client.simple_query(&format!("{nested} SELECT * FROM c29")).await;
    assert_eq!(state(&refused.unwrap_err()), "42000");
    assert_eq!(texts(&client, "SELECT 1").await, [["1"]]);
}

#[tokio::test]
async fn tools_read_the_catalog() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    let version = texts(&client, "SELECT version()").await;
    assert!(version[0][0].starts_with("PostgreSQL 16"), "{version:?}");
    assert_eq!(
        texts(&client, "SELECT current_database(), current_schema()").await,
        [["home", "iox"]]
    );
    // The statement of `\dt`.
    let tables = texts(
        &client,
        "SELECT n.nspname as \"Schema\", c.relname as \"Name\", \
         CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' END as \"Type\", \
         pg_catalog.pg_get_userbyid(c.relowner) as \"Owner\" \
         FROM pg_catalog.pg_class c \
         LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r','p','') AND n.nspname <> 'pg_catalog' AND n.nspname !~ '^pg_toast' \
         AND n.nspname <> 'information_schema' AND pg_catalog.pg_table_is_visible(c.oid) \
         ORDER BY 1,2",
    )
    .await;
    assert!(tables.iter().any(|row| row[0] == "iox" && row[1] == "cpu"), "{tables:?}");
    let databases = texts(&client, "SELECT datname FROM pg_catalog.pg_database ORDER BY 1").await;
    assert!(databases.contains(&vec!["home".to_owned()]), "{databases:?}");
    let columns = texts(
        &client,
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'cpu' ORDER BY 1",
    )
    .await;
    let expected = [
        ["host", "text"],
        ["n", "bigint"],
        ["time", "timestamp without time zone"],
        ["usage", "double precision"],
    ];
    assert_eq!(columns, expected);
    assert_eq!(
        texts(&client, "SELECT DISTINCT table_catalog FROM information_schema.tables").await,
        [["home"]]
    );
    // The statement of `\df`.
    let functions = texts(
        &client,
        "SELECT n.nspname as \"Schema\", p.proname as \"Name\", \
         pg_catalog.pg_get_function_result(p.oid) as \"Result data type\", \
         pg_catalog.pg_get_function_arguments(p.oid) as \"Argument data types\", \
         CASE p.prokind WHEN 'a' THEN 'agg' WHEN 'w' THEN 'window' WHEN 'p' THEN 'proc' ELSE 'func' END as \"Type\" \
         FROM pg_catalog.pg_proc p LEFT JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
         WHERE pg_catalog.pg_function_is_visible(p.oid) \
         AND n.nspname <> 'pg_catalog' AND n.nspname <> 'information_schema' ORDER BY 1, 2, 4",
    )
    .await;
    assert!(functions.is_empty(), "{functions:?}");
    client.batch_execute("SET application_name = 'psql'").await.unwrap();
    assert_eq!(
        texts(
            &client,
            "SELECT current_setting('application_name'), current_schemas(false), to_regtype('hstore')"
        )
        .await,
        [["psql", "{iox}", "NULL"]]
    );
    // Object ids are the same in the next statement.
    let oid = &texts(&client, "SELECT oid FROM pg_class WHERE relname = 'cpu'").await[0][0];
    let again = format!("SELECT relname FROM pg_class WHERE oid = {oid}");
    assert_eq!(texts(&client, &again).await, [["cpu"]]);
}
