//! An end-to-end test with a plugin in Python.

use std::fs;

use super::cluster::{MINUTE, TestCluster, TestProcessOptions, on_writes};

const COPY: &str = r#"
def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        if batch["table_name"] == "a":
            for row in batch["rows"]:
                influxdb3_local.write(LineBuilder("b").int64_field("v", row["v"] + 1).time_ns(row["time"]))
            influxdb3_local.info("copied", len(batch["rows"]), influxdb3_local.batch_stamp is not None)
"#;

#[tokio::test]
async fn rows_written_by_a_plugin_have_an_increased_depth() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("plugin.py"), COPY).unwrap();
    let stage = TestCluster::new();
    let cast = TestProcessOptions {
        sole_writer: true,
        plugin_folder: Some(folder.path().to_owned()),
        ..TestProcessOptions::default()
    };
    let process = stage.process(1, cast).await;
    process.start();
    process.create("db", on_writes("copy")).await;
    process.write("db", "a v=1i 1\na v=2i 2").await.unwrap();
    let copied = async {
        while stage.segments().await.len() < 2 {
            stage.sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let copied = process.bucket.world().timeout(MINUTE, copied).await;
    let logged = process.logged("db").await;
    assert!(copied.is_some(), "{logged:?}");
    assert!(logged.contains(&"INFO: copied 2 True".to_owned()), "{logged:?}");
    let segments = stage.segments().await;
    let names: Vec<_> = segments.iter().map(|(_, name)| *name).collect();
    let fetched = process.tail().fetch(segments[0].0, &names).await.unwrap();
    let depths: Vec<u8> = fetched.segments.iter().map(|one| one.depth()).collect();
    assert_eq!(depths, [0, 1]);
    process.stop().await;
}
