//! The client of workers in other processes.

mod channels;
mod security;

pub(crate) use self::channels::CONNECT_TIMEOUT;
pub use self::{
    channels::WorkerChannels,
    security::{ClientSecurity, check_ca},
};
