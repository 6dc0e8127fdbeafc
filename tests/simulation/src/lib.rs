//! A deterministic simulation of the product on a faulty store, network and machines, driven by one seed.
//!
//! The code under test is the product's own: registers, group commit, flushes, snapshots, deduplication, refreshes of
//! views, delivery to plugins, import jobs, backups, copies, scrubbing, `fsck`. The simulation replaces the environment (`neap_bucket::World` and
//! `neap_bucket::Store`), the plugins, and the query engine, which computes the rows of views:
//!
//! ```text
//!   clients    flushers, mergers   queriers   collectors, operators   actors, each on a machine of its own
//!      |       refreshers of views,   |        backups, copies, scrubbers
//!      |       engines of plugins,    |              |
//!      |       importers              |              |
//!      |              |               |              |
//!   instance       instance        instance       instance             the product
//!      |              |               |              |
//!   network        network         network        network              late, lost, unanswered, refused, repeated
//!      |              |               |              |                 machines freeze, die, and have wrong clocks
//!      +--------------+----+----------+--------------+
//!                          |
//!                   simulated store                     one store: hosts' clocks differ, pages are short
//!                          |
//!                        oracle                         sees every effect, checks the invariants
//! ```
//!
//! One seed is one schedule: a runtime with one thread on paused time, and one stream of random numbers. When a seed
//! fails, the command that replays it is printed. To show that each rule of the protocol is necessary, tests disable it
//! and find seeds that break the invariant that it protects.
//!
//! | variable | effect |
//! |---|---|
//! | `NEAP_SIM_SEED`, `NEAP_SIM_MIX` | the schedule that `replay` runs and traces, and its mix for a focused test |
//! | `NEAP_SIM_SEEDS`, `NEAP_SIM_FIRST` | number of schedules in tests of all invariants, and their first seed |
//! | `NEAP_SIM_STATES` | a file for the states of the protocol that these schedules have reached |
//! | `NEAP_SIM_KEEP` | a file for the seeds from 10,000 on that reach other states than those before them |
//! | `NEAP_SIM_BROKEN` | the number of broken schedules after which these tests stop, 1 by default |
//! | `NEAP_SIM_TRACE` | traces scripted schedules |

// The allocator of the `neap` binary.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(test)]
mod actor_mix;
#[cfg(test)]
mod actors;
#[cfg(test)]
mod backup_actor;
#[cfg(test)]
mod cache_actor;
#[cfg(test)]
mod column_changes;
#[cfg(test)]
mod compaction_interleavings;
#[cfg(test)]
mod compaction_mutants;
#[cfg(test)]
mod compactors;
#[cfg(test)]
mod coverage;
#[cfg(test)]
mod disabled_rule;
#[cfg(test)]
mod final_checks;
#[cfg(test)]
mod import_actor;
#[cfg(test)]
mod instance;
#[cfg(test)]
mod job_mutants;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod linearizability;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod mutant_collector;
#[cfg(test)]
mod mutant_merger;
#[cfg(test)]
mod mutant_progress;
#[cfg(test)]
mod network;
#[cfg(test)]
mod operators;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod plugin_actor;
#[cfg(test)]
mod plugin_mutants;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod protocol_mutants;
#[cfg(test)]
mod query;
#[cfg(test)]
mod query_interleavings;
#[cfg(test)]
mod random;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod scenario;
#[cfg(test)]
mod schedule;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod simulate;
#[cfg(test)]
mod simulated_store;
#[cfg(test)]
mod view_actor;
#[cfg(test)]
mod view_checks;
#[cfg(test)]
mod view_data;
#[cfg(test)]
mod view_interleavings;
#[cfg(test)]
mod view_mutants;
#[cfg(test)]
mod view_rows;
#[cfg(test)]
mod write;
#[cfg(test)]
mod write_interleavings;
