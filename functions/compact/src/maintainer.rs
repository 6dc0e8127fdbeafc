//! Maintenance of a database: removes expired and dropped sections; plans, claims and runs merges.
//!
//! ```text
//!   planner                                   store
//!     |-- GET manifest, catalog, pages ------>  |
//!     |-- commit: remove expired sections --->  |
//!     |-- commit: claims of all merges ------>  |   crash after: the claims expire
//!     |   dispatches the orders, or runs them   |
//!   worker, any number of them                |
//!     |-- GET manifest: inputs still there? ->  |   no: another worker was faster, give up
//!     |-- GET inputs, PUT bundle ------------>  |   crash after: an orphan, and the claims expire
//!     |-- commit: outputs in, claims done --->  |
//! ```
//!
//! A worker with several orders runs small merges together: one bundle and one commit for all of them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use neap_bucket::{Bucket, Key, StoreTime, VersionedValue};
use neap_catalog::{Catalog, DatabaseCatalog, RecordedRegister, Table};
use neap_manifest::{Claim, Manifest, ManifestStore, Section, TableSweep};
use neap_schema::{DatabaseId, TableId};
use ulid::Ulid;

use crate::{
    CompactError, CompactionDebt, DamagedObjects, PublishSettings,
    compaction_debt::DatabaseDebts,
    iceberg::IcebergPublisher,
    maintenance_plan::{ClaimedMerge, MaintenancePlan},
    merge::{JobLimits, MergeJobRef, MergeOutcome, MergePolicy, MergeQueue, Merger},
    plan_context::{PlanContext, PlanScope, PlanTimes},
    removal::{SectionRemover, is_being_removed},
};

/// Number of expired sections at which a plan removes them, before its end.
const EXPIRED_SECTIONS: usize = 4_096;

/// Lifetime of a claim: longer than a job may run on any platform.
const CLAIM_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// Limits of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanLimits {
    /// Maximum number of merges.
    pub jobs: usize,
    /// Maximum bytes of the inputs of one merge, if that is less than the policy allows: an amount that is certain to
    /// be merged in the available time.
    pub job_bytes: u64,
}

impl PlanLimits {
    /// Allows `jobs` merges, of any size that the policy allows.
    pub const fn with_max_jobs(jobs: usize) -> Self {
        Self { jobs, job_bytes: u64::MAX }
    }
}

/// Plans and runs the maintenance of databases.
#[derive(Clone, Debug)]
pub struct Maintainer {
    bucket: Bucket,
    catalog: Arc<Catalog>,
    manifests: ManifestStore,
    removal: SectionRemover,
    merger: Merger,
    policy: MergePolicy,
    debts: Arc<DatabaseDebts>,
    damaged: Arc<DamagedObjects>,
    publish: Option<Arc<PublishSettings>>,
}

impl Maintainer {
    /// Creates a maintainer for the databases of a bucket.
    pub fn new(
        bucket: Bucket,
        catalog: Arc<Catalog>,
        manifests: ManifestStore,
        merger: Merger,
        policy: MergePolicy,
    ) -> Self {
        let removal = SectionRemover {
            bucket: bucket.clone(),
            catalog: Arc::clone(&catalog),
            manifests: manifests.clone(),
        };
        Self {
            bucket,
            catalog,
            manifests,
            removal,
            merger,
            policy,
            debts: Arc::default(),
            damaged: Arc::default(),
            publish: None,
        }
    }

    /// Prepares sections of published tables for readers: they become objects of their own, without deleted rows.
    #[must_use]
    pub(crate) fn with_published_tables(self, settings: Arc<PublishSettings>) -> Self {
        Self { publish: Some(settings), ..self }
    }

    /// Returns a publisher for the databases of the bucket.
    pub(crate) fn publisher(&self) -> Option<IcebergPublisher> {
        Some(IcebergPublisher {
            bucket: self.bucket.clone(),
            catalog: Arc::clone(&self.catalog),
            manifests: self.manifests.clone(),
            settings: Arc::clone(self.publish.as_ref()?),
        })
    }

    /// Returns the tables of a database that are published, if the plan covers all days.
    async fn published_tables(
        &self,
        database: DatabaseId,
        catalog: &DatabaseCatalog,
        scope: PlanScope,
    ) -> Result<BTreeSet<TableId>, CompactError> {
        match (&self.publish, scope) {
            (Some(settings), PlanScope::All) => {
                settings.tables_of(&self.catalog, database, catalog).await
            }
            _ => Ok(BTreeSet::new()),
        }
    }

    /// Records damaged objects in `damaged`.
    #[must_use]
    pub fn with_damaged_objects(self, damaged: Arc<DamagedObjects>) -> Self {
        Self { damaged, ..self }
    }

    /// Returns the merges that the latest plans found due and that are not done.
    pub fn debt(&self) -> CompactionDebt {
        self.debts.total()
    }

    pub(crate) async fn read(
        &self,
        database: DatabaseId,
    ) -> Result<VersionedValue<Manifest>, CompactError> {
        Ok(self.manifests.read(database, None).await?)
    }

    pub(crate) fn removal(&self) -> &SectionRemover {
        &self.removal
    }

    /// Removes expired and dropped sections, then plans merges and claims as many as the limits allow, in order of
    /// benefit for queries.
    pub async fn plan(
        &self,
        database: DatabaseId,
        scope: PlanScope,
        limits: PlanLimits,
    ) -> Result<MaintenancePlan, CompactError> {
        self.plan_from(database, scope, limits, &mut None).await
    }

    /// Like [`plan`](Self::plan), but starts from a manifest that was read before and reads it again only if it has
    /// changed. `known` becomes the newest manifest known.
    pub(crate) async fn plan_from(
        &self,
        database: DatabaseId,
        scope: PlanScope,
        limits: PlanLimits,
        known: &mut Option<VersionedValue<Manifest>>,
    ) -> Result<MaintenancePlan, CompactError> {
        let read = self.manifests.read(database, known.as_ref()).await?;
        *known = None;
        let catalog = if read.value.needs_catalog > 0 {
            let dependent = Key::Manifest(database);
            self.catalog.needed_database(database, Duration::ZERO, &dependent).await?.value
        } else {
            self.catalog.database(database, Duration::ZERO).await?.value
        };
        let mut manifest = if catalog.registers.contains(RecordedRegister::Manifest) {
            let register = self.manifests.register(database);
            self.catalog.verify_absence(&register, read).await?
        } else {
            read
        };
        let Some(now) = self.bucket.clock().now().filter(|_| manifest.version > 0) else {
            return Ok(MaintenancePlan::default());
        };
        if !catalog.registers.contains(RecordedRegister::Manifest) {
            // The process that committed it first was interrupted.
            self.catalog.record_register(&Key::Manifest(database)).await?;
        }
        self.damaged.record_manifest(database, &manifest.value);
        let mut failures = Vec::new();
        let mut removed = 0;
        let removal_time = self.bucket.removal_time(manifest.value.low_water_mark);
        if let Ok(removal_time) = removal_time {
            let dropped = self.removal.drop_tables(
                database,
                &mut manifest,
                &catalog,
                removal_time,
                &mut failures,
            );
            removed += dropped.await?;
            let obsolete = self.removal.remove_obsolete_tables(
                database,
                &manifest.value,
                &catalog,
                removal_time,
            );
            obsolete.await?;
        }
        // Recent sections alone would leave most of the deletes pending.
        let plan_scope = if self.policy.are_deletes_urgent(&manifest.value) {
            PlanScope::All
        } else {
            scope
        };
        let policy = self.policy_of(plan_scope, limits);
        let published = self.published_tables(database, &catalog, plan_scope).await?;
        let times = PlanTimes { now, removal: removal_time.as_ref().ok().copied() };
        let state = PlanContext::new(
            &manifest.value,
            catalog,
            times,
            plan_scope,
            policy,
            published,
            self.bucket.storage_classes(),
        );
        let mut queue = MergeQueue::with_limit(limits.jobs);
        let planned = self.plan_tables(database, &state, &mut manifest, &mut queue, &mut failures);
        removed += planned.await?;
        self.debts.note(database, plan_scope, queue.debt());
        let jobs = queue.most_urgent();
        let orders = self.claim(database, now, &mut manifest, &jobs).await?;
        for error in &failures {
            tracing::error!(%database, %error, "table maintenance failed");
            self.record_damage(database, error);
        }
        *known = Some(manifest);
        let mut failures: Vec<_> = failures.iter().map(ToString::to_string).collect();
        // A pass logs it once for all databases.
        failures.extend(removal_time.err().map(|doubt| doubt.to_string()));
        // Tables that share a damaged page fail with the same message.
        failures.dedup();
        Ok(MaintenancePlan {
            orders,
            removed,
            failures,
            own_objects: state.published,
            small_bytes: policy.small_bytes,
        })
    }

    fn policy_of(&self, scope: PlanScope, limits: PlanLimits) -> MergePolicy {
        MergePolicy {
            // Neighbouring sections may be in pages that were not read.
            range_target: match scope {
                PlanScope::Recent => 0,
                PlanScope::All => self.policy.range_target,
            },
            max_output_bytes: self.policy.max_output_bytes.min(limits.job_bytes),
            max_rewrite_bytes: self.policy.max_rewrite_bytes.min(limits.job_bytes),
            ..self.policy
        }
    }

    fn record_damage(&self, database: DatabaseId, error: &CompactError) {
        if let Some(key) = error.damaged_object() {
            self.damaged.record_data(database, key.to_owned());
        }
    }

    /// Plans the tables, reading each page once, and removes expired sections. Of dropped tables, only those that may have
    /// sections to rewrite. Returns the number of removed sections.
    async fn plan_tables(
        &self,
        database: DatabaseId,
        state: &PlanContext,
        manifest: &mut VersionedValue<Manifest>,
        queue: &mut MergeQueue,
        failures: &mut Vec<CompactError>,
    ) -> Result<usize, CompactError> {
        let mut sweep = TableSweep::new(&self.manifests, database, &manifest.value);
        let is_planned = |table: &&Arc<Table>| match table.deletion() {
            None => true,
            deletion => !is_being_removed(deletion) && state.may_rewrite(table.id()),
        };
        let planned = state.catalog.all_tables().filter(is_planned);
        let tables: Vec<TableId> = planned.map(|table| table.id()).collect();
        let (mut removed, mut count) = (0, 0);
        let mut expired: Vec<Vec<Arc<Section>>> = Vec::new();
        for table in tables {
            let sections = match state.scope {
                PlanScope::Recent => sweep.recent_of(table).await,
                PlanScope::All => sweep.all_of(table).await,
            };
            let sections = match sections.map_err(CompactError::from) {
                Err(error) if error.damaged_object().is_some() => {
                    failures.push(error);
                    continue;
                }
                sections => sections?,
            };
            if sections.is_empty() {
                continue;
            }
            let plan = state.plan_table(table, &sections);
            queue.add(&plan.jobs);
            if !plan.expired.is_empty() {
                count += plan.expired.len();
                expired.push(plan.expired);
            }
            if count >= EXPIRED_SECTIONS {
                count = 0;
                let leaving = std::mem::take(&mut expired);
                removed += self.removal.expire(database, manifest, leaving).await?;
            }
        }
        Ok(removed + self.removal.expire(database, manifest, expired).await?)
    }

    async fn claim(
        &self,
        database: DatabaseId,
        now: StoreTime,
        manifest: &mut VersionedValue<Manifest>,
        jobs: &[MergeJobRef],
    ) -> Result<Vec<ClaimedMerge>, CompactError> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let expires = now.plus(CLAIM_LIFETIME);
        let orders: Vec<ClaimedMerge> = jobs
            .iter()
            .map(|job| ClaimedMerge { database, job: self.bucket.draw_ulid(), merge: job.clone() })
            .collect();
        let claims: Vec<Claim> = orders
            .iter()
            .map(|order| Claim {
                job: order.job,
                table: order.merge.table,
                first_day: order.merge.first_day,
                last_day: order.merge.last_day,
                above: order.merge.above,
                upto: order.merge.upto,
                expires,
            })
            .collect();
        let claimed = self.manifests.claim(database, manifest.clone(), &claims, now).await?;
        *manifest = claimed.current;
        let ours: BTreeSet<Ulid> = claimed.jobs.into_iter().collect();
        let is_ours = |order: &ClaimedMerge| ours.contains(&order.job);
        Ok(orders.into_iter().filter(is_ours).collect())
    }

    /// Runs a dispatched merge. Releases its claim if another worker has made the merge superfluous or the commit lost
    /// its races. Keeps the claim of a failed merge until it expires, so that the merge is not planned again
    /// immediately.
    ///
    /// # Errors
    /// Errors of the store; damaged or missing sections, by name.
    pub async fn run(
        &self,
        order: &ClaimedMerge,
        limits: &JobLimits,
    ) -> Result<MergeOutcome, CompactError> {
        let merge = self.merger.run(order.database, &order.merge, Some(order.job), limits);
        let outcome = merge.await.map_err(CompactError::from);
        if let Err(error) = &outcome {
            self.record_damage(order.database, error);
        }
        outcome
    }

    /// Runs several merges of one database with one commit. `known` is a manifest that was read before; it becomes the
    /// newest manifest known.
    ///
    /// # Errors
    /// The manifest or the catalog cannot be read, or the manifest cannot be changed.
    pub async fn run_all(
        &self,
        database: DatabaseId,
        orders: &[ClaimedMerge],
        limits: &JobLimits,
        known: &mut Option<VersionedValue<Manifest>>,
    ) -> Result<Vec<Result<MergeOutcome, CompactError>>, CompactError> {
        let requests: Vec<_> = orders.iter().map(|order| (&order.merge, Some(order.job))).collect();
        let results =
            self.merger.run_all(database, &requests, limits, known).await?.into_iter().map(
                |result| {
                    let outcome = result.map_err(CompactError::from);
                    if let Err(error) = &outcome {
                        self.record_damage(database, error);
                    }
                    outcome
                },
            );
        Ok(results.collect())
    }

    /// Releases claims of merges that will not be run.
    ///
    /// # Errors
    /// Errors of the store; the claims then expire.
    pub async fn release(&self, database: DatabaseId, jobs: &[Ulid]) -> Result<(), CompactError> {
        if jobs.is_empty() {
            return Ok(());
        }
        let manifest = self.manifests.read(database, None).await?;
        Ok(self.manifests.release(database, manifest, jobs).await?)
    }
}
