//! The console: the page that `neap serve` shows in a browser, and the endpoints that only the page needs.
//!
//! ```text
//!   web/ ── npm run build ──► web/dist ── build.rs ──► embedded files ──► GET /, GET /console/assets/*
//!                                │
//!                                └─ Terraform ──► console/ in the bucket ──► the same, by a function of Lambda
//!
//!   page ── GET /api/v3/console/session ────► the permissions of the caller's token
//!        ── /api/v3/console/documents ──────► db/<id>/documents: saved queries and dashboards of a database
//!        ── /api/v3/console/assistant ──────► a model that the administrator names; in `neap serve` only
//!        ── all other paths ────────────────► the functions, as for any client
//! ```
//!
//! The page and its files need no token. They contain no data, and the browser sends the token of the user with each
//! request of the page.

mod answer;
#[cfg(feature = "assistant")]
mod assistant;
mod bucket_page;
mod database_param;
mod documents;
mod embedded_page;
mod headers;
mod session;

#[cfg(feature = "assistant")]
pub use assistant::{Assistant, AssistantError, ChatModelSettings, assistant_routes};
pub use bucket_page::{PageBucket, bucket_page_routes};
pub use documents::document_routes;
pub use embedded_page::{embedded_page_routes, is_page_embedded};
pub use session::{SessionServer, session_routes};

#[cfg(test)]
mod test_server;
