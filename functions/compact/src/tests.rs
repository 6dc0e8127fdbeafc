//! Events over databases with real writes, in a memory store with a clock that the tests control.

mod cache_history;
mod cache_limits;
mod caches;
mod collecting;
mod damage;
mod hand_out;
mod long_tails;
mod many_databases;
mod many_tables;
mod overtaken;
mod scheduled;
pub(crate) mod stage;
mod triggers;
