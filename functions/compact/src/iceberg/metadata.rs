//! The metadata of a published table, as JSON.

use std::{collections::BTreeMap, fmt};

use chrono::{DateTime, SecondsFormat};
use neap_manifest::{Publication, TimeRange};
use serde::Serialize;
use serde_json::{Value, json};
use ulid::Ulid;

use super::{settled_sections::SettledSections, table_schema::TableSchema};

/// The metadata object of a table. The names are those of version 2 of the Iceberg format.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct TableMetadata {
    format_version: u8,
    table_uuid: String,
    location: String,
    last_sequence_number: u64,
    last_updated_ms: i64,
    last_column_id: u32,
    current_schema_id: usize,
    schemas: [Value; 1],
    default_spec_id: u8,
    partition_specs: Value,
    last_partition_id: u16,
    default_sort_order_id: u8,
    sort_orders: Value,
    properties: BTreeMap<&'static str, String>,
    current_snapshot_id: u64,
    snapshots: [Snapshot; 1],
    snapshot_log: Value,
    metadata_log: [Value; 0],
    refs: Value,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Snapshot {
    snapshot_id: u64,
    sequence_number: u64,
    timestamp_ms: i64,
    manifest_list: String,
    summary: BTreeMap<&'static str, String>,
    schema_id: usize,
}

/// The names, the URLs and the state of a table that is published.
#[derive(Debug)]
pub(super) struct PublishedState<'a> {
    pub(super) database: &'a str,
    pub(super) table: &'a str,
    /// The URL below which the metadata are.
    pub(super) location: String,
    /// The URL of the list of manifests.
    pub(super) manifest_list: String,
    pub(super) schema: &'a TableSchema,
    pub(super) sections: &'a SettledSections,
    pub(super) publication: &'a Publication,
    /// The stamp up to which writes are in sections.
    pub(super) stamp: u64,
}

impl PublishedState<'_> {
    /// Returns the metadata of the table with its only snapshot.
    pub(super) fn metadata(&self) -> TableMetadata {
        let number = self.publication.number;
        let timestamp_ms = self.publication.published.micros().div_euclid(1_000);
        let schema_id = self.schema.schema_id();
        TableMetadata {
            format_version: 2,
            table_uuid: uuid(self.publication.identity),
            location: self.location.clone(),
            last_sequence_number: number,
            last_updated_ms: timestamp_ms,
            last_column_id: self.schema.last_column_id(),
            current_schema_id: schema_id,
            schemas: [self.schema.json()],
            default_spec_id: 0,
            partition_specs: json!([{ "spec-id": 0, "fields": [] }]),
            // The highest id of a partition field, which start at 1,000.
            last_partition_id: 999,
            default_sort_order_id: 0,
            sort_orders: json!([{ "order-id": 0, "fields": [] }]),
            properties: self.properties(),
            current_snapshot_id: number,
            snapshots: [Snapshot {
                snapshot_id: number,
                sequence_number: number,
                timestamp_ms,
                manifest_list: self.manifest_list.clone(),
                summary: self.summary(),
                schema_id,
            }],
            snapshot_log: json!([{ "snapshot-id": number, "timestamp-ms": timestamp_ms }]),
            metadata_log: [],
            refs: json!({ "main": { "snapshot-id": number, "type": "branch" } }),
        }
    }

    fn properties(&self) -> BTreeMap<&'static str, String> {
        let mut properties = BTreeMap::from([
            ("schema.name-mapping.default", self.schema.name_mapping().to_string()),
            ("neap.database", self.database.to_owned()),
            ("neap.table", self.table.to_owned()),
        ]);
        let omitted = self.schema.omitted_columns();
        properties.extend(omitted.map(|names| ("neap.omitted-columns", names.to_string())));
        properties
    }

    /// Returns which state the snapshot has, and for which times it is not the state of a query.
    fn summary(&self) -> BTreeMap<&'static str, String> {
        let SettledSections { published, unsettled, expired_before } = self.sections;
        let rows = |sections: &[_]| sum(sections, |section| section.rows);
        let mut summary = BTreeMap::from([
            ("operation", "overwrite".to_owned()),
            ("total-data-files", published.len().to_string()),
            ("total-records", rows(published)),
            ("total-files-size", sum(published, |one| one.length)),
            ("neap.stamp", self.stamp.to_string()),
            ("neap.manifest-version", self.publication.version.to_string()),
            ("neap.unsettled-sections", unsettled.len().to_string()),
            ("neap.unsettled-rows", rows(unsettled)),
        ]);
        let times = self.sections.unsettled_times();
        if !times.is_empty() {
            let intervals: Vec<_> =
                times.iter().map(|range| TimeInterval(*range).to_string()).collect();
            summary.insert("neap.unsettled-times", intervals.join(" "));
        }
        if let Some(before) = expired_before {
            summary.insert("neap.expired-before", format_time(*before));
        }
        summary
    }
}

fn sum(
    sections: &[std::sync::Arc<neap_manifest::Section>],
    of: impl Fn(&neap_manifest::Section) -> u64,
) -> String {
    let sum: u64 = sections.iter().map(|section| of(section)).sum();
    sum.to_string()
}

/// An inclusive interval of times, in the notation of ISO 8601.
struct TimeInterval(TimeRange);

impl fmt::Display for TimeInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TimeRange { first, last } = self.0;
        write!(f, "{}/{}", format_time(first), format_time(last))
    }
}

/// Formats a time in nanoseconds since the Unix epoch.
fn format_time(nanos: i64) -> String {
    DateTime::from_timestamp_nanos(nanos).to_rfc3339_opts(SecondsFormat::Nanos, true)
}

/// Returns an id as a UUID of version 7, which has the same layout except for six bits.
fn uuid(id: Ulid) -> String {
    let id = u128::from(id) & !(0xf << 76) & !(0x3 << 62);
    let text = format!("{:032x}", id | 0x7 << 76 | 0x2 << 62);
    let parts =
        [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| text.get(part).unwrap_or_default());
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_becomes_a_uuid_of_version_7() {
        let identity = Ulid::from(u128::MAX);
        assert_eq!(uuid(identity), "ffffffff-ffff-7fff-bfff-ffffffffffff");
        assert_eq!(uuid(Ulid::nil()), "00000000-0000-7000-8000-000000000000");
    }

    #[test]
    fn intervals_have_nanoseconds() {
        let interval = TimeInterval(TimeRange { first: -1, last: 1_700_000_000_000_000_000 });
        let expected = "1969-12-31T23:59:59.999999999Z/2023-11-14T22:13:20.000000000Z";
        assert_eq!(interval.to_string(), expected);
    }
}
