//! Reads all rows of sections.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use neap_bucket::Bucket;
use neap_catalog::Table;
use neap_manifest::{Section, SectionWithFooter};
use neap_schema::DatabaseId;
use tokio::sync::Semaphore;

use crate::{
    Finding, FindingKind, FsckError,
    section_content::{self, SectionContent},
    statistics::compare,
    store::fetch,
};

/// Number of sections that are read concurrently.
const CONCURRENT_SECTIONS: usize = 8;

/// Maximum memory for sections that are read concurrently, in units of [`UNIT_BYTES`]. A larger section is read alone.
const UNITS: u32 = 256;

/// Bytes of a unit of memory.
const UNIT_BYTES: u64 = 1 << 20;

/// A section to read, with its table.
pub(crate) type SectionWithTable = (SectionWithFooter, Arc<Table>);

/// The findings about a section, and the section with corrected statistics if those in the manifest are wrong.
#[derive(Debug, Default)]
pub(crate) struct SectionCheckResult {
    pub(crate) findings: Vec<Finding>,
    pub(crate) corrected: Option<Section>,
}

/// Reads sections, and calls `read` with the number of bytes of each.
pub(crate) async fn read_all(
    bucket: &Bucket,
    database: DatabaseId,
    wanted: Vec<SectionWithTable>,
    read: &(dyn Fn(u64) + Sync),
) -> Result<Vec<SectionCheckResult>, FsckError> {
    let memory = Semaphore::new(UNITS as usize);
    let memory = &memory;
    stream::iter(wanted)
        .map(|wanted| async move {
            let length = wanted.0.section.length;
            let units = u32::try_from(length.div_ceil(UNIT_BYTES)).unwrap_or(UNITS);
            let broken_off =
                |reason: &dyn std::fmt::Display| FsckError::Aborted(reason.to_string());
            let _memory = memory
                .acquire_many(units.clamp(1, UNITS))
                .await
                .map_err(|error| broken_off(&error))?;
            let found = read_one(bucket, database, wanted).await?;
            read(length);
            Ok::<_, FsckError>(found)
        })
        .buffer_unordered(CONCURRENT_SECTIONS)
        .try_collect()
        .await
}

async fn read_one(
    bucket: &Bucket,
    database: DatabaseId,
    (wanted, table): SectionWithTable,
) -> Result<SectionCheckResult, FsckError> {
    let section = Arc::clone(&wanted.section);
    let key = section.key(database);
    let name = table.name().to_owned();
    let finding = |kind, message: &str| {
        let message = format!("its section at byte {}: {message}", section.offset);
        Finding::error(kind, message).at(&key).of_table(&name)
    };
    let only = |finding: Finding| SectionCheckResult { findings: vec![finding], corrected: None };
    let Some(bytes) = fetch(bucket, &key, Some(section.range())).await? else {
        return Ok(only(finding(FindingKind::Missing, "it is missing")));
    };
    if (bytes.len() as u64) < section.length {
        return Ok(only(finding(FindingKind::Truncated, "it is truncated")));
    }
    let mut findings = Vec::new();
    if wanted.footer.is_some_and(|footer| !bytes.ends_with(&footer)) {
        let message = "its footer is not the one in the page that names it";
        findings.push(finding(FindingKind::Damaged, message));
    }
    let content = match decode(bytes, Arc::clone(&section), table).await {
        Ok(content) => content,
        Err(reason) => {
            findings.push(finding(FindingKind::Damaged, &reason));
            return Ok(SectionCheckResult { findings, corrected: None });
        }
    };
    let flaws = content.flaws.iter();
    findings.extend(flaws.map(|flaw| finding(flaw.kind, &flaw.message)));
    let mut corrected = None;
    if let Some(correction) = compare(&section, &content) {
        let is_sound = findings.is_empty() && content.rows > 0;
        corrected = is_sound.then_some(correction.section);
        findings.extend(correction.findings.into_iter().map(|found| Finding {
            severity: found.severity,
            ..finding(found.kind, &found.message)
        }));
    }
    Ok(SectionCheckResult { findings, corrected })
}

/// Decodes rows on a blocking thread. Bytes that make the decoder panic are damaged.
async fn decode(
    bytes: Bytes,
    section: Arc<Section>,
    table: Arc<Table>,
) -> Result<SectionContent, String> {
    let decoding =
        tokio::task::spawn_blocking(move || section_content::read(&bytes, &section, &table));
    let decoded = decoding.await;
    decoded.unwrap_or_else(|_| Err("it can't be decoded: the decoder panicked".to_owned()))
}
