//! Checks the references of a manifest without reading data: each object must exist with its full length, have a table
//! in the catalog, and be referenced once.

use std::collections::{BTreeMap, BTreeSet};

use neap_bucket::Key;
use neap_catalog::DatabaseCatalog;
use neap_manifest::{LostRows, Manifest, Section, day_of};
use neap_schema::{DatabaseId, TableId};

use crate::{Finding, FindingKind, Severity, store::ObjectInventory};

/// Minimum bytes of a Parquet footer: its length and its magic.
const MIN_FOOTER_BYTES: u32 = 8;

/// Returns the name of the table of lost rows, or the names of the first and last table of several.
pub(crate) fn table_names(catalog: &DatabaseCatalog, rows: &LostRows) -> String {
    let first = table_name(catalog, rows.table);
    match rows.last_table {
        None => first,
        Some(last) => format!("{first} .. {}", table_name(catalog, last)),
    }
}

/// Returns the name of a table, or its number if the catalog lacks it.
pub(crate) fn table_name(catalog: &DatabaseCatalog, table: TableId) -> String {
    let known = catalog.table_by_id(table);
    known.map_or_else(|| format!("table {table}"), |table| table.name().to_owned())
}

/// The sections of one table that a missing or truncated object lacks.
#[derive(Default)]
struct MissingData {
    sections: u64,
    rows: u64,
    needed_bytes: u64,
    size_bytes: Option<u64>,
}

/// Finds sections whose objects are missing or too short. Returns one finding for each object and table.
pub(crate) fn missing_data<'a>(
    database: DatabaseId,
    sections: impl Iterator<Item = &'a Section>,
    inventories: &BTreeMap<DatabaseId, ObjectInventory>,
    catalog: &DatabaseCatalog,
    severity: Severity,
) -> Vec<Finding> {
    let mut lacking: BTreeMap<(Key, TableId), MissingData> = BTreeMap::new();
    for section in sections {
        let of = section.origin.unwrap_or(database);
        let name = section.object_name();
        let listed = inventories.get(&of).and_then(|objects| objects.get(&name));
        let needed = section.range().end;
        if listed.is_some_and(|listed| needed <= listed.size_bytes) {
            continue;
        }
        let key = (section.key(database), section.table);
        let entry = lacking.entry(key).or_default();
        entry.sections += 1;
        entry.rows += section.rows;
        entry.needed_bytes = entry.needed_bytes.max(needed);
        entry.size_bytes = listed.map(|listed| listed.size_bytes);
    }
    let finding = |((key, table), lacking): ((Key, TableId), MissingData)| {
        let MissingData { sections, rows, needed_bytes, size_bytes } = lacking;
        let lost = format!("{sections} sections with {rows} rows");
        let (kind, message) = match size_bytes {
            None => (FindingKind::Missing, format!("it is missing, and with it {lost}")),
            Some(size_bytes) => (
                FindingKind::Truncated,
                format!(
                    "it has {size_bytes} of {needed_bytes} bytes; {lost} are truncated or beyond its end"
                ),
            ),
        };
        let table = table_name(catalog, table);
        Finding::new(severity, kind, message).at(key).of_table(table)
    };
    lacking.into_iter().map(finding).collect()
}

/// Finds contradictions within the metadata of a section.
pub(crate) fn section_contradictions(
    section: &Section,
    manifest: &Manifest,
    catalog: &DatabaseCatalog,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut contradiction = |message: &str| {
        let message = format!("its section at byte {}: {message}", section.offset);
        findings.push(Finding::error(FindingKind::Contradiction, message));
    };
    if section.above >= section.upto {
        contradiction("its interval of stamps is empty");
    }
    if section.upto > manifest.low_water_mark {
        contradiction("its interval of stamps ends above the low-water mark");
    }
    if section.min_time > section.max_time || section.rows == 0 {
        contradiction("its statistics say that it has no rows");
    }
    if day_of(section.min_time) < section.first_day || section.last_day < day_of(section.max_time) {
        contradiction("its times are not in its days");
    }
    if u64::from(section.footer_length) > section.length || section.footer_length < MIN_FOOTER_BYTES
    {
        contradiction("the length of its footer is impossible");
    }
    match catalog.table_by_id(section.table) {
        None => findings.push(Finding::error(
            FindingKind::UnknownTable,
            format!(
                "its section at byte {} is of table {}, which the catalog lacks",
                section.offset, section.table
            ),
        )),
        Some(table) => {
            let is_tag = |name: &String| table.tags().any(|tag| tag.stored_name() == name);
            findings.extend(section.tags.keys().filter(|tag| !is_tag(tag)).map(|tag| {
                let message = format!(
                    "its section at byte {} has a tag '{tag}' that the catalog lacks",
                    section.offset
                );
                Finding::error(FindingKind::UnknownColumn, message)
            }));
        }
    }
    findings
}

/// Returns an inline section of the manifest that precedes one with an earlier end of its interval.
pub(crate) fn out_of_order(manifest: &Manifest) -> Option<&Section> {
    let place = |section: &Section| (section.upto, section.above, section.table, section.first_day);
    let pairs = manifest.sections.windows(2);
    pairs
        .filter_map(|pair| Some((pair.first()?, pair.last()?)))
        .find(|(one, next)| place(one) > place(next))
        .map(|(one, _)| one.as_ref())
}

/// Returns sections that claim the same table, day and stamp as another one. Each section is reported once.
pub(crate) fn overlaps<'a>(
    sections: impl Iterator<Item = &'a Section>,
) -> Vec<(&'a Section, String)> {
    let mut by_day: Vec<_> = sections.collect();
    by_day.sort_by_key(|section| (section.table, section.first_day, section.above));
    let mut open: Vec<&Section> = Vec::new();
    let mut found = Vec::new();
    for section in by_day {
        open.retain(|other| other.table == section.table && other.last_day >= section.first_day);
        if let Some(other) = open.iter().find(|other| section.collides(other)) {
            let message = format!(
                "its section at byte {} and that at byte {} of bundle {} both claim stamps of ({}, {}]",
                section.offset,
                other.offset,
                other.object,
                section.above.max(other.above),
                section.upto.min(other.upto),
            );
            found.push((section, message));
        }
        open.push(section);
    }
    found
}

/// Finds contradictions within a catalog.
pub(crate) fn catalog_contradictions(catalog: &DatabaseCatalog) -> Vec<Finding> {
    let mut findings = Vec::new();
    let contradiction = |message: String| Finding::error(FindingKind::Contradiction, message);
    let mut names = BTreeSet::new();
    for table in catalog.tables() {
        if table.names().any(|name| !names.insert(name)) {
            findings
                .push(contradiction("two tables have this name".to_owned()).of_table(table.name()));
        }
    }
    for table in catalog.all_tables() {
        let mut ids = BTreeSet::new();
        let mut names = BTreeSet::new();
        let dropped = table.dropped_columns().iter();
        let mut stored_names: BTreeSet<&str> =
            dropped.map(|column| column.stored_name.as_str()).collect();
        let twice = table.columns().iter().find(|column| {
            !ids.insert(column.id)
                | !names.insert(&column.name)
                | !stored_names.insert(column.stored_name())
        });
        if let Some(column) = twice {
            let message = format!(
                "it has two columns with the name, the stored name or the id of '{}'",
                column.name
            );
            findings.push(contradiction(message).of_table(table.name()));
        }
    }
    findings
}
