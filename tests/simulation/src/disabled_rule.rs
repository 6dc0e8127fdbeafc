//! Rules of merging and collecting that tests can disable.
//!
//! The product has no switches for these rules. Therefore the simulation has its own merger and collector, which follow
//! the same rules except one ([`crate::mutant_merger`], [`crate::mutant_collector`]). A test without a disabled rule shows
//! that they follow all others.

/// The disabled rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DisabledRule {
    /// No rule is disabled: the control.
    None,
    /// Rule: the inputs of a merge are all sections that overlap their bounds.
    MergeClosure,
    /// Rule: the inputs still are all such sections at the commit, because no other merge added one.
    MergeClosureRecheck,
    /// Rule: all inputs of a merge still exist at the commit.
    MergeInputCheck,
    /// Rule: a merge removes deleted rows.
    MergeAppliesDeletes,
    /// Rule: a delete does not remove rows that were written later.
    DeleteStampLimit,
    /// Rule: rows that a merge removed because they had expired do not reappear.
    ExpiryRecord,
    /// Rule: an object is deleted only after its last section was removed.
    DeleteAfterLastSection,
    /// Rule: dropped sections are kept for the time-travel period.
    TimeTravelPeriod,
    /// Rule: only objects that a committed manifest calls doomed are deleted.
    DoomBeforeDelete,
    /// Rule: a commit condemns orphans before they are deleted.
    CondemnOrphans,
    /// Rule: the manifest that the commit replaces decides which entries are doomed.
    CurrentManifest,
}
