//! The resources of InfluxDB 2 over the write function: buckets, tokens, and what clients need to connect.
//!
//! ```text
//!   bucket         database with its retention      id: InfluxDb2Id
//!   authorization  token with its permissions       shown once, in the answer to the creation
//!   user           user, or holder of a token
//!   organization   one, which every request may name as it likes
//! ```
//!
//! | path below `/api/v2` | calls | required permission |
//! |---|---|---|
//! | `/buckets` | list, create, change the retention, drop | those of `/api/v3/configure/database` |
//! | `/authorizations` | list, create, revoke | for lists: an auditor, `token:*:read` (others than administrators), or the token itself; otherwise those of `/api/v3/configure/token` |
//! | `/users`, `/me` | list | `user:*:read`, or the user itself |
//! | `/setup` | the first token, with a bucket | none, as long as there is no operator token; refused for web pages |
//! | `/orgs`, `/dbrps`, `/labels`, `/resources`, the index | list | any token; the index needs none |
//!
//! The layers around all routes turn errors on these paths into those of InfluxDB 2. For resources that Neap does not have,
//! they name what to use instead.

mod authorizations;
mod buckets;
mod dbrps;
mod index;
mod organizations;
mod page;
mod permissions;
mod requests;
mod retention_rules;
mod setup;
#[cfg(test)]
mod tests;
mod users;

use std::sync::Arc;

use axum::Router;
use neap_write::WriteService;

/// Returns the routes of the resources, to merge with those of the write function.
pub fn router(service: Arc<WriteService>) -> Router {
    authorizations::routes()
        .merge(buckets::routes())
        .merge(dbrps::routes())
        .merge(index::routes())
        .merge(organizations::routes())
        .merge(setup::routes())
        .merge(users::routes())
        .with_state(service)
}
