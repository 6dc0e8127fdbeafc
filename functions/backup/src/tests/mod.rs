//! Tests of backups and restores on clusters in memory.

mod backups;
mod chains;
mod damage;
mod faulty_engine;
mod histories;
mod keeper;
mod kills;
mod lost_registers;
mod plugins;
mod retention;
pub(crate) mod test_cluster;
mod views;
