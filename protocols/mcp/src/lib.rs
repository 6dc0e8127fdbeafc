//! A Model Context Protocol server: agents list databases, read schemas, query, and, if it is allowed, write.
//!
//! ```text
//! agent ── JSON lines over stdio ── serve_stdio ──┐                          ┌── HTTP client of `neap mcp`
//!                                                 ├─ ToolServer ── HttpApi ──┤
//! agent ── POST /mcp ── mcp_routes ───────────────┘                          └── LocalApi: the routes of this process
//! ```
//!
//! A tool call is one or a few requests to the HTTP interface, with the credentials of the agent. Therefore the agent
//! has the rights of its token, and each request passes the same authentication, limits, log and metrics as those of
//! other clients. Nothing is kept between two calls, so any process can answer the next one.
//!
//! | module | subject |
//! |---|---|
//! | `api` | requests to the HTTP interface, and their answers |
//! | `local_api` | the HTTP interface of this process |
//! | `server` | the methods of the protocol |
//! | `tools` | the tools: their descriptions, arguments and limits |
//! | `row_reader` | reads rows until a limit is reached |
//! | `time_bound` | recognizes statements that read the whole history |
//! | `http_route`, `stdio` | the transports |

mod api;
mod api_error;
mod error;
mod http_route;
mod local_api;
mod row_reader;
mod server;
mod stdio;
#[cfg(test)]
mod tests;
mod time_bound;
mod tools;

pub use api::{ApiBody, ApiRequest, ApiResponse, ClientCredentials, HttpApi};
pub use api_error::ApiUnavailable;
pub use http_route::{McpRouteSettings, mcp_routes};
pub use local_api::LocalApi;
pub use server::WriteAccess;
pub use stdio::{StdioError, serve_stdio};
