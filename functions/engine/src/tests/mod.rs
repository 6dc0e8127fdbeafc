//! Tests of the engine on a store in memory, in virtual time, with fake plugins.

mod delivering;
mod events;
mod failing;
mod python;
mod requests;
mod schedules;
mod simulation;

mod stage;
mod two;
