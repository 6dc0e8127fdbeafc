//! A simulation of the product on a store, a network and machines that go wrong, from one seed.
//!
//! The code under test is the product's own: registers, group commit, flushes, snapshots, folding. What is
//! simulated is the world around it (`neap_bucket::World` and `neap_bucket::Store`):
//!
//! ```text
//!   clients    flushers, mergers   queriers   collectors, operators   actors, each on a machine of its own
//!      |              |               |              |
//!   instance       instance        instance       instance             the product
//!      |              |               |              |
//!   network        network         network        network              late, lost, unanswered, refused, repeated
//!      |              |               |              |                 machines freeze, die, and have wrong clocks
//!      +--------------+----+----------+--------------+
//!                          |
//!                        truth                            one store: hosts' clocks differ, pages are short
//!                          |
//!                        ghost                            sees every effect, knows what must hold
//! ```
//!
//! One seed is one schedule: a runtime of one thread on paused time, and one stream of chance. The command
//! that replays a seed is printed when it fails. To show that each rule of the protocol matters, it is taken
//! away, and seeds are found that break what it guards.
//!
//! | variable | what it does |
//! |---|---|
//! | `NEAP_SIM_SEED`, `NEAP_SIM_MIX` | which schedule `replay` runs and traces; the mix is that of a focus, if any |
//! | `NEAP_SIM_SEEDS`, `NEAP_SIM_FIRST` | how many schedules the tests of all invariants run, and from which seed on |
//! | `NEAP_SIM_BROKEN` | after how many broken schedules they stop, instead of the first |
//! | `NEAP_SIM_TRACE` | traces scripted schedules |

#[cfg(test)]
mod actors;
#[cfg(test)]
mod caching;
#[cfg(test)]
mod cast;
#[cfg(test)]
mod chance;
#[cfg(test)]
mod compactors;
#[cfg(test)]
mod ending;
#[cfg(test)]
mod ghost;
#[cfg(test)]
mod holes_in_compaction;
#[cfg(test)]
mod holes_in_queries;
#[cfg(test)]
mod holes_in_writes;
#[cfg(test)]
mod instance;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod linearizability;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod mutants;
#[cfg(test)]
mod mutants_of_compaction;
#[cfg(test)]
mod network;
#[cfg(test)]
mod operators;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod query;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod schedule;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod simulate;
#[cfg(test)]
mod theatre;
#[cfg(test)]
mod truth;
#[cfg(test)]
mod weak_collector;
#[cfg(test)]
mod weak_merger;
#[cfg(test)]
mod weakness;
#[cfg(test)]
mod write;
