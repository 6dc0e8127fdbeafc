//! The engine on a store in memory, in virtual time, with plugins that a test plays.

mod delivering;
mod events;
mod failing;
mod python;
mod requests;
mod schedules;
mod simulation;

mod stage;
mod two;
