//! Rules of merging, collecting and refreshing views that tests can disable.
//!
//! The product has no switches for these rules. Therefore the simulation has its own merger and collector, which follow
//! the same rules except one ([`crate::mutant_merger`], [`crate::mutant_collector`]). A test without a disabled rule shows
//! that they follow all others. Views are refreshed by the product; their rules are disabled in what the simulation
//! gives to it: the store of their progress ([`crate::mutant_progress`]), and the interface to their rows
//! ([`crate::view_data`]). The same is true for jobs ([`crate::job_mutants`]).

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
    /// Rule V1: a window of a view stays listed until its rows are stored.
    PendingWindows,
    /// Rule V2: the writes of a refresh have stamps before the end of its claim.
    ClaimEnd,
    /// Rule V2: one refresher at a time has the claim of a view.
    SoleClaim,
    /// Rule V3: windows of a claim that ended without a result are replaced as a whole.
    UnfinishedWindows,
    /// Rule: the checkpoint of a trigger passes no time at which segments may still be put.
    CheckpointLag,
    /// Rule: a collector keeps segments until triggers have processed them.
    CollectAfterDelivery,
    /// Rule V5: a query reads no windows of a view that are listed or claimed.
    CurrentWindows,
    /// Rule: a put that was not answered may have taken effect.
    UnknownOutcome,
    /// Rule: a copy replaces a register only if no other process has replaced it.
    ConditionalCopy,
    /// Rule: only intact copies replace damaged objects.
    IntactCopies,
}
