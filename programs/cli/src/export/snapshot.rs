//! The state of the database that an export reads.
//!
//! The server answers as of a stamp exactly as long as no flush has passed the stamp, and after that as of the newest
//! flush before it. An export therefore begins with the newest stamp, which includes all acknowledged writes. If a flush
//! passes the stamp, the export begins again with the stamp of a flush, which stays readable for the time-travel period.

/// A version of a database, as in `system.versions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
pub(super) struct ReadableVersion {
    /// The stamp up to which the version includes writes.
    pub(super) low_water_mark: u64,
}

/// Returns the stamp with which an export begins again after a flush has passed `passed`. `versions` are in the order of
/// their stamps.
///
/// The newest version may be merged with the one before it by the next flush, so an older one is preferred if it
/// includes all writes up to `passed`.
pub(super) fn stable_stamp(versions: &[ReadableVersion], passed: u64) -> Option<u64> {
    let includes_all = |version: &&ReadableVersion| version.low_water_mark >= passed;
    let (newest, older) = versions.split_last()?;
    let stable = older.iter().rev().find(includes_all);
    let newest = Some(newest).filter(includes_all);
    stable.or(newest).map(|version| version.low_water_mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(marks: &[u64], passed: u64) -> Option<u64> {
        let versions = marks.iter().map(|&low_water_mark| ReadableVersion { low_water_mark });
        stable_stamp(&versions.collect::<Vec<_>>(), passed)
    }

    #[test]
    fn a_version_that_stays_is_preferred_over_the_newest() {
        assert_eq!(chosen(&[10, 20, 30], 15), Some(20));
        assert_eq!(chosen(&[10, 20, 30], 25), Some(30));
        assert_eq!(chosen(&[10, 20, 30], 35), None);
        assert_eq!(chosen(&[], 0), None);
    }
}
