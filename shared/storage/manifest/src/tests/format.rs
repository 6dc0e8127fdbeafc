//! The JSON format of manifests, which must stay readable from the first published release on.

use std::sync::Arc;

use neap_bucket::{RegisterValue, SegmentName, StoreTime};
use neap_row_delete::{Condition, RowDelete};
use neap_schema::{CacheId, DatabaseId, TableId};
use serde_json::{Value, json};
use ulid::Ulid;

use super::{job, section, stamp};
use crate::{
    CacheEntry, Claim, CondemnedEntry, DamageRecord, DamagedPart, DroppedItem, JobKind, LostRows,
    Manifest, ObjectName, PageRef, RecordedDelete, TableExpiry, TagRange, VersionPin,
};

fn page() -> PageRef {
    PageRef {
        object: Ulid::from_parts(1, 3),
        offset: 238,
        size_bytes: 1_000,
        table: TableId::new(3),
        last_table: None,
        first_day: 0,
        last_day: 1,
        min_time: 5,
        max_time: 86_400_000_000_001,
        above: stamp(1),
        upto: stamp(9),
        clean_upto: stamp(7),
        first_added: 2,
        head_bytes: 200,
        head_crc32c: 77,
        sections: 9,
        rows: 90,
    }
}

fn condemned(what: DroppedItem, version: u64) -> CondemnedEntry {
    CondemnedEntry::new(what, version)
}

#[test]
fn damage() {
    let segment = SegmentName { stamp: stamp(7), nonce: 3 };
    let lost = LostRows {
        table: TableId::new(3),
        last_table: None,
        rows: 4,
        min_time: -5,
        max_time: 6,
    };
    let object = Ulid::from_parts(1, 3);
    let mut manifest = Manifest {
        damage: vec![DamageRecord {
            origin: Some(DatabaseId::new(4)),
            streams: vec![0, 900],
            ..DamageRecord::of_object(DamagedPart::Segment(segment), vec![lost], 2)
        }],
        ..Manifest::default()
    };
    for part in [
        DamagedPart::Section(object, 8),
        DamagedPart::BundledSection(object, 8),
        DamagedPart::Page(object, 9),
    ] {
        let record = DamageRecord::of_object(part, Vec::new(), 2);
        manifest.quarantine_object(record, 5, StoreTime::from_micros(9));
    }
    insta::assert_snapshot!(
        serde_json::to_string(&manifest.damage).unwrap(),
        @r#"[{"part":{"segment":{"stamp":7,"nonce":3}},"origin":4,"lost":[{"table":3,"rows":4,"min_time":-5,"max_time":6}],"streams":[0,900],"since":2},{"part":{"section":["00000000010000000000000003",8]},"lost":[],"since":2,"quarantine":{"version":5,"time":9}},{"part":{"bundled_section":["00000000010000000000000003",8]},"lost":[],"since":2,"quarantine":{"version":5,"time":9}},{"part":{"page":["00000000010000000000000003",9]},"lost":[],"since":2,"quarantine":{"version":5,"time":9}}]"#
    );
    let json = serde_json::to_string(&manifest).unwrap();
    assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest);
}

/// The JSON of the manifest in `version_one`.
fn version_one_json() -> Value {
    let mut dropped_section = json!({
        "object": "00000000010000000000000002", "offset": 0, "in_bundle": true, "length": 32,
        "footer_length": 8, "table": 3, "first_day": 1, "last_day": 1, "above": 10, "upto": 20,
        "rows": 1, "min_time": 86_400_000_000_000_i64, "max_time": 86_400_000_000_000_i64,
        "crc32c": 5, "footer_crc32c": 6, "cleaned": 30, "added": 1, "origin": 4,
    });
    let mut section = dropped_section.clone();
    section["tags"] = json!({"host": {"min": "a", "has_null": true}});
    section["series"] = "5e12".into();
    dropped_section["dropped"] = 3.into();
    let page = json!({
        "object": "00000000010000000000000003", "offset": 238, "size_bytes": 1000, "table": 3,
        "first_day": 0, "last_day": 1, "min_time": 5, "max_time": 86_400_000_000_001_i64,
        "above": 1, "upto": 9, "clean_upto": 7, "first_added": 2, "head_bytes": 200,
        "head_crc32c": 77, "sections": 9, "rows": 90,
    });
    let job = |kind: &str| {
        json!({
            "id": "00000000010000000000000001", "kind": kind, "inputs": 1, "outputs": 1, "rows": 1,
            "bytes_in": 1, "bytes_out": 1, "duration_ms": 1, "finished": 1, "version": 4,
        })
    };
    let mut merge = job("merge");
    merge["table"] = 3.into();
    json!({
        "low_water_mark": 1000, "needs_catalog": 5, "sections": [section], "pages": [page],
        "marks": [{"mark": 900, "version": 3, "last": 3}, {"mark": 1000, "version": 4}],
        "deletes": [{
            "stamp": 15, "delete": {"table": 3, "condition": {"time": {"min": 1, "max": 2}}},
            "added": 2, "dropped": 4, "expiry": true,
        }],
        "condemned": [
            {"what": {"section": dropped_section}, "version": 3, "committed": 9, "doomed": true},
            {"what": {"page": page}, "version": 4, "first_version": 3},
            {"what": {"object": {"parquet": "00000000010000000000000004"}}, "version": 4},
            {"what": {"object": {"bundle": "00000000010000000000000006"}}, "version": 4},
            {"what": {"object": {"page": "00000000010000000000000005"}}, "version": 4},
        ],
        "caches": [{
            "cache": 3, "table": 3, "object": "00000000010000000000000007", "length": 500,
            "rows": 12, "crc32c": 9, "complete_from": -7, "floor": -5,
        }],
        "expiries": [{"table": 3, "before": -5, "version": 3}],
        "pins": [{"version": 3, "database": 8, "created": 10}],
        "oldest_readable": 3,
        "claims": [{
            "job": "00000000010000000000000006", "table": 3, "first_day": 0, "last_day": 1,
            "above": 1, "upto": 9, "expires": 11,
        }],
        "jobs": [job("flush"), merge, job("expire"), job("drop"), job("cache")],
    })
}

#[test]
fn version_one() {
    assert_eq!(Manifest::FORMAT.version, 1);
    let range = TagRange { min: Some("a".to_owned()), max: None, has_null: true };
    let mut recent = section(3, 1, 10, 20);
    recent.object = Ulid::from_parts(1, 2);
    recent.tags.insert("host".to_owned(), range);
    recent.series = Some("5e12".to_owned());
    (recent.crc32c, recent.footer_crc32c) = (5, 6);
    recent.cleaned = stamp(30);
    recent.origin = Some(DatabaseId::new(4));
    recent.in_bundle = true;
    let mut dropped = recent.clone();
    dropped.dropped = Some(3);
    dropped.tags.clear();
    dropped.series = None;
    let mut manifest = Manifest {
        needs_catalog: 5,
        sections: vec![Arc::new(recent)],
        pages: vec![page()],
        deletes: vec![RecordedDelete {
            stamp: stamp(15),
            delete: RowDelete { table: TableId::new(3), condition: Condition::between(1, 2) },
            added: 2,
            dropped: Some(4),
            expiry: true,
        }],
        condemned: vec![
            CondemnedEntry {
                committed: Some(StoreTime::from_micros(9)),
                doomed: true,
                ..condemned(DroppedItem::Section(Arc::new(dropped)), 3)
            },
            CondemnedEntry {
                first_version: Some(3),
                ..condemned(DroppedItem::Page(page()), 4)
            },
            condemned(DroppedItem::Object(ObjectName::Parquet(Ulid::from_parts(1, 4))), 4),
            condemned(DroppedItem::Object(ObjectName::Bundle(Ulid::from_parts(1, 6))), 4),
            condemned(DroppedItem::Object(ObjectName::Page(Ulid::from_parts(1, 5))), 4),
        ],
        caches: vec![CacheEntry {
            cache: CacheId::new(3),
            table: TableId::new(3),
            object: Ulid::from_parts(1, 7),
            length: 500,
            rows: 12,
            crc32c: 9,
            complete_from: -7,
            floor: Some(-5),
        }],
        expiries: vec![TableExpiry { table: TableId::new(3), before: -5, version: 3 }],
        pins: vec![VersionPin {
            version: 3,
            database: DatabaseId::new(8),
            created: StoreTime::from_micros(10),
        }],
        oldest_readable: 3,
        claims: vec![Claim {
            job: Ulid::from_parts(1, 6),
            table: TableId::new(3),
            first_day: 0,
            last_day: 1,
            above: stamp(1),
            upto: stamp(9),
            expires: StoreTime::from_micros(11),
        }],
        ..Manifest::default()
    };
    manifest.raise_mark(stamp(900), 3);
    manifest.raise_mark(stamp(1_000), 4);
    for kind in [JobKind::Flush, JobKind::Merge, JobKind::Expire, JobKind::Drop, JobKind::Cache] {
        manifest.record_job(job(kind), 4);
    }
    manifest.jobs[1].table = Some(TableId::new(3));
    assert_eq!(serde_json::to_value(&manifest).unwrap(), version_one_json());
    let json = serde_json::to_string(&manifest).unwrap();
    assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest);
}

#[test]
fn pages_of_one_table_and_of_several() {
    let one = serde_json::to_value(page()).unwrap();
    assert_eq!(one.get("last_table"), None);
    let several = PageRef { last_table: Some(TableId::new(8)), ..page() };
    let json = serde_json::to_value(&several).unwrap();
    assert_eq!(json["table"], 3);
    assert_eq!(json["last_table"], 8);
    assert_eq!(serde_json::from_value::<PageRef>(json).unwrap(), several);
    assert_eq!(serde_json::from_value::<PageRef>(one).unwrap(), page());
}
