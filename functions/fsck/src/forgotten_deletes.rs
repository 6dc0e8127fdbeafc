//! Finds row deletes that a manifest no longer applies although live sections still contain rows that they remove.
//!
//! A manifest keeps a dropped delete for the time-travel period. Within that time this check finds a delete that was
//! dropped too early; later no record of it is left.

use arrow_array::RecordBatch;
use bytes::Bytes;
use neap_bucket::Bucket;
use neap_catalog::DatabaseCatalog;
use neap_manifest::{Manifest, RecordedDelete, Section, SectionWithFooter};
use neap_schema::DatabaseId;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::{Finding, FindingKind, FsckError, references::table_name, store::fetch};

/// Number of rows in a decoded batch.
const BATCH_ROWS: usize = 8_192;

/// Deletes that were dropped too early.
#[derive(Debug, Default)]
pub(crate) struct ForgottenDeletes {
    pub(crate) findings: Vec<Finding>,
    /// The deletes, each once.
    pub(crate) deletes: Vec<RecordedDelete>,
}

/// The deletes of one section: those that the manifest applies, and those that it has dropped.
#[derive(Clone, Debug)]
struct SectionDeletes {
    pending: Vec<RecordedDelete>,
    dropped: Vec<RecordedDelete>,
}

impl SectionDeletes {
    fn new(manifest: &Manifest, section: &Section) -> Self {
        let deletes = manifest.deletes.iter();
        let applying = deletes.filter(|recorded| recorded.applies_to(section));
        let (pending, dropped) = applying.cloned().partition(|recorded| recorded.dropped.is_none());
        Self { pending, dropped }
    }

    /// Adds, for each dropped delete, the number of rows that it removes and no pending delete hides.
    fn count(&self, batch: &RecordBatch, visible: &mut [u64]) -> Result<(), String> {
        let mask = |recorded: &RecordedDelete| {
            let mask = recorded.delete.condition.mask(batch);
            mask.map_err(|error| error.to_string())
        };
        let pending: Vec<_> = self.pending.iter().map(mask).collect::<Result<_, _>>()?;
        for (recorded, visible) in self.dropped.iter().zip(visible) {
            let removed = mask(recorded)?;
            let shown = pending.iter().fold(removed, |shown, hidden| &shown & &!hidden);
            *visible += shown.count_set_bits() as u64;
        }
        Ok(())
    }
}

/// Finds deletes that were dropped too early. Reads the sections whose statistics allow rows that a dropped delete
/// removes: none, unless a delete was dropped too early, or later merged sections have wider statistics than their
/// inputs.
pub(crate) async fn find(
    bucket: &Bucket,
    database: DatabaseId,
    manifest: &Manifest,
    live: &[SectionWithFooter],
    catalog: &DatabaseCatalog,
) -> Result<ForgottenDeletes, FsckError> {
    let mut forgotten = ForgottenDeletes::default();
    for section in live.iter().map(|one| &one.section) {
        let deletes = SectionDeletes::new(manifest, section);
        if deletes.dropped.is_empty() {
            continue;
        }
        let key = section.key(database);
        // A missing or damaged object has its own findings.
        let Some(bytes) = fetch(bucket, &key, Some(section.range())).await? else {
            continue;
        };
        let Ok(visible) = count_rows(bytes, deletes.clone()).await else {
            continue;
        };
        for (recorded, rows) in deletes.dropped.into_iter().zip(visible) {
            if rows == 0 {
                continue;
            }
            let message = format!(
                "its section at byte {}: {rows} rows are visible that a delete with stamp {} removes, which was \
                 dropped too early",
                section.offset, recorded.stamp
            );
            let finding = Finding::error(FindingKind::ForgottenDelete, message);
            let table = table_name(catalog, section.table);
            forgotten.findings.push(finding.at(&key).of_table(table));
            if !forgotten.deletes.contains(&recorded) {
                forgotten.deletes.push(recorded);
            }
        }
    }
    Ok(forgotten)
}

/// Counts rows on a blocking thread. Bytes that make the decoder panic are damaged.
async fn count_rows(bytes: Bytes, deletes: SectionDeletes) -> Result<Vec<u64>, String> {
    let counting = tokio::task::spawn_blocking(move || {
        let mut visible = vec![0; deletes.dropped.len()];
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes);
        let reader = builder.and_then(|builder| builder.with_batch_size(BATCH_ROWS).build());
        for batch in reader.map_err(|error| error.to_string())? {
            let batch = batch.map_err(|error| error.to_string())?;
            deletes.count(&batch, &mut visible)?;
        }
        Ok(visible)
    });
    let counted = counting.await;
    counted.unwrap_or_else(|_| Err("the decoder panicked".to_owned()))
}
