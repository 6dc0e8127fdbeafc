//! Tests of quarantining damaged objects.

use neap_bucket::{FormatLevel, FormatLevels, Key, ProtocolMargins};
use neap_catalog::{Catalog, CatalogError};
use neap_manifest::Section;
use neap_wal::Segment;

use super::{CPU, FsckFixture, MEM, lines};
use crate::{Fsck, FsckError, FsckOptions, FsckReport, LostObject, ObjectPart};

impl FsckFixture {
    async fn quarantine(&self, part: &str, commit: bool) -> Result<Vec<LostObject>, FsckError> {
        let fsck = Fsck::new(self.bucket.clone());
        fsck.quarantine(&part.parse().unwrap(), None, commit).await
    }

    /// Quarantines an object after a dry run, which must change nothing. Returns the loss; a repetition returns the
    /// same.
    async fn quarantine_and_describe(&self, part: &str) -> String {
        let version = self.manifest().await.version;
        let shown = self.quarantine(part, false).await.unwrap();
        assert_eq!(self.manifest().await.version, version);
        let done = self.quarantine(part, true).await.unwrap();
        assert!(shown.iter().all(|one| !one.quarantined));
        assert!(done.iter().all(|one| one.quarantined));
        let report = FsckReport { lost: done, ..FsckReport::default() };
        let again = self.quarantine(part, true).await.unwrap();
        assert_eq!(again, report.lost);
        let text = report.lost.iter().map(ToString::to_string);
        text.collect::<Vec<_>>().join("\n").replace(part, "<object>")
    }
}

fn offset_of_rows(segment: &Segment) -> usize {
    let streams: usize = segment.directory().iter().map(|stream| stream.length as usize).sum();
    segment.size_bytes() - streams
}

#[tokio::test(start_paused = true)]
async fn a_segment_with_damaged_rows_is_found_by_a_quick_check_and_quarantined() {
    for stage in FsckFixture::filled().await {
        let key = stage.segment().await;
        let Key::Segment(database, name) = key else {
            panic!("{key}");
        };
        let bytes = stage.bytes(&key).await;
        let segment = Segment::decode(database, name, bytes.into()).unwrap();
        stage.flip_bit(&key, offset_of_rows(&segment) + 40).await;
        let found = lines(&stage.quick().await);
        assert_eq!(found, lines(&stage.full().await));
        insta::allow_duplicates! {
            insta::assert_snapshot!(found, @r#"error    <tail> ("db"."cpu"): 1 rows of table "cpu" from 1970-01-01T00:00:00.000000008Z to 1970-01-01T00:00:00.000000008Z can't be read: their checksum does not match"#);
        }
        let lost = stage.quarantine_and_describe(&key.to_string()).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(lost, @r#"quarantined <object> ("db"): lost are 1 rows of table "cpu" from 1970-01-01T00:00:00.000000008Z to 1970-01-01T00:00:00.000000008Z"#);
        }
        let report = stage.quick().await;
        assert!(report.clean);
        insta::allow_duplicates! {
            insta::assert_snapshot!(lines(&report), @r#"note     <tail> ("db"."cpu"): it is quarantined since version 3 of the manifest: 1 rows of table "cpu" from 1970-01-01T00:00:00.000000008Z to 1970-01-01T00:00:00.000000008Z"#);
        }
        stage.flush().await;
        assert!(stage.full().await.clean);
        stage.bytes(&key).await;
    }
}

#[tokio::test(start_paused = true)]
async fn damage_skipped_by_a_flush_is_an_error_until_it_is_quarantined() {
    let stage = FsckFixture::filled_in_memory().await;
    let key = stage.segment().await;
    let end = stage.bytes(&key).await.len();
    stage.flip_bit(&key, end - 20).await;
    stage.flush().await;
    let report = stage.quick().await;
    assert_eq!(report.errors, 1);
    insta::assert_snapshot!(lines(&report), @r#"error    <tail> ("db"."cpu"): 1 rows of table "cpu" from 1970-01-01T00:00:00.000000008Z to 1970-01-01T00:00:00.000000008Z can't be read, and a flush has skipped them"#);
    stage.quarantine_and_describe(&key.to_string()).await;
    assert!(stage.full().await.clean);
}

#[tokio::test(start_paused = true)]
async fn a_segment_with_a_damaged_header_is_quarantined_as_a_whole() {
    let stage = FsckFixture::filled_in_memory().await;
    let key = stage.segment().await;
    // A byte of the checksum in the envelope.
    stage.flip_bit(&key, 25).await;
    insta::assert_snapshot!(lines(&stage.quick().await), @r#"error    <tail> ("db"): its checksum does not match; according to its damaged header it held 1 rows of table "cpu" from 1970-01-01T00:00:00.000000008Z to 1970-01-01T00:00:00.000000008Z"#);
    let lost = stage.quarantine_and_describe(&key.to_string()).await;
    insta::assert_snapshot!(lost, @r#"quarantined <object> ("db"): lost are all of its rows, according to its damaged header 1 rows of table "cpu" from 1970-01-01T00:00:00.000000008Z to 1970-01-01T00:00:00.000000008Z"#);
    assert!(stage.quick().await.clean);
    stage.flush().await;
    assert!(stage.full().await.clean);
    stage.bytes(&key).await;
}

#[tokio::test(start_paused = true)]
async fn a_segment_with_a_damaged_version_is_quarantined_and_a_newer_one_is_not() {
    let stage = FsckFixture::filled_in_memory().await;
    let key = stage.segment().await;
    // The upper byte of the version: the version of a much later release.
    stage.flip_bit(&key, 5).await;
    stage.flip_bit(&key, 50).await;
    let error = stage.quarantine(&key.to_string(), true).await;
    assert!(matches!(error, Err(FsckError::Aborted(_))), "{error:?}");
    stage.flip_bit(&key, 50).await;
    stage.quarantine_and_describe(&key.to_string()).await;
    assert!(stage.quick().await.clean);
}

#[tokio::test(start_paused = true)]
async fn a_page_with_a_damaged_version_is_quarantined_and_a_newer_one_is_not() {
    let stage = FsckFixture::paged().await;
    let page = stage.manifest().await.value.pages[0].clone();
    let key = page.key(stage.database);
    let part = format!("{key}@{}", page.offset);
    let [start, end] = [page.offset, page.head_range().end].map(|at| usize::try_from(at).unwrap());
    // The upper byte of the version: the version of a much later release.
    stage.flip_bit(&key, start + 5).await;
    let newer = crc32c::crc32c(&stage.bytes(&key).await[start..end]);
    stage.tamper(|manifest| manifest.pages[0].head_crc32c = newer).await;
    let error = stage.quarantine(&part, true).await;
    assert!(matches!(error, Err(FsckError::Aborted(_))), "{error:?}");
    stage.tamper(|manifest| manifest.pages[0].head_crc32c = page.head_crc32c).await;
    stage.quarantine_and_describe(&part).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_quarantined_in_a_cluster_of_another_format_level() {
    let stage = FsckFixture::filled_in_memory().await;
    let key = stage.segment().await;
    stage.flip_bit(&key, 25).await;
    let later = FormatLevels { newest: FormatLevel::new(2), ..FormatLevels::SUPPORTED };
    let bucket = stage.bucket.clone().with_format_levels(later);
    let later_release = Catalog::new(bucket, ProtocolMargins::LOCAL, None);
    later_release.raise_format_level(later.newest).await.unwrap();
    let refused = stage.quarantine(&key.to_string(), true).await;
    let is_refused =
        matches!(refused, Err(FsckError::Catalog(CatalogError::OtherFormatLevel { .. })));
    assert!(is_refused, "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn only_damaged_objects_are_quarantined() {
    let stage = FsckFixture::filled_in_memory().await;
    let segment = stage.segment().await.to_string();
    let section = stage.sections(CPU).await.remove(0);
    let bundle = section.key(stage.database).to_string();
    for (part, expected) in [
        (segment.clone(), format!("'{segment}' is not damaged")),
        (bundle.clone(), format!("'{bundle}' is not damaged")),
        (
            format!("{bundle}@99999"),
            format!("the manifest of its database does not name '{bundle}@99999'"),
        ),
        (
            "data/9/01K4S2GX8P0000000000000000.page".to_owned(),
            "the manifest of its database does not name 'data/9/01K4S2GX8P0000000000000000.page'"
                .to_owned(),
        ),
    ] {
        let error = stage.quarantine(&part, true).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    for part in ["catalog", "x", "db/1/manifest", "data/1/x.page@y"] {
        part.parse::<ObjectPart>().unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_section_is_quarantined_alone() {
    for stage in FsckFixture::filled().await {
        let (section, other) =
            (stage.sections(CPU).await.remove(0), stage.sections(MEM).await.remove(0));
        assert_eq!(section.object, other.object);
        let key = section.key(stage.database);
        stage.flip_bit(&key, usize::try_from(section.offset).unwrap() + 30).await;
        let found = stage.full().await;
        assert!(!found.clean);
        let name = key.to_string();
        let lost = stage.quarantine(&name, true).await.unwrap();
        let [lost] = &lost[..] else {
            panic!("{lost:?}");
        };
        assert_eq!(lost.object, format!("{name}@{}", section.offset));
        assert_eq!(
            lost.rows(),
            "2 rows of table \"cpu\" from 1970-01-01T00:00:00.000000005Z to 1970-01-01T00:00:00.000000007Z"
        );
        let report = stage.full().await;
        assert!(report.clean, "{}", lines(&report));
        assert_eq!(stage.sections(CPU).await.len(), 1);
        assert_eq!(stage.sections(MEM).await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_page_is_quarantined_and_its_objects_are_not_condemned() {
    let stage = FsckFixture::paged().await;
    let page = stage.manifest().await.value.pages[0].clone();
    let before: Vec<Section> = stage.sections(CPU).await;
    let key = page.key(stage.database);
    stage.flip_bit(&key, usize::try_from(page.offset).unwrap() + 40).await;
    let error = stage.quick().await;
    assert!(!error.clean);
    let lost = stage.quarantine_and_describe(&format!("{key}@{}", page.offset)).await;
    let rows = format!("lost are {} rows of table \"cpu\" from ", page.rows);
    assert!(lost.contains(&rows), "{lost}");
    stage.advance(std::time::Duration::from_secs(48 * 3600));
    let report = stage.repair(true).await;
    assert!(report.clean, "{}", lines(&report));
    let left = stage.sections(CPU).await;
    assert_eq!(left.len(), before.len() - page.sections as usize);
    let manifest = stage.manifest().await;
    assert_eq!(manifest.value.condemned, []);
    let options = FsckOptions::default();
    assert!(stage.check_with(&options).await.clean);
}
