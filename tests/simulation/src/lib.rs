//! A simulation of the product on a store, a network and machines that go wrong, from one seed.
//!
//! The code under test is the product's own: registers, group commit, flushes, snapshots, folding. What is
//! simulated is the world around it (`neap_bucket::World` and `neap_bucket::Store`):
//!
//! ```text
//!   clients      flushers     queriers     collector      actors, each on a machine of its own
//!      |             |            |            |
//!   instance      instance     instance     instance      the product
//!      |             |            |            |
//!   network       network      network      network       late, lost, unanswered, refused, repeated
//!      |             |            |            |          machines freeze, die, and have wrong clocks
//!      +-------------+-----+------+------------+
//!                          |
//!                        truth                            one store: hosts' clocks differ, pages are short
//!                          |
//!                        ghost                            sees every effect, knows what must hold
//! ```
//!
//! One seed is one schedule: a runtime of one thread on paused time, and one stream of chance. The command
//! that replays a seed is printed when it fails. To show that each rule of the protocol matters, it is taken
//! away, and seeds are found that break what it guards.

#[cfg(test)]
mod actors;
#[cfg(test)]
mod chance;
#[cfg(test)]
mod ghost;
#[cfg(test)]
mod holes_in_queries;
#[cfg(test)]
mod holes_in_writes;
#[cfg(test)]
mod instance;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod mutants;
#[cfg(test)]
mod network;
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
mod write;
