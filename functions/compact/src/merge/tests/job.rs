//! Whole jobs: their requests, their results, and their limits.

use std::{sync::Arc, time::Duration};

use arrow_array::{RecordBatch, StringArray, TimestampNanosecondArray};
use arrow_schema::Schema;
use arrow_select::concat::concat_batches;
use bytes::Bytes;
use neap_bucket::{KeyClass, Operation, PutMode, Stamp};
use neap_points::{deduplicate, times};
use neap_row_delete::Condition;
use neap_schema::ColumnType;
use neap_test_inputs::XorShift;

use super::{
    stream::{TestPoint, batch, text},
    test_bed::{MergeTestBed, limits, without_empty_fields},
};
use crate::{JobLimits, MergeOutcome, MergeReason, MergeSkipped};

const DAY: i64 = 86_400_000_000_000;

/// Rows of host `t<host>` at these times, all with the same value.
fn rows(host: u8, times: impl IntoIterator<Item = i64>, value: i8) -> Vec<TestPoint> {
    let row = |time| ([None, Some(host)], time, [Some(value), None]);
    times.into_iter().map(row).collect()
}

/// Rows with incompressible text, so that their section is large.
fn large(seed: u64, count: i64) -> RecordBatch {
    let mut random = XorShift::new(seed);
    let mut text = || -> String {
        let draw = |_| char::from(33 + u8::try_from(random.below(90)).unwrap());
        (0..2_000).map(draw).collect()
    };
    let texts: StringArray = (0..count).map(|_| Some(text())).collect();
    let times = TimestampNanosecondArray::from_iter_values(0..count);
    let fields = [("b", ColumnType::String), ("time", ColumnType::Time)];
    let schema = Schema::new(fields.map(|(name, kind)| kind.arrow_field(name)).to_vec());
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(texts), Arc::new(times)]).unwrap()
}

#[tokio::test]
async fn small_sections_cost_one_get_each_and_a_merge_two_puts() {
    for count in [2, 12] {
        let stage = MergeTestBed::new().await;
        let mut all = Vec::new();
        for at in 0..count {
            let rows =
                batch(&rows(u8::try_from(at % 3).unwrap(), 0..20, i8::try_from(at).unwrap()));
            stage.flush(10 + at, std::slice::from_ref(&rows), None).await;
            all.push(rows);
        }
        let counts = stage.merge_all().await;
        assert_eq!(
            counts.to_string(),
            format!("1 get manifest, {count} get data, 1 put manifest, 1 put data")
        );
        let manifest = stage.manifest().await;
        assert_eq!((manifest.sections.len(), manifest.check()), (1, Ok(())));
        let merged = &manifest.sections[0];
        assert_eq!((merged.above, merged.upto), (Stamp::ZERO, Stamp::from_u64(9 + count)));
        let expected =
            deduplicate(&stage.table.tag_names(), &stage.table.arrow_schema(), all).unwrap();
        let expected = without_empty_fields(&stage.table.tag_names(), &expected);
        let read = stage.rows(merged).await;
        assert_eq!(text(&concat_batches(&read[0].schema(), &read).unwrap()), text(&expected));
        let job = manifest.jobs.last().unwrap();
        assert_eq!((u64::from(job.inputs), job.outputs, job.rows), (count, 1, merged.rows));
    }
}

#[tokio::test]
async fn large_sections_cost_their_footer_and_coalesced_reads() {
    let stage = MergeTestBed::new().await;
    for at in 1..=3 {
        stage.flush(10 * at, &[large(at, 3_500)], None).await;
    }
    let sections = stage.manifest().await.sections.clone();
    assert!(sections.iter().all(|section| section.length > 4 << 20));
    let counts = stage.merge_all().await;
    let data = counts.of(Operation::Get, KeyClass::Data);
    assert_eq!(data.requests, 3 * (1 + 1));
    let length: u64 = sections.iter().map(|section| section.length).sum();
    assert!(data.bytes <= length, "nothing is read twice");
    let merged = &stage.manifest().await.sections[0];
    let read = stage.rows(merged).await;
    let newest = concat_batches(&read[0].schema(), &read).unwrap();
    let expected =
        deduplicate(&stage.table.tag_names(), &newest.schema(), vec![large(3, 3_500)]).unwrap();
    assert_eq!(text(&newest.slice(0, 50)), text(&expected.slice(0, 50)));
}

#[tokio::test]
async fn deletes_apply_to_older_inputs_and_are_then_removed() {
    let stage = MergeTestBed::new().await;
    stage.flush(10, &[batch(&rows(1, 0..10, 1))], None).await;
    // Deletes rows of the first section, and older rows of this flush.
    let from_5 = Condition::Time { min: 5, max: 100 };
    stage.flush(20, &[batch(&rows(2, 0..5, 2))], Some(from_5)).await;
    stage.flush(30, &[batch(&rows(1, 8..10, 3))], None).await;
    stage.merge_all().await;
    let manifest = stage.manifest().await;
    let merged = &manifest.sections[0];
    let read = stage.rows(merged).await;
    let expected = [rows(1, 0..5, 1), rows(1, 8..10, 3), rows(2, 0..5, 2)].concat();
    let tags = stage.table.tag_names();
    let expected = deduplicate(&tags, &stage.table.arrow_schema(), vec![batch(&expected)]).unwrap();
    let expected = without_empty_fields(&tags, &expected);
    assert_eq!(text(&read[0]), text(&expected));
    assert_eq!(merged.cleaned, Stamp::from_u64(30));
    assert_eq!(manifest.deletes_of(stage.table.id()).count(), 0, "no section needs it");
}

#[tokio::test]
async fn rewriting_one_section_is_enough_for_a_delete() {
    let stage = MergeTestBed::new().await;
    stage.flush(10, &[batch(&rows(1, 0..10, 1))], None).await;
    // In the middle, so that the times of the remaining rows still overlap it.
    let some = Condition::Time { min: 3, max: 5 };
    stage.flush(20, &[batch(&rows(2, [DAY], 2))], Some(some)).await;
    let sections = stage.manifest().await.sections.clone();
    let job = crate::MergeJob::new(vec![Arc::clone(&sections[0])], MergeReason::Deletes).unwrap();
    assert!(matches!(
        stage.merge(&job, &limits()).await.unwrap(),
        MergeOutcome::Done { rows: 7, .. }
    ));
    let manifest = stage.manifest().await;
    assert_eq!(manifest.sections.len(), 2);
    assert_eq!(manifest.deletes_of(stage.table.id()).count(), 0);
}

#[tokio::test]
async fn a_merge_that_leaves_no_row_takes_its_inputs_out() {
    let stage = MergeTestBed::new().await;
    stage.flush(10, &[batch(&rows(1, 0..10, 1))], None).await;
    stage.flush(20, &[], Some(Condition::EVERYTHING)).await;
    let counts = stage.merge_all().await;
    assert_eq!(counts.of(Operation::Put, KeyClass::Data).requests, 0);
    let manifest = stage.manifest().await;
    assert!(manifest.sections.is_empty());
    assert_eq!(manifest.jobs.last().unwrap().outputs, 0);
}

#[tokio::test]
async fn expired_rows_are_left_out_for_ever() {
    let stage = MergeTestBed::new().await;
    let now = stage.bucket.clock().now().unwrap().micros() * 1_000;
    let hour = DAY / 24;
    // Both sections also have unexpired rows.
    for (cut, age) in [(10, 30), (20, 2)] {
        let times = [now - age * hour, now - hour];
        stage.flush(cut, &[batch(&rows(1, times, 1))], None).await;
    }
    let day = Duration::from_secs(86_400);
    stage.catalog.set_retention(stage.database, Some(day)).await.unwrap();
    let sections = stage.manifest().await.sections.clone();
    let job = crate::MergeJob::new(sections, MergeReason::Settled).unwrap();
    stage.merge(&job, &limits()).await.unwrap();
    let manifest = stage.manifest().await;
    let read = stage.rows(&manifest.sections[0]).await;
    assert_eq!(times(&read[0]).unwrap().values(), &[now - 2 * hour, now - hour]);
    assert_eq!(manifest.deletes, [], "no other section has such rows");
    assert_eq!(manifest.sections[0].min_time, now - 2 * hour);
}

#[tokio::test]
async fn a_job_with_missing_inputs_does_nothing() {
    let stage = MergeTestBed::new().await;
    stage.flush(10, &[batch(&rows(1, 0..10, 1))], None).await;
    stage.flush(20, &[batch(&rows(1, 0..10, 1))], None).await;
    let job = stage.job().await;
    stage.merge_all().await;
    let before = stage.store.counts();
    let outcome = stage.merge(&job, &limits()).await.unwrap();
    assert!(matches!(outcome, MergeOutcome::Skipped(MergeSkipped::Overtaken)), "{outcome:?}");
    assert_eq!((stage.store.counts() - before).to_string(), "1 get manifest");
}

#[tokio::test]
async fn a_job_without_time_or_memory_stops_before_its_put() {
    let stage = MergeTestBed::new().await;
    stage.flush(10, &[batch(&rows(1, 0..10, 1))], None).await;
    stage.flush(20, &[batch(&rows(1, 0..10, 1))], None).await;
    let job = stage.job().await;
    let before = stage.store.counts();
    let no_time = JobLimits { time: Duration::ZERO, ..limits() };
    let outcome = stage.merge(&job, &no_time).await.unwrap();
    assert!(matches!(outcome, MergeOutcome::Skipped(MergeSkipped::OutOfTime)), "{outcome:?}");
    let no_memory = JobLimits { max_memory_bytes: 1 << 20, ..limits() };
    let outcome = stage.merge(&job, &no_memory).await.unwrap();
    assert!(
        matches!(outcome, MergeOutcome::Skipped(MergeSkipped::OutOfMemory(_))),
        "{outcome:?}"
    );
    let counts = stage.store.counts() - before;
    assert_eq!(counts.requests(Operation::Put), 0);
    assert_eq!(stage.manifest().await.sections.len(), 2);
}

#[tokio::test]
async fn damage_is_reported_by_name_and_not_merged() {
    for (count, parts) in [(10, 2), (3_500, 1)] {
        let stage = MergeTestBed::new().await;
        for part in 0..parts {
            stage.flush(10 + part, &[large(1 + part, count)], None).await;
        }
        stage.flush(20, &[batch(&rows(1, 0..10, 1))], None).await;
        let job = stage.job().await;
        let damaged = Arc::clone(&job.inputs[0]);
        let key = damaged.key(stage.database);
        let whole = stage.object(&damaged).await;
        // Damage, in order: a bit of a value, which Parquet itself does not detect; a bit of the footer; a truncated
        // object; a missing object.
        let flipped = |at: usize| {
            let mut flipped = whole.to_vec();
            flipped[at] ^= 1;
            Bytes::from(flipped)
        };
        let page = flipped(40_usize.max(whole.len() / 2));
        let end = usize::try_from(damaged.range().end).unwrap();
        let footer = flipped(end - 20);
        let cut = whole.slice(..whole.len() / 2);
        for (body, found) in [
            (page, "the checksum of column"),
            (footer, "the checksum of its footer"),
            (cut, "the length of the object"),
        ] {
            stage.bucket.put(&key, body, PutMode::Overwrite).await.unwrap();
            let error = stage.merge(&job, &limits()).await.unwrap_err().to_string();
            let names = [damaged.object.to_string(), found.to_owned()];
            assert!(names.iter().all(|name| error.contains(name)), "{error}");
        }
        stage.bucket.delete(&[key.to_string()]).await.unwrap();
        let error = stage.merge(&job, &limits()).await.unwrap_err();
        assert_eq!(error.to_string(), format!("'{key}' is missing from the bucket"));
        assert_eq!(stage.manifest().await.sections.len(), job.inputs.len());
    }
}
