//! Tests of views whose rows go to other databases, also by two concurrent instances.

use super::*;
use crate::{
    CopyOptions, HardDelete, ViewLanguage, ViewTarget, ViewWindows, tests::CatalogFixture,
};

fn into_table(name: &str, target: Option<(DatabaseId, &str)>) -> NewView {
    let query = "SELECT sum(v) FROM m GROUP BY time(1h)";
    let windows = ViewWindows::since_epoch(3_600_000_000_000);
    NewView {
        target: ViewTarget {
            database: target.map(|(id, name)| ViewTargetDatabase { id, name: name.to_owned() }),
            table: "totals".to_owned(),
        },
        ..NewView::new(name, ViewLanguage::InfluxQl, query, "m", "totals", windows)
    }
}

async fn databases<const N: usize>(catalog: &Catalog, names: [&str; N]) -> [DatabaseId; N] {
    let mut ids = [DatabaseId::new(0); N];
    for (id, name) in ids.iter_mut().zip(names) {
        *id = catalog.create_database(name, None).await.unwrap();
    }
    ids
}

fn assert_is_taken(created: Result<impl std::fmt::Debug, CatalogError>) {
    let error = created.unwrap_err();
    assert!(matches!(error, CatalogError::InvalidView { .. }), "{error}");
    assert!(!error.to_string().contains("one"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_table_gets_the_rows_of_one_view_of_all_databases() {
    let (fixture, catalog) = CatalogFixture::with_instance();
    let [one, two, target] = databases(&catalog, ["one", "two", "target"]).await;
    let foreign = into_table("cq", Some((target, "target")));
    let created = catalog.create_view(one, &foreign).await;
    created.unwrap();
    let other = fixture.instance();
    assert_is_taken(other.create_view(two, &foreign).await);
    assert_is_taken(other.create_view(target, &into_table("cq", None)).await);

    let deleted = catalog.delete_view(one, "cq", ViewLanguage::InfluxQl);
    deleted.await.unwrap();
    let created = other.create_view(target, &into_table("cq", None)).await;
    created.unwrap();
    let refused = other.create_view(one, &foreign).await.unwrap_err();
    assert!(refused.to_string().contains("'cq'"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_view_that_is_not_created_reserves_no_table() {
    let catalog = CatalogFixture::new().instance();
    let [one, target] = databases(&catalog, ["one", "target"]).await;
    let mut view = into_table("cq", Some((target, "target")));
    catalog.create_view(one, &view).await.unwrap();
    let reserved = async || {
        let target = catalog.database(target, Duration::ZERO).await.unwrap();
        let tables = target.value.foreign_views.keys().cloned();
        tables.collect::<Vec<_>>()
    };
    // Its name is taken.
    view.target.table = "others".to_owned();
    catalog.create_view(one, &view).await.unwrap_err();
    assert_eq!(reserved().await, ["totals"]);
    view.target.table = "totals".to_owned();
    catalog.create_view(one, &view).await.unwrap_err();
    assert_eq!(reserved().await, ["totals"]);
}

#[tokio::test(start_paused = true)]
async fn concurrent_views_of_two_databases_never_both_get_a_table() {
    let (fixture, catalog) = CatalogFixture::with_instance();
    let [one, two, target] = databases(&catalog, ["one", "two", "target"]).await;
    let foreign = into_table("cq", Some((target, "target")));
    let other = fixture.instance();
    let (first, second) =
        tokio::join!(catalog.create_view(one, &foreign), other.create_view(two, &foreign));
    assert!(first.is_ok() || second.is_ok());
    let mut allowed = 0;
    for database in [one, two] {
        let view = ViewReference { database, view: "cq".to_owned() };
        let reserved = other.reserve_view_target(target, "totals", &view, Duration::ZERO);
        allowed += usize::from(reserved.await.is_ok());
    }
    assert_eq!(allowed, 1);
}

#[tokio::test(start_paused = true)]
async fn the_table_of_a_view_in_a_dropped_database_is_free() {
    let catalog = CatalogFixture::new().instance();
    let [one, two, target] = databases(&catalog, ["one", "two", "target"]).await;
    let foreign = into_table("cq", Some((target, "target")));
    catalog.create_view(one, &foreign).await.unwrap();
    let dropped = catalog.delete_database("one", HardDelete::DEFAULT).await;
    dropped.unwrap();
    catalog.create_view(two, &foreign).await.unwrap();
    let deleted = catalog.delete_view(two, "cq", ViewLanguage::InfluxQl);
    deleted.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_database_of_the_same_name_is_a_target_only_if_it_was_restored() {
    let catalog = CatalogFixture::new().instance();
    let [target] = databases(&catalog, ["target"]).await;
    let reference = ViewTargetDatabase { id: target, name: "target".to_owned() };
    let found = async || {
        let root = catalog.root(Duration::ZERO).await.unwrap();
        root.value.target_database(&reference)
    };
    assert_eq!(found().await, Some(target));
    let drop = async || {
        let dropped = catalog.delete_database("target", HardDelete::DEFAULT).await;
        dropped.unwrap()
    };
    drop().await;
    assert_eq!(found().await, None);
    databases(&catalog, ["target"]).await;
    assert_eq!(found().await, None);
    drop().await;
    let copy = catalog.create_copy(target, "target", CopyOptions::default()).await.unwrap();
    catalog.publish_copy(copy.id).await.unwrap();
    assert_eq!(found().await, Some(copy.id));
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_database_reserves_no_tables() {
    let catalog = CatalogFixture::new().instance();
    let [one, target] = databases(&catalog, ["one", "target"]).await;
    let foreign = into_table("cq", Some((target, "target")));
    catalog.create_view(one, &foreign).await.unwrap();
    let copy = catalog.create_copy(target, "copy", CopyOptions::default()).await.unwrap();
    assert!(copy.catalog.value.foreign_views.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_token_may_act_until_it_is_revoked_or_expires() {
    let catalog = CatalogFixture::new().instance();
    let [one, two] = databases(&catalog, ["one", "two"]).await;
    let permissions = ["db:one:write".parse().unwrap()];
    let lifetime = Some(Duration::from_secs(60));
    let token = catalog.create_resource_token("t", &permissions, lifetime, None);
    let actor = Actor::Token(token.await.unwrap().id);
    let root = catalog.root(Duration::ZERO).await.unwrap().value;
    let now = catalog.bucket().clock().now().unwrap();
    let write = DatabaseAction::Write;
    assert!(root.may(actor, write, one, now));
    assert!(!root.may(actor, DatabaseAction::Read, one, now));
    assert!(!root.may(actor, write, two, now));
    assert!(!root.may(actor, write, one, now.plus(Duration::from_secs(60))));
    catalog.delete_token("t", None).await.unwrap();
    let root = catalog.root(Duration::ZERO).await.unwrap().value;
    assert!(!root.may(actor, write, one, now));
}
