//! Events over databases that were really written, in a memory store with a clock that the tests move.

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
