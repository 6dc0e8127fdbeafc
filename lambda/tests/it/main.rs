//! The functions as their binaries run them, from event to answer, over a store of their own.

#[cfg(test)]
mod instance;
#[cfg(test)]
mod interface;
#[cfg(test)]
mod large;
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
