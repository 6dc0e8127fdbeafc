//! The check of one database.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use neap_bucket::{Key, Register, RegisterError, RegisterValue, StoreTime, VersionedValue};
use neap_catalog::{DatabaseCatalog, DatabaseDocuments};
use neap_manifest::{Manifest, ManifestError, Section};
use neap_rollup::ViewProgress;
use neap_rules::RuleProgress;
use neap_schema::DatabaseId;
use neap_wal::SiteProgress;

use crate::{
    Finding, FindingKind, FsckError, FsckProgress, FsckTotals, Severity,
    caches::CacheInventory,
    forgotten_deletes,
    fsck::DatabaseTarget,
    manifest_contents::ManifestContents,
    messages,
    missing_registers::DatabaseRegisters,
    plugin_code, recorded_damage,
    references::{
        catalog_contradictions, missing_data, out_of_order, overlaps, section_contradictions,
        table_name,
    },
    repair::RepairPlan,
    sections::{self, SectionWithTable},
    store::{ORPHAN_AGE, ObjectInventory, inventory},
    tail::{self, SegmentChecker, TailInventory},
};

/// Maximum number of checks of a database that other processes keep changing.
const MAX_ATTEMPTS: usize = 3;

/// Maximum time by which a low-water mark may be ahead of the store's clock.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// The result of a check of one database.
#[derive(Debug, Default)]
pub(crate) struct DatabaseCheckResult {
    pub(crate) findings: Vec<Finding>,
    pub(crate) totals: FsckTotals,
    pub(crate) repairs: RepairPlan,
    lacks_manifest: bool,
}

impl DatabaseTarget<'_> {
    /// Checks the database. Repeats the check if it found a problem and other processes have changed the database.
    pub(crate) async fn check(
        &self,
        progress: &(dyn Fn(FsckProgress<'_>) + Sync),
    ) -> Result<DatabaseCheckResult, FsckError> {
        let mut checked = DatabaseCheckResult::default();
        for _ in 0..MAX_ATTEMPTS {
            checked = self.check_once(progress).await?;
            let is_wrong = |finding: &Finding| finding.severity > Severity::Note;
            if checked.lacks_manifest && self.has_manifest().await? {
                // It was created and recorded after it was read.
                continue;
            }
            let Some(base) = &checked.repairs.base else {
                break;
            };
            if !checked.findings.iter().any(is_wrong) {
                break;
            }
            match self.fsck.manifests.read(self.id, Some(base)).await {
                Ok(now) if now.version == base.version => break,
                Ok(_) | Err(ManifestError::Format(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for finding in &mut checked.findings {
            finding.database = Some(self.name.to_owned());
        }
        Ok(checked)
    }

    async fn has_manifest(&self) -> Result<bool, FsckError> {
        match self.fsck.manifests.read(self.id, None).await {
            Ok(manifest) => Ok(manifest.version > 0),
            Err(ManifestError::Format(_)) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    async fn check_once(
        &self,
        progress: &(dyn Fn(FsckProgress<'_>) + Sync),
    ) -> Result<DatabaseCheckResult, FsckError> {
        let bucket = &self.fsck.bucket;
        let mut checked = DatabaseCheckResult::default();
        checked.totals.databases = 1;
        let read_manifest = match self.fsck.manifests.read(self.id, None).await {
            Ok(manifest) => Some(manifest),
            Err(ManifestError::Format(error)) => {
                checked.findings.push(messages::format_finding(&error));
                None
            }
            Err(error) => return Err(error.into()),
        };
        let mut named = ManifestContents::default();
        if let Some(manifest) = &read_manifest {
            named = self.load(&manifest.value, &mut checked.findings).await?;
        }
        let inventories = self.inventories(&named).await?;
        let caches = CacheInventory::list(bucket, self.id).await?;
        let own = inventories.get(&self.id);
        checked.findings.extend(named.findings(own));
        let mark = read_manifest.as_ref().map(|it| it.value.low_water_mark);
        let mut tail = match mark {
            Some(mark) => tail::inventory(bucket, self.id, mark).await?,
            None => TailInventory::default(),
        };
        if let Some(manifest) = &read_manifest {
            tail.exclude(|name| manifest.value.is_quarantined(name));
        }
        // The catalog is read last, so that it includes all tables and columns of the data read before.
        let key = Key::DatabaseCatalog(self.id);
        let read_catalog: Option<VersionedValue<DatabaseCatalog>> =
            self.register(key, &mut checked.findings).await?;
        let key = Key::Documents(self.id);
        let documents = self.register::<DatabaseDocuments>(key, &mut checked.findings).await?;
        let key = Key::ViewProgress(self.id);
        let views = self.register::<ViewProgress>(key, &mut checked.findings).await?;
        let key = Key::RuleProgress(self.id);
        let rules = self.register::<RuleProgress>(key, &mut checked.findings).await?;
        let key = Key::SiteProgress(self.id);
        let sites = self.register::<SiteProgress>(key, &mut checked.findings).await?;
        let missing = self.missing_registers(&DatabaseRegisters {
            manifest: read_manifest.as_ref(),
            catalog: read_catalog.as_ref(),
            documents: documents.as_ref(),
            views: views.as_ref(),
            rules: rules.as_ref(),
            sites: sites.as_ref(),
            tail: &tail,
            data_objects: own.map_or(0, BTreeMap::len),
        });
        let now = bucket.clock().now();
        checked.count(&named, own, &caches, &tail, read_catalog.as_ref());
        checked.findings.extend(tail.findings(self.id, now));
        checked.findings.extend(missing.findings);
        checked.repairs.expendable = missing.expendable;
        checked.lacks_manifest = missing.lacks_manifest;
        // Without one of them, everything else looks wrong.
        let manifest = read_manifest.filter(|_| !missing.manifest);
        let catalog = read_catalog.filter(|_| !missing.catalog);
        if let (Some(manifest), Some(catalog)) = (manifest, catalog) {
            checked.findings.extend(
                catalog_contradictions(&catalog.value)
                    .into_iter()
                    .map(|found| found.at(Key::DatabaseCatalog(self.id))),
            );
            self.check_references(&manifest, &catalog, &named, &inventories, &mut checked);
            for trigger in catalog.value.triggers() {
                if let Some(code) = trigger.code {
                    let user = format!("trigger {:?}", trigger.name);
                    let finding = plugin_code::check(bucket, code, &user).await?;
                    checked.findings.extend(finding);
                }
            }
            checked
                .findings
                .extend(self.check_checkpoints(&manifest, &catalog.value).await?);
            let known = recorded_damage::recorded_damage(self.id, &manifest.value, &catalog.value);
            checked.findings.extend(known);
            checked.findings.extend(self.mark_ahead(&manifest.value, now));
            let forgotten = forgotten_deletes::find(
                bucket,
                self.id,
                &manifest.value,
                &named.live,
                &catalog.value,
            )
            .await?;
            checked.findings.extend(forgotten.findings);
            checked.repairs.deletes = forgotten.deletes;
            let found = caches
                .check(bucket, self.id, &manifest.value, &catalog.value, self.full)
                .await?;
            checked.findings.extend(found.findings);
            checked.repairs.caches = found.broken;
            if let Some(now) = now {
                let orphans = caches.orphans(self.id, &manifest.value, now);
                checked.findings.extend(orphans);
            }
            // Without a manifest, nothing tells which objects are unreferenced.
            let is_known = manifest.version > 0 && named.unreadable.is_empty();
            if let (Some(own), Some(now), true) = (inventories.get(&self.id), now, is_known) {
                self.find_orphans(own, &named, now, &mut checked);
            }
            if self.full {
                self.read(&manifest, &catalog, named, &inventories, &tail, &mut checked, progress)
                    .await?;
            } else {
                self.read_tail(&manifest, &catalog, &tail, &mut checked, &|_| {}).await?;
            }
            checked.repairs.base = Some(manifest);
        }
        Ok(checked)
    }

    /// Lists the objects of this database, and of the databases from which it was restored.
    async fn inventories(
        &self,
        named: &ManifestContents,
    ) -> Result<BTreeMap<DatabaseId, ObjectInventory>, FsckError> {
        let live = named.live.iter().map(|one| &one.section);
        let origins = live.chain(&named.condemned).filter_map(|it| it.origin);
        let all: BTreeSet<DatabaseId> = origins.chain([self.id]).collect();
        let mut inventories = BTreeMap::new();
        for database in all {
            inventories.insert(database, inventory(&self.fsck.bucket, database).await?);
        }
        Ok(inventories)
    }

    async fn register<T: RegisterValue>(
        &self,
        key: Key,
        findings: &mut Vec<Finding>,
    ) -> Result<Option<VersionedValue<T>>, FsckError> {
        let register: Register<T> =
            Register::new(self.fsck.bucket.clone(), key, neap_bucket::RECENT_PUT_IDS);
        match register.read(None).await {
            Ok(value) => Ok(Some(value)),
            Err(RegisterError::Format(error)) => {
                findings.push(messages::format_finding(&error));
                Ok(None)
            }
            Err(RegisterError::Store(error)) => Err(error.into()),
            Err(error @ RegisterError::Missing(_)) => Err(error.into()),
        }
    }

    /// Checks the references of the manifest against the listed objects and the catalog.
    fn check_references(
        &self,
        manifest: &VersionedValue<Manifest>,
        catalog: &VersionedValue<DatabaseCatalog>,
        named: &ManifestContents,
        inventories: &BTreeMap<DatabaseId, ObjectInventory>,
        checked: &mut DatabaseCheckResult,
    ) {
        let key = Key::Manifest(self.id);
        let findings = &mut checked.findings;
        let before = findings.len();
        let live = || named.live.iter().map(|one| one.section.as_ref());
        let tables = &catalog.value;
        if manifest.value.needs_catalog > catalog.version {
            let (needed, found) = (manifest.value.needs_catalog, catalog.version);
            let message =
                format!("it needs version {needed} of the catalog, which has version {found}");
            findings.push(Finding::error(FindingKind::CatalogBehind, message).at(&key));
        }
        for section in live() {
            let found = section_contradictions(section, &manifest.value, tables);
            findings.extend(found.into_iter().map(|finding| {
                let table = table_name(tables, section.table);
                finding.at(section.key(self.id)).of_table(table)
            }));
        }
        if let Some(section) = out_of_order(&manifest.value) {
            let message = "it is out of order in the manifest";
            let finding = Finding::error(FindingKind::Contradiction, message);
            findings.push(finding.at(section.key(self.id)));
        }
        for (section, message) in overlaps(live()) {
            let finding = Finding::error(FindingKind::Overlap, message);
            let table = table_name(tables, section.table);
            findings.push(finding.at(section.key(self.id)).of_table(table));
        }
        if findings.len() == before
            && let Err(contradiction) = manifest.value.check()
        {
            let message = contradiction.to_string();
            findings.push(Finding::error(FindingKind::Contradiction, message).at(&key));
        }
        let (id, error, warning) = (self.id, Severity::Error, Severity::Warning);
        findings.extend(missing_data(id, live(), inventories, tables, error));
        let condemned = named.condemned.iter().map(AsRef::as_ref);
        let of_earlier = missing_data(id, condemned, inventories, tables, warning);
        findings.extend(of_earlier.into_iter().map(|finding| Finding {
            message: format!("{}: of earlier versions only", finding.message),
            ..finding
        }));
        let deletes = manifest.value.pending_deletes();
        let tables_named = deletes.map(|recorded| recorded.delete.table);
        let unknown: BTreeSet<_> =
            tables_named.filter(|table| tables.table_by_id(*table).is_none()).collect();
        findings.extend(unknown.into_iter().map(|table| {
            let message = format!("it names table {table}, which the catalog lacks");
            Finding::warning(FindingKind::UnknownTable, message).at(&key)
        }));
        checked.repairs.pages.clone_from(&named.corrected);
    }

    /// Returns a finding if the low-water mark is ahead of the store's clock. Writes are refused until the clock
    /// reaches it.
    fn mark_ahead(&self, manifest: &Manifest, now: Option<StoreTime>) -> Option<Finding> {
        let mark = manifest.low_water_mark.time();
        let ahead = now.filter(|now| mark > now.plus(CLOCK_SKEW))?;
        let message = format!(
            "its low-water mark is {} s ahead of the store's clock: no write is accepted until the clock reaches it",
            mark.since(ahead).as_secs()
        );
        let finding = Finding::error(FindingKind::ClockAhead, message);
        Some(finding.at(Key::Manifest(self.id)))
    }

    fn find_orphans(
        &self,
        own: &ObjectInventory,
        named: &ManifestContents,
        now: StoreTime,
        checked: &mut DatabaseCheckResult,
    ) {
        for (name, listed) in own {
            let age = now.since(listed.last_modified);
            if named.objects.contains(name) || age < ORPHAN_AGE {
                continue;
            }
            let hours = age.as_secs() / 3_600;
            let message = format!(
                "it is unreferenced, {} bytes that are {hours} hours old: the collector removes it",
                listed.size_bytes
            );
            let finding = Finding::note(FindingKind::Orphan, message);
            checked.findings.push(finding.at(name.key(self.id)));
            checked.repairs.orphans.insert(*name);
        }
    }

    /// Reads all rows.
    #[expect(clippy::too_many_arguments, reason = "all that was gathered is needed")]
    async fn read(
        &self,
        manifest: &VersionedValue<Manifest>,
        catalog: &VersionedValue<DatabaseCatalog>,
        named: ManifestContents,
        inventories: &BTreeMap<DatabaseId, ObjectInventory>,
        tail: &TailInventory,
        checked: &mut DatabaseCheckResult,
        progress: &(dyn Fn(FsckProgress<'_>) + Sync),
    ) -> Result<(), FsckError> {
        let bucket = &self.fsck.bucket;
        let is_there = |section: &Section| {
            let of = section.origin.unwrap_or(self.id);
            let name = section.object_name();
            let listed = inventories.get(&of).and_then(|objects| objects.get(&name));
            listed.is_some_and(|listed| section.range().end <= listed.size_bytes)
        };
        let wanted: Vec<SectionWithTable> = named
            .live
            .into_iter()
            .filter(|one| is_there(&one.section))
            .filter_map(|one| {
                let table = catalog.value.table_by_id(one.section.table)?.stored();
                Some((one, table))
            })
            .collect();
        let lengths = wanted.iter().map(|(one, _)| one.section.length);
        let total_bytes = lengths.sum::<u64>() + tail.bytes;
        let done = AtomicU64::new(0);
        let read = |bytes: u64| {
            let done_bytes = done.fetch_add(bytes, Ordering::Relaxed) + bytes;
            progress(FsckProgress { database: self.name, done_bytes, total_bytes });
        };
        read(0);
        for found in sections::read_all(bucket, self.id, wanted, &read).await? {
            checked.findings.extend(found.findings);
            checked.repairs.sections.extend(found.corrected);
        }
        self.read_tail(manifest, catalog, tail, checked, &read).await
    }

    /// Reads the tail. Verifies checksums; a full check also decodes the rows.
    async fn read_tail(
        &self,
        manifest: &VersionedValue<Manifest>,
        catalog: &VersionedValue<DatabaseCatalog>,
        tail: &TailInventory,
        checked: &mut DatabaseCheckResult,
        read: &(dyn Fn(u64) + Sync),
    ) -> Result<(), FsckError> {
        let known = SegmentChecker {
            manifest: &manifest.value,
            catalog: &catalog.value,
            catalog_version: catalog.version,
            full: self.full,
        };
        let (findings, gone) = tail.read(&self.fsck.bucket, self.id, &known, read).await?;
        checked.findings.extend(findings);
        if gone.is_empty() {
            return Ok(());
        }
        let now = self.fsck.manifests.read(self.id, Some(manifest)).await?;
        let lost = gone.into_iter().filter(|name| name.stamp > now.value.low_water_mark);
        checked.findings.extend(lost.map(|name| {
            let message = "it was listed but is missing, and no flush has merged it";
            let finding = Finding::error(FindingKind::Missing, message);
            finding.at(Key::Segment(self.id, name))
        }));
        Ok(())
    }
}

impl DatabaseCheckResult {
    fn count(
        &mut self,
        named: &ManifestContents,
        own: Option<&ObjectInventory>,
        caches: &CacheInventory,
        tail: &TailInventory,
        catalog: Option<&VersionedValue<DatabaseCatalog>>,
    ) {
        let objects = own.into_iter().flat_map(|own| own.values());
        let totals = &mut self.totals;
        totals.tables = catalog.map_or(0, |catalog| catalog.value.tables().count() as u64);
        totals.sections = named.live.len() as u64;
        totals.rows = named.live.iter().map(|one| one.section.rows).sum();
        totals.pages = named.pages;
        totals.segments = tail.segments.len() as u64;
        totals.objects = own.map_or(0, |own| own.len() as u64) + caches.len();
        totals.bytes = objects.map(|listed| listed.size_bytes).sum::<u64>();
        totals.bytes += caches.bytes() + tail.bytes;
    }
}
