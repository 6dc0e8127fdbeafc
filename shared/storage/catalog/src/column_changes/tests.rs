use neap_bucket::MAX_CATALOG_AGE;

use super::*;
use crate::{
    ANY_AGE, NewLastCache, NewView, TableAddition, ViewLanguage, ViewTarget, ViewTargetDatabase,
    ViewWindows, tests::CatalogFixture,
};

/// Creates a table with a tag and two fields.
async fn table_of(catalog: &Catalog) -> DatabaseId {
    let id = catalog.create_database("db", None).await.unwrap();
    let fields = ["load", "note"].map(|name| (name.to_owned(), ColumnType::Float));
    catalog.create_table(id, "cpu", &["host".to_owned()], &fields).await.unwrap();
    id
}

async fn table(catalog: &Catalog, id: DatabaseId) -> std::sync::Arc<Table> {
    let read = catalog.database(id, Duration::ZERO).await.unwrap().value;
    std::sync::Arc::clone(read.table("cpu").unwrap())
}

/// The names of columns, each with its stored name.
fn names(table: &Table) -> Vec<(&str, &str)> {
    let columns = table.columns().iter();
    columns.map(|column| (column.name.as_str(), column.stored_name())).collect()
}

async fn add(catalog: &Catalog, id: DatabaseId, column: &str, column_type: ColumnType) {
    let known = catalog.database(id, ANY_AGE).await.unwrap();
    let addition = TableAddition {
        table: "cpu".to_owned(),
        columns: vec![(column.to_owned(), column_type)],
    };
    catalog.add(id, known, &[addition]).await.unwrap();
}

fn view(query: &str) -> NewView {
    let windows = ViewWindows::since_epoch(60);
    NewView::new("hourly", ViewLanguage::Sql, query, "cpu", "cpu_hourly", windows)
}

#[tokio::test(start_paused = true)]
async fn a_renamed_column_has_both_names_and_its_stored_name() {
    let catalog = CatalogFixture::new().instance();
    let id = table_of(&catalog).await;
    for _ in 0..2 {
        catalog.rename_column(id, "cpu", "load", "usage").await.unwrap();
    }
    catalog.rename_column(id, "cpu", "host", "server").await.unwrap();
    let renamed = table(&catalog, id).await;
    let expected = [("time", "time"), ("server", "host"), ("usage", "load"), ("note", "note")];
    assert_eq!(names(&renamed), expected);
    assert_eq!(renamed.column("load"), renamed.column("usage"));
    assert_eq!(renamed.view().columns(), 3);
    let stored = renamed.stored();
    assert_eq!(stored.tag_names(), ["host"]);
    assert!(stored.column("usage").is_none());
    assert_eq!(stored.arrow_schema(), renamed.stored().arrow_schema());
    // A write by the former name adds no column.
    add(&catalog, id, "load", ColumnType::Float).await;
    assert_eq!(table(&catalog, id).await.columns().len(), 4);

    let taken = catalog.rename_column(id, "cpu", "note", "load").await.unwrap_err();
    assert!(matches!(taken, CatalogError::NameIsAlias { .. }), "{taken}");
    catalog.delete_column_alias(id, "cpu", "load").await.unwrap();
    let error = catalog.delete_column_alias(id, "cpu", "usage").await.unwrap_err();
    assert!(matches!(error, CatalogError::NoSuchColumn { .. }), "{error}");
    catalog.rename_column(id, "cpu", "note", "load").await.unwrap();
    let stored = table(&catalog, id).await;
    assert_eq!(names(&stored)[3], ("load", "note"));
}

#[tokio::test(start_paused = true)]
async fn a_column_that_is_created_again_has_another_stored_name() {
    let stage = CatalogFixture::new();
    let (catalog, other) = (stage.instance(), stage.instance());
    let id = table_of(&catalog).await;
    other.database(id, MAX_CATALOG_AGE).await.unwrap();
    catalog.drop_column(id, "cpu", "load").await.unwrap();
    // The drop is answered when no instance uses a catalog from before.
    let known = other.database(id, MAX_CATALOG_AGE).await.unwrap().value;
    assert!(known.table("cpu").unwrap().column("load").is_none());
    add(&catalog, id, "load", ColumnType::Tag).await;
    let again = table(&catalog, id).await;
    assert_eq!(names(&again)[3], ("load", "load~4"));
    assert_eq!(again.tag_names(), ["host", "load"]);
    assert_eq!(again.stored().tag_names(), ["host", "load~4"]);
    assert!(again.is_dropped_name("load") && !again.is_dropped_name("load~4"));
    let json = serde_json::to_string(again.as_ref()).unwrap();
    let read: Table = serde_json::from_str(&json).unwrap();
    assert_eq!(names(&read), names(&again));
    assert_eq!(read.dropped_columns(), again.dropped_columns());
    assert!(again.columns_version() > known.table("cpu").unwrap().columns_version());
}

#[tokio::test(start_paused = true)]
async fn a_new_column_does_not_get_the_stored_name_of_a_renamed_one() {
    let catalog = CatalogFixture::new().instance();
    let id = table_of(&catalog).await;
    catalog.rename_column(id, "cpu", "load", "usage").await.unwrap();
    catalog.delete_column_alias(id, "cpu", "load").await.unwrap();
    let before = table(&catalog, id).await;
    assert_eq!(before.expected_stored_name("load"), "load~4");
    assert_eq!(before.expected_stored_name("usage"), "load");
    add(&catalog, id, "load", ColumnType::Boolean).await;
    let after = table(&catalog, id).await;
    assert_eq!(names(&after)[2..], [("usage", "load"), ("note", "note"), ("load", "load~4")]);
}

#[tokio::test(start_paused = true)]
async fn keys_and_columns_in_use_are_not_dropped() {
    let catalog = CatalogFixture::new().instance();
    let id = table_of(&catalog).await;
    let try_drop = |column: &'static str| catalog.drop_column(id, "cpu", column);
    for key in ["time", "host"] {
        let error = try_drop(key).await.unwrap_err();
        let expected =
            format!("column '{key}' can't be dropped: it is part of the key of each row");
        assert_eq!(error.to_string(), expected);
    }
    let error = catalog.rename_column(id, "cpu", "time", "at").await.unwrap_err();
    assert!(matches!(error, CatalogError::FixedColumn { .. }), "{error}");
    let error = try_drop("none").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no column 'none' in table 'cpu'");

    let query = "SELECT avg(\"NOTE\") FROM cpu";
    catalog.create_view(id, &view(query)).await.unwrap();
    let error = try_drop("note").await.unwrap_err();
    assert_eq!(error.to_string(), "materialized view 'hourly' uses the column 'note'");
    catalog.rename_column(id, "cpu", "note", "remark").await.unwrap();
    let error = catalog.delete_column_alias(id, "cpu", "note").await.unwrap_err();
    assert!(matches!(error, CatalogError::AliasInUse { .. }), "{error}");
    let target = ["mean".to_owned()].map(|name| (name, ColumnType::Float));
    catalog.create_table(id, "cpu_hourly", &[], &target).await.unwrap();
    let error = catalog.rename_column(id, "cpu_hourly", "mean", "average").await.unwrap_err();
    assert!(matches!(error, CatalogError::ColumnInUse { .. }), "{error}");
    let cache = NewLastCache {
        table: "cpu".to_owned(),
        name: Some("newest".to_owned()),
        key_columns: None,
        value_columns: Some(vec!["load".to_owned()]),
        count: 1,
        ttl_s: 60,
    };
    catalog.create_last_cache(id, &cache).await.unwrap();
    let error = try_drop("load").await.unwrap_err();
    assert_eq!(error.to_string(), "cache 'newest' uses the column 'load'");
    catalog.delete_last_cache(id, "cpu", "newest").await.unwrap();
    try_drop("load").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_table_whose_columns_have_aliases_gets_no_rows_of_a_view() {
    let catalog = CatalogFixture::new().instance();
    let id = table_of(&catalog).await;
    let other = catalog.create_database("other", None).await.unwrap();
    let columns = ["mean".to_owned()].map(|name| (name, ColumnType::Float));
    catalog.create_table(id, "cpu_hourly", &[], &columns).await.unwrap();
    catalog.rename_column(id, "cpu_hourly", "mean", "average").await.unwrap();
    let local = view("SELECT avg(note) FROM cpu");
    let foreign = NewView {
        language: ViewLanguage::InfluxQl,
        target: ViewTarget {
            database: Some(ViewTargetDatabase { id, name: "db".to_owned() }),
            table: "cpu_hourly".to_owned(),
        },
        ..view("SELECT mean(note) FROM cpu GROUP BY time(1h)")
    };
    for (database, refused) in [(id, &local), (other, &foreign)] {
        let error = catalog.create_view(database, refused).await.unwrap_err();
        assert!(error.to_string().contains("have aliases"), "{error}");
    }
    catalog.delete_column_alias(id, "cpu_hourly", "mean").await.unwrap();
    catalog.create_view(id, &local).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_integer_becomes_a_float_for_every_instance() {
    let stage = CatalogFixture::new();
    let (catalog, other) = (stage.instance(), stage.instance());
    let id = table_of(&catalog).await;
    add(&catalog, id, "n", ColumnType::Integer).await;
    other.database(id, MAX_CATALOG_AGE).await.unwrap();
    for _ in 0..2 {
        catalog.change_column_type(id, "cpu", "n", ColumnType::Float).await.unwrap();
    }
    let known = other.database(id, MAX_CATALOG_AGE).await.unwrap().value;
    let column = known.table("cpu").unwrap().column("n").unwrap();
    assert_eq!(column.column_type, ColumnType::Float);
    let json = serde_json::to_string(column).unwrap();
    assert_eq!(serde_json::from_str::<Column>(&json).unwrap(), *column);
    for (name, column_type) in [
        ("n", ColumnType::Integer),
        ("load", ColumnType::Integer),
        ("host", ColumnType::Float),
    ] {
        let changed = catalog.change_column_type(id, "cpu", name, column_type).await;
        let error = changed.unwrap_err();
        assert!(matches!(error, CatalogError::FixedColumn { .. }), "{name}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_column_that_a_view_may_select_keeps_its_type() {
    let catalog = CatalogFixture::new().instance();
    let id = table_of(&catalog).await;
    add(&catalog, id, "n", ColumnType::Integer).await;
    for query in [
        "SELECT max(n) FROM cpu GROUP BY time(1h)",
        "SELECT max(*) FROM cpu GROUP BY time(1h)",
        "SELECT max(/^[a-z]$/) FROM cpu GROUP BY time(1h)",
    ] {
        let selecting = NewView { language: ViewLanguage::InfluxQl, ..view(query) };
        catalog.create_view(id, &selecting).await.unwrap();
        let changed = catalog.change_column_type(id, "cpu", "n", ColumnType::Float).await;
        let error = changed.unwrap_err();
        assert!(matches!(error, CatalogError::ColumnInUse { .. }), "{query}: {error}");
        catalog.delete_view(id, "hourly", ViewLanguage::InfluxQl).await.unwrap();
    }
    catalog.change_column_type(id, "cpu", "n", ColumnType::Float).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_column_that_a_view_names_in_escaped_quotes_is_not_dropped() {
    let catalog = CatalogFixture::new().instance();
    let id = table_of(&catalog).await;
    for (column, language, query) in [
        ("a\"b", ViewLanguage::Sql, "SELECT avg(\"a\"\"b\") FROM cpu"),
        (
            "c\"d",
            ViewLanguage::InfluxQl,
            "SELECT mean(\"c\\\"d\") FROM cpu GROUP BY time(1h)",
        ),
    ] {
        add(&catalog, id, column, ColumnType::Float).await;
        let new = NewView { language, ..view(query) };
        catalog.create_view(id, &new).await.unwrap();
        let error = catalog.drop_column(id, "cpu", column).await.unwrap_err();
        assert!(matches!(error, CatalogError::ColumnInUse { .. }), "{column}: {error}");
        catalog.delete_view(id, "hourly", language).await.unwrap();
        catalog.drop_column(id, "cpu", column).await.unwrap();
    }
}
