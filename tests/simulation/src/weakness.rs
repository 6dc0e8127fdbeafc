//! Rules of merging and collecting that tests can disable.
//!
//! The product has no switches for these rules. Therefore the simulation has its own merger and collector, which follow
//! the same rules except one ([`crate::weak_merger`], [`crate::weak_collector`]). A test without a disabled rule shows
//! that they follow all others.

/// The disabled rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weakness {
    /// No rule is disabled: the control.
    None,
    /// Rule: the inputs of a merge are all sections that overlap their bounds.
    MergeIsNotClosed,
    /// Rule: the inputs still are all such sections at the commit, because no other merge added one.
    ClosureIsNotCheckedAgain,
    /// Rule: all inputs of a merge still exist at the commit.
    InputsAreNotChecked,
    /// Rule: a merge removes deleted rows.
    MergeForgetsDeletes,
    /// Rule: a delete does not remove rows that were written later.
    DeletesFilterEverything,
    /// Rule: rows that a merge removed because they had expired do not reappear.
    ExpiryIsNotRecorded,
    /// Rule: an object is deleted only after its last section was removed.
    ObjectGoesWithFirstSection,
    /// Rule: dropped sections are kept for the time-travel period.
    NothingIsKept,
    /// Rule: only objects that a committed manifest calls doomed are deleted.
    NothingIsDoomedFirst,
    /// Rule: a commit condemns orphans before they are deleted.
    OrphansAreNotCondemned,
    /// Rule: the manifest that the commit replaces decides which entries are doomed.
    CollectorIsStale,
}
