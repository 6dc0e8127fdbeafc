//! Last value and distinct value caches: in every state of the caches, queries of them return what their definitions
//! say.
//!
//! | module | subject |
//! |---|---|
//! | `definition` | a cache, and its definition as SQL over its table |
//! | `fixture` | processes on one store, and the comparison of their answers |
//! | `history` | writes, deletes, flushes and restarts, in processes that share only the store |
//! | `age` | rows that become too old for a cache, or for their table |
//! | `drops` | tables and caches that are dropped, and earlier states |
//! | `concurrency` | concurrent writers, deletes and compactors |
//! | `freshness` | when processes see each other's writes, and queries with relaxed staleness |
//! | `requests` | the exact requests to the store |
//! | `damage` | missing and damaged objects, copies and restored databases |
//! | `statements` | plans, joins, aggregates, and statements over tables that caches answer |

mod age;
mod concurrency;
mod damage;
pub(crate) mod definition;
mod drops;
pub(crate) mod fixture;
mod freshness;
mod history;
mod requests;
mod statements;
