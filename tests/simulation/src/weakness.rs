//! Rules of merging and collecting that can be taken away.
//!
//! The product has no switches for them. So the simulation has a merger and a collector of its own, which
//! follow the same rules, but for one ([`crate::weak_merger`], [`crate::weak_collector`]). That they follow
//! the others is shown by running them with none taken away.

/// The rule that is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weakness {
    /// None: the control.
    None,
    /// The inputs of a merge are all sections that meet their hull.
    MergeIsNotClosed,
    /// They still are when it is committed: no other merge made a section that does, too.
    ClosureIsNotCheckedAgain,
    /// The inputs of a merge are all there when it is committed.
    InputsAreNotChecked,
    /// A merge leaves out what was deleted.
    MergeForgetsDeletes,
    /// A delete removes nothing of what was written later.
    DeletesFilterEverything,
    /// What a merge left out because it had expired does not come back.
    ExpiryIsNotRecorded,
    /// An object is deleted after its last section has left.
    ObjectGoesWithFirstSection,
    /// What was dropped is kept for a while.
    NothingIsKept,
    /// Only what a committed manifest calls doomed is deleted.
    NothingIsDoomedFirst,
    /// Orphans are condemned by a commit before they are deleted.
    OrphansAreNotCondemned,
    /// What is doomed is judged by the manifest that the commit replaces.
    CollectorIsStale,
}
