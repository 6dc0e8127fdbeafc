//! Statements of tools.

use neap_sql_changes::StatementText;

use super::test_bed::{ListenerTestBed, texts};

#[tokio::test]
async fn statements_of_tools_are_answered() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    let id = &texts(&client, "SELECT oid FROM pg_class WHERE relname = 'cpu'").await[0][0];
    let sql = include_str!("tool_statements.sql").replace("TABLE_ID", id);
    let mut failed = Vec::new();
    for statement in StatementText::split(&sql).unwrap() {
        if let Err(error) = client.simple_query(&statement.text).await {
            failed.push(format!("{error:?}: {}", statement.text));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[tokio::test]
async fn the_catalog_has_schemas_but_no_keys_and_options() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    for (sql, rows) in [
        (
            "SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg/_%' ESCAPE '/' ORDER BY 1",
            &[&["iox"][..], &["system"]][..],
        ),
        ("SELECT oid FROM pg_namespace WHERE nspname = 'pg_catalog'", &[&["11"]]),
        (
            "SELECT current_schemas(true), current_schemas(false)",
            &[&["{pg_catalog,iox}", "{iox}"]],
        ),
        (
            "SELECT format('%I.%I', table_schema, 'A'), col_description(table_name::regclass, 1) \
             FROM information_schema.tables WHERE table_name = 'cpu'",
            &[&["iox.\"A\"", "NULL"]],
        ),
        (
            "SELECT ordinal_position, udt_name FROM information_schema.columns WHERE table_name = 'cpu' ORDER BY 1",
            &[&["1", "text"], &["2", "int8"], &["3", "timestamp"], &["4", "float8"]],
        ),
        ("SELECT constraint_name FROM information_schema.table_constraints", &[]),
        (
            "SELECT ARRAY(SELECT nspname FROM pg_namespace WHERE nspname = 'iox')",
            &[&["{iox}"]],
        ),
        (
            "SELECT reloptions, relacl FROM pg_class WHERE relname = 'cpu'",
            &[&["NULL", "NULL"]],
        ),
        ("SELECT unnest(indkey), generate_subscripts(indkey, 1) FROM pg_index", &[]),
    ] {
        assert_eq!(texts(&client, sql).await, rows, "{sql}");
    }
}

#[tokio::test]
async fn pools_reset_a_session() {
    let bed = ListenerTestBed::new().await;
    let client = bed.connect().await;
    client.batch_execute("SET application_name = 'pool'").await.unwrap();
    // The statement of asyncpg.
    let reset = "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;";
    client.batch_execute(reset).await.unwrap();
    assert_eq!(texts(&client, "SHOW application_name").await, [[""]]);
}
