//! Tests that each lost register is reported, and that no repair deletes data because of it.

use neap_bucket::{RECENT_PUT_IDS, Register, RegisterValue, compression::compress};
use neap_catalog::{
    DocumentKind, DocumentStore, HardDelete, NewDocument, NewTrigger, NewView, RuleChange,
    TriggerSpecification, ViewLanguage, ViewWindows,
};
use neap_manifest::{ImportedRows, LoggedRowDelete, RowDeleteLog};
use neap_rollup::ViewProgress;
use neap_rules::{RuleProgress, parse_file};
use neap_wal::{SiteProgress, TriggerCheckpoint};
use ulid::Ulid;

use super::*;
use crate::{Finding, FindingKind, Severity};

const HOUR: Duration = Duration::from_secs(3_600);

/// The id of all objects that are not of the database.
const ID: Ulid = Ulid(7);

fn trigger() -> NewTrigger {
    NewTrigger::new("t", "p.py", TriggerSpecification::AllTablesWalWrite)
}

fn view() -> NewView {
    let query = "SELECT sum(usage) FROM cpu GROUP BY time(1h)";
    let windows = ViewWindows::since_epoch(3_600_000_000_000);
    NewView::new("totals", ViewLanguage::InfluxQl, query, CPU, "totals", windows)
}

/// Returns an object that passes the checks of its header.
pub(super) fn valid_object(key: &Key) -> Vec<u8> {
    let payload = if key.is_register() {
        compress(br#"{"version":1,"recent":[],"value":{}}"#).unwrap()
    } else {
        b"payload".to_vec()
    };
    match key.format() {
        Some(format) => format.encode(1, &payload).to_vec(),
        None => payload,
    }
}

impl FsckFixture {
    async fn create<T: RegisterValue>(&self, key: Key) {
        let register = Register::<T>::new(self.bucket.clone(), key, RECENT_PUT_IDS);
        let create = |_: &VersionedValue<T>| Ok::<_, ()>(RegisterChange::Put(T::default(), ()));
        register.commit(None, create).await.unwrap();
    }

    /// Creates a fixture with every register of a cluster and a database. Returns their keys.
    pub(super) async fn with_all_registers() -> (Self, Vec<Key>) {
        let stage = Self::in_memory().await;
        stage.fill().await;
        let id = stage.database;
        let created = stage.catalog.create_trigger(id, &trigger()).await.unwrap();
        stage.create::<TriggerCheckpoint>(Key::Checkpoint(id, created.id)).await;
        stage.catalog.create_view(id, &view()).await.unwrap();
        stage.create::<ViewProgress>(Key::ViewProgress(id)).await;
        let file = "groups: [{name: g, rules: [{record: r, expr: up}]}]";
        let rules = RuleChange::Replace(parse_file(file).unwrap());
        stage.catalog.change_rules(id, "n", rules).await.unwrap();
        stage.create::<RuleProgress>(Key::RuleProgress(id)).await;
        stage.create::<SiteProgress>(Key::SiteProgress(id)).await;
        let document = NewDocument {
            name: "d".to_owned(),
            content: "{}".to_owned(),
            updated_by: None,
        };
        let documents = DocumentStore::new(&stage.catalog, id);
        documents.create(DocumentKind::Query, document).await.unwrap();
        let delete = LoggedRowDelete {
            database: id,
            table: TableId::new(1),
            database_name: "db".to_owned(),
            table_name: CPU.to_owned(),
            min_time: None,
            max_time: None,
            predicate: String::new(),
            stamp: None,
        };
        RowDeleteLog::new(&stage.catalog).add(delete).await.unwrap();
        stage.catalog.add_backup_copies(ID, "b", &[id]).await.unwrap();
        for key in [Key::Backups, Key::ImportJob(ID), Key::ImportFile(ID)] {
            stage.put(&key.to_string(), valid_object(&key)).await;
        }
        // Rows from long after the creation of the trigger.
        stage.advance(2 * HOUR);
        stage.write(CPU, &[("z", None, 9, 1.0)]).await;
        stage.flush().await;
        stage.write(CPU, &[("z", None, 10, 1.0)]).await;
        stage.add_part_of_site().await;
        let registers = Key::one_of_each_kind(id).into_iter().filter(Key::is_register);
        let keys = registers.map(|key| match key {
            Key::Checkpoint(..) => Key::Checkpoint(id, created.id),
            key => key,
        });
        (stage, keys.collect())
    }

    /// Records in the manifest that a site has shipped a part.
    async fn add_part_of_site(&self) {
        let add = |base: &VersionedValue<Manifest>| {
            let mut next = Manifest::successor(base);
            next.imports.push(ImportedRows {
                job: ID,
                rows: 1,
                stamp: next.low_water_mark,
                is_permanent: true,
            });
            Ok::<_, ()>(RegisterChange::Put(next, ()))
        };
        self.manifests.register(self.database).commit(None, add).await.unwrap();
    }

    /// Returns the keys of all objects except registers.
    async fn contents(&self) -> Vec<String> {
        let mut found = Vec::new();
        crate::store::list(&self.bucket, "", |entry| found.push(entry.key))
            .await
            .unwrap();
        found.retain(|key| key.parse::<Key>().is_ok_and(|key| !key.is_register()));
        found
    }
}

fn missing<'a>(report: &'a FsckReport, key: &Key) -> Option<&'a Finding> {
    let text = key.to_string();
    let mut findings = report.findings.iter();
    findings.find(|one| one.key.as_ref() == Some(&text) && one.kind == FindingKind::Missing)
}

#[tokio::test(start_paused = true)]
async fn every_lost_register_is_reported_and_no_repair_deletes_data() {
    let (stage, keys) = FsckFixture::with_all_registers().await;
    assert_eq!(lines(&stage.full().await), "");
    assert_eq!(keys.len(), 11);
    for key in keys {
        let object = stage.bytes(&key).await;
        let contents = stage.contents().await;
        stage.delete(&key).await;
        // Work on them begins again, so nothing is wrong.
        let is_restarted = key.absence() == neap_bucket::AbsencePolicy::Restarted;
        let report = stage.quick().await;
        let found = missing(&report, &key).unwrap_or_else(|| panic!("{key}: {report}"));
        let expected = if is_restarted {
            Severity::Note
        } else {
            Severity::Error
        };
        assert_eq!(found.severity, expected, "{key}");
        assert_eq!(report.clean, is_restarted, "{key}: {report}");
        // Even objects that look unreferenced for a long time.
        stage.advance(48 * HOUR);
        for full in [false, true] {
            let repaired = stage.repair(full).await.repaired;
            let text = repaired.join("\n");
            assert!(!text.contains("condemned"), "{key}: {text}");
        }
        assert_eq!(stage.contents().await, contents, "{key}");
        if let Key::Manifest(_) | Key::DatabaseCatalog(_) | Key::RootCatalog = key {
            let got = stage.bucket.get(&key, GetOptions::default()).await.unwrap();
            assert!(matches!(got.value, Get::Missing), "{key} is not created again");
        }
        stage.put(&key.to_string(), object).await;
        let report = stage.full().await;
        assert!(report.clean, "{key}: {report}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_register_without_rows_is_created_again_when_an_operator_accepts_its_loss() {
    let (stage, _) = FsckFixture::with_all_registers().await;
    for key in [Key::Documents(stage.database), Key::RowDeletes] {
        stage.delete(&key).await;
        assert!(!stage.quick().await.clean, "{key}");
        let repaired = stage.repair(false).await.repaired;
        assert_eq!(
            repaired,
            [format!("the lost register {key} is created again when it is needed")]
        );
        assert!(stage.quick().await.clean, "{key}");
    }
    // Another process, which does not know the record any more.
    let catalog = Catalog::new(stage.bucket.clone(), ProtocolMargins::LOCAL, None);
    let documents = DocumentStore::new(&catalog, stage.database);
    assert_eq!(documents.read().await.unwrap().value.iter().count(), 0);
    let requests = RowDeleteLog::new(&catalog).read().await.unwrap();
    assert_eq!(requests.iter().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_first_flush_that_was_interrupted_is_no_error_and_its_bundle_is_kept() {
    let stage = FsckFixture::in_memory().await;
    stage.write(CPU, &[("a", None, 1, 1.0)]).await;
    let bundle = Key::Bundle(stage.database, ID);
    stage.put(&bundle.to_string(), b"rows".to_vec()).await;
    stage.advance(48 * HOUR);
    let report = stage.repair(true).await;
    let found = missing(&report, &Key::Manifest(stage.database)).unwrap();
    assert_eq!(found.severity, Severity::Warning);
    assert_eq!(report.repaired, [] as [String; 0]);
    assert!(report.clean, "{report}");
    stage.flush().await;
    assert_eq!(stage.repair(true).await.repaired.len(), 1, "now it is an orphan");
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_not_complete_is_no_error() {
    let stage = FsckFixture::filled_in_memory().await;
    let id = stage.database;
    // A backup is in the register before it has copies.
    stage.put(&Key::Backups.to_string(), valid_object(&Key::Backups)).await;
    let copies = stage.catalog.add_backup_copies(ID, "b", &[id]).await.unwrap();
    let copy = copies[0].copy;
    let manifest = stage.manifest().await;
    let (version, view) = (manifest.version, Arc::clone(&manifest.value));
    stage.manifests.pin(id, manifest, version, copy).await.unwrap();
    stage.manifests.adopt(id, &view, copy, 1, &[]).await.unwrap();
    for report in [stage.quick().await, stage.full().await] {
        assert!(report.clean, "{report}");
        let found = missing(&report, &Key::DatabaseCatalog(copy)).unwrap();
        assert_eq!(found.severity, Severity::Note);
        let mut kinds = report.findings.iter().map(|one| one.kind);
        assert!(kinds.all(|kind| kind == FindingKind::Missing), "{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_catalog_of_a_dropped_database_is_reported_as_such() {
    let stage = FsckFixture::filled_in_memory().await;
    let dropped = stage.catalog.delete_database("db", HardDelete::After(48 * HOUR));
    dropped.await.unwrap();
    let key = Key::DatabaseCatalog(stage.database);
    stage.delete(&key).await;
    let report = stage.full().await;
    assert_eq!(missing(&report, &key).unwrap().severity, Severity::Error);
    let mut kinds = report.findings.iter().map(|one| one.kind);
    assert!(kinds.all(|kind| kind == FindingKind::Missing), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_database_without_rows_lacks_no_register() {
    let stage = FsckFixture::in_memory().await;
    assert_eq!(lines(&stage.full().await), "");
    stage.catalog.create_table(stage.database, "t", &[], &[]).await.unwrap();
    assert_eq!(lines(&stage.full().await), "");
}

#[tokio::test(start_paused = true)]
async fn an_object_of_a_database_whose_manifest_is_lost_is_not_quarantined() {
    let stage = FsckFixture::filled_in_memory().await;
    let key = stage.segment().await;
    stage.flip_bit(&key, 40).await;
    stage.delete(&Key::Manifest(stage.database)).await;
    let part = key.to_string().parse().unwrap();
    let refused = Fsck::new(stage.bucket.clone()).quarantine(&part, None, true).await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("is missing, although a catalog records it"), "{error}");
    let manifest = stage.manifest().await;
    assert_eq!(manifest.version, 0);
}
