//! The endpoints of users: signing in and out, users, and roles, with the paths and bodies of InfluxDB 3 Enterprise.
//!
//! | call | required permission |
//! |---|---|
//! | `POST /api/v3/authorize`, `…/refresh`, `…/reset-password` | the credentials in the body |
//! | `POST /api/v3/authorize/logout` | a session |
//! | `GET /api/v3/auth/oauth/config`, `/.well-known/jwks.json` | none |
//! | `POST /api/v3/configure/user` | none, as long as there is no user and no administrator token; refused for web pages |
//! | `GET /api/v3/users`, `/api/v3/roles` and below | `user:*:read` |
//! | `POST`, `PUT`, `PATCH`, `DELETE` of the same | `user:*:create`, `update` or `delete`, and all permissions that are granted or taken away |
//!
//! A server that lets no users sign in answers 405.

mod answers;
mod errors;
mod requests;
mod roles;
mod sign_in;
mod users;

use std::sync::Arc;

use axum::Router;

use crate::WriteService;

/// Returns the routes of this module.
pub(super) fn routes() -> Router<Arc<WriteService>> {
    sign_in::routes().merge(users::routes()).merge(roles::routes())
}
