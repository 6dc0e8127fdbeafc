//! Tests of writes that are ahead of a clock.

use super::*;
use crate::WritesAhead;

#[tokio::test(start_paused = true)]
async fn databases_whose_mark_or_tail_is_ahead_of_a_time_are_listed() {
    let stage = FsckFixture::in_memory().await;
    let fsck = Fsck::new(stage.bucket.clone());
    stage.write(CPU, &[("a", None, 5, 1.0)]).await;
    stage.flush().await;
    let between = stage.bucket.clock().now().unwrap();
    assert_eq!(fsck.writes_ahead(between).await.unwrap(), []);
    stage.advance(Duration::from_secs(3600));
    stage.write(CPU, &[("a", None, 6, 1.0)]).await;
    let ahead = fsck.writes_ahead(between).await.unwrap();
    let [WritesAhead { database, mark: None, newest: Some(newest) }] = &ahead[..] else {
        panic!("{ahead:?}");
    };
    assert!(database == "db" && newest.since(between) >= Duration::from_secs(3600));
    stage.flush().await;
    let ahead = fsck.writes_ahead(between).await.unwrap();
    assert!(ahead[0].mark.is_some_and(|mark| mark > between), "{ahead:?}");
}
