//! Tests of the engine on a store in memory, in virtual time, with fake plugins.

mod delivery;
mod events;
mod failures;
mod python;
mod requests;
mod schedules;
mod simulation;

mod cluster;
mod two_engines;
