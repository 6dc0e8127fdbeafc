//! The files that list the data files of a snapshot: a manifest, and the list of manifests. Both are Avro.
//!
//! The schemas are those of version 2 of the Iceberg format, without the optional fields that are not used. A snapshot has
//! at most one manifest, and its table has no partitions.

use neap_manifest::Section;

use super::{
    avro::{AvroFile, AvroValues},
    table_schema::TableSchema,
};

/// Maximum length of a tag value that is a bound, in bytes.
const MAX_BOUND_BYTES: usize = 256;

const ENTRY_SCHEMA: &str = r#"{"type":"record","name":"manifest_entry","fields":[
{"name":"status","field-id":0,"type":"int"},
{"name":"snapshot_id","field-id":1,"type":["null","long"],"default":null},
{"name":"sequence_number","field-id":3,"type":["null","long"],"default":null},
{"name":"file_sequence_number","field-id":4,"type":["null","long"],"default":null},
{"name":"data_file","field-id":2,"type":{"type":"record","name":"r2","fields":[
{"name":"content","field-id":134,"type":"int"},
{"name":"file_path","field-id":100,"type":"string"},
{"name":"file_format","field-id":101,"type":"string"},
{"name":"partition","field-id":102,"type":{"type":"record","name":"r102","fields":[]}},
{"name":"record_count","field-id":103,"type":"long"},
{"name":"file_size_in_bytes","field-id":104,"type":"long"},
{"name":"lower_bounds","field-id":125,"default":null,"type":["null",{"type":"array","logicalType":"map","items":
{"type":"record","name":"k126_v127","fields":[{"name":"key","field-id":126,"type":"int"},{"name":"value","field-id":127,"type":"bytes"}]}}]},
{"name":"upper_bounds","field-id":128,"default":null,"type":["null",{"type":"array","logicalType":"map","items":
{"type":"record","name":"k129_v130","fields":[{"name":"key","field-id":129,"type":"int"},{"name":"value","field-id":130,"type":"bytes"}]}}]},
{"name":"sort_order_id","field-id":140,"type":["null","int"],"default":null}
]}}]}"#;

const LIST_SCHEMA: &str = r#"{"type":"record","name":"manifest_file","fields":[
{"name":"manifest_path","field-id":500,"type":"string"},
{"name":"manifest_length","field-id":501,"type":"long"},
{"name":"partition_spec_id","field-id":502,"type":"int"},
{"name":"content","field-id":517,"type":"int"},
{"name":"sequence_number","field-id":515,"type":"long"},
{"name":"min_sequence_number","field-id":516,"type":"long"},
{"name":"added_snapshot_id","field-id":503,"type":"long"},
{"name":"added_files_count","field-id":504,"type":"int"},
{"name":"existing_files_count","field-id":505,"type":"int"},
{"name":"deleted_files_count","field-id":506,"type":"int"},
{"name":"added_rows_count","field-id":512,"type":"long"},
{"name":"existing_rows_count","field-id":513,"type":"long"},
{"name":"deleted_rows_count","field-id":514,"type":"long"},
{"name":"partitions","field-id":507,"default":null,"type":["null",{"type":"array","element-id":508,"items":
{"type":"record","name":"r508","fields":[{"name":"contains_null","field-id":509,"type":"boolean"},
{"name":"contains_nan","field-id":518,"type":["null","boolean"],"default":null},
{"name":"lower_bound","field-id":510,"type":["null","bytes"],"default":null},
{"name":"upper_bound","field-id":511,"type":["null","bytes"],"default":null}]}}]}
]}"#;

/// A section as a data file: its URL, and its metadata.
#[derive(Debug)]
pub(super) struct DataFile<'a> {
    pub(super) url: String,
    pub(super) section: &'a Section,
}

/// Returns the manifest of a snapshot. `number` is that of the snapshot, and `sync` a random number.
pub(super) fn encode_manifest(
    schema: &TableSchema,
    files: &[DataFile<'_>],
    number: u64,
    sync: u128,
) -> Vec<u8> {
    let schema_id = schema.schema_id().to_string();
    let table_schema = schema.json().to_string();
    let metadata = [
        ("schema", table_schema.as_str()),
        ("schema-id", schema_id.as_str()),
        ("partition-spec", "[]"),
        ("partition-spec-id", "0"),
        ("format-version", "2"),
        ("content", "data"),
    ];
    let mut manifest = AvroFile::new(ENTRY_SCHEMA, &metadata, sync);
    for file in files {
        let section = file.section;
        let entry = manifest.record();
        // The file was added by this snapshot.
        entry.long(1);
        for _ in ["snapshot_id", "sequence_number", "file_sequence_number"] {
            entry.some().count(number);
        }
        entry.long(0).text(&file.url).text("PARQUET");
        entry.count(section.rows).count(section.length);
        let (lower, upper) = bounds(schema, section);
        for bounds in [lower, upper] {
            entry.some().array(bounds.count, &bounds.values);
        }
        entry.null();
    }
    manifest.finish()
}

/// Bounds by field id.
#[derive(Debug, Default)]
struct Bounds {
    values: AvroValues,
    count: usize,
}

impl Bounds {
    fn add(&mut self, field: u32, value: &[u8]) {
        self.values.count(u64::from(field)).bytes(value);
        self.count += 1;
    }
}

/// Returns the lower and the upper bounds of the time and of the tags.
fn bounds(schema: &TableSchema, section: &Section) -> (Bounds, Bounds) {
    let (mut lower, mut upper) = (Bounds::default(), Bounds::default());
    let (first, last) = schema.time_bounds(section.min_time, section.max_time);
    lower.add(schema.time_field(), &first.to_le_bytes());
    upper.add(schema.time_field(), &last.to_le_bytes());
    for (tag, range) in &section.tags {
        let Some(field) = schema.tag_field(tag) else {
            continue;
        };
        if let (Some(min), Some(max)) = (&range.min, &range.max)
            && min.len().max(max.len()) <= MAX_BOUND_BYTES
        {
            lower.add(field, min.as_bytes());
            upper.add(field, max.as_bytes());
        }
    }
    (lower, upper)
}

/// A manifest that a list names.
#[derive(Debug)]
pub(super) struct StoredManifest {
    pub(super) url: String,
    pub(super) length: usize,
}

/// Returns the list of the manifests of a snapshot: one, or none if the snapshot has no files.
pub(super) fn encode_manifest_list(
    manifest: Option<&StoredManifest>,
    files: &[DataFile<'_>],
    number: u64,
    sync: u128,
) -> Vec<u8> {
    let id = number.to_string();
    let metadata = [
        ("snapshot-id", id.as_str()),
        ("sequence-number", id.as_str()),
        ("format-version", "2"),
    ];
    let mut list = AvroFile::new(LIST_SCHEMA, &metadata, sync);
    if let Some(manifest) = manifest {
        let rows = files.iter().map(|file| file.section.rows).sum();
        let entry = list.record();
        entry.text(&manifest.url).count(manifest.length as u64);
        // The partition specification, and data files as content.
        entry.long(0).long(0);
        entry.count(number).count(number).count(number);
        entry.count(files.len() as u64).long(0).long(0);
        entry.count(rows).long(0).long(0);
        entry.null();
    }
    list.finish()
}
