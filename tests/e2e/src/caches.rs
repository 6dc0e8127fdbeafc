//! Last value and distinct value caches: whatever is kept of them, they show what their definitions say.
//!
//! | module | what is tested |
//! |---|---|
//! | `definition` | a cache, and its definition as SQL over its table |
//! | `stage` | processes on one store, and the comparison of what they show |
//! | `history` | writes, deletes, flushes and restarts, in processes that share nothing but the store |
//! | `age` | rows that become too old for a cache, or for their table |
//! | `comings_and_goings` | tables and caches that are dropped, and earlier states |
//! | `concurrency` | writers, deletes and compactors at work |
//! | `freshness` | what processes show of each other's writes, and what a client may be content with |
//! | `requests` | the requests to the store, exactly |
//! | `damage` | objects that are gone or broken, copies and restored databases |
//! | `statements` | plans, joins, aggregates, and statements over tables that caches answer |

mod age;
mod comings_and_goings;
mod concurrency;
mod damage;
pub(crate) mod definition;
mod freshness;
mod history;
mod requests;
pub(crate) mod stage;
mod statements;
