//! System tables of triggers and plugins.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use neap_bucket::{KeyClass, Operation};
use neap_catalog::{EngineLogLine, EngineLogs, ErrorBehavior, NewTrigger, TriggerSpecification};

use super::{DATABASE, QueryTestInstance, WEATHER};
use crate::{PluginFile, PluginFiles, PluginFilesError};

fn trigger(name: &str, specification: TriggerSpecification) -> NewTrigger {
    NewTrigger::new(name, &format!("{name}.py"), specification)
}

#[tokio::test]
async fn triggers_are_listed_as_influxdb_keeps_them() {
    use TriggerSpecification::{
        AllTablesWalWrite, Every, RequestPath, Schedule, SingleTableWalWrite,
    };

    let one = QueryTestInstance::with_rows(WEATHER).await;
    let text = |text: &str| text.to_owned();
    let arguments: BTreeMap<_, _> = [("threshold", "90"), ("field", "temp"), ("empty", "")]
        .map(|(key, value)| (text(key), text(value)))
        .into();
    for new in [
        NewTrigger {
            arguments: Some(arguments),
            ..trigger("seen", AllTablesWalWrite)
        },
        trigger("one", SingleTableWalWrite { table_name: text("a \"b\"") }),
        NewTrigger {
            disabled: true,
            error_behavior: ErrorBehavior::Disable,
            ..trigger("hourly", Schedule { schedule: text("0 0 * * * *") })
        },
        NewTrigger {
            error_behavior: ErrorBehavior::Retry,
            ..trigger("counts", Every { duration: Duration::from_millis(1_500) })
        },
        trigger("echo", RequestPath { path: text("echo") }),
    ] {
        one.catalog.create_trigger(DATABASE, &new).await.unwrap();
    }
    one.pass(Duration::from_secs(10));
    let triggers = "SELECT * FROM system.processing_engine_triggers";
    insta::assert_snapshot!(one.sql_as(triggers, "jsonl").await, @r#"
    {"trigger_name":"counts","plugin_filename":"counts.py","trigger_specification":"{\"every\":{\"duration\":{\"secs\":1,\"nanos\":500000000}}}","disabled":false,"error_behavior":"retry"}
    {"trigger_name":"echo","plugin_filename":"echo.py","trigger_specification":"{\"request_path\":{\"path\":\"echo\"}}","disabled":false,"error_behavior":"log"}
    {"trigger_name":"hourly","plugin_filename":"hourly.py","trigger_specification":"{\"schedule\":{\"schedule\":\"0 0 * * * *\"}}","disabled":true,"error_behavior":"disable"}
    {"trigger_name":"one","plugin_filename":"one.py","trigger_specification":"{\"single_table_wal_write\":{\"table_name\":\"a \\\"b\\\"\"}}","disabled":false,"error_behavior":"log"}
    {"trigger_name":"seen","plugin_filename":"seen.py","trigger_specification":"\"all_tables_wal_write\"","disabled":false,"error_behavior":"log"}
    "#);
    let arguments = "SELECT * FROM system.processing_engine_trigger_arguments";
    insta::assert_snapshot!(one.sql(arguments).await, @"
    trigger_name,argument_key,argument_value
    seen,empty,
    seen,field,temp
    seen,threshold,90
    ");
    let deleted = one.catalog.delete_trigger(DATABASE, "seen", true);
    deleted.await.unwrap();
    one.pass(Duration::from_secs(10));
    assert_eq!(one.sql(arguments).await, "");
    assert_eq!(one.sql_in("_internal", triggers).await, "");
}

/// Two files.
#[derive(Debug)]
struct StaticPluginFiles;

#[async_trait]
impl PluginFiles for StaticPluginFiles {
    async fn files(&self) -> Result<Vec<PluginFile>, PluginFilesError> {
        let file = |plugin: &str, name: &str, path: &str| PluginFile {
            plugin: plugin.to_owned(),
            name: name.to_owned(),
            path: path.to_owned(),
            size_bytes: 7,
            modified_ms: 1_700_000_000_123,
        };
        Ok(vec![
            file("echo", "echo.py", "/plugins/echo.py"),
            file("pack", "pack/__init__.py", "plugins/00ff/__init__.py"),
        ])
    }
}

#[tokio::test]
async fn plugin_files_come_from_their_provider() {
    let one = QueryTestInstance::alone().await;
    let sql = "SELECT * FROM system.plugin_files";
    assert_eq!(one.sql_in("_internal", sql).await, "");
    one.engine.set_plugin_files(Arc::new(StaticPluginFiles));
    insta::assert_snapshot!(one.sql_in("_internal", sql).await, @"
    plugin_name,file_name,file_path,size_bytes,last_modified
    echo,echo.py,/plugins/echo.py,7,1700000000123
    pack,pack/__init__.py,plugins/00ff/__init__.py,7,1700000000123
    ");
}

#[tokio::test]
async fn a_database_shows_the_lines_of_its_triggers_and_the_cluster_all() {
    let one = QueryTestInstance::with_rows(WEATHER).await;
    let other = one.catalog.create_database("other", None).await.unwrap();
    let every = TriggerSpecification::AllTablesWalWrite;
    for database in [DATABASE, other] {
        let new = trigger("echo", every.clone());
        one.catalog.create_trigger(database, &new).await.unwrap();
    }
    let line = |second: i64, level: &str, text: &str| EngineLogLine {
        time_ns: second * 1_000_000_000 + 1,
        trigger: "echo".to_owned(),
        level: level.to_owned(),
        text: text.to_owned(),
    };
    // One process has saved its lines, the queried one has not.
    let elsewhere = EngineLogs::new(one.bucket.clone());
    elsewhere.add(DATABASE, line(1, "INFO", "echo called"));
    elsewhere.add(other, line(2, "WARN", ""));
    elsewhere.save().await.unwrap();
    let here = Arc::new(EngineLogs::new(one.bucket.clone()));
    one.engine.set_plugin_logs(Arc::clone(&here));
    here.add(DATABASE, line(3, "ERROR", "two\nlines, \"quoted\""));
    let sql = "SELECT * FROM system.processing_engine_logs ORDER BY time";
    insta::assert_snapshot!(one.sql(sql).await, @r#"
    time,trigger_name,log_level,log_text
    1970-01-01T00:00:01.000000001,echo,INFO,echo called
    1970-01-01T00:00:03.000000001,echo,ERROR,"two
    lines, ""quoted"""
    "#);
    insta::assert_snapshot!(one.sql_in("_internal", sql).await, @r#"
    time,trigger_name,log_level,log_text
    1970-01-01T00:00:01.000000001,echo,INFO,echo called
    1970-01-01T00:00:02.000000001,echo,WARN,
    1970-01-01T00:00:03.000000001,echo,ERROR,"two
    lines, ""quoted"""
    "#);
    let former = "SELECT event_time, log_level FROM system.processing_engine_logs \
                  WHERE Event_Time > '1970-01-01T00:00:02Z' ORDER BY event_time";
    insta::assert_snapshot!(one.sql(former).await, @"
    event_time,log_level
    1970-01-01T00:00:03.000000001,ERROR
    ");
    for select in ["SELECT *", "SELECT l.*"] {
        let newest_first = format!(
            "{select} FROM system.processing_engine_logs l WHERE log_level = 'INFO' ORDER BY event_time DESC"
        );
        let answer = one.sql(&newest_first).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(answer, @"
            time,trigger_name,log_level,log_text
            1970-01-01T00:00:01.000000001,echo,INFO,echo called
            ");
        }
    }
    let filtered = "SELECT log_level FROM system.processing_engine_logs \
                    WHERE trigger_name = 'echo' AND log_text LIKE 'echo%'";
    assert_eq!(one.sql(filtered).await, "log_level\nINFO\n");
    let cost = one.requests(filtered).await;
    assert_eq!(cost.of(Operation::List, KeyClass::Engine).requests, 1);
    assert_eq!(cost.of(Operation::Get, KeyClass::Engine).requests, 1);
}

#[tokio::test]
async fn a_database_has_the_columns_that_all_databases_have() {
    let one = QueryTestInstance::with_rows(WEATHER).await;
    let sql = "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns \
               WHERE table_schema = 'system' AND (table_name LIKE 'processing%' OR table_name = 'plugin_files') \
               ORDER BY table_name, ordinal_position";
    let all = one.sql_in("_internal", sql).await;
    let of_all: Vec<&str> = all.lines().filter(|line| !line.starts_with("plugin_files")).collect();
    let of_one = one.sql(sql).await;
    assert_eq!(of_one.lines().collect::<Vec<_>>(), of_all);
}
