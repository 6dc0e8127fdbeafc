//! Tests of backups and restores on clusters in memory.

mod backups;
mod chains;
mod keeper;
mod kills;
pub(crate) mod test_cluster;
