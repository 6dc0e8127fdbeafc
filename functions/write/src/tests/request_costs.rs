//! Tests of the number of store requests per write.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use neap_bucket::WriteOrder;
use neap_catalog::ANY_AGE;
use neap_schema::OnDuplicate;

use super::test_bed::WriteTestBed;

#[tokio::test(start_paused = true)]
async fn a_warm_write_costs_one_put() {
    let instance = WriteTestBed::new().instance();
    instance.write("d", "m v=1 1").await;
    let (reply, counts) = instance.counted(instance.write("d", "m v=2 2")).await;
    assert_eq!(reply.status, 204);
    assert_eq!(counts.to_string(), "1 put tail");
}

#[tokio::test(start_paused = true)]
async fn a_strict_write_costs_one_more_list() {
    let instance = WriteTestBed::new().instance();
    instance.write("d", "m v=1 1").await;
    let asked = |order: &'static str| {
        let request = Request::post("/api/v3/write_lp?db=d").header("x-neap-order", order);
        instance.counted(instance.send(request.body(Body::from("m v=2 2")).unwrap()))
    };
    let (reply, counts) = asked("strict").await;
    assert_eq!(reply.status, 204);
    assert_eq!(counts.to_string(), "1 put tail, 1 list tail");
    let (reply, counts) = asked("clock").await;
    assert_eq!((reply.status, counts.to_string().as_str()), (204, "1 put tail"));
    assert_eq!(asked("other").await.0.status, 400);

    let database = instance.catalog.database_by_name("d", ANY_AGE).await.unwrap().unwrap();
    let strict = WriteOrder::Strict;
    let set = instance.catalog.set_write_order(database, strict);
    set.await.unwrap();
    instance.write("d", "m v=2 2").await;
    // If the database requires strict order, a write cannot choose a weaker one.
    let (reply, counts) = asked("clock").await;
    assert_eq!(reply.status, 204);
    assert_eq!(counts.to_string(), "1 put tail, 1 list tail");
}

#[tokio::test(start_paused = true)]
async fn writes_are_strict_where_earlier_rows_are_kept_whatever_order_they_ask_for() {
    let instance = WriteTestBed::new().instance();
    let database = instance.catalog.create_database("d", None).await.unwrap();
    let set = instance.catalog.set_on_duplicate(database, OnDuplicate::Keep);
    set.await.unwrap();
    instance.write("d", "m v=1 1").await;
    let asked = Request::post("/api/v3/write_lp?db=d").header("x-neap-order", "clock");
    let write = instance.send(asked.body(Body::from("m v=2 1")).unwrap());
    let (reply, counts) = instance.counted(write).await;
    assert_eq!(reply.status, 204);
    assert_eq!(counts.to_string(), "1 put tail, 1 list tail");
}

#[tokio::test(start_paused = true)]
async fn catalogs_are_revalidated_before_they_are_too_old() {
    let (stage, instance) = WriteTestBed::with_instance();
    instance.write("d", "m v=1 1").await;
    let mut requests = Vec::new();
    for _ in 0..8 {
        stage.sleep(Duration::from_secs(1)).await;
        let (reply, counts) = instance.counted(instance.write("d", "m v=2 2")).await;
        assert_eq!(reply.status, 204);
        requests.push(counts.to_string());
    }
    let with_proof = "1 get root_catalog, 1 get database_catalog, 1 get manifest, 1 put tail";
    let renewals = requests.iter().filter(|counts| *counts == with_proof).count();
    assert_eq!(renewals, 2, "{requests:?}");
    let others = requests.iter().filter(|counts| *counts == "1 put tail").count();
    assert_eq!(others, 6, "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cold_write_costs_three_gets_and_one_put() {
    let stage = WriteTestBed::new();
    stage.instance().write("d", "m v=1 1").await;
    let cold = stage.instance();
    let (reply, counts) = cold.counted(cold.write("d", "m v=2 2")).await;
    assert_eq!(reply.status, 204);
    assert_eq!(
        counts.to_string(),
        "1 get root_catalog, 1 get database_catalog, 1 get manifest, 1 put tail"
    );
}

#[tokio::test(start_paused = true)]
async fn any_number_of_new_tables_and_columns_costs_one_more_put() {
    let instance = WriteTestBed::new().instance();
    instance.write("d", "m v=1 1").await;
    let lines = "m,t=a w=1 1\nn,a=1 b=1,c=2i 1\no x=true 1\nm z=\"s\" 2";
    let (reply, counts) = instance.counted(instance.write("d", lines)).await;
    assert_eq!(reply.status, 204);
    assert_eq!(counts.to_string(), "1 put database_catalog, 1 put tail");
    let tables = instance.tables("d").await;
    assert_eq!(tables, ["m v,t,w,z", "n a,b,c", "o x"]);
    let (_, counts) = instance.counted(instance.write("d", lines)).await;
    assert_eq!(counts.to_string(), "1 put tail");
}

#[tokio::test(start_paused = true)]
async fn a_new_database_costs_a_commit_to_the_root_as_well() {
    let instance = WriteTestBed::new().instance();
    instance.write("d", "m v=1 1").await;
    let (reply, counts) = instance.counted(instance.write("e", "m v=1 1")).await;
    assert_eq!(reply.status, 204);
    assert_eq!(
        counts.to_string(),
        "1 get root_catalog, 1 get database_catalog, 1 get manifest, \
         1 put root_catalog, 1 put database_catalog, 1 put tail, 1 list tail, 1 list data"
    );
}

#[tokio::test(start_paused = true)]
async fn refused_requests_cost_nothing() {
    let instance = WriteTestBed::new().instance();
    instance.write("d", "m v=1 1").await;
    let work = async {
        assert_eq!(instance.write("d", "m v=x 1\nm w").await.status, 400);
        assert_eq!(instance.write("d", "").await.status, 400);
        assert_eq!(instance.write("_d", "m v=1").await.status, 400);
    };
    let ((), counts) = instance.counted(work).await;
    assert_eq!(counts.to_string(), "nothing");
}

#[tokio::test(start_paused = true)]
async fn a_refused_write_creates_no_database() {
    let instance = WriteTestBed::new().instance();
    assert_eq!(instance.write("d", "m v=x 1").await.status, 400);
    let path = "/api/v3/write_lp?db=d&accept_partial=false";
    assert_eq!(instance.post(path, "m v=1 1\nm v=x 1").await.status, 400);
    let root = instance.catalog.root(Duration::ZERO).await.unwrap();
    assert_eq!(root.value.databases().len(), 0);
}
