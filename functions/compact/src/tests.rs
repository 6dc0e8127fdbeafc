//! Events over databases with real writes, in a memory store with a clock that the tests control.

mod cache_history;
mod cache_limits;
mod caches;
mod cold_storage;
mod commit_conflicts;
mod damage;
mod extractions;
mod flush_dispatch;
mod garbage_collection;
mod long_tails;
mod lost_registers;
mod many_databases;
mod many_tables;
mod publications;
mod row_deletes;
mod scheduled;
mod table_sections;
pub(crate) mod test_bed;
mod triggers;
mod wrong_clocks;
