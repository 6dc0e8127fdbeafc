//! Histories of real processes under faults, checked against the promises of `docs/concepts.md`, in the manner of Jepsen.
//!
//! ```text
//!   clients  operator            write, overwrite, delete, read; drop, restore, compact; all requests are recorded
//!      |        |
//!   processes, functions         faults: killed, suspended, stopped, wrong clocks
//!      |  proxies                faults: slow, closed, one-sided; errors of the store
//!    store                       a directory or an S3 server; faults: full, read-only
//!
//!   caches, views, trigger       of the written tables; read by the clients, and when all faults are over
//!
//!   history -> checker           a pure function, see `checker`
//! ```
//!
//! The seed determines what clients send and which faults occur, but not how real processes interleave them. If a history
//! breaks a promise, the command that runs its seed again is printed, and the history is written to a file.
//!
//! | variable | effect |
//! |---|---|
//! | `NEAP_HISTORY_MINUTES` | minutes of `soak`, which runs one history after the other with new seeds |
//! | `NEAP_HISTORY_SEED` | the first seed of `soak`; by default a random one |
//! | `NEAP_HISTORY_STORE` | the only kind of cluster of `soak`: `directory`, `own-s3`, `other-s3` or `functions` |
//! | `NEAP_TEST_LIBFAKETIME` | the library that changes the clocks of processes on S3; without it, clocks are right |

mod checker;
mod clients;
mod cluster;
mod derived_data;
mod faults;
mod history;
mod operator;
mod recorder;
mod run;
mod soak;
mod statements;
mod store_proxy;

use std::time::Duration;

use self::{checker::Promise, cluster::ClusterKind, faults::FaultMix, run::HistoryRun};
use crate::harness::tests;

/// The load of a history in the normal tests.
const LOAD: Duration = Duration::from_secs(20);
/// The load of a history on a store that loses segments.
const BROKEN_LOAD: Duration = Duration::from_secs(10);

/// Runs a short history, and checks it.
fn keeps_all_promises(kind: ClusterKind) {
    let run = HistoryRun {
        kind,
        seed: 1,
        load: LOAD,
        faults: FaultMix::All,
        longest_fault: Duration::from_secs(5),
        // Waiting for a second view takes a flush lag, which is long on a network store.
        has_view_of_view: kind == ClusterKind::Directory,
    };
    if let Some(summary) = run.run() {
        println!("{summary}");
        summary.assert_kept();
    }
}

tests! {
    processes_on_a_directory_keep_all_promises => keeps_all_promises(ClusterKind::Directory);
    processes_on_our_s3_server_keep_all_promises => keeps_all_promises(ClusterKind::OwnS3);
    processes_on_another_s3_server_keep_all_promises => keeps_all_promises(ClusterKind::OtherS3);
    functions_and_processes_on_one_store_keep_all_promises => keeps_all_promises(ClusterKind::Functions);
}

/// The checker sees a store that does not keep what it was given.
#[test]
fn a_store_that_loses_segments_breaks_a_promise() {
    let run = HistoryRun {
        kind: ClusterKind::Directory,
        seed: 1,
        load: BROKEN_LOAD,
        faults: FaultMix::LostSegments,
        longest_fault: Duration::ZERO,
        has_view_of_view: false,
    };
    let summary = run.run().unwrap();
    assert!(summary.breaks(Promise::Durability));
}
