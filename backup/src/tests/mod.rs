//! Tests of backups and restores on clusters in memory.

mod backups;
mod chains;
mod faulty_engine;
mod histories;
mod keeper;
mod kills;
pub(crate) mod test_cluster;
mod views;
