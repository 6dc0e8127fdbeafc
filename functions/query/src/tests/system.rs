//! The tables of the schema `system`.

use std::time::Duration;

use neap_bucket::{KeyClass, Operation};
use neap_catalog::{HardDelete, NewDistinctCache, NewLastCache};
use neap_compact::{JobLimits, PlanScope};

use super::{DATABASE, QueryTestInstance, WEATHER};

#[tokio::test]
async fn show_tables_lists_the_system_schema_between_tables_and_views() {
    let one = QueryTestInstance::with_rows(WEATHER).await;
    let tables = one.sql("SHOW TABLES").await;
    let of_system = "table_catalog,table_schema,table_name,table_type\n\
                     public,iox,weather,BASE TABLE\n\
                     public,system,alerts,BASE TABLE\n\
                     public,system,aliases,BASE TABLE\n\
                     public,system,audit,BASE TABLE\n\
                     public,system,compactions,BASE TABLE\n\
                     public,system,distinct_caches,BASE TABLE\n\
                     public,system,influxdb_schema,BASE TABLE\n\
                     public,system,last_caches,BASE TABLE\n\
                     public,system,materialized_views,BASE TABLE\n\
                     public,system,parquet_files,BASE TABLE\n\
                     public,system,processing_engine_logs,BASE TABLE\n\
                     public,system,processing_engine_trigger_arguments,BASE TABLE\n\
                     public,system,processing_engine_triggers,BASE TABLE\n\
                     public,system,queries,BASE TABLE\n\
                     public,system,row_deletes,BASE TABLE\n\
                     public,system,versions,BASE TABLE\n\
                     public,information_schema,";
    assert!(tables.starts_with(of_system), "{tables}");
    assert_eq!(
        one.sql("SELECT schema_name FROM information_schema.schemata").await,
        "schema_name\niox\nsystem\n"
    );
    let columns = one
        .sql(
            "SELECT column_name, data_type, is_nullable FROM information_schema.columns \
             WHERE table_schema = 'system' AND table_name = 'parquet_files'",
        )
        .await;
    assert_eq!(
        columns,
        "column_name,data_type,is_nullable\n\
         table_name,Utf8,NO\n\
         path,Utf8,NO\n\
         size_bytes,UInt64,NO\n\
         row_count,UInt64,NO\n\
         min_time,Int64,NO\n\
         max_time,Int64,NO\n\
         storage_class,Utf8,YES\n"
    );
}

#[tokio::test]
async fn columns_are_listed_by_table() {
    let one = QueryTestInstance::with_rows("b,y=1,x=2 v=1i 5\na f=1.5,e=true 6\nc s=\"t\" 7").await;
    let sql = "SELECT * FROM system.influxdb_schema";
    assert_eq!(
        one.sql(sql).await,
        "measurement,key,data_type\n\
         a,e,boolean\n\
         a,f,float\n\
         a,time,time\n\
         b,time,time\n\
         b,v,integer\n\
         b,x,tag\n\
         b,y,tag\n\
         c,s,string\n\
         c,time,time\n"
    );
    for (filter, found) in [
        ("measurement = 'c'", "c.s c.time"),
        ("measurement IN ('a', 'x') AND key <> 'time'", "a.e a.f"),
        ("measurement = 'a' OR key = 'v'", "a.e a.f a.time b.v"),
        ("measurement = 'x'", ""),
    ] {
        let sql = format!(
            "SELECT concat(measurement, '.', key) AS name FROM system.influxdb_schema WHERE {filter}"
        );
        let answer = one.sql(&sql).await;
        let names: Vec<&str> = answer.lines().skip(1).collect();
        assert_eq!(names.join(" "), found, "{filter}");
    }
}

#[tokio::test]
async fn files_are_listed_by_table() {
    let one = QueryTestInstance::with_rows(WEATHER).await;
    assert_eq!(one.sql("SELECT * FROM system.parquet_files").await, "");
    one.write("u v=1i 5").await;
    one.flush().await;
    let sql = "SELECT table_name, row_count, min_time, max_time FROM system.parquet_files";
    assert_eq!(
        one.sql(sql).await,
        "table_name,row_count,min_time,max_time\n\
         u,1,5000000000,5000000000\n\
         weather,3,1700000000000000000,1700000060000000000\n"
    );
    for (filter, found) in [
        ("table_name = 'u'", "u\n"),
        ("'weather' = table_name AND row_count = 3", "weather\n"),
        ("table_name IN ('u', 'weather', 'x', 'y')", "u\nweather\n"),
        ("table_name = 'u' AND table_name = 'weather'", ""),
        ("table_name = 'u' OR row_count = 3", "u\nweather\n"),
        ("table_name != 'u'", "weather\n"),
        ("table_name = 'nope'", ""),
    ] {
        let sql = format!(
            "SELECT table_name FROM system.parquet_files WHERE {filter} ORDER BY table_name"
        );
        let answer = one.sql(&sql).await;
        let rows = answer.strip_prefix("table_name\n").unwrap_or(&answer);
        assert_eq!(rows, found, "{filter}");
    }
    let path = one
        .sql("SELECT path FROM system.parquet_files WHERE size_bytes > 100 LIMIT 1")
        .await;
    assert!(path.starts_with("path\ndata/1/") && path.ends_with(".bundle\n"), "{path}");
    let requests = one.requests(sql).await;
    assert_eq!(requests.of(Operation::Get, KeyClass::Data).requests, 0);
}

#[tokio::test]
async fn files_of_a_dropped_table_are_listed_under_its_new_name() {
    let one = QueryTestInstance::with_rows("u v=1i 5").await;
    one.flush().await;
    one.catalog.delete_table(DATABASE, "u", HardDelete::Never).await.unwrap();
    let answer = one.sql("SELECT table_name FROM system.parquet_files").await;
    assert!(answer.starts_with("table_name\nu-2023"), "{answer}");
}

#[tokio::test]
async fn jobs_and_versions_are_listed() {
    let one = QueryTestInstance::with_rows(WEATHER).await;
    one.write("u v=1i 5").await;
    one.flush().await;
    one.pass(Duration::from_secs(60));
    one.write("u v=1i 5").await;
    one.flush().await;
    let jobs = one
        .sql(
            "SELECT kind, table_name, state, inputs, outputs, rows, finished \
             FROM system.compactions ORDER BY finished",
        )
        .await;
    assert_eq!(
        jobs,
        "kind,table_name,state,inputs,outputs,rows,finished\n\
         flush,,done,2,2,4,2023-11-14T22:13:30.002\n\
         flush,,done,1,1,1,2023-11-14T22:14:40.003\n"
    );
    let versions = one
        .sql("SELECT version, committed, readable FROM system.versions ORDER BY version")
        .await;
    assert_eq!(
        versions,
        "version,committed,readable\n\
         1,2023-11-14T22:13:30.002,true\n\
         2,2023-11-14T22:14:40.003,true\n"
    );
    let plan = one
        .maintainer
        .plan(DATABASE, PlanScope::All, neap_compact::PlanLimits::with_max_jobs(9))
        .await
        .unwrap();
    let job = "SELECT kind, table_name, state, inputs, outputs FROM system.compactions \
               WHERE kind = 'merge'";
    assert_eq!(one.sql(job).await, "kind,table_name,state,inputs,outputs\nmerge,u,running,,\n");
    let limits = JobLimits::default();
    one.maintainer.run(&plan.orders[0], &limits).await.unwrap();
    assert_eq!(one.sql(job).await, "kind,table_name,state,inputs,outputs\nmerge,u,done,2,1\n");
    let marks = one
        .sql("SELECT count(*) AS n FROM system.versions WHERE low_water_mark > 0")
        .await;
    assert_eq!(marks, "n\n2\n");
}

#[tokio::test]
async fn caches_are_listed_with_ids_as_influxdb_counts_them() {
    let one = QueryTestInstance::with_rows(
        "home,room=a,site=x temp=1,hum=2,note=\"n\" 1\nbare,k=a v=1 1",
    )
    .await;
    let last = |table: &str, name: &str, values: Option<&[&str]>| NewLastCache {
        table: table.to_owned(),
        name: Some(name.to_owned()),
        key_columns: None,
        value_columns: values.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
        count: 3,
        ttl_s: 3_600,
    };
    for new in [
        last("home", "some", Some(&["hum", "temp"])),
        last("home", "all", None),
        last("bare", "z", Some(&[])),
    ] {
        let created = one.catalog.create_last_cache(DATABASE, &new);
        created.await.unwrap();
    }
    let rooms = NewDistinctCache {
        table: "home".to_owned(),
        name: Some("rooms".to_owned()),
        columns: vec!["note".to_owned(), "room".to_owned()],
        max_cardinality: 100,
        max_age_s: 86_400,
    };
    let created = one.catalog.create_distinct_cache(DATABASE, &rooms);
    created.await.unwrap();
    let sql = "SELECT \"table\", name, array_to_string(key_column_ids, ' ') AS k, \
               array_to_string(key_column_names, ' ') AS kn, array_to_string(value_column_ids, ' ') AS v, \
               array_to_string(value_column_names, ' ') AS vn, count, ttl FROM system.last_caches";
    assert_eq!(
        one.sql(sql).await,
        "table,name,k,kn,v,vn,count,ttl\n\
         bare,z,0,k,2,time,3,3600\n\
         home,all,0 1,room site,,,3,3600\n\
         home,some,0 1,room site,3 2 5,hum temp time,3,3600\n"
    );
    let sql = "SELECT \"table\", name, array_to_string(column_ids, ' ') AS c, \
               array_to_string(column_names, ' ') AS cn, max_cardinality, max_age_seconds \
               FROM system.distinct_caches";
    assert_eq!(
        one.sql(sql).await,
        "table,name,c,cn,max_cardinality,max_age_seconds\nhome,rooms,4 0,note room,100,86400\n"
    );
    let columns = |table: &str| {
        format!(
            "SELECT column_name, data_type, is_nullable FROM information_schema.columns \
             WHERE table_schema = 'system' AND table_name = '{table}' ORDER BY ordinal_position"
        )
    };
    assert_eq!(
        one.sql(&columns("last_caches")).await,
        "column_name,data_type,is_nullable\n\
         table,Utf8View,NO\n\
         name,Utf8View,NO\n\
         key_column_ids,List(UInt16),NO\n\
         key_column_names,List(Utf8View),NO\n\
         value_column_ids,List(UInt16),YES\n\
         value_column_names,List(Utf8View),YES\n\
         count,UInt64,NO\n\
         ttl,UInt64,NO\n"
    );
    assert_eq!(
        one.sql(&columns("distinct_caches")).await,
        "column_name,data_type,is_nullable\n\
         table,Utf8View,NO\n\
         name,Utf8View,NO\n\
         column_ids,List(UInt16),NO\n\
         column_names,List(Utf8View),NO\n\
         max_cardinality,UInt64,NO\n\
         max_age_seconds,UInt64,NO\n"
    );
}
