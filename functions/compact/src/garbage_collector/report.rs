//! The counts of deleted objects.

/// Counts of deleted objects, or in a dry run, of objects that would be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CollectionReport {
    /// Segments whose rows are in sections.
    pub segments: usize,
    /// Bundles, pages and cache objects.
    pub objects: usize,
    /// Unreferenced objects that are now condemned.
    pub orphans: usize,
    /// Query results, and records of terminated processes.
    pub results: usize,
    /// Objects of the processing engine: claims, logs, checkpoints and code.
    pub engine: usize,
    /// Settled segments that are kept because a trigger has not seen them, or they are not shipped, or damaged.
    pub kept: usize,
    /// Deleted segments that a trigger has not seen.
    pub unseen: usize,
    /// The keys of all counted objects, in a dry run.
    pub keys: Vec<String>,
}

impl CollectionReport {
    /// Adds two results.
    pub fn and(mut self, other: Self) -> Self {
        self.segments += other.segments;
        self.objects += other.objects;
        self.orphans += other.orphans;
        self.results += other.results;
        self.engine += other.engine;
        self.kept += other.kept;
        self.unseen += other.unseen;
        self.keys.extend(other.keys);
        self
    }
}
