//! The runner: all of Neap in one process, and the command line.
//!
//! | piece | what it is |
//! |---|---|
//! | [`cli`] | the commands and their options |
//! | `serve` | the server: wiring, connections, flushing in the background, stopping |
//! | `shell` | statements typed at a terminal, and their answers |
//! | [`client`] | a client of a server, for the commands that speak to one |
//! | [`console`] | what commands read from and print to |
//! | `terminal` | control characters in text of others |

pub mod cli;
pub mod client;
pub mod console;
mod serve;
mod shell;
mod stores;
mod terminal;

pub use serve::ServeError;
pub use stores::StoresError;
