//! A bucket in memory with one database and one table. Tests write sections to it.

use std::{sync::Arc, time::Duration};

use arrow_array::{Array, RecordBatch, UInt32Array};
use arrow_select::take::take_record_batch;
use bytes::Bytes;
use neap_bucket::{
    Bucket, CountingStore, Get, GetOptions, MemoryStore, OperationCounts, ProtocolMargins,
    ProtocolRules, PutMode, Stamp, World,
};
use neap_catalog::{Catalog, Table};
use neap_manifest::{
    FlushCommit, FlushOutcome, JobKind, JobRecord, Manifest, ManifestSettings, ManifestStore,
    PendingObject, Section,
};
use neap_points::{deduplicate, times};
use neap_row_delete::{Condition, RowDelete};
use neap_schema::{ColumnType, DatabaseId};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::{
    JobLimits, MergeError, MergeJob, MergeOutcome, MergeReason, Merger, encode_section,
    split_by_days,
};

pub(super) struct MergeTestBed {
    pub(super) store: Arc<CountingStore>,
    pub(super) bucket: Bucket,
    pub(super) catalog: Arc<Catalog>,
    pub(super) manifests: ManifestStore,
    pub(super) database: DatabaseId,
    pub(super) table: Arc<Table>,
    merger: Merger,
}

impl MergeTestBed {
    /// Creates the table `m` with tags `zone` and `host`, fields `a` (float) and `b` (text).
    pub(super) async fn new() -> Self {
        let world = World::system();
        let store = MemoryStore::new(Arc::clone(&world.clock));
        let store = Arc::new(CountingStore::new(Arc::new(store)));
        let bucket = Bucket::new(Arc::clone(&store) as _, world);
        let catalog = Arc::new(Catalog::new(bucket.clone(), ProtocolMargins::LOCAL, None));
        let database = catalog.create_database("d", None).await.unwrap();
        let fields = [("a", ColumnType::Float), ("b", ColumnType::String)]
            .map(|(name, kind)| (name.to_owned(), kind));
        let tags = ["zone".to_owned(), "host".to_owned()];
        let created = catalog.create_table(database, "m", &tags, &fields).await.unwrap();
        let table = Arc::clone(created.value.table("m").unwrap());
        let rules = ProtocolRules::new(ProtocolMargins::LOCAL);
        let manifests = ManifestStore::new(bucket.clone(), &rules, ManifestSettings::default());
        let merger = Merger::new(bucket.clone(), Arc::clone(&catalog), manifests.clone());
        Self { store, bucket, catalog, manifests, database, table, merger }
    }

    pub(super) async fn manifest(&self) -> Arc<Manifest> {
        self.manifests.read(self.database, None).await.unwrap().value
    }

    /// Writes rows, and a delete that is newer than them, as one flush up to stamp `cut`.
    pub(super) async fn flush(&self, cut: u64, rows: &[RecordBatch], delete: Option<Condition>) {
        let base = self.manifests.read(self.database, None).await.unwrap();
        let object = PendingObject::draw(&self.bucket).unwrap();
        let (above, upto) = (base.value.low_water_mark, Stamp::from_u64(cut));
        let tags = self.table.tag_names();
        let points = deduplicate(&tags, &self.table.arrow_schema(), rows.to_vec()).unwrap();
        let (mut bundle, mut sections) = (Vec::new(), Vec::new());
        let ranges = split_by_days(times(&points).unwrap().values().iter().copied());
        let in_bundle = ranges.len() > 1;
        for range in ranges {
            let days = range.first_day..=range.last_day;
            let rows = take_record_batch(&points, &UInt32Array::from(range.rows)).unwrap();
            let encoded = encode_section(&tags, &rows).unwrap();
            sections.push(Section {
                offset: bundle.len() as u64,
                in_bundle,
                ..encoded.describe(object, self.table.id(), days, (above, upto))
            });
            bundle.extend_from_slice(&encoded.bytes);
        }
        if let Some(section) = sections.first() {
            let key = section.key(self.database);
            let put = self.bucket.put(&key, Bytes::from(bundle), PutMode::Overwrite);
            put.await.unwrap();
        }
        let table = self.table.id();
        let job = JobRecord {
            inputs: 1,
            outputs: 1,
            ..JobRecord::new(object.ulid, JobKind::Flush, object.drawn)
        };
        let commit = FlushCommit {
            object: (!sections.is_empty()).then_some(object),
            sections,
            needs_catalog: 1,
            deletes: delete
                .map(|condition| (upto, RowDelete { table, condition }))
                .into_iter()
                .collect(),
            ..FlushCommit::new(above, upto, job)
        };
        let outcome = self.manifests.commit_flush(self.database, base, commit).await.unwrap();
        assert!(matches!(outcome, FlushOutcome::Committed(_)), "{outcome:?}");
    }

    /// Returns the merge of all sections.
    pub(super) async fn job(&self) -> MergeJob {
        let sections = self.manifest().await.sections.clone();
        MergeJob::new(sections, MergeReason::Settled).unwrap()
    }

    pub(super) async fn merge(
        &self,
        job: &MergeJob,
        limits: &JobLimits,
    ) -> Result<MergeOutcome, MergeError> {
        self.merger.run(self.database, &job.reference(), None, limits).await
    }

    /// Merges all sections, asserts success, and returns the requests to the store.
    pub(super) async fn merge_all(&self) -> OperationCounts {
        let job = self.job().await;
        let before = self.store.counts();
        let outcome = self.merge(&job, &limits()).await.unwrap();
        assert!(matches!(outcome, MergeOutcome::Done { .. }), "{outcome:?}");
        self.store.counts() - before
    }

    pub(super) async fn object(&self, section: &Section) -> Bytes {
        let key = section.key(self.database);
        match self.bucket.get(&key, GetOptions::default()).await.unwrap().value {
            Get::Found(object) => object.bytes,
            other => panic!("{key}: {other:?}"),
        }
    }

    pub(super) async fn rows(&self, section: &Section) -> Vec<RecordBatch> {
        let bytes = self.object(section).await;
        let range = section.range();
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        let bytes = bytes.slice(range);
        assert_eq!(section.crc32c, crc32c::crc32c(&bytes));
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
        reader.map(Result::unwrap).collect()
    }
}

pub(super) fn limits() -> JobLimits {
    JobLimits { time: Duration::from_secs(60), ..JobLimits::default() }
}

/// Returns rows without the fields that have no value in any of them.
pub(super) fn without_empty_fields(tags: &[String], rows: &RecordBatch) -> RecordBatch {
    let names = rows.schema();
    let stored = |at: &usize| {
        let column = rows.column(*at);
        column.null_count() < column.len() || tags.contains(names.field(*at).name())
    };
    let kept: Vec<usize> = (0..rows.num_columns()).filter(stored).collect();
    rows.project(&kept).unwrap()
}
