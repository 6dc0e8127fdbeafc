//! Pending merges, as known from the latest plans.

use std::{
    collections::BTreeMap,
    iter::Sum,
    sync::{Mutex, PoisonError},
};

use neap_schema::DatabaseId;

use crate::{MergeJob, PlanScope};

/// Number and size of merges that are due and not done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactionDebt {
    /// Number of merges.
    pub merges: usize,
    /// Number of input sections.
    pub sections: usize,
    /// Length of the input sections in bytes.
    pub bytes: u64,
}

impl CompactionDebt {
    pub(crate) fn from_jobs(jobs: &[MergeJob]) -> Self {
        let inputs = || jobs.iter().flat_map(|job| &job.inputs);
        Self {
            merges: jobs.len(),
            sections: inputs().count(),
            bytes: inputs().map(|section| section.length).sum(),
        }
    }
}

impl Sum for CompactionDebt {
    fn sum<I: Iterator<Item = Self>>(debts: I) -> Self {
        debts.fold(Self::default(), |sum, debt| Self {
            merges: sum.merges + debt.merges,
            sections: sum.sections + debt.sections,
            bytes: sum.bytes + debt.bytes,
        })
    }
}

/// Debt found by the latest plan of each database: over all days, and over recent days. Databases without debt take no
/// memory.
#[derive(Debug, Default)]
pub(crate) struct DatabaseDebts(Mutex<BTreeMap<DatabaseId, [CompactionDebt; 2]>>);

impl DatabaseDebts {
    /// Records the debt that a plan found.
    pub(crate) fn note(&self, database: DatabaseId, scope: PlanScope, debt: CompactionDebt) {
        let mut debts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [all, _] = debts.get(&database).copied().unwrap_or_default();
        let known = match scope {
            PlanScope::All => [debt, CompactionDebt::default()],
            PlanScope::Recent => [all, debt],
        };
        if known == [CompactionDebt::default(); 2] {
            debts.remove(&database);
        } else {
            debts.insert(database, known);
        }
    }

    /// Returns the debt of all databases. Merges found by both plans of a database count once.
    pub(crate) fn total(&self) -> CompactionDebt {
        let debts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let larger = |[all, recent]: &[CompactionDebt; 2]| {
            if all.bytes >= recent.bytes {
                *all
            } else {
                *recent
            }
        };
        debts.values().map(larger).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debt_counts_until_a_plan_finds_it_merged() {
        let debts = DatabaseDebts::default();
        let debt =
            |merges| CompactionDebt { merges, sections: merges * 8, bytes: merges as u64 * 100 };
        let (one, other) = (DatabaseId::new(1), DatabaseId::new(2));
        debts.note(one, PlanScope::All, debt(3));
        debts.note(other, PlanScope::Recent, debt(1));
        assert_eq!(debts.total(), debt(4));
        // These merges are part of the known debt.
        debts.note(one, PlanScope::Recent, debt(2));
        assert_eq!(debts.total(), debt(4));
        debts.note(one, PlanScope::All, debt(0));
        debts.note(other, PlanScope::Recent, debt(0));
        assert_eq!(debts.total(), CompactionDebt::default());
        assert!(debts.0.lock().unwrap().is_empty());
    }
}
