//! Tests of tails that are not flushed.

use neap_bucket::{SegmentName, Stamp};

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_segment_that_is_not_flushed_within_an_hour_is_a_warning() {
    let stage = FsckFixture::in_memory().await;
    stage.write(CPU, &[("a", None, 5, 1.0)]).await;
    stage.advance(59 * MINUTE);
    assert_eq!(lines(&stage.quick().await), "");
    stage.advance(2 * MINUTE);
    let report = stage.quick().await;
    assert_eq!((report.errors, report.warnings), (0, 1));
    insta::assert_snapshot!(lines(&report), @r#"warning  tail/1/ ("db"): 1 segments are not flushed, the oldest for 61 minutes: check why flushes fail, or run `neap compact`"#);
    stage.flush().await;
    assert_eq!(lines(&stage.quick().await), "");
}

#[tokio::test(start_paused = true)]
async fn a_tail_that_holds_writers_back_is_a_warning() {
    let stage = FsckFixture::in_memory().await;
    stage.write(CPU, &[("a", None, 5, 1.0)]).await;
    let now = Stamp::new(stage.bucket.clock().now().unwrap(), 0).as_u64();
    let add = async |numbers: std::ops::Range<u64>| {
        for number in numbers {
            let stamp = Stamp::from_u64(now + number);
            let name = SegmentName { stamp, nonce: 1 };
            let key = Key::Segment(stage.database, name).to_string();
            stage.put(&key, vec![0; 100]).await;
        }
    };
    add(0..2_999).await;
    assert_eq!(backlog(&stage).await, "");
    add(2_999..3_000).await;
    insta::assert_snapshot!(backlog(&stage).await, @r#"warning  tail/1/ ("db"): 3001 segments are not flushed, the oldest for 0 minutes: its writers slow down until flushes have caught up"#);
    add(3_000..10_000).await;
    insta::assert_snapshot!(backlog(&stage).await, @r#"warning  tail/1/ ("db"): 10001 segments are not flushed, the oldest for 0 minutes: its writers refuse writes until flushes have caught up"#);
}

/// Returns the findings about the length of the tail. The other findings say that its objects are not segments.
async fn backlog(stage: &FsckFixture) -> String {
    let mut report = stage.quick().await;
    report.findings.retain(|finding| finding.kind == crate::FindingKind::NotFlushed);
    lines(&report)
}
