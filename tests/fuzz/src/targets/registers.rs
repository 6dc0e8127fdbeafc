//! Registers: JSON, compressed by zstd.

use neap_backup::BackupRegister;
use neap_bucket::{
    Key, RegisterRead, RegisterValue, Stamp, StoreTime, VersionedValue, compression,
};
use neap_catalog::{DatabaseCatalog, DatabaseDocuments, RootCatalog, ViewWindows};
use neap_manifest::{Manifest, ManifestHead, ManifestPoint, RowDeleteRequests};
use neap_rollup::{ViewProgress, ViewState};
use neap_rules::RuleProgress;
use neap_schema::DatabaseId;
use neap_wal::{SettledPart, SiteProgress, TriggerCheckpoint};

use crate::stored_object::read_register;

const DATABASE: DatabaseId = DatabaseId::new(1);

/// Frames of zstd.
pub(crate) fn frame(input: &[u8]) {
    compression::decompress(input).ok();
    let frame = compression::compress(input).expect("inputs are small");
    assert_eq!(compression::decompress(&frame).expect("a frame"), input);
}

/// The manifest of a database, and all readable versions.
pub(crate) fn manifest(input: &[u8]) {
    let Some(current) = read_stable::<Manifest>(Key::Manifest(DATABASE), input) else {
        return;
    };
    let head = read_register::<ManifestHead>(Key::Manifest(DATABASE), input)
        .expect("a manifest has a head")
        .value;
    assert_eq!(head.low_water_mark, current.value.low_water_mark);
    assert_eq!(head.deletes, current.value.delete_bytes());
    let is_valid = current.value.check().is_ok();
    current.value.section_count();
    ManifestPoint::from_manifest(&current);
    for version in Manifest::versions(&current) {
        Manifest::at(&current, version.mark).ok();
    }
    Manifest::at(&current, Stamp::ZERO).ok();
    let next = Manifest::successor(&current);
    assert_eq!(next.check().is_ok(), is_valid);
    for section in &current.value.sections {
        section.key(DATABASE);
        section.footer_range();
        section.matches_footer(b"PAR1");
    }
    for page in &current.value.pages {
        page.range();
        page.rows_per_table();
        page.may_hold(neap_schema::TableId::new(1));
    }
}

pub(crate) fn root_catalog(input: &[u8]) {
    let Some(root) = read_stable::<RootCatalog>(Key::RootCatalog, input) else {
        return;
    };
    let (root, now) = (root.value, StoreTime::from_micros(1_700_000_000_000_000));
    for id in root.tokens().keys() {
        root.authority(*id);
    }
    for entry in root.databases().values() {
        assert!(format!("{entry:?}").len() > 1);
    }
    root.client_key("key");
    root.has_admin_token();
    root.audit().count();
    root.databases_with_triggers().count();
    root.due_databases(now).count();
    root.obsolete_databases(now).count();
    root.database("db");
    root.deleted_database("db");
}

pub(crate) fn database_catalog(input: &[u8]) {
    let Some(catalog) = read_stable::<DatabaseCatalog>(Key::DatabaseCatalog(DATABASE), input)
    else {
        return;
    };
    let (catalog, now) = (catalog.value, StoreTime::from_micros(1_700_000_000_000_000));
    for table in catalog.all_tables() {
        catalog.retention_of(table.id());
        catalog.cutoff_of(table.id(), now);
        table.arrow_schema();
        table.tag_names();
        table.column("time");
        drop(table.without_caches());
        neap_cache::CacheShape::all_of(table).for_each(|(_, shape)| {
            shape.complete_from(now);
            shape.columns();
        });
    }
    catalog.tables().count();
    catalog.table("m");
    catalog.due_tables(now).count();
    catalog.cache_ids().count();
    catalog.write_order();
    catalog.auto_create();
    catalog.audit().count();
}

/// The registers of documents, row deletes, triggers, views, rules, sites and backups.
pub(crate) fn others(input: &[u8]) {
    if let Some(documents) = read_stable::<DatabaseDocuments>(Key::Documents(DATABASE), input) {
        documents.value.iter().count();
    }
    if let Some(deletes) = read_stable::<RowDeleteRequests>(Key::RowDeletes, input) {
        deletes.value.is_full();
    }
    let trigger = Key::Checkpoint(DATABASE, neap_schema::TriggerId::new(1));
    read_stable::<TriggerCheckpoint>(trigger, input);
    if let Some(progress) = read_stable::<ViewProgress>(Key::ViewProgress(DATABASE), input) {
        progress.value.views.values().for_each(use_windows);
    }
    if let Some(rules) = read_stable::<RuleProgress>(Key::RuleProgress(DATABASE), input) {
        let mut progress = RuleProgress::clone(&rules.value);
        progress.limit_series();
        progress.alerts().count();
    }
    if let Some(sites) = read_stable::<SiteProgress>(Key::SiteProgress(DATABASE), input) {
        let settled = SettledPart { mark: Stamp::ZERO, part: 0 };
        for state in sites.value.sites.values() {
            state.position(settled);
        }
    }
    if let Some(backups) = read_stable::<BackupRegister>(Key::Backups, input) {
        for backup in backups.value.backups() {
            assert!(backups.value.with_descendants(backup.id).contains(&backup.id));
            assert!(backups.value.backup(backup.id).is_some());
        }
        backups.value.restores().count();
    }
}

/// Does what a refresh does with the windows of a view.
fn use_windows(view: &ViewState) {
    let windows = ViewWindows { length_ns: 10, origin_ns: 3 };
    let mut pending = view.pending.clone();
    pending.add_all(windows, &view.unfinished);
    pending.count(windows);
    pending.bounds();
    let newest = pending.newest(windows, 2);
    pending.remove_before(windows, 25);
    if let Some(newest) = newest {
        pending.remove(newest);
        pending.meets(newest);
    }
}

/// Reads a register, and checks that its value is read equally when it is written again.
fn read_stable<T: RegisterValue>(key: Key, input: &[u8]) -> Option<VersionedValue<T>> {
    let read = read_register::<T>(key.clone(), input).ok()?;
    let json = json_of(&read);
    let again = read_register::<T>(key, json.as_bytes()).expect("a written register");
    assert_eq!(json_of(&again), json);
    Some(read)
}

fn json_of<T: RegisterValue + RegisterRead>(read: &VersionedValue<T>) -> String {
    let value = serde_json::to_string(&*read.value).expect("a register is JSON");
    format!(r#"{{"version":{},"recent":[],"value":{value}}}"#, read.version)
}
