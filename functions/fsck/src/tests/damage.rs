//! Tests that each kind of damage is found and described.

use std::time::Duration;

use neap_bucket::Stamp;
use neap_compact::encode_section;
use ulid::Ulid;

use super::*;
use crate::FindingKind;

fn errors(report: &FsckReport) -> Vec<FindingKind> {
    let errors = report.findings.iter();
    errors
        .filter(|finding| finding.severity == crate::Severity::Error)
        .map(|finding| finding.kind)
        .collect()
}

async fn bundle(stage: &FsckFixture) -> Key {
    stage.sections(CPU).await[0].key(stage.database)
}

#[tokio::test(start_paused = true)]
async fn a_missing_bundle_is_found() {
    for stage in FsckFixture::filled().await {
        let key = bundle(&stage).await;
        stage.delete(&key).await;
        let report = stage.quick().await;
        assert_eq!(report.findings[0].key, Some(key.to_string()));
        insta::allow_duplicates! {
            insta::assert_snapshot!(lines(&report), @r#"
            error    <data> ("db"."cpu"): it is missing, and with it 1 sections with 2 rows
            error    <data> ("db"."mem"): it is missing, and with it 1 sections with 1 rows
            "#);
        }
        assert_eq!(report.exit_code(), 1);
        assert_eq!(errors(&stage.full().await), errors(&report));
    }
}

#[tokio::test(start_paused = true)]
async fn a_truncated_bundle_is_found() {
    for stage in FsckFixture::filled().await {
        let key = bundle(&stage).await;
        let whole = stage.bytes(&key).await.len();
        stage.truncate(&key, whole - 1).await;
        let report = stage.quick().await;
        assert_eq!(errors(&report), [FindingKind::Truncated]);
        let message = &report.findings[0].message;
        let sizes = format!("it has {} of {whole} bytes; 1 sections", whole - 1);
        assert!(message.starts_with(&sizes), "{message}");
        assert_eq!(errors(&stage.full().await), errors(&report));
    }
}

#[tokio::test(start_paused = true)]
async fn any_flipped_bit_of_a_bundle_is_found() {
    for stage in FsckFixture::filled().await {
        let key = bundle(&stage).await;
        let whole = stage.bytes(&key).await;
        for at in (0..whole.len()).step_by(97) {
            stage.flip_bit(&key, at).await;
            assert!(stage.quick().await.clean);
            let report = stage.full().await;
            assert_eq!(errors(&report), [FindingKind::Damaged], "at {at}");
            insta::allow_duplicates! {
                let message = report.findings[0].message.split_once(": ").unwrap().1;
                insta::assert_snapshot!(message, @"its checksum does not match");
            }
            stage.put(&key.to_string(), whole.clone()).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn missing_or_damaged_pages_are_found() {
    let stage = FsckFixture::paged().await;
    let page = stage.manifest().await.value.pages[0].clone();
    let key = page.key(stage.database);
    let whole = stage.bytes(&key).await;
    stage.flip_bit(&key, whole.len() / 2).await;
    insta::assert_snapshot!(lines(&stage.quick().await), @r#"error    <page> ("db"): its checksum does not match; it lists 8 sections with 16 rows"#);
    stage.truncate(&key, whole.len() / 2).await;
    let (rest, all) = (whole.len() / 2, whole.len());
    assert_eq!(
        lines(&stage.quick().await).trim_end(),
        format!(
            r#"error    <page> ("db"): it has {rest} of {all} bytes; the list of 8 sections with 16 rows is cut"#
        )
    );
    stage.delete(&key).await;
    insta::assert_snapshot!(lines(&stage.quick().await), @r#"error    <page> ("db"): it is missing, and with it the list of 8 sections with 16 rows"#);
    // Bundles that only the lost page references do not count as orphans.
    stage.advance(Duration::from_secs(30 * 86_400));
    assert_eq!(stage.repair(false).await.notes, 0);
    stage.put(&key.to_string(), whole).await;
    assert!(stage.full().await.clean);
}

#[tokio::test(start_paused = true)]
async fn damaged_newer_or_missing_registers_are_found() {
    for stage in FsckFixture::filled().await {
        for (key, expected) in [
            (Key::RootCatalog, "root_catalog"),
            (Key::DatabaseCatalog(stage.database), "database_catalog"),
            (Key::Manifest(stage.database), "manifest"),
        ] {
            let whole = stage.bytes(&key).await;
            let check = async |change: &dyn Fn(&mut Vec<u8>)| {
                let mut bytes = whole.clone();
                change(&mut bytes);
                stage.put(&key.to_string(), bytes).await;
                let report = stage.quick().await;
                assert!(!report.clean);
                let worst =
                    report.findings.into_iter().find(|it| it.key == Some(key.to_string())).unwrap();
                (worst.kind, worst.message)
            };
            let damaged = |message: &str| (FindingKind::Damaged, message.to_owned());
            let flipped = check(&|bytes| *bytes.last_mut().unwrap() ^= 1).await;
            assert_eq!(flipped, damaged("its checksum does not match"), "{expected}");
            let cut = check(&|bytes| bytes.truncate(5)).await;
            assert_eq!(cut, damaged("it has only 5 bytes"), "{expected}");
            let (kind, message) = check(&|bytes| bytes[0] = b'X').await;
            assert_eq!(kind, FindingKind::Damaged);
            assert!(message.starts_with("it is not a "), "{message}");
            let (kind, message) = check(&|bytes| bytes[4] = 99).await;
            assert_eq!(kind, FindingKind::Newer);
            assert!(message.starts_with("it has format version 99"), "{message}");
            stage.put(&key.to_string(), whole).await;
        }
        let root = stage.bytes(&Key::RootCatalog).await;
        stage.delete(&Key::RootCatalog).await;
        let found = stage.quick().await;
        let kinds: Vec<_> = found.findings.iter().map(|it| it.kind).collect();
        assert_eq!(kinds, [FindingKind::Missing, FindingKind::UnknownDatabase]);
        let message = &found.findings[0].message;
        assert_eq!(message, "it is missing, and there are objects of 1 databases");
        stage.put("catalog", root).await;
        assert!(stage.full().await.clean);
    }
}

#[tokio::test(start_paused = true)]
async fn damaged_or_truncated_segments_are_found() {
    for stage in FsckFixture::filled().await {
        let key = stage.segment().await;
        let whole = stage.bytes(&key).await;
        for at in (0..whole.len()).step_by(53) {
            stage.flip_bit(&key, at).await;
            let report = stage.full().await;
            assert_eq!(report.findings, stage.quick().await.findings);
            assert_eq!(report.errors, 1, "at {at}");
            let kind = report.findings[0].kind;
            assert!(matches!(kind, FindingKind::Damaged | FindingKind::Newer), "at {at}");
            stage.put(&key.to_string(), whole.clone()).await;
        }
        stage.truncate(&key, whole.len() - 1).await;
        assert_eq!(errors(&stage.full().await), [FindingKind::Damaged]);
        stage.truncate(&key, 10).await;
        let found = lines(&stage.quick().await);
        insta::allow_duplicates! {
            insta::assert_snapshot!(found, @r#"error    <tail> ("db"): it has only 10 bytes"#);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn references_to_tables_and_tags_missing_in_the_catalog_are_found() {
    let stage = FsckFixture::filled_in_memory().await;
    stage
        .tamper_section(|section| {
            let range = section.tags.remove("host").unwrap();
            section.tags.insert("ghost".to_owned(), range);
        })
        .await;
    stage
        .tamper(|manifest| {
            let last = manifest.sections.last_mut().unwrap();
            Arc::make_mut(last).table = TableId::new(9);
        })
        .await;
    insta::assert_snapshot!(lines(&stage.quick().await), @r#"
    error    <data> ("db"."cpu"): its section at byte 0 has a tag 'ghost' that the catalog lacks
    error    <data> ("db"."table 9"): its section at byte 0 is of table 9, which the catalog lacks
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_reference_to_wrong_bytes_is_found() {
    for stage in FsckFixture::filled().await {
        stage
            .tamper_section(|section| {
                section.offset += 1;
                section.length -= 1;
            })
            .await;
        assert!(stage.quick().await.clean);
        assert_eq!(errors(&stage.full().await), [FindingKind::Damaged]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_section_read_as_another_table_is_found() {
    let stage = FsckFixture::filled_in_memory().await;
    let addition = TableAddition {
        table: "narrow".to_owned(),
        columns: vec![("usage".to_owned(), ColumnType::Integer)],
    };
    let known = stage.catalog.database(stage.database, ANY_AGE).await.unwrap();
    let added = stage.catalog.add(stage.database, known, &[addition]).await.unwrap();
    let narrow = added.value.table("narrow").unwrap().id();
    stage
        .tamper_section(|section| {
            section.table = narrow;
            section.tags.clear();
        })
        .await;
    stage
        .tamper(|manifest| manifest.sections.sort_by_key(|it| (it.upto, it.above, it.table)))
        .await;
    insta::assert_snapshot!(lines(&stage.full().await), @r#"
    error    <data> ("db"."narrow"): its section at byte 0: it has a column 'host' that the catalog lacks
    error    <data> ("db"."narrow"): its section at byte 0: its column 'usage' is Float64, and Int64 in the catalog
    error    <data> ("db"."narrow"): its section at byte 0: it has a column 'zone' that the catalog lacks
    error    <data> ("db"."narrow"): its section at byte 0: row 1 sorts before its predecessor
    "#);
}

#[tokio::test(start_paused = true)]
async fn alien_keys_and_unknown_databases_are_reported_and_not_changed() {
    for stage in FsckFixture::filled().await {
        stage.put("data/1/holiday.jpg", vec![1, 2, 3]).await;
        stage.put("README", vec![1]).await;
        let node = "nodes/00000000000000000000000007";
        stage.put(node, vec![1]).await;
        stage.put("nodes/seven", vec![1]).await;
        stage.put("tail/1/x.wal", vec![1]).await;
        stage.put("db/77/manifest", vec![1; 9]).await;
        let report = stage.repair(true).await;
        assert!(report.clean);
        insta::allow_duplicates! {
            let found: Vec<_> = lines(&report).lines().map(|line| {
                line.split(" bytes").next().unwrap().to_owned()
            }).collect();
            insta::assert_snapshot!(found.join("\n"), @"
            warning  db/77/: 1 objects with 9
            note     README: not a key of Neap, 1
            note     data/1/holiday.jpg: not a key of Neap, 3
            note     nodes/seven: not a key of Neap, 1
            note     tail/1/x.wal: not a key of Neap, 1
            ");
        }
        assert_eq!(lines(&stage.quick().await), lines(&report));
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_statistics_are_found() {
    for stage in FsckFixture::filled().await {
        stage
            .tamper_section(|section| {
                section.rows = 5;
                section.min_time = 6;
                section.tags.get_mut("host").unwrap().min = Some("b".to_owned());
                section.series = Some("5e12".to_owned());
            })
            .await;
        assert!(stage.quick().await.clean);
        let found = lines(&stage.full().await);
        insta::allow_duplicates! {
            insta::assert_snapshot!(found, @r#"
            error    <data> ("db"."cpu"): its section at byte 0: it has 2 rows, not 5
            error    <data> ("db"."cpu"): its section at byte 0: its times are 5 to 7, but the manifest says 6 to 7
            error    <data> ("db"."cpu"): its section at byte 0: values of the tag 'host' are outside the recorded range
            error    <data> ("db"."cpu"): its section at byte 0: the digest of its series is wrong
            "#);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_statistics_of_a_page_are_found() {
    let stage = FsckFixture::paged().await;
    stage.tamper(|manifest| manifest.pages[0].max_time -= 1).await;
    insta::assert_snapshot!(lines(&stage.quick().await), @r#"error    <page> ("db"): its page at byte 0 differs from its reference in the manifest: 8 sections with 16 rows of 0 to 604800000000005"#);
    stage.tamper(|manifest| manifest.pages[0].max_time += 2).await;
    let report = stage.quick().await;
    assert_eq!((report.errors, report.warnings), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn overlapping_sections_are_found() {
    for stage in FsckFixture::filled().await {
        let above = stage.sections(CPU).await[0].above;
        stage
            .tamper(|manifest| {
                let cpu = |section: &&mut Arc<Section>| section.table == TableId::new(1);
                let last = manifest.sections.iter_mut().rfind(cpu).unwrap();
                Arc::make_mut(last).above = above;
                manifest
                    .sections
                    .sort_by_key(|section| (section.upto, section.above, section.table));
            })
            .await;
        let report = stage.quick().await;
        assert_eq!(errors(&report), [FindingKind::Overlap]);
        let message = &report.findings[0].message;
        assert!(message.contains("both claim stamps of ("), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn impossible_sections_are_found() {
    let stage = FsckFixture::filled_in_memory().await;
    let found = async |change: fn(&mut Section)| {
        let whole = stage.bytes(&Key::Manifest(stage.database)).await;
        stage.tamper_section(change).await;
        let report = stage.quick().await;
        stage.put(&Key::Manifest(stage.database).to_string(), whole).await;
        assert_eq!(errors(&report), [FindingKind::Contradiction]);
        report.findings[0].message.clone()
    };
    let messages = [
        found(|section| section.upto = section.above).await,
        found(|section| section.rows = 0).await,
        found(|section| section.last_day = -1).await,
        found(|section| section.footer_length = 1).await,
    ];
    insta::assert_snapshot!(messages.join("\n"), @"
    its section at byte 0: its interval of stamps is empty
    its section at byte 0: its statistics say that it has no rows
    its section at byte 0: its times are not in its days
    its section at byte 0: the length of its footer is impossible
    ");
    stage.tamper(|manifest| manifest.sections.reverse()).await;
    assert_eq!(errors(&stage.quick().await), [FindingKind::Contradiction]);
}

#[tokio::test(start_paused = true)]
async fn a_catalog_older_than_the_data_is_found() {
    for stage in FsckFixture::each().await {
        stage.write(CPU, &[("a", None, 1, 1.0)]).await;
        let key = Key::DatabaseCatalog(stage.database);
        let old = stage.bytes(&key).await;
        stage.write(MEM, &[("a", None, 1, 1.0)]).await;
        stage.flush().await;
        stage.write(MEM, &[("a", None, 2, 1.0)]).await;
        stage.put(&key.to_string(), old).await;
        let found = lines(&stage.full().await);
        insta::allow_duplicates! {
            insta::assert_snapshot!(found, @r#"
            error    <data> ("db"."table 2"): its section at byte 1911 is of table 2, which the catalog lacks
            error    <manifest> ("db"): it needs version 2 of the catalog, which has version 1
            error    <tail> ("db"): it needs version 3 of the catalog, which has version 1
            "#);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_mark_and_stamps_ahead_of_the_clock_are_found() {
    let stage = FsckFixture::filled_in_memory().await;
    let far = stage.bucket.clock().now().unwrap().plus(Duration::from_secs(3_600));
    let name = neap_bucket::SegmentName { stamp: Stamp::new(far, 1), nonce: 1 };
    let segment = stage.bytes(&stage.segment().await).await;
    let key = Key::Segment(stage.database, name).to_string();
    stage.put(&key, segment).await;
    insta::assert_snapshot!(lines(&stage.quick().await), @r#"
    error    <tail> ("db"): it was written under another name; according to its damaged header it held 1 rows of table "cpu" from 1970-01-01T00:00:00.000000008Z to 1970-01-01T00:00:00.000000008Z
    warning  <tail> ("db"): its stamp is ahead of the store's clock: no flush merges it until the clock reaches it
    "#);
    stage.tamper(|manifest| manifest.low_water_mark = Stamp::end_of(far)).await;
    insta::assert_snapshot!(lines(&stage.quick().await), @r#"error    <manifest> ("db"): its low-water mark is 3600 s ahead of the store's clock: no write is accepted until the clock reaches it"#);
}

#[tokio::test(start_paused = true)]
async fn unsorted_or_duplicate_rows_are_found() {
    let stage = FsckFixture::filled_in_memory().await;
    let tags = ["host".to_owned(), "zone".to_owned()];
    let check = async |rows: &[TestRow<'_>]| {
        let encoded = encode_section(&tags, &batch(rows)).unwrap();
        let object = Ulid::from_parts(1, rows.len() as u128);
        let key = Key::Parquet(stage.database, object).to_string();
        stage.put(&key, encoded.bytes.clone()).await;
        stage
            .tamper_section(|section| {
                section.object = object;
                section.offset = 0;
                section.in_bundle = false;
                section.length = encoded.bytes.len() as u64;
                section.crc32c = encoded.crc32c;
                section.footer_crc32c = encoded.footer_crc32c;
                section.footer_length = encoded.footer_length;
                section.rows = encoded.rows;
                section.min_time = encoded.min_time;
                section.max_time = encoded.max_time;
                section.tags = encoded.tags.clone();
                section.series = encoded.series.clone();
            })
            .await;
        errors(&stage.full().await)
    };
    let (a, b) = ("a", "b");
    assert_eq!(check(&[(a, None, 1, 1.0), (a, Some("x"), 0, 1.0), (b, None, 0, 1.0)]).await, []);
    let by_time = check(&[(a, None, 2, 1.0), (a, None, 1, 1.0)]).await;
    assert_eq!(by_time, [FindingKind::Unsorted]);
    let by_tag = check(&[(b, None, 1, 1.0), (a, None, 2, 1.0)]).await;
    assert_eq!(by_tag, [FindingKind::Unsorted]);
    let by_null = check(&[(a, Some("x"), 1, 1.0), (a, None, 2, 1.0)]).await;
    assert_eq!(by_null, [FindingKind::Unsorted]);
    let twice = check(&[(a, None, 1, 1.0), (a, None, 1, 2.0), (b, None, 1, 1.0)]).await;
    assert_eq!(twice, [FindingKind::DuplicatePoint]);
    // Also across the batches of a reader.
    let mut many: Vec<TestRow<'_>> = (0..9_000).map(|time| (a, None, time, 1.0)).collect();
    assert_eq!(check(&many).await, []);
    many[8_192] = many[8_191];
    assert_eq!(check(&many).await, [FindingKind::DuplicatePoint]);
}
