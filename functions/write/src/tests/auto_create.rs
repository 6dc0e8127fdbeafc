//! Tests of databases whose writes create no tables or columns.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use neap_schema::AutoCreate;

use super::test_bed::{HttpReply, WriteInstance, WriteTestBed};

const DATABASE: &str = "/api/v3/configure/database";

async fn configure(instance: &WriteInstance, method: &str, body: &str) -> HttpReply {
    let request = Request::builder()
        .method(method)
        .uri(DATABASE)
        .header("Content-Type", "application/json")
        .body(Body::from(body.to_owned()));
    instance.send(request.unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn refused_lines_name_what_is_missing_and_the_others_are_stored() {
    let stage = WriteTestBed::new();
    let instance = stage.sole_instance();
    instance.write("d", "m,t=a v=1 1").await;
    let locked = configure(&instance, "PUT", r#"{"db":"d","auto_create":"none"}"#).await;
    assert_eq!(locked.status, 200, "{}", locked.body);
    let body = "m,t=a v=1 2\nnew v=1 3\nm,t=a w=1 4\n";
    for path in ["/api/v3/write_lp?db=d", "/api/v2/write?bucket=d", "/write?db=d"] {
        let rows = stage.rows().await;
        let reply = instance.post(path, body).await;
        assert_eq!(reply.status, 400, "{path}");
        for missing in ["table 'new' does not", "column 'w' of table 'm' does not"] {
            assert!(reply.body.contains(missing), "{path}: {}", reply.body);
        }
        assert!(reply.body.contains("(auto-create: none)"), "{}", reply.body);
        assert_eq!(stage.rows().await, rows + 1, "{path}");
    }
    let whole = "/api/v3/write_lp?db=d&accept_partial=false";
    assert_eq!(instance.post(whole, body).await.status, 400);
    assert_eq!(instance.tables("d").await, ["m t,v"]);

    configure(&instance, "PUT", r#"{"db":"d","auto_create":"columns"}"#).await;
    let reply = instance.post("/api/v3/write_lp?db=d", body).await;
    assert!(!reply.body.contains("column 'w'"), "{}", reply.body);
    assert_eq!(instance.tables("d").await, ["m t,v,w"]);
    configure(&instance, "PUT", r#"{"db":"d","auto_create":"all"}"#).await;
    assert_eq!(instance.write("d", "new v=1 1").await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn no_instance_creates_anything_after_the_answer_and_all_do_when_it_is_allowed_again() {
    let stage = WriteTestBed::new();
    let (one, other) = (stage.instance(), stage.instance());
    one.write("d", "m v=1 1").await;
    other.write("d", "m v=1 1").await;
    let lock = async |setting: &str| {
        let body = format!(r#"{{"db":"d","auto_create":"{setting}"}}"#);
        assert_eq!(configure(&one, "PUT", &body).await.status, 200);
    };
    // The commit has taken place, but the other instance has the catalog from before it.
    let meanwhile = async {
        stage.sleep(Duration::from_secs(1)).await;
        other.write("d", "m,t=a v=1 1\nn v=1 1\nm v=2 2").await
    };
    let ((), reply) = tokio::join!(lock("none"), meanwhile);
    assert_eq!(reply.status, 400);
    assert_eq!(reply.body.matches("(auto-create: none)").count(), 2);
    assert!(reply.stamp().is_some(), "the last line is stored");
    assert_eq!(other.tables("d").await, ["m v"]);
    lock("all").await;
    assert_eq!(other.write("d", "n v=1 1").await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn the_setting_is_chosen_at_creation_and_changed_without_other_settings() {
    let stage = WriteTestBed::new();
    let instance = stage.sole_instance();
    let body = r#"{"db":"d","retention_period":"1d","auto_create":"columns"}"#;
    assert_eq!(configure(&instance, "POST", body).await.status, 200);
    let day = Some(Duration::from_secs(86_400));
    let catalog = instance.catalog_of("d").await;
    assert_eq!((catalog.auto_create(), catalog.retention()), (AutoCreate::Columns, day));
    configure(&instance, "PUT", r#"{"db":"d","auto_create":"none"}"#).await;
    let catalog = instance.catalog_of("d").await;
    assert_eq!((catalog.auto_create(), catalog.retention()), (AutoCreate::None, day));
    configure(&instance, "PUT", r#"{"db":"d","order":"strict"}"#).await;
    let catalog = instance.catalog_of("d").await;
    assert_eq!(catalog.auto_create(), AutoCreate::None);
    let unknown = configure(&instance, "PUT", r#"{"db":"d","auto_create":"some"}"#).await;
    assert_eq!(unknown.status, 400);
}
