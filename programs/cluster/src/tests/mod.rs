//! Tests of worker ports and their clients, over real connections on this machine.

mod connections;
mod directory;
mod fixture;
mod tasks;
