//! Tests of `neap format-level`, and of services of two releases on one store.

use std::sync::Arc;

use axum::body::to_bytes;
use neap_bucket::{FormatLevel, FormatLevels};
use neap_fsck::{Fsck, FsckOptions};

use super::{ClusterFixture, FAILED, filled, run_on};
use crate::commands::runtime;

const TWO: FormatLevel = FormatLevel::new(2);

impl ClusterFixture {
    /// Returns the services of a release that knows the levels 1 and 2, on the same store.
    fn of_next_release(&self) -> Self {
        let levels = FormatLevels { newest: TWO, ..FormatLevels::SUPPORTED };
        let bucket = self.bucket.clone().with_format_levels(levels);
        Self::on_bucket(Arc::clone(&self.clock), Arc::clone(&self.store), bucket)
    }

    /// Returns the number of flushed rows.
    async fn flushed_rows(&self) -> u64 {
        let options = FsckOptions { full: true, ..FsckOptions::default() };
        let report = Fsck::new(self.bucket.clone()).check(&options, &|_| {}).await.unwrap();
        assert!(report.clean, "{report}");
        report.checked.rows
    }
}

#[test]
fn the_level_is_shown_and_raised_only_to_one_that_this_release_knows() {
    let (folder, _cluster) = filled();
    let (status, out, err) = run_on(folder.path(), &["format-level"]);
    assert_eq!((status, err.as_str()), (0, ""));
    insta::assert_snapshot!(out, @"The cluster has format level 1. This program reads and writes level 1.");
    let (status, out, err) = run_on(folder.path(), &["format-level", "1"]);
    assert_eq!((status, err.as_str()), (0, ""));
    insta::assert_snapshot!(out, @"The cluster has format level 1.");
    let (status, _, err) = run_on(folder.path(), &["format-level", "2"]);
    assert_eq!(status, FAILED);
    assert!(err.contains("format level 2? Others stop working"), "{err}");
    let (status, _, err) = run_on(folder.path(), &["format-level", "2", "--yes"]);
    assert_eq!(status, FAILED);
    insta::assert_snapshot!(
        err,
        @"Format-level command failed: the format level can't be set to 2: this program reads and writes level 1; first replace all programs by a release that knows level 2"
    );
}

#[test]
fn services_of_two_releases_share_a_store_until_the_level_is_raised() {
    let (folder, old) = filled();
    let new = old.of_next_release();
    let runtime = runtime().unwrap();
    runtime.block_on(async {
        new.write("cpu,host=c usage=4 4").await;
        old.flush().await;
        old.write("cpu,host=c usage=5 5").await;
        new.flush().await;
        assert_eq!((old.flushed_rows().await, new.flushed_rows().await), (5, 5));

        new.catalog.raise_format_level(TWO).await.unwrap();
        let refused = old.try_write("cpu,host=c usage=6 6").await;
        assert_eq!(refused.status(), 503);
        let body = to_bytes(refused.into_body(), usize::MAX).await.unwrap();
        let message = String::from_utf8_lossy(&body);
        assert!(message.contains("the cluster has format level 2"), "{message}");
        new.write("cpu,host=c usage=6 6").await;
    });
    let target = tempfile::tempdir().unwrap();
    let target_path = target.path().display().to_string();
    for args in [
        &["format-level"][..],
        &["fsck"],
        &["compact"],
        &["show", "versions", "-d", "db"],
        &["copy", "--to", target_path.as_str()],
    ] {
        let (status, _, err) = run_on(folder.path(), args);
        assert_eq!(status, FAILED, "{args:?}");
        let expected = "the cluster has format level 2, but this program reads and writes level 1";
        assert!(err.contains(expected), "{args:?}: {err}");
    }
}
