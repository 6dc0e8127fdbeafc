//! An attempt to answer a query: its place, and its algorithm of joins.

use crate::distribution::WorkerFailure;

/// The maximum number of attempts on workers. Later attempts run in this process.
const MAX_WORKER_ATTEMPTS: usize = 3;

/// The algorithm of equi-joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JoinAlgorithm {
    /// DataFusion's preference: a hash join, which needs one side in memory.
    Hash,
    /// A sort-merge join, which can spill.
    SortMerge,
}

/// An attempt to answer a query.
#[derive(Clone, Debug)]
pub(super) struct QueryAttempt {
    pub(super) joins: JoinAlgorithm,
    pub(super) place: QueryPlace,
}

/// The place where a query runs.
#[derive(Clone, Debug)]
pub(super) enum QueryPlace {
    /// On workers other than these, if the query suits them.
    Workers {
        excluded: Vec<String>,
    },
    ThisProcess,
}

impl QueryAttempt {
    /// The first attempt.
    pub(super) fn first() -> Self {
        Self {
            joins: JoinAlgorithm::Hash,
            place: QueryPlace::Workers { excluded: Vec::new() },
        }
    }

    /// Whether no attempt was before this one.
    pub(super) fn is_first(&self) -> bool {
        let has_failed = match &self.place {
            QueryPlace::Workers { excluded } => !excluded.is_empty(),
            QueryPlace::ThisProcess => true,
        };
        !has_failed && self.joins == JoinAlgorithm::Hash
    }

    /// The attempt after a lack of memory for joins.
    pub(super) fn with_sort_merge_joins() -> Self {
        Self {
            joins: JoinAlgorithm::SortMerge,
            place: QueryPlace::ThisProcess,
        }
    }

    pub(super) fn after(&self, failure: WorkerFailure) -> Self {
        let excluded = match (&self.place, failure.worker) {
            (QueryPlace::Workers { excluded }, Some(worker)) => {
                let mut excluded = excluded.clone();
                excluded.push(worker);
                Some(excluded)
            }
            _ => None,
        }
        .filter(|excluded| excluded.len() < MAX_WORKER_ATTEMPTS);
        Self {
            joins: self.joins,
            place: excluded
                .map_or(QueryPlace::ThisProcess, |excluded| QueryPlace::Workers { excluded }),
        }
    }
}
