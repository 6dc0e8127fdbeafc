//! Pages of a manifest.

use bytes::Bytes;
use neap_bucket::{ObjectFormat, ProtocolMargins, ProtocolRules, Stamp, compression};
use neap_manifest::{ManifestSettings, ManifestStore, PageRef, SectionWithFooter};
use neap_schema::{DatabaseId, TableId};
use ulid::Ulid;

use crate::stored_object::{await_memory, bucket_with};

const DATABASE: DatabaseId = DatabaseId::new(1);

const FORMAT: ObjectFormat = ObjectFormat { magic: *b"NPAG", kind: "manifest page", version: 1 };

/// Decodes the input as a payload, and as JSON followed by a zero and by footers.
pub(crate) fn run(input: &[u8]) {
    read(input);
    let json = input.split(|byte| *byte == 0).next().unwrap_or_default();
    let footers = input.get(json.len() + 1..).unwrap_or_default();
    let json = compression::compress(json).expect("inputs are small");
    let length = u32::try_from(json.len()).expect("inputs are small");
    let payload = [&length.to_le_bytes(), json.as_slice(), footers].concat();
    for found in read(&payload) {
        assert!(found.footer.is_none_or(|footer| footer.len() <= footers.len()));
    }
}

/// Reads a page with this payload.
fn read(payload: &[u8]) -> Vec<SectionWithFooter> {
    let object = FORMAT.encode(7, payload);
    let page = reference_to(&object);
    let bucket = bucket_with(&page.key(DATABASE), object);
    let rules = ProtocolRules::new(ProtocolMargins::NETWORK);
    let store = ManifestStore::new(bucket, &rules, ManifestSettings::default());
    await_memory(store.sections_of_page(DATABASE, &page)).unwrap_or_default()
}

fn reference_to(page: &Bytes) -> PageRef {
    PageRef {
        object: Ulid::from_parts(1, 1),
        offset: 0,
        size_bytes: page.len() as u64,
        table: TableId::new(1),
        last_table: None,
        first_day: 0,
        last_day: 0,
        min_time: 0,
        max_time: 0,
        above: Stamp::ZERO,
        upto: Stamp::ZERO,
        clean_upto: Stamp::ZERO,
        first_added: 1,
        head_bytes: 0,
        head_crc32c: 0,
        sections: 1,
        rows: 1,
    }
}
