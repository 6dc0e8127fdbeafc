//! The publisher: selects what is published of each table of a database, records it, and puts the metadata.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use neap_bucket::{Bucket, Key, Operation, PublishedObject, PutMode, StoreTime, VersionedValue};
use neap_catalog::{ANY_AGE, Catalog, Table};
use neap_manifest::{
    MAX_PUBLICATIONS, Manifest, ManifestStore, PUBLICATION_LIFETIME, Publication,
    PublicationOutcome, PublicationRequest, Section, TableSweep,
};
use neap_schema::DatabaseId;
use sha2::{Digest, Sha256};

use super::{
    PublishSettings, PublishedTable,
    manifest_files::{DataFile, StoredManifest, encode_manifest, encode_manifest_list},
    metadata::PublishedState,
    settled_sections::SettledSections,
    table_schema::TableSchema,
    version_hint::VersionHint,
};
use crate::{CompactError, listing::in_time};

/// Maximum number of tables whose metadata are read or put in parallel.
const PARALLEL_TABLES: usize = 8;

/// Number of sections from which a group of tables is published before the next tables are looked at, so that memory
/// stays bounded.
const GROUP_SECTIONS: usize = 20_000;

/// Publishes tables.
#[derive(Clone, Debug)]
pub(crate) struct IcebergPublisher {
    pub(crate) bucket: Bucket,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) manifests: ManifestStore,
    pub(crate) settings: Arc<PublishSettings>,
}

/// The result of publishing the tables of a database.
#[derive(Debug, Default)]
pub(crate) struct PublishOutcome {
    pub(crate) tables: Vec<PublishedTable>,
    /// Reasons why tables were not published.
    pub(crate) failures: Vec<String>,
    /// Whether the state was so old that nothing was published. The next run publishes.
    pub(crate) is_overtaken: bool,
}

/// A table as it is to be published.
#[derive(Debug)]
struct CandidateTable {
    table: Arc<Table>,
    schema: TableSchema,
    sections: SettledSections,
    /// A checksum of the published content.
    content: String,
}

/// A candidate that differs from what is published, with the version hint that was read.
type ChangedTable = (CandidateTable, VersionHint);

/// The state of a database from which its tables are published.
struct DatabaseState {
    id: DatabaseId,
    name: String,
    manifest: VersionedValue<Manifest>,
    now: StoreTime,
}

impl IcebergPublisher {
    /// Publishes the tables of a database whose settled sections or columns have changed since they were published.
    /// Fails if the store failed, or the manifest or the catalog cannot be read.
    pub(crate) async fn publish(
        &self,
        database: DatabaseId,
    ) -> Result<PublishOutcome, CompactError> {
        let mut outcome = PublishOutcome::default();
        let root = self.catalog.root(ANY_AGE).await?;
        let manifest = self.manifests.read(database, None).await?;
        let entry = root.value.databases().get(&database);
        let now = manifest.current_at.filter(|_| manifest.version > 0);
        let (Some(entry), Some(now)) = (entry, now) else {
            return Ok(outcome);
        };
        let state = DatabaseState { id: database, name: entry.name.clone(), manifest, now };
        let catalog = self.catalog.database(database, Duration::ZERO).await?.value;
        let published = self.settings.tables_of(&self.catalog, database, &catalog).await?;
        let mut sweep = TableSweep::new(&self.manifests, database, &state.manifest.value);
        let (mut group, mut count) = (Vec::new(), 0);
        for table in catalog.tables().filter(|it| published.contains(&it.id())) {
            let sections = match sweep.all_of(table.id()).await {
                Err(error) if error.is_damage() => {
                    outcome.failures.push(error.to_string());
                    continue;
                }
                sections => sections?,
            };
            let base = self.bucket.retention_base(now);
            let cutoff = catalog.cutoff_of(table.id(), base);
            group.push(self.candidate(&state, table, &sections, cutoff));
            count += sections.len();
            if count >= GROUP_SECTIONS {
                count = 0;
                let group = std::mem::take(&mut group);
                self.publish_group(&state, group, &mut outcome).await?;
            }
        }
        self.publish_group(&state, group, &mut outcome).await?;
        // Tables that share a damaged page fail with the same message.
        outcome.failures.dedup();
        outcome.tables.sort_by(|one, other| one.table.cmp(&other.table));
        Ok(outcome)
    }

    fn candidate(
        &self,
        state: &DatabaseState,
        table: &Arc<Table>,
        sections: &[Arc<Section>],
        cutoff: Option<i64>,
    ) -> CandidateTable {
        let deletes = state.manifest.value.deletes_of(table.id());
        let sections = SettledSections::new(sections, deletes, cutoff);
        let schema = TableSchema::new(table, self.settings.time);
        CandidateTable {
            content: self.content(state.id, &schema, &sections),
            table: Arc::clone(table),
            schema,
            sections,
        }
    }

    /// Publishes the tables of a group that have changed.
    async fn publish_group(
        &self,
        state: &DatabaseState,
        group: Vec<CandidateTable>,
        outcome: &mut PublishOutcome,
    ) -> Result<(), CompactError> {
        let changed = self.changed(state, group, outcome).await?;
        if changed.is_empty() {
            return Ok(());
        }
        let requests: Vec<_> = changed
            .iter()
            .map(|(one, _)| PublicationRequest {
                table: one.table.id(),
                content: one.content.clone(),
            })
            .collect();
        let (base, version) = (state.manifest.clone(), state.manifest.version);
        let recorded = self.manifests.record_publications(state.id, base, version, &requests);
        match recorded.await? {
            PublicationOutcome::Recorded(recorded) => {
                for published in self.put_all(state, changed, recorded).await {
                    match published {
                        Ok(table) => outcome.tables.push(table),
                        // The next publication repeats it. Other tables do not wait for it.
                        Err(error) => outcome.failures.push(error.to_string()),
                    }
                }
            }
            PublicationOutcome::Gone => outcome.is_overtaken = true,
            PublicationOutcome::TooMany => outcome.failures.push(format!(
                "there would be more than {MAX_PUBLICATIONS} publications: publish fewer tables, or less often"
            )),
        }
        Ok(())
    }

    /// Returns a checksum of the columns and the files of a table.
    fn content(
        &self,
        database: DatabaseId,
        schema: &TableSchema,
        sections: &SettledSections,
    ) -> String {
        let mut hash = Sha256::new();
        let mut add = |text: String| {
            hash.update(text);
            hash.update([0]);
        };
        add(schema.json().to_string());
        add(schema.name_mapping().to_string());
        for section in &sections.published {
            add(self.settings.url.of_key(&section.key(database)));
        }
        let mut text = hex::encode(hash.finalize());
        // The manifest holds it, and 128 bits are enough.
        text.truncate(32);
        text
    }

    /// Returns the candidates that differ from what is published, or whose publication is old or incomplete. Adds the
    /// others to the outcome.
    async fn changed(
        &self,
        state: &DatabaseState,
        candidates: Vec<CandidateTable>,
        outcome: &mut PublishOutcome,
    ) -> Result<Vec<ChangedTable>, CompactError> {
        // Collect the futures, so that this future is `Send` for all lifetimes.
        let hints: Vec<_> = candidates
            .into_iter()
            .map(|candidate| async move {
                let table = candidate.table.id();
                let hint = VersionHint::read(&self.bucket, state.id, table).await?;
                Ok::<_, CompactError>((candidate, hint))
            })
            .collect();
        let mut hints = stream::iter(hints).buffered(PARALLEL_TABLES);
        let mut changed = Vec::new();
        while let Some((candidate, hint)) = hints.try_next().await? {
            let newest = state.manifest.value.newest_publication(candidate.table.id());
            let is_current = |newest: &&Publication| {
                newest.content == candidate.content
                    && hint.number == Some(newest.number)
                    && state.now.since(newest.published) < PUBLICATION_LIFETIME / 2
            };
            match newest.filter(is_current) {
                Some(newest) => {
                    let report = self.report(state.id, &candidate, newest.number, false);
                    outcome.tables.push(report);
                }
                None => changed.push((candidate, hint)),
            }
        }
        Ok(changed)
    }

    fn report(
        &self,
        database: DatabaseId,
        candidate: &CandidateTable,
        number: u64,
        is_new: bool,
    ) -> PublishedTable {
        let SettledSections { published, unsettled, .. } = &candidate.sections;
        let path = Key::published_table(database, candidate.table.id());
        PublishedTable {
            database,
            table: candidate.table.name().to_owned(),
            location: self.settings.url.of_path(&path),
            number,
            is_new,
            sections: published.len(),
            rows: published.iter().map(|section| section.rows).sum(),
            unsettled_sections: unsettled.len(),
            unsettled_rows: unsettled.iter().map(|section| section.rows).sum(),
        }
    }

    /// Puts the metadata of recorded publications.
    async fn put_all(
        &self,
        state: &DatabaseState,
        changed: Vec<ChangedTable>,
        recorded: Vec<Publication>,
    ) -> Vec<Result<PublishedTable, CompactError>> {
        let tables = changed.into_iter().zip(recorded);
        // Collect the futures, so that this future is `Send` for all lifetimes.
        let puts: Vec<_> = tables
            .map(|((candidate, hint), publication)| async move {
                self.put(state, &candidate, &publication).await?;
                let (table, number) = (publication.table, publication.number);
                hint.raise(&self.bucket, state.id, table, number).await?;
                let name = candidate.table.name();
                tracing::info!(database = %state.id, table = name, number, "published");
                Ok::<_, CompactError>(self.report(state.id, &candidate, number, true))
            })
            .collect();
        stream::iter(puts).buffered(PARALLEL_TABLES).collect().await
    }

    /// Puts the metadata of one publication, except the version hint.
    async fn put(
        &self,
        state: &DatabaseState,
        candidate: &CandidateTable,
        publication: &Publication,
    ) -> Result<(), CompactError> {
        let (table, number) = (publication.table, publication.number);
        let key = |object| Key::Published(state.id, table, object);
        let url = |key: &Key| self.settings.url.of_key(key);
        let sections = candidate.sections.published.iter();
        let files: Vec<_> = sections
            .map(|section| DataFile { url: url(&section.key(state.id)), section })
            .collect();
        let sync = || self.bucket.world().entropy.next_u128();
        let manifest = if files.is_empty() {
            None
        } else {
            let bytes = encode_manifest(&candidate.schema, &files, number, sync());
            let (key, length) = (key(PublishedObject::Manifest(number)), bytes.len());
            self.put_object(&key, bytes).await?;
            let url = url(&key);
            Some(StoredManifest { url, length })
        };
        let list = encode_manifest_list(manifest.as_ref(), &files, number, sync());
        let list_key = key(PublishedObject::ManifestList(number));
        self.put_object(&list_key, list).await?;
        let metadata = PublishedState {
            database: &state.name,
            table: candidate.table.name(),
            location: self.settings.url.of_path(&Key::published_table(state.id, table)),
            manifest_list: url(&list_key),
            schema: &candidate.schema,
            sections: &candidate.sections,
            publication,
            stamp: state.manifest.value.low_water_mark.as_u64(),
        };
        let metadata =
            serde_json::to_vec(&metadata.metadata()).map_err(CompactError::PublishedMetadata)?;
        self.put_object(&key(PublishedObject::Metadata(number)), metadata).await
    }

    /// Puts an object that no other publisher puts.
    async fn put_object(&self, key: &Key, bytes: Vec<u8>) -> Result<(), CompactError> {
        let put = self.bucket.put(key, Bytes::from(bytes), PutMode::Overwrite);
        in_time(&self.bucket, Operation::Put, &key.to_string(), put).await?;
        Ok(())
    }
}
