//! Published tables: their metadata, the requests that they cost, and the files that they keep.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use futures::FutureExt;
use neap_bucket::{
    Get, GetOptions, Key, KeyClass, ObjectStoreKind, Operation, PublishedObject, Store,
    StoreConfig, StoreUrl,
};
use neap_catalog::HardDelete;
use neap_schema::{ColumnType, TableId};
use serde_json::{Value, json};

use super::test_bed::{CompactTestBed, DAY, NOW};
use crate::{
    CompactionReport, Compactor, CompactorEvent, PublishSettings, PublishedTables,
    PublishedTimeType,
};

const HOUR: Duration = Duration::from_secs(3600);

fn settings() -> PublishSettings {
    let config = StoreConfig {
        object_store: Some(ObjectStoreKind::S3),
        bucket: Some("lake".to_owned()),
        ..StoreConfig::default()
    };
    PublishSettings {
        url: StoreUrl::from_config(&config).unwrap(),
        tables: PublishedTables::default(),
        time: PublishedTimeType::Timestamp,
    }
}

/// Runs a collection that publishes, `after` the last event.
async fn publish(stage: &CompactTestBed, after: Duration) -> CompactionReport {
    stage.pass(after);
    run(stage.compactor().publishing(settings())).await
}

async fn run(compactor: Compactor) -> CompactionReport {
    let report = compactor.handle(&CompactorEvent::Collect, None).await.unwrap();
    assert_eq!(report.failures, []);
    report
}

async fn text(stage: &CompactTestBed, key: &str) -> Option<Vec<u8>> {
    match stage.store.get(key, GetOptions::default()).await.unwrap().value {
        Get::Found(object) => Some(object.bytes.to_vec()),
        Get::Missing | Get::Unchanged => None,
    }
}

async fn metadata(stage: &CompactTestBed, table: u32) -> Option<Value> {
    let id = stage.id("db").await;
    let key = |object| Key::Published(id, TableId::new(table), object).to_string();
    let hint = text(stage, &key(PublishedObject::VersionHint)).await?;
    let number = String::from_utf8(hint).unwrap().parse().unwrap();
    let metadata = text(stage, &key(PublishedObject::Metadata(number))).await;
    Some(serde_json::from_slice(&metadata.unwrap()).unwrap())
}

/// Returns the summary of the current snapshot of the table `m`.
async fn summary(stage: &CompactTestBed) -> BTreeMap<String, String> {
    let metadata = metadata(stage, 1).await.unwrap();
    serde_json::from_value(metadata["snapshots"][0]["summary"].clone()).unwrap()
}

#[tokio::test]
async fn metadata_name_columns_files_and_the_state_of_the_snapshot() {
    let stage = CompactTestBed::new().await;
    let line = format!("m,host=a,a\\ tag=b f=1.5,i=2i,u=3u,b=t,s=\"x\" {NOW}");
    stage.write("db", &line).await;
    stage.flush("db").await;
    let report = publish(&stage, HOUR).await;
    let published = &report.published[0];
    assert_eq!(published.location, "s3://lake/published/iceberg/1/1");
    assert_eq!((published.rows, published.unsettled_sections), (1, 0));
    let metadata = metadata(&stage, 1).await.unwrap();
    let properties = &metadata["properties"];
    let mapping = properties["schema.name-mapping.default"].as_str().unwrap();
    let names = ["time", "host", "a tag", "f", "i", "u", "b", "s"];
    let mapped = (1..).zip(names).map(|(id, name)| json!({ "field-id": id, "names": [name] }));
    let mapping: Value = serde_json::from_str(mapping).unwrap();
    assert_eq!(mapping, Value::Array(mapped.collect()));
    assert_eq!(properties["neap.omitted-columns"], r#"["u"]"#);
    assert_eq!(
        (&properties["neap.database"], &properties["neap.table"]),
        (&json!("db"), &json!("m"))
    );
    let field = |id: u32, name: &str, kind: &str| json!({ "id": id, "name": name, "required": id == 1, "type": kind });
    let fields = [
        field(1, "time", "timestamp"),
        field(2, "host", "string"),
        field(3, "a tag", "string"),
        field(4, "f", "double"),
        field(5, "i", "long"),
        field(7, "b", "boolean"),
        field(8, "s", "string"),
    ];
    let schema = json!({ "type": "struct", "schema-id": 7, "fields": fields });
    assert_eq!(metadata["schemas"], json!([schema]));
    assert_eq!(metadata["last-column-id"], 8);
    let manifest = stage.manifest("db").await;
    let publication = &manifest.publications[0];
    let number = publication.number;
    assert_eq!(number, published.number);
    assert_eq!(metadata["current-snapshot-id"], number);
    assert_eq!(metadata["last-sequence-number"], number);
    let snapshot = json!({
        "snapshot-id": number,
        "sequence-number": number,
        "timestamp-ms": publication.published.micros() / 1_000,
        "manifest-list": format!("s3://lake/published/iceberg/1/1/metadata/snap-{number}.avro"),
        "schema-id": 7,
        "summary": {
            "operation": "overwrite",
            "total-data-files": "1",
            "total-records": "1",
            "total-files-size": manifest.sections[0].length.to_string(),
            "neap.stamp": manifest.low_water_mark.as_u64().to_string(),
            "neap.manifest-version": publication.version.to_string(),
            "neap.unsettled-sections": "0",
            "neap.unsettled-rows": "0",
        },
    });
    assert_eq!(metadata["snapshots"], json!([snapshot]));
}

#[tokio::test]
async fn changed_columns_have_their_present_names_in_the_schema_and_their_former_ones_in_files() {
    let stage = CompactTestBed::new().await;
    stage.write("db", &format!("m,host=a f=1.5,i=2i,s=\"x\" {NOW}")).await;
    stage.flush("db").await;
    let before = publish(&stage, HOUR).await.published[0].number;
    let (id, catalog) = (stage.id("db").await, &stage.catalog);
    catalog.rename_column(id, "m", "host", "server").await.unwrap();
    catalog.drop_column(id, "m", "s").await.unwrap();
    catalog.change_column_type(id, "m", "i", ColumnType::Float).await.unwrap();
    let after = publish(&stage, HOUR).await.published[0].clone();
    assert!(after.is_new && after.number > before);
    let metadata = metadata(&stage, 1).await.unwrap();
    let properties = &metadata["properties"];
    let mapping = properties["schema.name-mapping.default"].as_str().unwrap();
    let mapping: Value = serde_json::from_str(mapping).unwrap();
    let names = ["time", "host", "f", "i", "s"];
    let mapped = (1..).zip(names).map(|(id, name)| json!({ "field-id": id, "names": [name] }));
    assert_eq!(mapping, Value::Array(mapped.collect()));
    assert_eq!(properties["neap.omitted-columns"], r#"["i"]"#);
    let field = |id: u32, name: &str, kind: &str| json!({ "id": id, "name": name, "required": id == 1, "type": kind });
    let fields = [
        field(1, "time", "timestamp"),
        field(2, "server", "string"),
        field(3, "f", "double"),
    ];
    assert_eq!(metadata["schemas"][0]["fields"], json!(fields));
    assert_eq!(metadata["current-schema-id"], 7);
    assert_eq!(metadata["last-column-id"], 5);
}

#[tokio::test]
async fn requests_of_publications_are_those_of_the_documentation() {
    let stage = CompactTestBed::new().await;
    // Two tables in one bundle, which collections without the option leave alone.
    stage.write("db", &format!("m v=1 {NOW}\nn v=1 {NOW}")).await;
    stage.flush("db").await;
    stage.pass(HOUR);
    assert_eq!(run(stage.compactor()).await.merges, 0);
    // The first publication gives each section an object of its own.
    let report = publish(&stage, HOUR).await;
    assert_eq!((report.merges, report.published.len()), (2, 2));
    // The bundle is deleted.
    for _ in 0..4 {
        publish(&stage, HOUR).await;
    }
    let (report, without) = stage.counted(stage.look(HOUR)).await;
    assert_eq!(report.published, []);
    // Nothing new: the manifest and two version hints, and no write.
    let (report, unchanged) = stage.counted(publish(&stage, HOUR)).await;
    assert!(report.published.iter().all(|table| !table.is_new));
    let of = |counts: &neap_bucket::OperationCounts, operation, class| {
        counts.of(operation, class).requests
    };
    let more =
        |counts, operation, class| of(counts, operation, class) - of(&without, operation, class);
    assert_eq!(more(&unchanged, Operation::Get, KeyClass::Published), 2);
    assert_eq!(more(&unchanged, Operation::Get, KeyClass::Manifest), 1);
    assert_eq!(of(&unchanged, Operation::Put, KeyClass::Published), 0);
    assert_eq!(of(&unchanged, Operation::Put, KeyClass::Manifest), 0);
    // One of two tables has a new section, as an object of its own.
    stage.write("db", &format!("m v=2 {}", NOW + 2 * DAY)).await;
    stage.flush("db").await;
    let (_, changed) = stage.counted(publish(&stage, HOUR)).await;
    assert_eq!(of(&changed, Operation::Get, KeyClass::Published), 2);
    assert_eq!(of(&changed, Operation::Put, KeyClass::Published), 4);
    assert_eq!(more(&changed, Operation::List, KeyClass::Data), 0);
    assert_eq!(of(&changed, Operation::Put, KeyClass::Manifest), 1);
}

#[tokio::test]
async fn late_rows_leave_the_older_section_published_until_they_are_merged() {
    let stage = CompactTestBed::new().await;
    let minute = 60_000_000_000;
    let lines: Vec<_> = (0..10).map(|at| format!("m v={at} {}", NOW + at * minute)).collect();
    stage.write("db", &lines.join("\n")).await;
    stage.flush("db").await;
    let first = publish(&stage, HOUR).await.published[0].clone();
    assert_eq!((first.rows, first.unsettled_rows), (10, 0));
    // Sections of other days keep a second publication from being skipped.
    stage.write("db", &format!("m v=-1 {}", NOW + minute)).await;
    stage.flush("db").await;
    let unchanged = publish(&stage, Duration::from_secs(60)).await.published[0].clone();
    assert_eq!((unchanged.is_new, unchanged.number), (false, first.number));
    assert_eq!((unchanged.rows, unchanged.unsettled_rows), (10, 1));
    stage.write("db", &format!("m v=1 {}", NOW + 5 * DAY)).await;
    stage.flush("db").await;
    let next = publish(&stage, Duration::from_secs(60)).await.published[0].clone();
    assert_eq!((next.is_new, next.rows, next.unsettled_rows), (true, 11, 1));
    let stated = summary(&stage).await;
    let at = "2023-11-14T22:14:20.000000000Z";
    assert_eq!(stated["neap.unsettled-times"], format!("{at}/{at}"));
    let settled = publish(&stage, 48 * HOUR).await.published[0].clone();
    assert_eq!((settled.rows, settled.unsettled_rows), (11, 0));
    assert!(!summary(&stage).await.contains_key("neap.unsettled-times"));
}

#[tokio::test]
async fn deleted_rows_leave_published_tables_with_the_next_collection() {
    use neap_row_delete::Condition;

    let stage = CompactTestBed::new().await;
    let lines: Vec<_> = (0..10).map(|at| format!("m,host=h{at} v=1 {}", NOW + at)).collect();
    stage.write("db", &lines.join("\n")).await;
    stage.write("db", &format!("m,host=h3 v=1 {}", NOW + 3 * DAY)).await;
    stage.flush("db").await;
    assert_eq!(publish(&stage, HOUR).await.published[0].rows, 11);
    let host = Condition::Tag { name: "host".to_owned(), value: Some("h3".to_owned()) };
    let time = Condition::between(NOW, NOW + DAY);
    stage.delete("db", Condition::All(vec![host, time])).await;
    stage.flush("db").await;
    // Without publications, the section would be rewritten ten minutes later.
    let report = publish(&stage, Duration::from_secs(1)).await;
    assert_eq!((report.merges, report.published[0].rows), (1, 10));
    assert_eq!(report.published[0].unsettled_rows, 0);
}

#[tokio::test]
async fn files_of_published_tables_are_kept_until_their_publication_ends() {
    let stage = CompactTestBed::new().await;
    for number in 0..2 {
        stage.write("db", &format!("m v={number} {}", NOW + number)).await;
        stage.flush("db").await;
    }
    let inputs = stage.keys("data/").await;
    let settled = publish(&stage, HOUR).await.published[0].clone();
    assert_eq!((settled.sections, settled.rows), (1, 2));
    let merged = stage.keys("data/").await;
    let kept: Vec<_> = merged.iter().filter(|key| !inputs.contains(key)).cloned().collect();
    assert_eq!(kept.len(), 1);
    stage.write("db", &format!("m v=3 {}", NOW + 1)).await;
    stage.flush("db").await;
    // Collectors that do not publish keep the file, although it is merged into another.
    stage.look_times(6, 2 * HOUR).await;
    let now = stage.keys("data/").await;
    assert!(now.contains(&kept[0]) && now.len() == 2, "{now:?}");
    stage.look(7 * 24 * HOUR).await;
    assert_eq!(metadata(&stage, 1).await, None);
    assert_eq!(stage.keys("published/").await, [] as [String; 0]);
    stage.look_times(3, 2 * HOUR).await;
    let now = stage.keys("data/").await;
    assert!(!now.contains(&kept[0]) && now.len() == 1, "{now:?}");
    // A withdrawn table can be published again.
    assert_eq!(publish(&stage, HOUR).await.published[0].rows, 2);
}

#[tokio::test]
async fn metadata_of_replaced_publications_are_deleted_and_unchanged_ones_renewed() {
    let stage = CompactTestBed::new().await;
    let mut numbers = Vec::new();
    for day in 0..4 {
        stage.write("db", &format!("m v=1 {}", NOW + day * 40 * DAY)).await;
        stage.flush("db").await;
        numbers.push(publish(&stage, 2 * HOUR).await.published[0].number);
    }
    publish(&stage, 2 * HOUR).await;
    let keys = stage.keys("published/").await;
    // The version hint, and three objects of each of the two newest publications.
    assert_eq!(keys.len(), 7, "{keys:?}");
    let newest = publish(&stage, HOUR).await.published[0].number;
    assert_eq!(newest, numbers[3]);
    let renewed = publish(&stage, 4 * 24 * HOUR).await.published[0].clone();
    assert!(renewed.is_new && renewed.number > newest);
}

#[tokio::test]
async fn dropped_tables_are_withdrawn() {
    let stage = CompactTestBed::with_rows(&format!("m v=1 {NOW}\nn v=1 {NOW}")).await;
    stage.flush("db").await;
    assert_eq!(publish(&stage, HOUR).await.published.len(), 2);
    let id = stage.id("db").await;
    stage.catalog.delete_table(id, "m", HardDelete::NOW).await.unwrap();
    assert_eq!(publish(&stage, HOUR).await.published.len(), 1);
    assert_eq!(metadata(&stage, 1).await, None);
    assert!(metadata(&stage, 2).await.is_some());
    let keys = stage.keys("published/").await;
    assert!(keys.iter().all(|key| key.contains("/2/metadata/")), "{keys:?}");
    stage.catalog.delete_database("db", HardDelete::NOW).await.unwrap();
    stage.look_times(4, HOUR).await;
    assert_eq!(stage.keys("published/").await, [] as [String; 0]);
}

#[tokio::test]
async fn a_publication_without_its_metadata_is_repeated() {
    let stage = CompactTestBed::with_rows(&format!("m v=1 {NOW}")).await;
    stage.flush("db").await;
    stage.pass(HOUR);
    // The publisher never gets past the version hint.
    let (reached, is_reached) = tokio::sync::oneshot::channel();
    let reached = Mutex::new(Some(reached));
    let cut = stage
        .hooked(move |call| {
            let is_hint =
                call.operation == Operation::Put && call.key.ends_with("version-hint.text");
            if !is_hint {
                return std::future::ready(()).boxed();
            }
            if let Some(reached) = reached.lock().unwrap().take() {
                reached.send(()).unwrap();
            }
            std::future::pending().boxed()
        })
        .publishing(settings());
    tokio::select! {
        _ = cut.handle(&CompactorEvent::Collect, None) => panic!("the publisher ended"),
        reached = is_reached => reached.unwrap(),
    }
    assert_eq!(metadata(&stage, 1).await, None);
    let left = stage.manifest("db").await.publications.clone();
    assert_eq!(left.len(), 1);
    let published = publish(&stage, HOUR).await.published[0].clone();
    assert!(published.is_new && published.number > left[0].number);
    assert_eq!(summary(&stage).await["total-records"], "1");
}

#[tokio::test]
async fn a_slow_publisher_does_not_set_the_version_hint_back() {
    let stage = CompactTestBed::with_rows(&format!("m v=1 {NOW}")).await;
    stage.flush("db").await;
    stage.pass(HOUR);
    let fast = stage.compactor().publishing(settings());
    let other = async move {
        run(fast).await;
    };
    let slow = stage.interrupted_at((Operation::Put, KeyClass::Published), other);
    run(slow.publishing(settings())).await;
    let numbers: Vec<_> =
        stage.manifest("db").await.publications.iter().map(|one| one.number).collect();
    assert_eq!(numbers.len(), 2);
    let metadata = metadata(&stage, 1).await.unwrap();
    assert_eq!(metadata["current-snapshot-id"], numbers[1]);
}

#[tokio::test]
async fn only_named_tables_are_published_and_sections_of_others_stay_in_bundles() {
    let stage = CompactTestBed::with_rows(&format!("m v=1 {NOW}\nn v=1 {NOW}")).await;
    stage.flush("db").await;
    stage.pass(HOUR);
    let settings = PublishSettings {
        tables: PublishedTables { names: vec!["db/n".to_owned()] },
        time: PublishedTimeType::Long,
        ..settings()
    };
    let report = run(stage.compactor().publishing(settings)).await;
    assert_eq!(report.published.len(), 1);
    let manifest = stage.manifest("db").await;
    let bundled: Vec<_> = manifest
        .sections
        .iter()
        .filter(|section| section.in_bundle)
        .map(|section| section.table)
        .collect();
    assert_eq!(bundled, [TableId::new(1)]);
    let metadata = metadata(&stage, 2).await.unwrap();
    let time = &metadata["schemas"][0]["fields"][0];
    assert_eq!((&time["name"], &time["type"]), (&"time".into(), &"long".into()));
}
