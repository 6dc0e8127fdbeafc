//! Events over databases that were really written, in a memory store with a clock that the tests move.

mod collecting;
mod overtaken;
mod scheduled;
mod stage;
