//! The functions as they run on AWS: the Lambda programs behind a gateway, on an S3 server that enforces their
//! policies. `neap-lambda-local` emulates AWS.
//!
//! | module | subject |
//! |---|---|
//! | `stack` | the functions, the gateway and the store as one process, for the other modules |
//! | `budget` | the exact requests to the store that an event costs |
//! | `concurrency` | concurrent writers and queriers, frozen and killed: visibility, and no lost writes |
//! | `instance_starts` | connections that died while instances were frozen, and copies of instances |
//! | `schedules` | flushes and merges by schedule and by queue |
//! | `compaction` | compact functions killed and frozen during flushes and merges |
//! | `payloads` | requests and results above the limits, and results that are fetched from the bucket |
//! | `events` | the same requests in the event format of each service |
//! | `permissions` | requests that a policy denies are refused and reported |
//! | `plugins` | plugins, with notifications that are lost, duplicated and out of order |
//! | `engines` | several concurrent engines, frozen and killed: rows at least once, ticks once |
//! | `tokens` | tokens at the gateway, and how soon all instances refuse a revoked one |
//! | `distributed` | queries that several invocations execute together |
//! | `views` | materialized views, refreshed by scheduled events, killed and repeated |
//! | `serve_parity` | tests of `neap serve`, repeated with the functions |

mod budget;
mod compaction;
mod concurrency;
mod distributed;
mod engines;
mod events;
mod instance_starts;
mod payloads;
mod permissions;
mod plugins;
mod schedules;
mod serve_parity;
mod stack;
mod tokens;
mod views;

pub(crate) use self::stack::{LambdaStack, use_standard_margins};
