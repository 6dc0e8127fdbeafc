//! The runner: all functions of Neap in one process, and the command line.
//!
//! | module | contents |
//! |---|---|
//! | [`cli`] | the commands and their options |
//! | [`import`] | imports from InfluxDB, through a server |
//! | `serve` | the server: wiring, connections, flushing in the background, stopping |
//! | `shell` | the interactive query shell |
//! | [`client`] | a client of a server, for the commands that speak to one |
//! | [`export`] | exports of tables as files, through a server |
//! | [`heap_sampling`] | the global allocator, which samples allocations on request |
//! | [`console`] | input and output streams of commands |
//! | `publish_options` | the options of publishing tables for other tools |
//! | `store_location` | locations of other stores: copies and backups |
//! | `owner_only` | files and directories that only their owner may read |
//! | `terminal` | escaping of control characters in untrusted text |

pub mod cli;
pub mod client;
pub mod console;
pub mod export;
pub mod heap_sampling;
pub mod import;
mod owner_only;
mod publish_options;
mod serve;
mod shell;
mod store_location;
mod stores;
mod terminal;

pub use serve::ServeError;
pub use stores::StoresError;
