//! Runs the functions as the binaries do, from event to response, each test over its own store.

#[cfg(test)]
mod first_token;
#[cfg(test)]
mod ingest;
#[cfg(test)]
mod instance;
#[cfg(test)]
mod interface;
#[cfg(test)]
mod large_responses;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod mutations;
#[cfg(test)]
mod plugins;
#[cfg(test)]
mod process;
#[cfg(test)]
mod queue;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod shutdown;
