//! The database `_internal` and the list of databases.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::Request;
use neap_bucket::{KeyClass, Operation};
use neap_catalog::{HardDelete, NewLastCache, NodeRecord, NodeState};
use neap_schema::AutoCreate;

use super::{DATABASE, WEATHER, instance::QueryTestInstance};
use crate::QuerySettings;

const INTERNAL: &str = "_internal";

async fn get(one: &QueryTestInstance, path: &str) -> (u16, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    one.send(request).await
}

#[tokio::test]
async fn the_internal_database_always_exists_and_has_only_system_tables() {
    let one = QueryTestInstance::alone().await;
    let listing = one.sql_in(INTERNAL, "SHOW TABLES").await;
    let tables: Vec<&str> = listing
        .lines()
        .filter_map(|line| line.strip_prefix("public,"))
        .filter_map(|line| line.strip_suffix(",BASE TABLE"))
        .collect();
    assert_eq!(
        tables,
        [
            "system,alerts",
            "system,aliases",
            "system,audit",
            "system,compactions",
            "system,databases",
            "system,distinct_caches",
            "system,generation_durations",
            "system,influxdb_schema",
            "system,last_caches",
            "system,materialized_views",
            "system,nodes",
            "system,parquet_files",
            "system,plugin_files",
            "system,processing_engine_logs",
            "system,processing_engine_trigger_arguments",
            "system,processing_engine_triggers",
            "system,queries",
            "system,row_deletes",
            "system,store_requests",
            "system,tables",
            "system,tokens",
            "system,versions",
        ]
    );
    for table in tables {
        let table = table.replace(',', ".");
        one.sql_in(INTERNAL, &format!("SELECT * FROM {table}")).await;
    }
    one.write(WEATHER).await;
    for sql in [
        "SELECT * FROM weather",
        "DELETE FROM weather WHERE time < '2023-01-01T00:00:00Z'",
        "DELETE FROM system.databases",
    ] {
        let (status, body) = one.post(serde_json::json!({"db": INTERNAL, "q": sql})).await;
        assert_eq!(status, 400, "{sql}: {body}");
    }
    let (status, body) = one
        .post(serde_json::json!({"db": "db", "q": "SELECT * FROM system.databases"}))
        .await;
    assert_eq!(status, 400, "{body}");
}

#[tokio::test]
async fn databases_and_tables_are_listed_with_dropped_ones() {
    let one = QueryTestInstance::with_rows(WEATHER).await;
    one.write("u,b=1,a=2 v=1i 5").await;
    let cache = NewLastCache {
        table: "u".to_owned(),
        name: None,
        key_columns: None,
        value_columns: None,
        count: 1,
        ttl_s: 60,
    };
    one.catalog.create_last_cache(DATABASE, &cache).await.unwrap();
    one.catalog
        .delete_table(DATABASE, "weather", HardDelete::DEFAULT)
        .await
        .unwrap();
    one.catalog.set_auto_create(DATABASE, AutoCreate::None).await.unwrap();
    let day = Some(Duration::from_secs(86_400));
    one.catalog.create_database("old", day).await.unwrap();
    one.catalog.delete_database("old", HardDelete::Never).await.unwrap();
    assert_eq!(
        one.sql_in(INTERNAL, "SELECT * FROM system.databases").await,
        "database_name,retention_period_ns,deleted,hard_deletion_time,auto_create,on_duplicate,cold_after_ns,cold_class\n\
         _internal,604800000000000,false,,,,,\n\
         db,,false,,none,replace,,\n\
         old-20231114T221320,86400000000000,true,,all,replace,,\n"
    );
    assert_eq!(
        one.sql_in(INTERNAL, "SELECT * FROM system.tables").await,
        "database_name,table_name,column_count,series_key_columns,last_cache_count,distinct_cache_count,\
         deleted,hard_deletion_time,cold_after_ns,cold_class\n\
         db,u,4,\"b, a\",1,0,false,,,\n\
         db,weather-20231114T221320,7,\"city, country\",0,0,true,2023-11-17T22:13:20Z,,\n"
    );

    let before = one.counting.counts();
    let sql = "SELECT table_name FROM system.tables WHERE database_name = 'db' AND NOT deleted";
    assert_eq!(one.sql_in(INTERNAL, sql).await, "table_name\nu\n");
    let cost = one.counting.counts() - before;
    assert_eq!(cost.to_string(), "1 get root_catalog, 1 get database_catalog");
    let before = one.counting.counts();
    let sql = "SELECT count(*) > 50 AS many FROM information_schema.columns";
    assert_eq!(one.sql_in(INTERNAL, sql).await, "many\ntrue\n");
    let cost = one.counting.counts() - before;
    assert_eq!(cost.to_string(), "nothing");

    let list = "/api/v3/configure/database";
    assert_eq!(
        get(&one, list).await,
        (200, "[{\"iox::database\":\"_internal\"},{\"iox::database\":\"db\"}]".to_owned())
    );
    assert_eq!(
        get(&one, &format!("{list}?format=csv&show_deleted=true")).await,
        (
            200,
            "iox::database,deleted\n_internal,false\ndb,false\nold-20231114T221320,true\n"
                .to_owned()
        )
    );
    assert_eq!(
        get(&one, &format!("{list}?format=csv&show_settings=true")).await,
        (
            200,
            "iox::database,auto_create,on_duplicate\n_internal,,\ndb,none,replace\n".to_owned()
        )
    );
}

#[tokio::test]
async fn tokens_show_hash_prefixes_only_with_authentication() {
    let (store, clock) = QueryTestInstance::memory_store();
    let settings = QuerySettings { with_authentication: true, ..QuerySettings::default() };
    let guarded = QueryTestInstance::with(Arc::clone(&store), Arc::clone(&clock), settings).await;
    let token = guarded.catalog.create_admin_token().await.unwrap();
    let hash = token.entry.hash.to_hex();
    let sql = "SELECT * FROM system.tokens";
    assert_eq!(
        guarded.sql_in(INTERNAL, sql).await,
        format!(
            "token_id,name,hash,created_at,description,created_by_token_id,updated_at,updated_by_token_id,\
             expiry,permissions\n\
             0,_admin,{},2023-11-14T22:13:20,,,,,,*:*:*\n",
            &hash[..9]
        )
    );
    let open = QueryTestInstance::new(store, clock).await;
    assert_eq!(
        open.sql_in(INTERNAL, sql).await,
        "token_id,name,created_at,description,created_by_token_id,updated_at,updated_by_token_id,expiry,\
         permissions\n\
         0,_admin,2023-11-14T22:13:20,,,,,,*:*:*\n"
    );
}

#[tokio::test]
async fn processes_are_listed() {
    let one = QueryTestInstance::alone().await;
    let record = NodeRecord {
        instance_id: ulid::Ulid(7),
        node_id: Some("n1".to_owned()),
        mode: vec!["ingest".to_owned(), "query".to_owned()],
        core_count: 4,
        state: NodeState::Running,
        version: "1.2.3".to_owned(),
        address: Some("10.0.0.1:8181".to_owned()),
        worker: None,
        stop: None,
    };
    record.put(&one.bucket).await.unwrap();
    let before = one.counting.counts();
    assert_eq!(
        one.sql_as_in(INTERNAL, "SELECT * FROM system.nodes", "json").await,
        "[{\"node_id\":\"n1\",\"node_catalog_id\":0,\"instance_id\":\"00000000000000000000000007\",\
         \"mode\":[\"ingest\",\"query\"],\"core_count\":4,\"state\":\"running\",\
         \"updated_at\":\"2023-11-14T22:13:20\",\
         \"cli_params\":\"{\\\"address\\\":\\\"10.0.0.1:8181\\\",\\\"version\\\":\\\"1.2.3\\\"}\"}]"
    );
    let cost = one.counting.counts() - before;
    assert_eq!(cost.of(Operation::List, KeyClass::Node).requests, 1);
    assert_eq!(cost.of(Operation::Get, KeyClass::Node).requests, 1);
}

#[tokio::test]
async fn audit_entries_are_listed_by_database_and_all_together() {
    let one = QueryTestInstance::with_rows(WEATHER).await;
    one.catalog.create_database("other", None).await.unwrap();
    one.catalog.delete_table(DATABASE, "weather", HardDelete::Never).await.unwrap();
    let of_database = "SELECT action, target FROM system.audit";
    assert_eq!(one.sql(of_database).await, "action,target\ndelete table,weather\n");
    let of_all = "SELECT database_name, action, target FROM system.audit";
    assert_eq!(
        one.sql_in(INTERNAL, of_all).await,
        "database_name,action,target\n\
         ,create database,other\n\
         db,delete table,weather\n"
    );
}

#[tokio::test]
async fn columns_are_those_of_influxdb() {
    let one = QueryTestInstance::with_rows(WEATHER).await;
    let sql = "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns \
               WHERE table_schema = 'system' AND table_name NOT IN \
               ('alerts', 'aliases', 'audit', 'compactions', 'versions', 'last_caches', 'distinct_caches', 'parquet_files', \
               'materialized_views', 'row_deletes', 'store_requests')";
    insta::assert_snapshot!(one.sql_in(INTERNAL, sql).await, @r#"
    table_name,column_name,data_type,is_nullable
    databases,database_name,Utf8View,NO
    databases,retention_period_ns,UInt64,YES
    databases,deleted,Boolean,NO
    databases,hard_deletion_time,"Timestamp(s, ""UTC"")",YES
    databases,auto_create,Utf8View,YES
    databases,on_duplicate,Utf8View,YES
    databases,cold_after_ns,UInt64,YES
    databases,cold_class,Utf8View,YES
    generation_durations,level,UInt8,NO
    generation_durations,duration_seconds,UInt64,NO
    influxdb_schema,measurement,Utf8View,NO
    influxdb_schema,key,Utf8View,NO
    influxdb_schema,data_type,Utf8View,NO
    nodes,node_id,Utf8View,NO
    nodes,node_catalog_id,UInt32,NO
    nodes,instance_id,Utf8View,NO
    nodes,mode,List(Utf8View),NO
    nodes,core_count,UInt64,NO
    nodes,state,Utf8View,NO
    nodes,updated_at,Timestamp(ms),NO
    nodes,cli_params,Utf8View,YES
    plugin_files,plugin_name,Utf8,NO
    plugin_files,file_name,Utf8,NO
    plugin_files,file_path,Utf8,NO
    plugin_files,size_bytes,Int64,NO
    plugin_files,last_modified,Int64,NO
    processing_engine_logs,time,Timestamp(ns),NO
    processing_engine_logs,trigger_name,Utf8,NO
    processing_engine_logs,log_level,Utf8,NO
    processing_engine_logs,log_text,Utf8,NO
    processing_engine_trigger_arguments,trigger_name,Utf8,NO
    processing_engine_trigger_arguments,argument_key,Utf8,NO
    processing_engine_trigger_arguments,argument_value,Utf8,NO
    processing_engine_triggers,trigger_name,Utf8,NO
    processing_engine_triggers,plugin_filename,Utf8,NO
    processing_engine_triggers,trigger_specification,Utf8,NO
    processing_engine_triggers,disabled,Boolean,NO
    processing_engine_triggers,error_behavior,Utf8,NO
    queries,id,Utf8,NO
    queries,phase,Utf8,NO
    queries,issue_time,Timestamp(ns),NO
    queries,query_type,Utf8,NO
    queries,query_text,Utf8,NO
    queries,partitions,Int64,YES
    queries,parquet_files,Int64,YES
    queries,plan_duration,Duration(ns),YES
    queries,permit_duration,Duration(ns),YES
    queries,execute_duration,Duration(ns),YES
    queries,end2end_duration,Duration(ns),YES
    queries,compute_duration,Duration(ns),YES
    queries,max_memory,Int64,YES
    queries,success,Boolean,NO
    queries,running,Boolean,NO
    queries,cancelled,Boolean,NO
    queries,trace_id,Utf8,YES
    queries,workers,Utf8,YES
    queries,cold_bytes,Int64,YES
    tables,database_name,Utf8View,NO
    tables,table_name,Utf8View,NO
    tables,column_count,UInt64,NO
    tables,series_key_columns,Utf8View,NO
    tables,last_cache_count,UInt64,NO
    tables,distinct_cache_count,UInt64,NO
    tables,deleted,Boolean,NO
    tables,hard_deletion_time,"Timestamp(s, ""UTC"")",YES
    tables,cold_after_ns,UInt64,YES
    tables,cold_class,Utf8View,YES
    tokens,token_id,UInt64,NO
    tokens,name,Utf8View,NO
    tokens,created_at,Timestamp(ms),NO
    tokens,description,Utf8View,YES
    tokens,created_by_token_id,UInt64,YES
    tokens,updated_at,Timestamp(ms),YES
    tokens,updated_by_token_id,UInt64,YES
    tokens,expiry,Timestamp(ms),YES
    tokens,permissions,Utf8View,NO
    "#);
}

#[tokio::test]
async fn the_schema_is_described_in_the_terms_of_influxdb_1() {
    let one = QueryTestInstance::with_rows("t,k=a f=1,i=1i,u=1u,s=\"\",b=t 5").await;
    assert_eq!(
        one.sql("SELECT * FROM system.influxdb_schema").await,
        "measurement,key,data_type\n\
         t,b,boolean\n\
         t,f,float\n\
         t,i,integer\n\
         t,k,tag\n\
         t,s,string\n\
         t,time,time\n\
         t,u,uinteger\n"
    );
}
