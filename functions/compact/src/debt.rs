//! Pending merges, as known from the latest plans.

use std::{
    collections::BTreeMap,
    iter::Sum,
    sync::{Mutex, PoisonError},
};

use neap_schema::DatabaseId;

use crate::{MergeJob, Scope};

/// Number and size of merges that are due and not done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Debt {
    /// Number of merges.
    pub merges: usize,
    /// Number of input sections.
    pub sections: usize,
    /// Length of the input sections in bytes.
    pub bytes: u64,
}

impl Debt {
    pub(crate) fn of(jobs: &[MergeJob]) -> Self {
        let inputs = || jobs.iter().flat_map(|job| &job.inputs);
        Self {
            merges: jobs.len(),
            sections: inputs().count(),
            bytes: inputs().map(|section| section.length).sum(),
        }
    }
}

impl Sum for Debt {
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
pub(crate) struct Debts(Mutex<BTreeMap<DatabaseId, [Debt; 2]>>);

impl Debts {
    /// Records the debt that a plan found.
    pub(crate) fn note(&self, database: DatabaseId, scope: Scope, debt: Debt) {
        let mut debts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [all, _] = debts.get(&database).copied().unwrap_or_default();
        let known = match scope {
            Scope::All => [debt, Debt::default()],
            Scope::Recent => [all, debt],
        };
        if known == [Debt::default(); 2] {
            debts.remove(&database);
        } else {
            debts.insert(database, known);
        }
    }

    /// Returns the debt of all databases. Merges found by both plans of a database count once.
    pub(crate) fn total(&self) -> Debt {
        let debts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let larger = |[all, recent]: &[Debt; 2]| match all.bytes >= recent.bytes {
            true => *all,
            false => *recent,
        };
        debts.values().map(larger).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debt_counts_until_a_plan_finds_it_merged() {
        let debts = Debts::default();
        let debt = |merges| Debt {
            merges,
            sections: merges * 8,
            bytes: merges as u64 * 100,
        };
        let (one, other) = (DatabaseId::new(1), DatabaseId::new(2));
        debts.note(one, Scope::All, debt(3));
        debts.note(other, Scope::Recent, debt(1));
        assert_eq!(debts.total(), debt(4));
        // These merges are part of the known debt.
        debts.note(one, Scope::Recent, debt(2));
        assert_eq!(debts.total(), debt(4));
        debts.note(one, Scope::All, debt(0));
        debts.note(other, Scope::Recent, debt(0));
        assert_eq!(debts.total(), Debt::default());
        assert!(debts.0.lock().unwrap().is_empty());
    }
}
