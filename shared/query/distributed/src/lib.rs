//! Distributed execution of query plans: scans by name, workers, and the routing of tasks to them.
//!
//! ```text
//!   coordinator                                              worker
//!     DistributedPlanner ── stages, tasks ─► WorkerPlan        worker(): sessions of tasks
//!       stage_handlers   tasks, scans and workers of a stage     ticket_check   who may set a task
//!       stage_check      can each task be sent, and is it right  scan_codec     opens scans by name
//!       received_plan    does a worker get the plan that was sent
//!                                                              dynamic_filters  bounds within a task
//!       guarded_channel  ═════ Channels of a transport ═════►
//!       ticket           signs one ticket for each task         cluster_tickets  keys from the root catalog
//! ```
//!
//! The crate knows no transport and no list of workers: a process gives [`DistributedPlanner`] the [`Channels`] and the
//! [`WorkerSet`]. A plan that can't be distributed, for whatever reason, runs in the process of its query.

mod cluster_tickets;
mod dynamic_filters;
mod exchange;
mod guarded_channel;
mod interruption;
pub mod invocation;
mod planner;
mod portability;
mod received_plan;
mod scan_codec;
mod stage_check;
mod stage_handlers;
mod ticket;
mod ticket_check;
mod worker_error;
mod worker_session;
mod worker_set;

pub use cluster_tickets::ClusterTickets;
pub use exchange::Exchange;
pub use guarded_channel::Channels;
pub use planner::{DistributedPlanner, DistributionSettings, PlanOutcome, PlanRequest, WorkerPlan};
pub use scan_codec::ScanCodec;
pub use ticket::{TICKET_HEADER, TaskPermit, Ticket, TicketError, TicketKey};
pub use ticket_check::{TaskWatch, TicketIssuer, TicketKeys, TicketVerifier};
pub use worker_error::{WorkerError, failed_worker};
pub use worker_session::{DEFAULT_MAX_TASKS, TaskCounters, TooManyTasks, WorkerSettings, worker};
pub use worker_set::{WorkerAddress, WorkerSet};
