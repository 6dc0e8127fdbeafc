//! Cache objects match the sections after any history.

use std::{sync::Arc, time::Duration};

use arrow_array::RecordBatch;
use futures::{FutureExt, future::BoxFuture};
use neap_bucket::{Get, GetOptions, KeyClass, VersionedValue};
use neap_cache::{CacheLayer, CacheLayerBuilder, CacheQuery, CacheShape};
use neap_catalog::{ANY_AGE, DatabaseCatalog, Table};
use neap_manifest::{Manifest, Section};
use neap_points::deduplicate;
use neap_row_delete::Condition;
use neap_schema::DatabaseId;
use neap_test_inputs::cases;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

use super::{
    caches::{distinct_cache, last_cache},
    test_bed::{CompactTestBed, NOW},
};
use crate::{
    Compactor, MergePolicy,
    caches::{CacheObjects, MAX_CONTENT_BYTES},
};

const MINUTE: i64 = 60_000_000_000;

#[derive(Clone, Debug)]
enum CacheHistoryStep {
    /// Lines: host, optional zone, minutes before now, fields.
    Write(Vec<(u8, Option<u8>, i64, u8)>),
    /// A flush by a function with a warm (`true`) or cold cache.
    Flush(bool),
    /// Runs due merges, fills caches, and collects garbage.
    Settle,
    Fill,
    /// A fill, with other steps between its read and its commit.
    InterruptedFill(Vec<Self>),
    /// Rows of an optional host, with start and length in minutes before now.
    Delete(Option<u8>, i64, i64),
    Pass(u64),
    /// Retention in hours.
    Retain(Option<u64>),
}

fn step() -> impl Strategy<Value = CacheHistoryStep> {
    prop_oneof![
        8 => simple_step(),
        1 => proptest::collection::vec(simple_step(), 1..6).prop_map(CacheHistoryStep::InterruptedFill),
    ]
}

fn simple_step() -> impl Strategy<Value = CacheHistoryStep> {
    let line = (0..4_u8, proptest::option::of(0..2_u8), -1..400_i64, 0..4_u8);
    prop_oneof![
        6 => proptest::collection::vec(line, 1..8).prop_map(CacheHistoryStep::Write),
        6 => any::<bool>().prop_map(CacheHistoryStep::Flush),
        2 => Just(CacheHistoryStep::Settle),
        3 => Just(CacheHistoryStep::Fill),
        1 => (proptest::option::of(0..4_u8), 0..300_i64, 0..300_i64)
            .prop_map(|(host, from, length)| CacheHistoryStep::Delete(host, from, length)),
        2 => (1..120_u64).prop_map(CacheHistoryStep::Pass),
        1 => proptest::option::of(1..6_u64).prop_map(CacheHistoryStep::Retain),
    ]
}

#[derive(Clone)]
struct CacheHistory {
    stage: Arc<CompactTestBed>,
    warm: Compactor,
    id: DatabaseId,
}

impl CacheHistory {
    async fn new() -> Self {
        let mut stage = CompactTestBed::new().await;
        stage.policy = MergePolicy {
            recent_sections: 3,
            delete_after: Duration::from_secs(60),
            ..MergePolicy::default()
        };
        stage.write("db", &format!("m,host=h0,zone=z0 v=1,w=1 {NOW}")).await;
        let id = stage.id("db").await;
        let catalog = &stage.catalog;
        for new in [last_cache("one", &["host"], 1), last_cache("two", &["zone"], 2)] {
            catalog.create_last_cache(id, &new).await.unwrap();
        }
        let all = last_cache("all", &[], 5);
        catalog.create_last_cache(id, &all).await.unwrap();
        for new in [
            distinct_cache("d", &["zone", "host"], 100),
            distinct_cache("small", &["host"], 2),
        ] {
            catalog.create_distinct_cache(id, &new).await.unwrap();
        }
        Self { warm: stage.compactor(), stage: Arc::new(stage), id }
    }

    fn now(&self) -> i64 {
        self.stage.bucket.world().clock.wall_micros() * 1_000
    }

    fn take(&self, step: CacheHistoryStep) -> BoxFuture<'_, ()> {
        self.do_step(step).boxed()
    }

    async fn do_step(&self, step: CacheHistoryStep) {
        let now = self.now();
        let stage = &self.stage;
        match step {
            CacheHistoryStep::Write(lines) => {
                let lines = lines.iter().map(|(host, zone, age, fields)| {
                    let zone = zone.map_or(String::new(), |zone| format!(",zone=z{zone}"));
                    let fields = match fields {
                        0 => format!("v={now}"),
                        1 => format!("w={now}"),
                        2 => format!("v={now},w={now}"),
                        _ => format!("t=\"{now}\""),
                    };
                    // Times are on a grid, so that points are overwritten.
                    let time = now - now.rem_euclid(10 * MINUTE) - age * MINUTE;
                    format!("m,host=h{host}{zone} {fields} {time}\n")
                });
                stage.write("db", &lines.collect::<String>()).await;
            }
            CacheHistoryStep::Flush(warm) => {
                stage.pass(Duration::from_secs(10));
                let cold = stage.compactor();
                let compactor = if warm { &self.warm } else { &cold };
                compactor.flush(self.id).await.unwrap();
            }
            CacheHistoryStep::Settle => {
                let report = self.warm.settle(self.id, None).await.unwrap();
                assert_eq!(report.failures, []);
            }
            CacheHistoryStep::Fill => {
                self.warm.fill_caches(self.id, None).await.unwrap();
            }
            CacheHistoryStep::InterruptedFill(steps) => {
                let history = self.clone();
                let between = async move {
                    // A request would time out if minutes passed during it, so these steps are skipped.
                    let steps = steps.into_iter();
                    for step in steps.filter(|step| !matches!(step, CacheHistoryStep::Pass(_))) {
                        history.take(step).await;
                    }
                };
                let compactor = stage.interrupted(KeyClass::Data, between);
                let report = compactor.fill_caches(self.id, None).await.unwrap();
                assert_eq!(report.failures, []);
            }
            CacheHistoryStep::Delete(host, from, length) => {
                let from = now - from * MINUTE;
                let mut condition = Condition::between(from, from + length * MINUTE);
                if let Some(host) = host {
                    condition = condition.and(Condition::Tag {
                        name: "host".to_owned(),
                        value: Some(format!("h{host}")),
                    });
                }
                stage.delete("db", condition).await;
            }
            CacheHistoryStep::Pass(minutes) => stage.pass(Duration::from_secs(60 * minutes)),
            CacheHistoryStep::Retain(hours) => {
                let retention = hours.map(|hours| Duration::from_secs(3_600 * hours));
                stage.catalog.set_retention(self.id, retention).await.unwrap();
            }
        }
    }

    /// Returns the rows of a section without deleted rows.
    async fn rows_of(&self, manifest: &Manifest, section: &Section) -> Vec<RecordBatch> {
        let options = GetOptions { range: Some(section.range()), if_none_match: None };
        let got = self.stage.bucket.get(&section.key(self.id), options).await;
        let Get::Found(object) = got.unwrap().value else {
            panic!("{section:?} is gone");
        };
        let reader = ParquetRecordBatchReaderBuilder::try_new(object.bytes).unwrap();
        let deletes: Vec<_> = manifest
            .deletes_of(section.table)
            .filter(|recorded| recorded.applies_to(section))
            .collect();
        let kept = |rows: RecordBatch| {
            deletes.iter().fold(rows, |rows, recorded| {
                let gone = recorded.delete.condition.mask(&rows).unwrap();
                let kept = arrow_array::BooleanArray::new(!&gone, None);
                arrow_select::filter::filter_record_batch(&rows, &kept).unwrap()
            })
        };
        let batches = reader.build().unwrap();
        batches.map(|rows| kept(rows.unwrap())).collect()
    }

    /// Compares all objects with the contents of the sections, and returns their number.
    async fn check(&self) -> usize {
        let manifest = self.stage.manifests.read(self.id, None).await.unwrap();
        if manifest.value.caches.is_empty() {
            return 0;
        }
        let catalog = self.stage.catalog.database(self.id, ANY_AGE).await.unwrap();
        let table = Arc::clone(catalog.value.table("m").unwrap());
        let mut batches = Vec::new();
        for section in self.sections(&manifest.value, &table).await {
            batches.extend(self.rows_of(&manifest.value, &section).await);
        }
        let rows = deduplicate(&table.tag_names(), &table.arrow_schema(), batches).unwrap();
        let objects = CacheObjects::new(self.stage.bucket.clone(), 0);
        for (cache, shape) in CacheShape::all_of(&table) {
            let Some(entry) = manifest.value.cache(cache) else {
                continue;
            };
            let found =
                objects.fetch(self.id, entry).await.unwrap().decoded(entry, &shape).unwrap();
            assert_eq!(found.complete_from(), entry.complete_from);
            let found = found.without(&shape, &[], entry.floor).unwrap();
            // Expired rows do not come back when retention is extended, so the object may start later.
            let from = self.from(&shape, &catalog, &table, &manifest).max(found.complete_from());
            let mut builder = CacheLayerBuilder::new(&shape, from, MAX_CONTENT_BYTES);
            builder.push(&rows).unwrap();
            let expected = builder.finish().unwrap();
            assert_eq!(shown(&found, &shape, from), shown(&expected, &shape, from), "{cache}");
        }
        manifest.value.caches.len()
    }

    async fn sections(&self, manifest: &Manifest, table: &Table) -> Vec<Arc<Section>> {
        let all = neap_manifest::TimeRange::ALL;
        let found = self
            .stage
            .manifests
            .load_sections(self.id, manifest, table.id(), all)
            .await
            .unwrap();
        let mut sections: Vec<_> = found.into_iter().map(|found| found.section).collect();
        sections.sort_by_key(|section| (section.upto, section.above));
        sections
    }

    /// Returns the earliest time that a query returns at present.
    fn from(
        &self,
        shape: &CacheShape,
        catalog: &VersionedValue<DatabaseCatalog>,
        table: &Table,
        manifest: &VersionedValue<Manifest>,
    ) -> i64 {
        let from = self.now() - i64::try_from(shape.age().as_nanos()).unwrap();
        let cutoff = catalog.value.cutoff_of(table.id(), manifest.current_at.unwrap());
        cutoff.map_or(from, |cutoff| from.max(cutoff))
    }
}

/// Returns the rows of a query as text.
fn shown(layer: &CacheLayer, shape: &CacheShape, from: i64) -> String {
    let projection: Vec<_> = (0..shape.schema().fields().len()).collect();
    let wanted = CacheQuery {
        filters: &[],
        from,
        count: None,
        limit: None,
        projection: &projection,
    };
    let rows = layer.select(shape, None, &wanted).unwrap();
    let options = arrow_cast::display::FormatOptions::default().with_null("null");
    let columns: Vec<_> = rows
        .columns()
        .iter()
        .map(|column| arrow_cast::display::ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    let line = |row| {
        let values = columns.iter().map(|column| column.value(row).to_string());
        values.collect::<Vec<_>>().join(" ")
    };
    (0..rows.num_rows()).map(line).collect::<Vec<_>>().join("\n")
}

/// Steps that create at least some objects to compare.
fn prelude() -> Vec<CacheHistoryStep> {
    let lines = (0..4).map(|host| (host, Some(host % 2), i64::from(host), 2));
    vec![
        CacheHistoryStep::Write(lines.collect()),
        CacheHistoryStep::Flush(false),
        CacheHistoryStep::Fill,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(48)))]

    #[test]
    fn cache_objects_match_the_sections_after_any_history(
        steps in proptest::collection::vec(step(), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let checked = runtime.block_on(async {
            let history = CacheHistory::new().await;
            let mut checked = 0;
            for step in prelude().into_iter().chain(steps) {
                history.take(step).await;
                checked += history.check().await;
            }
            checked
        });
        prop_assert!(checked >= 5);
    }
}
