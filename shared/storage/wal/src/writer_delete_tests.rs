//! Tests of row deletes in the group commit: their order and their commit rules.

use neap_row_delete::{Condition, RowDelete};

use super::*;
use crate::{DeleteLimits, DeleteRequest};

impl WriterFixture {
    /// Starts a delete. The request has joined the group commit when this returns.
    async fn begin_delete(&self, request: DeleteRequest) -> tokio::task::JoinHandle<WriteResult> {
        let writer = self.writer.clone();
        let task = tokio::spawn(async move { writer.delete(DATABASE, request).await });
        tokio::task::yield_now().await;
        task
    }

    /// Returns the content of each segment, in order: the times of rows, or the tables of deletes.
    async fn contents(&self) -> Vec<String> {
        let segments = self.segments().await;
        let content = |segment: &Segment| {
            let times = segment.directory().iter().map(|entry| entry.min_time.to_string());
            let deletes = segment.deletes().iter().map(|delete| format!("-{}", delete.table));
            times.chain(deletes).collect::<Vec<_>>().join(" ")
        };
        segments.iter().map(content).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_delete_comes_between_the_writes_before_and_after_it_in_the_batch() {
    let setup = WriterFixture::local().await;
    setup.world.store.script_puts(&[ScriptedPut::After(500 * MS)]);
    let mut tasks = vec![setup.begin(setup.world.request(0)).await];
    for time in [1, 2] {
        tasks.push(setup.begin(setup.world.request(time)).await);
    }
    tasks.push(setup.begin_delete(setup.world.delete_request(1)).await);
    tasks.push(setup.begin_delete(setup.world.delete_request(2)).await);
    for time in [3, 4] {
        tasks.push(setup.begin(setup.world.request(time)).await);
    }
    let mut stamps = Vec::new();
    for task in tasks {
        stamps.push(task.await.unwrap().unwrap().stamp);
    }
    assert_eq!(setup.contents().await, ["0", "1 2", "-1", "-2", "3 4"]);
    let names: Vec<_> = setup.segments().await.iter().map(|s| s.name().stamp).collect();
    assert!(names.is_sorted_by(|a, b| a < b));
    assert_eq!(stamps, [0, 1, 1, 2, 3, 4, 4].map(|segment| names[segment]));
    let stats = setup.writer.stats();
    assert_eq!((stats.puts, stats.rows, stats.deletes), (5, 5, 2));
    assert_eq!(stats.in_flight_bytes, 0);
    assert_eq!(setup.recorder.put.lock().unwrap().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn an_unacknowledged_delete_fails_and_later_writes_continue() {
    let setup = WriterFixture::local().await;
    setup
        .world
        .store
        .script_puts(&[ScriptedPut::After(100 * MS), ScriptedPut::AnswerLost]);
    let first = setup.begin(setup.world.request(0)).await;
    let delete = setup.begin_delete(setup.world.delete_request(1)).await;
    let later = setup.begin(setup.world.request(1)).await;
    first.await.unwrap().unwrap();
    let error = delete.await.unwrap().unwrap_err();
    assert!(error.stamp() < Some(later.await.unwrap().unwrap().stamp));
    assert!(matches!(doubt(Err(error)), NotAcknowledged::NoAnswer(_)));
    assert_eq!(setup.recorder.unknown.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_delete_follows_the_commit_rules_of_writes() {
    let setup = WriterFixture::local().await;
    let after = Stamp::from_u64(u64::MAX);
    let ordered = DeleteRequest { after: Some(after), ..setup.world.delete_request(1) };
    let error = setup.writer.delete(DATABASE, ordered).await.unwrap_err();
    assert_eq!(error.kind(), WriteErrorKind::BadRequest);

    let late = setup.world.delete_request(1);
    setup.wait(6 * SECOND).await;
    let error = setup.writer.delete(DATABASE, late).await.unwrap_err();
    assert!(matches!(error, WriteError::WaitedTooLong { .. }), "{error}");

    setup.world.store.script_puts(&[ScriptedPut::DateOff(60)]);
    let request = setup.world.delete_request(1);
    let written = setup.writer.delete(DATABASE, request).await;
    assert!(matches!(doubt(written), NotAcknowledged::DateTooFar { .. }));

    let mut request = setup.world.delete_request(1);
    request.proof.tail = Some(TailState {
        segments: 10_001,
        oldest: None,
        listed: request.proof.current_at,
    });
    let error = setup.writer.delete(DATABASE, request).await.unwrap_err();
    assert!(matches!(error, WriteError::TailTooLong), "{error}");
}

#[tokio::test(start_paused = true)]
async fn deletes_in_the_tail_count_as_pending_until_they_are_flushed() {
    let setup = WriterFixture::local().await;
    let request = |recorded, mark| {
        let mut request = setup.world.delete_request(1);
        request.recorded.pending = recorded;
        request.proof.mark = mark;
        request
    };
    let delete = |request| setup.writer.delete(DATABASE, request);
    let limit = DeleteLimits::DEFAULT.pending_bytes;
    let one = request(0, Stamp::ZERO).deletes[0].stored_bytes();
    let near = limit - 2 * one;
    let put: Vec<_> = (0..3).map(|_| delete(request(near, Stamp::ZERO))).collect();
    let put = futures::future::try_join_all(put).await.unwrap();
    let error = delete(request(near, Stamp::ZERO)).await.unwrap_err();
    let WriteError::TooManyDeletes { bytes, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(bytes, limit + one);
    assert_eq!(setup.segments().await.len(), 3);
    let last = put.iter().map(|put| put.stamp).max().unwrap();
    setup.wait(SECOND).await;
    delete(request(limit, last)).await.unwrap();
    let at_once = (0..3).map(|_| delete(request(near, last)));
    let refused = futures::future::join_all(at_once)
        .await
        .iter()
        .filter(|one| one.is_err())
        .count();
    assert_eq!(refused, 1);
}

#[tokio::test(start_paused = true)]
async fn deletes_of_one_request_are_bounded() {
    let setup = WriterFixture::local().await;
    let none = DeleteRequest { deletes: Vec::new(), ..setup.world.delete_request(1) };
    let error = setup.writer.delete(DATABASE, none).await.unwrap_err();
    assert_eq!(error.kind(), WriteErrorKind::BadRequest);
    let tag = Condition::Tag { name: "host".to_owned(), value: Some("x".repeat(1 << 20)) };
    let large = DeleteRequest {
        deletes: vec![RowDelete { table: TableId::new(1), condition: tag }],
        ..setup.world.delete_request(1)
    };
    let error = setup.writer.delete(DATABASE, large).await.unwrap_err();
    assert_eq!(error.kind(), WriteErrorKind::TooLarge);
    assert_eq!(setup.puts(), 0);
}
