//! The commit of merges: stores their outputs in one object, and replaces their inputs.

use bytes::Bytes;
use neap_bucket::{Put, PutMode, VersionedValue};
use neap_manifest::{
    JobKind, JobRecord, Manifest, PendingObject, ReplaceAllOutcome, Replacement, Section,
};
use neap_schema::DatabaseId;
use ulid::Ulid;

use super::{
    MergeError, MergeOutcome, MergeSkipped, Merger,
    merger::{EncodedMerge, MergeContext, MergeResult},
};
use crate::flush::millis;

impl EncodedMerge {
    /// Returns whether the inputs may have rows before `cutoff`.
    fn has_expired_rows(&self, cutoff: i64) -> bool {
        self.job.inputs.iter().any(|input| input.min_time < cutoff)
    }

    /// Returns the section of the output for the manifest.
    fn section(&self, base: &MergeContext, object: PendingObject, offset: u64) -> Section {
        let job = &self.job;
        let days = job.first_day..=job.last_day;
        Section {
            offset,
            // Every delete at or below the mark was known and applied to the affected inputs.
            cleaned: base.manifest.value.low_water_mark,
            class: job.class,
            ..self.encoded.describe(object, job.table, days, (job.above, job.upto))
        }
    }
}

/// The object and the changes of one commit.
#[derive(Default)]
struct MergeBundle {
    bytes: Vec<u8>,
    replacements: Vec<Replacement>,
}

impl MergeBundle {
    fn add(
        &mut self,
        base: &MergeContext,
        object: PendingObject,
        merged: EncodedMerge,
        job: JobRecord,
    ) {
        let (rows, bytes_in) = (merged.encoded.rows, merged.job.bytes());
        let offset = self.bytes.len() as u64;
        let add = (rows > 0).then(|| merged.section(base, object, offset));
        let bytes_out = add.as_ref().map_or(0, |section| section.length);
        let floor = merged.cutoff.filter(|cutoff| merged.has_expired_rows(*cutoff));
        if add.is_some() && self.bytes.is_empty() {
            self.bytes = merged.encoded.bytes;
        } else if add.is_some() {
            self.bytes.extend_from_slice(&merged.encoded.bytes);
        }
        self.replacements.push(Replacement {
            table: merged.job.table,
            object: add.is_some().then_some(object),
            floor,
            claim: merged.claim,
            job: JobRecord {
                id: merged.claim.unwrap_or(object.ulid),
                table: Some(merged.job.table),
                inputs: u32::try_from(merged.job.inputs.len()).unwrap_or(u32::MAX),
                outputs: u32::from(add.is_some()),
                rows,
                bytes_in,
                bytes_out,
                ..job
            },
            add: add.into_iter().collect(),
            remove: merged.job.inputs,
        });
    }

    /// Records in the sections whether the object has several sections, which determines its name. Such an object is not
    /// cold, because a section would be rewritten to leave it.
    fn name_object(&mut self) {
        let sections = self.replacements.iter().map(|one| one.add.len());
        let in_bundle = sections.sum::<usize>() > 1;
        let sections = self.replacements.iter_mut().flat_map(|one| &mut one.add);
        for section in sections {
            section.in_bundle = in_bundle;
            section.class = section.class.filter(|_| !in_bundle);
        }
    }

    /// Returns the outcomes of the merges for a successful commit.
    fn done(&self) -> Vec<MergeOutcome> {
        let jobs = self.replacements.iter().map(|one| one.job);
        let done = jobs.map(|job| MergeOutcome::Done {
            rows: job.rows,
            bytes_in: job.bytes_in,
            bytes_out: job.bytes_out,
        });
        done.collect()
    }
}

impl Merger {
    /// Stores the outputs in one object and replaces the inputs with them, in one commit. The commit also ends the
    /// claims in `release`.
    pub(super) async fn commit(
        &self,
        base: MergeContext,
        merged: Vec<Result<Result<EncodedMerge, MergeSkipped>, MergeError>>,
        release: &[Ulid],
        known: &mut Option<VersionedValue<Manifest>>,
    ) -> Result<Vec<MergeResult>, MergeError> {
        let object = PendingObject::draw(&self.bucket);
        let job = self.job_record(&base);
        let mut bundle = MergeBundle::default();
        let mut results = Vec::new();
        for one in merged {
            results.push(match (one, object) {
                (Ok(Ok(one)), Some(object)) => {
                    bundle.add(&base, object, one, job);
                    None
                }
                (Ok(Ok(_)), None) => Some(Ok(MergeOutcome::Skipped(MergeSkipped::NoDate))),
                (Ok(Err(reason)), _) => Some(Ok(MergeOutcome::Skipped(reason))),
                (Err(error), _) => Some(Err(error)),
            });
        }
        let mut outcomes = self.commit_bundle(base, bundle, release, known).await?.into_iter();
        let not_stored = MergeOutcome::Skipped(MergeSkipped::NotStored);
        let results = results.into_iter().map(|result| {
            result.unwrap_or_else(|| Ok(outcomes.next().unwrap_or_else(|| not_stored.clone())))
        });
        Ok(results.collect())
    }

    fn job_record(&self, base: &MergeContext) -> JobRecord {
        let finished = self.bucket.clock().now().unwrap_or_default();
        JobRecord {
            duration_ms: millis(self.elapsed(base)),
            ..JobRecord::new(Ulid::nil(), JobKind::Merge, finished)
        }
    }

    /// Returns the outcome of each replacement of a bundle, or no outcome if the bundle could not be stored.
    async fn commit_bundle(
        &self,
        base: MergeContext,
        mut bundle: MergeBundle,
        release: &[Ulid],
        known: &mut Option<VersionedValue<Manifest>>,
    ) -> Result<Vec<MergeOutcome>, MergeError> {
        bundle.name_object();
        let mut outcomes = bundle.done();
        let MergeBundle { bytes, replacements } = bundle;
        let (database, manifest) = (base.database, base.manifest);
        if replacements.is_empty() {
            self.release(database, &manifest, release).await?;
            *known = Some(manifest);
            return Ok(outcomes);
        }
        if let Some(section) = replacements.iter().find_map(|one| one.add.first()) {
            let key = section.key(database);
            let mode = section.class.map_or(PutMode::Overwrite, PutMode::OverwriteIn);
            let put = self.bucket.put(&key, Bytes::from(bytes), mode);
            if put.await?.value == Put::Refused {
                return Ok(Vec::new());
            }
        }
        let replaced =
            self.manifests.replace_all(database, manifest.clone(), &replacements, release);
        let (current, refused) = match replaced.await? {
            ReplaceAllOutcome::Completed(replaced) => {
                let refused: Vec<_> =
                    replaced.refused.into_iter().map(|one| one.map(MergeSkipped::from)).collect();
                (replaced.current, refused)
            }
            ReplaceAllOutcome::Unknown { reason } => {
                let unknown = Some(MergeSkipped::Unknown(reason));
                (manifest, vec![unknown; replacements.len()])
            }
        };
        if refused.iter().all(Option::is_some) {
            let claims: Vec<_> = replacements
                .iter()
                .filter_map(|one| one.claim)
                .chain(release.iter().copied())
                .collect();
            self.release(database, &current, &claims).await?;
        }
        *known = Some(current);
        for (outcome, refused) in outcomes.iter_mut().zip(refused) {
            if let Some(reason) = refused {
                *outcome = MergeOutcome::Skipped(reason);
            }
        }
        Ok(outcomes)
    }

    async fn release(
        &self,
        database: DatabaseId,
        manifest: &VersionedValue<Manifest>,
        jobs: &[Ulid],
    ) -> Result<(), MergeError> {
        if jobs.is_empty() {
            return Ok(());
        }
        let released = self.manifests.release(database, manifest.clone(), jobs);
        Ok(released.await?)
    }
}
