//! The functions as they run on AWS: the programs for Lambda behind a gateway, on an S3 server that refuses what
//! their policies do not allow. `neap-lambda-local` stands for everything that AWS does.
//!
//! | module | what is tested |
//! |---|---|
//! | `stack` | all of it as a process, for the others |
//! | `budget` | the requests to the store that an event costs, exactly |
//! | `several` | writers and queriers at the same time, frozen and killed: visibility, and nothing is lost |
//! | `starts` | connections that died while instances were frozen, and copies of instances |
//! | `schedules` | flushes and merges by schedule and by queue |
//! | `compaction` | compact functions killed and frozen in the middle of flushes and merges |
//! | `payloads` | what is too large, and results that are fetched from the bucket |
//! | `events` | the same requests by every service that makes events of them |
//! | `permissions` | what a policy does not allow is refused, and told |
//! | `plugins` | plugins, with notifications that are lost, doubled and out of order |
//! | `engines` | several engines at the same time, frozen and killed: rows at least once, ticks once |
//! | `tokens` | tokens at the gateway, and how soon all instances know of one that is revoked |
//! | `foundation` | tests of `neap serve`, once more |

mod budget;
mod compaction;
mod engines;
mod events;
mod foundation;
mod payloads;
mod permissions;
mod plugins;
mod schedules;
mod several;
mod stack;
mod starts;
mod tokens;

use self::stack::Stack;
