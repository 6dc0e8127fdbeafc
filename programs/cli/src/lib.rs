//! The command line of Neap: commands that ask a server, and those that open a bucket themselves.
//!
//! | module | contents |
//! |---|---|
//! | `commands` | the commands and their options |
//! | `import` | imports from InfluxDB, through a server |
//! | `export` | exports of tables as files, through a server |
//! | `shell` | the interactive query shell |
//! | `client` | a client of a server |
//! | `nearest_name` | the known name that a misspelt one probably means |
//! | `owner_only` | files and directories that only their owner may read |
//! | `progress_bar` | progress bars of commands |
//! | `table_names` | the statement that lists the tables of a database |
//! | `times` | times in options |

mod client;
mod commands;
mod export;
mod import;
mod nearest_name;
mod owner_only;
mod progress_bar;
mod shell;
mod table_names;
mod times;

pub use commands::{Environment, run};
