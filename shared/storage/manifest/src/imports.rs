//! The rows of import jobs, and the parts of sites, below the low-water mark.

use std::time::Duration;

use neap_bucket::Stamp;
use neap_wal::ImportProgress;

use crate::{ImportedRows, Manifest};

/// How long the manifest keeps the number of rows of an import job after its last segment. A job whose worker was killed
/// must continue before.
pub const IMPORT_RETENTION: Duration = Duration::from_secs(8 * 24 * 60 * 60);

impl Manifest {
    /// Records the progress of import jobs and sites, in the commit that raises the mark over their segments. Removes jobs
    /// whose retention is over.
    pub(crate) fn record_imports(&mut self, imports: &[(Stamp, ImportProgress)]) {
        for (stamp, progress) in imports {
            let new = ImportedRows {
                job: progress.job,
                rows: progress.rows,
                stamp: *stamp,
                is_permanent: progress.is_permanent,
            };
            match self.imports.binary_search_by_key(&new.job, |known| known.job) {
                Ok(index) => {
                    if let Some(known) = self.imports.get_mut(index) {
                        known.rows = known.rows.max(new.rows);
                        known.stamp = known.stamp.max(new.stamp);
                        known.is_permanent |= new.is_permanent;
                    }
                }
                Err(index) => self.imports.insert(index, new),
            }
        }
        let now = self.low_water_mark.time();
        self.imports
            .retain(|known| known.is_permanent || now.since(known.stamp.time()) < IMPORT_RETENTION);
    }
}

#[cfg(test)]
mod tests {
    use neap_bucket::StoreTime;
    use ulid::Ulid;

    use super::*;

    fn stamp(seconds: u64) -> Stamp {
        let micros = i64::try_from(seconds).unwrap() * 1_000_000;
        Stamp::new(StoreTime::from_micros(micros), 0)
    }

    fn progress(job: u128, rows: u64) -> ImportProgress {
        ImportProgress { job: Ulid(job), rows, is_permanent: false }
    }

    #[test]
    fn the_most_rows_of_a_job_are_kept_until_its_retention_is_over() {
        let mut manifest = Manifest::default();
        let rows = |manifest: &Manifest| -> Vec<_> {
            let imports = manifest.imports.iter();
            imports.map(|known| (known.job.0, known.rows)).collect()
        };
        manifest.low_water_mark = stamp(10);
        let imports = [
            (stamp(1), progress(2, 5)),
            (stamp(2), progress(1, 7)),
            (stamp(3), progress(2, 9)),
            (stamp(4), progress(2, 0)),
        ];
        manifest.record_imports(&imports);
        assert_eq!(rows(&manifest), [(1, 7), (2, 9)]);
        manifest.low_water_mark = stamp(3 + IMPORT_RETENTION.as_secs());
        manifest.record_imports(&[]);
        assert_eq!(rows(&manifest), [(2, 9)]);
        manifest.low_water_mark = stamp(4 + IMPORT_RETENTION.as_secs());
        manifest.record_imports(&[]);
        assert_eq!(rows(&manifest), []);
    }

    #[test]
    fn the_parts_of_a_site_are_kept_for_ever() {
        let mut manifest = Manifest::default();
        let part = ImportProgress { is_permanent: true, ..progress(1, 7) };
        // A site that waits until the mark passes writes a segment without rows.
        manifest.record_imports(&[(stamp(1), part), (stamp(2), progress(1, 0))]);
        manifest.low_water_mark = stamp(3 * IMPORT_RETENTION.as_secs());
        manifest.record_imports(&[]);
        assert_eq!(manifest.imports.len(), 1);
        assert_eq!(manifest.imports[0].rows, 7);
    }
}
