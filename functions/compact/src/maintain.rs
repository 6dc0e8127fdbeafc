//! Maintenance of a database: what has expired or is dropped leaves, merges are planned, claimed and run.
//!
//! ```text
//!   planner                                   store
//!     |-- GET manifest, catalog, pages ------>  |
//!     |-- commit: what has expired out ------>  |
//!     |-- commit: claims of all merges ------>  |   crash after: the claims expire
//!     |   hands the orders out, or runs them    |
//!   worker, any number of them                  |
//!     |-- GET manifest: inputs still there? ->  |   no: somebody else was faster, it gives up
//!     |-- GET inputs, PUT bundle ------------>  |   crash after: an orphan, and the claim expires
//!     |-- commit: output in, claim fulfilled >  |
//! ```

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use neap_bucket::{Bucket, StoreTime, Versioned};
use neap_catalog::{Catalog, DatabaseCatalog};
use neap_manifest::{Claim, Manifest, ManifestStore, PageRef, Section, TimeRange};
use neap_schema::{DatabaseId, TableId};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::{
    CompactError, DamagedObjects, Debt,
    debt::Debts,
    merge::{
        Hull, InputRef, JobLimits, MergeGaveUp, MergeJob, MergeJobRef, MergeOutcome, MergePolicy,
        Merger, TablePlan, TableState, plan_table, urgency,
    },
    removal::Removal,
};

/// A claim counts for so long: longer than a job may take on any platform.
const CLAIM_TIME: Duration = Duration::from_secs(15 * 60);

/// A merge that is claimed, as it is handed to a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeOrder {
    /// The database.
    pub database: DatabaseId,
    /// The claim.
    pub job: Ulid,
    /// What to merge.
    pub merge: MergeJobRef,
}

/// How much of a database is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Days with sections that are not in pages yet: what flushes of late have touched.
    Recent,
    /// Everything.
    All,
}

/// How much a plan may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanLimits {
    /// The most merges.
    pub jobs: usize,
    /// The most bytes that the inputs of one merge have, where that is less than what the policy says: as
    /// much as is surely merged in the time that there is.
    pub job_bytes: u64,
}

impl PlanLimits {
    /// So many merges, of any size that the policy allows.
    pub const fn of_jobs(jobs: usize) -> Self {
        Self {
            jobs,
            job_bytes: u64::MAX,
        }
    }
}

/// What is to be done, and what was done at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// Merges that are claimed for the caller: all of them should be run.
    pub orders: Vec<MergeOrder>,
    /// Sections that left without being read.
    pub removed: usize,
    /// Tables that were not looked at because of damaged pages, with these pages.
    pub failures: Vec<String>,
}

/// Plans and runs the maintenance of databases.
#[derive(Clone, Debug)]
pub struct Maintainer {
    bucket: Bucket,
    catalog: Arc<Catalog>,
    manifests: ManifestStore,
    removal: Removal,
    merger: Merger,
    policy: MergePolicy,
    debts: Arc<Debts>,
    damaged: Arc<DamagedObjects>,
}

/// What the plan of a database goes by.
struct State {
    manifest: Versioned<Manifest>,
    catalog: Versioned<DatabaseCatalog>,
    now: StoreTime,
    scope: Scope,
    limits: PlanLimits,
}

impl Maintainer {
    /// Maintenance for the databases of a bucket.
    pub fn new(
        bucket: Bucket,
        catalog: Arc<Catalog>,
        manifests: ManifestStore,
        merger: Merger,
        policy: MergePolicy,
    ) -> Self {
        let removal = Removal {
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
        }
    }

    /// The same, noting damaged objects in `damaged`.
    #[must_use]
    pub fn noting(self, damaged: Arc<DamagedObjects>) -> Self {
        Self { damaged, ..self }
    }

    /// The merges that the last plans found due and that are not done.
    pub fn debt(&self) -> Debt {
        self.debts.total()
    }

    pub(crate) async fn read(
        &self,
        database: DatabaseId,
    ) -> Result<Versioned<Manifest>, CompactError> {
        Ok(self.manifests.read(database, None).await?)
    }

    pub(crate) fn removal(&self) -> &Removal {
        &self.removal
    }

    /// Removes what has expired and what is dropped, then plans merges and claims as many as the limits allow,
    /// those that help queries most first.
    pub async fn plan(
        &self,
        database: DatabaseId,
        scope: Scope,
        limits: PlanLimits,
    ) -> Result<Planned, CompactError> {
        let manifest = self.manifests.read(database, None).await?;
        let catalog = self.catalog.database(database, Duration::ZERO).await?;
        let Some(now) = self.bucket.clock().now().filter(|_| manifest.version > 0) else {
            return Ok(Planned::default());
        };
        let mut state = State {
            manifest,
            catalog,
            now,
            scope,
            limits,
        };
        let catalog = Arc::clone(&state.catalog.value);
        self.damaged.note_manifest(database, &state.manifest.value);
        let mut failures = Vec::new();
        let dropped =
            self.removal
                .drop_tables(database, &mut state.manifest, &catalog, now, &mut failures);
        let mut removed = dropped.await?;
        let obsolete =
            self.removal
                .remove_obsolete_tables(database, &state.manifest.value, &catalog, now);
        obsolete.await?;
        let mut jobs = Vec::new();
        for table in tables_of(&state.manifest.value) {
            let is_live = catalog
                .table_by_id(table)
                .is_some_and(|table| table.deletion().is_none());
            if is_live {
                let plan = match self.plan_table(database, &state, table).await {
                    Err(error) if error.damaged_object().is_some() => {
                        failures.push(error);
                        continue;
                    }
                    plan => plan?,
                };
                let expired = self
                    .removal
                    .expire(database, &mut state.manifest, plan.expired);
                removed += expired.await?;
                jobs.extend(plan.jobs);
            }
        }
        self.debts.note(database, scope, Debt::of(&jobs));
        jobs.sort_by_cached_key(urgency);
        jobs.truncate(limits.jobs);
        let orders = self.claim(database, &state, &jobs).await?;
        for error in &failures {
            tracing::error!(%database, %error, "a table is not maintained");
            self.note_damage(database, error);
        }
        Ok(Planned {
            orders,
            removed,
            failures: failures.iter().map(ToString::to_string).collect(),
        })
    }

    fn note_damage(&self, database: DatabaseId, error: &CompactError) {
        if let Some(key) = error.damaged_object() {
            self.damaged.note_data(database, key.to_owned());
        }
    }

    async fn plan_table(
        &self,
        database: DatabaseId,
        state: &State,
        table: TableId,
    ) -> Result<TablePlan, CompactError> {
        let manifest = &state.manifest.value;
        let sections = self.sections(database, state, table).await?;
        let policy = MergePolicy {
            // Neighbours may be in pages that were not read.
            range_target: match state.scope {
                Scope::Recent => 0,
                Scope::All => self.policy.range_target,
            },
            max_output_bytes: self.policy.max_output_bytes.min(state.limits.job_bytes),
            ..self.policy
        };
        let is_old = |recorded: &&neap_manifest::RecordedDelete| {
            // What has expired leaves with its section.
            !recorded.expiry && state.now.since(recorded.stamp.time()) >= self.policy.delete_after
        };
        let deletes: Vec<_> = manifest.deletes_of(table).filter(is_old).collect();
        let rewrites: BTreeSet<InputRef> = sections
            .iter()
            .filter(|section| section.length <= policy.max_output_bytes)
            .filter(|section| deletes.iter().any(|recorded| recorded.applies_to(section)))
            .map(|section| InputRef::of(section))
            .collect();
        let claimed: Vec<Hull> = manifest
            .live_claims(state.now)
            .filter(|claim| claim.table == table)
            .map(|claim| Hull {
                first_day: claim.first_day,
                last_day: claim.last_day,
                above: claim.above,
                upto: claim.upto,
            })
            .collect();
        let catalog = &state.catalog.value;
        let table_state = TableState {
            table,
            sections: &sections,
            rewrites: &rewrites,
            claimed: &claimed,
            cutoff: catalog.cutoff_of(table, state.now),
            retention: catalog.retention_of(table),
            now: state.now,
        };
        Ok(plan_table(&table_state, &policy))
    }

    /// The sections of a table: all of them, or those of all days that the manifest's own sections touch.
    async fn sections(
        &self,
        database: DatabaseId,
        state: &State,
        table: TableId,
    ) -> Result<Vec<Arc<Section>>, CompactError> {
        let manifest = &state.manifest.value;
        if state.scope == Scope::All {
            let all = self
                .manifests
                .load_sections(database, manifest, table, TimeRange::ALL)
                .await?;
            return Ok(all.into_iter().map(|found| found.section).collect());
        }
        let inline = manifest.sections.iter();
        let mut sections: Vec<_> = inline
            .filter(|section| section.table == table)
            .cloned()
            .collect();
        let mut unread: Vec<&PageRef> = manifest
            .pages
            .iter()
            .filter(|page| page.table == table)
            .collect();
        // A section of a page may reach into days of further pages.
        loop {
            let touches = |page: &&PageRef| {
                sections.iter().any(|section| {
                    section.first_day <= page.last_day && page.first_day <= section.last_day
                })
            };
            let (next, rest): (Vec<&PageRef>, Vec<&PageRef>) =
                unread.into_iter().partition(touches);
            unread = rest;
            if next.is_empty() {
                return Ok(sections);
            }
            for page in next {
                let found = self.manifests.sections_of_page(database, page).await?;
                sections.extend(found.into_iter().map(|found| found.section));
            }
        }
    }

    async fn claim(
        &self,
        database: DatabaseId,
        state: &State,
        jobs: &[MergeJob],
    ) -> Result<Vec<MergeOrder>, CompactError> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let expires = state.now.plus(CLAIM_TIME);
        let orders: Vec<MergeOrder> = jobs
            .iter()
            .map(|job| MergeOrder {
                database,
                job: self.bucket.draw_ulid(),
                merge: job.reference(),
            })
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
        let base = state.manifest.clone();
        let claimed = self
            .manifests
            .claim(database, base, &claims, state.now)
            .await?;
        let is_ours = |order: &MergeOrder| claimed.jobs.contains(&order.job);
        Ok(orders.into_iter().filter(is_ours).collect())
    }

    /// Runs a merge that was handed out. The claim of one that somebody else has made superfluous is given up,
    /// and that of one whose commit lost its races; that of one that failed stays until it expires, so that it
    /// is not planned again at once.
    ///
    /// # Errors
    /// What the store answers, and damaged or missing sections by their names.
    pub async fn run(
        &self,
        order: &MergeOrder,
        limits: &JobLimits,
    ) -> Result<MergeOutcome, CompactError> {
        let merge = self
            .merger
            .run(order.database, &order.merge, Some(order.job), limits);
        let outcome = merge.await.map_err(CompactError::from);
        if let Err(error) = &outcome {
            self.note_damage(order.database, error);
        }
        let outcome = outcome?;
        if matches!(
            outcome,
            MergeOutcome::Nothing(
                MergeGaveUp::Overtaken | MergeGaveUp::Busy | MergeGaveUp::Unknown(_)
            )
        ) {
            self.release(order.database, &[order.job]).await?;
        }
        Ok(outcome)
    }

    /// Gives up claims of merges that will not be run.
    ///
    /// # Errors
    /// What the store answers; the claims then expire.
    pub async fn release(&self, database: DatabaseId, jobs: &[Ulid]) -> Result<(), CompactError> {
        if jobs.is_empty() {
            return Ok(());
        }
        let manifest = self.manifests.read(database, None).await?;
        Ok(self.manifests.release(database, manifest, jobs).await?)
    }
}

/// The tables that have sections.
fn tables_of(manifest: &Manifest) -> BTreeSet<TableId> {
    let inline = manifest.sections.iter().map(|section| section.table);
    let paged = manifest.pages.iter().map(|page| page.table);
    inline.chain(paged).collect()
}
