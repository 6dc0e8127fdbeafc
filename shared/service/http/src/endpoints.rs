//! All HTTP endpoints: method, path, who may call it, and the function that serves it.
//!
//! Authorization and the declared routes of the functions on AWS Lambda follow from [`ENDPOINTS`]. Tests compare it with
//! the routers of the functions and of `neap serve`.

use neap_catalog::{DatabaseAction, SystemEndpoint, TokenAction, UserAction};

use self::{
    EndpointAccess::{Admin, Audit, FirstCredential, Profiles, Public, Token},
    EndpointFunction::{Engine, Every, Job, Process, Query, Write},
};

/// Who may call an endpoint. It is checked before the handler runs and before a body is read. The handler checks the
/// permission for the specific database, because only the handler knows the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointAccess {
    /// Everyone, without a token.
    Public,
    /// Everyone, without a token, because none exists before the first one is created. The handler refuses the request
    /// if one exists.
    FirstCredential,
    /// Any token. The handler checks the permissions of the [`Caller`](crate::Caller).
    Token,
    /// Permission for any of these on some database.
    Database(&'static [DatabaseAction]),
    /// Permission for this endpoint of the server.
    System(SystemEndpoint),
    /// Permission for an action on tokens.
    Tokens(TokenAction),
    /// Permission for an action on users and roles.
    Users(UserAction),
    /// An administrator or an auditor.
    Audit,
    /// An administrator, unless profiles are exempt: function names show what others compute, and a profile takes
    /// processor time.
    Profiles,
    /// An administrator.
    Admin,
}

/// The function that serves an endpoint on AWS Lambda. `neap serve` serves all endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointFunction {
    /// Every function that answers HTTP requests.
    Every,
    /// The write function.
    Write,
    /// The query function.
    Query,
    /// The engine function.
    Engine,
    /// None, because an instance stops when it has answered. The query function refuses all methods of the path.
    Job,
    /// None. Only `neap serve` has the endpoint.
    Process,
}

/// One method of one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The method; `ANY` means all methods. An endpoint with `GET` serves `HEAD`, too.
    pub method: &'static str,
    /// The path in axum's syntax.
    pub path: &'static str,
    /// Who may call it.
    pub access: EndpointAccess,
    /// The function that serves it.
    pub function: EndpointFunction,
}

const HEALTH: EndpointAccess = EndpointAccess::System(SystemEndpoint::Health);
const METRICS: EndpointAccess = EndpointAccess::System(SystemEndpoint::Metrics);
const PING: EndpointAccess = EndpointAccess::System(SystemEndpoint::Ping);
const READY: EndpointAccess = EndpointAccess::System(SystemEndpoint::Ready);
const READ: EndpointAccess = EndpointAccess::Database(&[DatabaseAction::Read]);
const WRITE: EndpointAccess = EndpointAccess::Database(&[DatabaseAction::Write]);
const APPEND: EndpointAccess = EndpointAccess::Database(&[DatabaseAction::Append]);
const READ_OR_WRITE: EndpointAccess =
    EndpointAccess::Database(&[DatabaseAction::Read, DatabaseAction::Write]);
const DELETE_ROWS: EndpointAccess =
    EndpointAccess::Database(&[DatabaseAction::Write, DatabaseAction::Delete]);
const CREATE: EndpointAccess = EndpointAccess::Database(&[DatabaseAction::Create]);
const CREATE_TABLE: EndpointAccess =
    EndpointAccess::Database(&[DatabaseAction::Create, DatabaseAction::Write]);
const DELETE: EndpointAccess = EndpointAccess::Database(&[DatabaseAction::Delete]);
const ANY_DATABASE_ACTION: EndpointAccess = EndpointAccess::Database(DatabaseAction::ALL);
const CREATE_TOKENS: EndpointAccess = EndpointAccess::Tokens(TokenAction::Create);
const DELETE_TOKENS: EndpointAccess = EndpointAccess::Tokens(TokenAction::Delete);
const READ_USERS: EndpointAccess = EndpointAccess::Users(UserAction::Read);
const CREATE_USERS: EndpointAccess = EndpointAccess::Users(UserAction::Create);
const UPDATE_USERS: EndpointAccess = EndpointAccess::Users(UserAction::Update);
const DELETE_USERS: EndpointAccess = EndpointAccess::Users(UserAction::Delete);

/// All endpoints.
#[rustfmt::skip]
pub const ENDPOINTS: &[Endpoint] = &[
    // Monitoring.
    row("GET",    "/health",                                                         HEALTH,              Every),
    row("GET",    "/api/v1/health",                                                  HEALTH,              Every),
    row("GET",    "/ping",                                                           PING,                Every),
    row("POST",   "/ping",                                                           PING,                Every),
    row("GET",    "/metrics",                                                        METRICS,             Every),
    row("GET",    "/ready",                                                          READY,               Process),
    row("GET",    "/debug/pprof/profile",                                            Profiles,            Process),
    row("POST",   "/debug/pprof/profile",                                            Profiles,            Process),
    row("GET",    "/debug/pprof/heap",                                               Profiles,            Process),
    row("POST",   "/debug/pprof/heap",                                               Profiles,            Process),
    // Writes and row deletes.
    row("POST",   "/api/v3/write_lp",                                                APPEND,              Write),
    row("POST",   "/api/v2/write",                                                   APPEND,              Write),
    row("POST",   "/write",                                                          APPEND,              Write),
    row("POST",   "/api/v1/write",                                                   APPEND,              Write),
    row("POST",   "/api/v1/prom/write",                                              APPEND,              Write),
    row("POST",   "/v1/metrics",                                                     APPEND,              Write),
    row("POST",   "/v1/logs",                                                        APPEND,              Write),
    row("POST",   "/v1/traces",                                                      APPEND,              Write),
    row("POST",   "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", APPEND,              Process),
    row("POST",   "/opentelemetry.proto.collector.logs.v1.LogsService/Export",       APPEND,              Process),
    row("POST",   "/opentelemetry.proto.collector.trace.v1.TraceService/Export",     APPEND,              Process),
    row("POST",   "/api/v3/write_file",                                              APPEND,              Process),
    row("POST",   "/imp",                                                            APPEND,              Process),
    row("GET",    "/api/v3/enterprise/import",                                       ANY_DATABASE_ACTION, Job),
    row("POST",   "/api/v3/enterprise/import",                                       APPEND,              Job),
    row("GET",    "/api/v3/sync/position",                                           Token,               Process),
    row("POST",   "/api/v3/sync/rows",                                               Token,               Process),
    row("POST",   "/api/v3/sync/deletes",                                            Token,               Process),
    row("POST",   "/api/v2/delete",                                                  DELETE_ROWS,         Write),
    row("POST",   "/api/v3/delete_rows",                                             DELETE_ROWS,         Write),
    row("GET",    "/api/v3/row_delete_requests",                                     ANY_DATABASE_ACTION, Process),
    row("POST",   "/api/v3/row_delete_requests",                                     DELETE_ROWS,         Process),
    row("POST",   "/api/v3/row_delete_requests/{seq}/abort",                         DELETE_ROWS,         Process),
    // Queries. The statements of InfluxQL, of `execute_sql` and of `/exec` may be of any kind, Flux lists buckets, and the handlers of Flight check the permission
    // for the database of each command.
    row("GET",    "/api/v3/query_sql",                                               READ,                Query),
    row("POST",   "/api/v3/query_sql",                                               READ,                Query),
    row("POST",   "/api/v3/execute_sql",                                             ANY_DATABASE_ACTION, Process),
    row("GET",    "/api/v3/query_influxql",                                          ANY_DATABASE_ACTION, Query),
    row("POST",   "/api/v3/query_influxql",                                          ANY_DATABASE_ACTION, Query),
    row("GET",    "/query",                                                          ANY_DATABASE_ACTION, Query),
    row("POST",   "/query",                                                          ANY_DATABASE_ACTION, Query),
    row("POST",   "/api/v2/query",                                                   ANY_DATABASE_ACTION, Query),
    row("POST",   "/api/v1/read",                                                    READ,                Query),
    row("POST",   "/api/v1/prom/read",                                               READ,                Query),
    row("GET",    "/api/v1/query",                                                   READ,                Query),
    row("POST",   "/api/v1/query",                                                   READ,                Query),
    row("GET",    "/api/v1/query_range",                                             READ,                Query),
    row("POST",   "/api/v1/query_range",                                             READ,                Query),
    row("GET",    "/api/v1/query_exemplars",                                         READ,                Query),
    row("POST",   "/api/v1/query_exemplars",                                         READ,                Query),
    row("GET",    "/api/v1/format_query",                                            READ,                Query),
    row("POST",   "/api/v1/format_query",                                            READ,                Query),
    row("GET",    "/api/v1/parse_query",                                             READ,                Query),
    row("POST",   "/api/v1/parse_query",                                             READ,                Query),
    row("GET",    "/api/v1/labels",                                                  READ,                Query),
    row("POST",   "/api/v1/labels",                                                  READ,                Query),
    row("GET",    "/api/v1/label/{name}/values",                                     READ,                Query),
    row("GET",    "/api/v1/series",                                                  READ,                Query),
    row("POST",   "/api/v1/series",                                                  READ,                Query),
    row("GET",    "/api/v1/metadata",                                                READ,                Query),
    row("GET",    "/api/v1/rules",                                                   READ,                Query),
    row("GET",    "/api/v1/alerts",                                                  READ,                Query),
    row("GET",    "/api/v1/status/buildinfo",                                        READ,                Query),
    row("GET",    "/prometheus/api/v1/query",                                        READ,                Query),
    row("POST",   "/prometheus/api/v1/query",                                        READ,                Query),
    row("GET",    "/prometheus/api/v1/query_range",                                  READ,                Query),
    row("POST",   "/prometheus/api/v1/query_range",                                  READ,                Query),
    row("GET",    "/prometheus/api/v1/query_exemplars",                              READ,                Query),
    row("POST",   "/prometheus/api/v1/query_exemplars",                              READ,                Query),
    row("GET",    "/prometheus/api/v1/format_query",                                 READ,                Query),
    row("POST",   "/prometheus/api/v1/format_query",                                 READ,                Query),
    row("GET",    "/prometheus/api/v1/parse_query",                                  READ,                Query),
    row("POST",   "/prometheus/api/v1/parse_query",                                  READ,                Query),
    row("GET",    "/prometheus/api/v1/labels",                                       READ,                Query),
    row("POST",   "/prometheus/api/v1/labels",                                       READ,                Query),
    row("GET",    "/prometheus/api/v1/label/{name}/values",                          READ,                Query),
    row("GET",    "/prometheus/api/v1/series",                                       READ,                Query),
    row("POST",   "/prometheus/api/v1/series",                                       READ,                Query),
    row("GET",    "/prometheus/api/v1/metadata",                                     READ,                Query),
    row("GET",    "/prometheus/api/v1/rules",                                        READ,                Query),
    row("GET",    "/prometheus/api/v1/alerts",                                       READ,                Query),
    row("GET",    "/prometheus/api/v1/status/buildinfo",                             READ,                Query),
    row("GET",    "/prometheus/config/v1/rules",                                     READ,                Query),
    row("GET",    "/prometheus/config/v1/rules/{namespace}",                         READ,                Query),
    row("PUT",    "/prometheus/config/v1/rules/{namespace}",                         WRITE,               Query),
    row("POST",   "/prometheus/config/v1/rules/{namespace}",                         WRITE,               Query),
    row("DELETE", "/prometheus/config/v1/rules/{namespace}",                         WRITE,               Query),
    row("GET",    "/prometheus/config/v1/rules/{namespace}/{group}",                 READ,                Query),
    row("DELETE", "/prometheus/config/v1/rules/{namespace}/{group}",                 WRITE,               Query),
    row("GET",    "/exec",                                                           ANY_DATABASE_ACTION, Process),
    row("POST",   "/arrow.flight.protocol.FlightService/{method}",                   Token,               Process),
    row("GET",    "/api/v3/export/databases",                                        ANY_DATABASE_ACTION, Query),
    row("GET",    "/api/v3/export/tables",                                           READ,                Query),
    row("GET",    "/api/v3/export/windows",                                          READ,                Query),
    row("GET",    "/api/v3/export/window_data",                                      READ,                Query),
    row("GET",    "/api/services",                                                   READ,                Query),
    row("GET",    "/api/services/{service}/operations",                              READ,                Query),
    row("GET",    "/api/operations",                                                 READ,                Query),
    row("GET",    "/api/traces",                                                     READ,                Query),
    row("GET",    "/api/traces/{trace}",                                             READ,                Query),
    row("GET",    "/iceberg/v1/config",                                              READ,                Query),
    row("GET",    "/iceberg/v1/namespaces",                                          READ,                Query),
    row("GET",    "/iceberg/v1/namespaces/{namespace}",                              READ,                Query),
    row("GET",    "/iceberg/v1/namespaces/{namespace}/tables",                       READ,                Query),
    row("GET",    "/iceberg/v1/namespaces/{namespace}/tables/{table}",               READ,                Query),
    row("GET",    "/api/v3/configure/materialized_view",                             READ,                Query),
    row("POST",   "/api/v3/configure/materialized_view",                             WRITE,               Query),
    row("DELETE", "/api/v3/configure/materialized_view",                             WRITE,               Query),
    row("GET",    "/api/v3/configure/query_concurrency_limit",                       Audit,               Process),
    row("PUT",    "/api/v3/configure/query_concurrency_limit",                       Admin,               Process),
    row("DELETE", "/api/v3/configure/query_concurrency_limit",                       Admin,               Process),
    // Databases and tables. Lists contain only resources that the caller has a permission for, and may be empty.
    row("GET",    "/api/v3/configure/database",                                      Token,               Query),
    row("POST",   "/api/v3/configure/database",                                      CREATE,              Write),
    row("PUT",    "/api/v3/configure/database",                                      Admin,               Write),
    row("DELETE", "/api/v3/configure/database",                                      DELETE,              Write),
    row("POST",   "/api/v3/configure/database/undelete",                             DELETE,              Write),
    row("POST",   "/api/v3/configure/database/rename",                               DELETE,              Write),
    row("DELETE", "/api/v3/configure/database/alias",                                DELETE,              Write),
    row("POST",   "/api/v3/configure/database/retention_period",                     Admin,               Write),
    row("DELETE", "/api/v3/configure/database/retention_period",                     Admin,               Write),
    row("GET",    "/api/v3/configure/retention",                                     Token,               Write),
    row("POST",   "/api/v3/configure/cold_storage",                                  Admin,               Write),
    row("DELETE", "/api/v3/configure/cold_storage",                                  Admin,               Write),
    row("POST",   "/api/v3/configure/table",                                         CREATE_TABLE,        Write),
    row("PUT",    "/api/v3/configure/table",                                         Admin,               Write),
    row("DELETE", "/api/v3/configure/table",                                         DELETE,              Write),
    row("POST",   "/api/v3/configure/table/undelete",                                DELETE,              Write),
    row("POST",   "/api/v3/configure/table/rename",                                  DELETE,              Write),
    row("DELETE", "/api/v3/configure/table/alias",                                   DELETE,              Write),
    row("POST",   "/api/v3/configure/table/column",                                  CREATE_TABLE,        Write),
    row("PUT",    "/api/v3/configure/table/column",                                  DELETE,              Write),
    row("DELETE", "/api/v3/configure/table/column",                                  DELETE,              Write),
    row("POST",   "/api/v3/configure/table/column/rename",                           DELETE,              Write),
    row("DELETE", "/api/v3/configure/table/column/alias",                            DELETE,              Write),
    row("POST",   "/api/v3/configure/table/retention_period",                        Admin,               Write),
    row("DELETE", "/api/v3/configure/table/retention_period",                        Admin,               Write),
    row("POST",   "/api/v3/enterprise/configure/table/retention_period",             Admin,               Write),
    row("DELETE", "/api/v3/enterprise/configure/table/retention_period",             Admin,               Write),
    row("POST",   "/api/v3/configure/last_cache",                                    CREATE,              Write),
    row("DELETE", "/api/v3/configure/last_cache",                                    DELETE,              Write),
    row("POST",   "/api/v3/configure/distinct_cache",                                CREATE,              Write),
    row("DELETE", "/api/v3/configure/distinct_cache",                                DELETE,              Write),
    row("POST",   "/api/v3/configure/file_index",                                    CREATE,              Write),
    row("DELETE", "/api/v3/configure/file_index",                                    DELETE,              Write),
    row("POST",   "/api/v3/enterprise/configure/file_index",                         CREATE,              Write),
    row("DELETE", "/api/v3/enterprise/configure/file_index",                         DELETE,              Write),
    // Tokens. The handler of the first token refuses the request if there is an operator token already.
    row("POST",   "/api/v3/configure/token/admin",                                   FirstCredential,     Write),
    row("POST",   "/api/v3/configure/token/admin/regenerate",                        Admin,               Write),
    row("POST",   "/api/v3/configure/token/named_admin",                             Admin,               Write),
    row("POST",   "/api/v3/configure/token",                                         CREATE_TOKENS,       Write),
    row("DELETE", "/api/v3/configure/token",                                         DELETE_TOKENS,       Write),
    row("POST",   "/api/v3/enterprise/configure/token",                              CREATE_TOKENS,       Write),
    row("DELETE", "/api/v3/enterprise/configure/token",                              DELETE_TOKENS,       Write),
    // Users, roles and sign-in. The handlers of sign-in check the credentials in the body, and the handler of the first
    // user refuses the request if there is a user already. To sign out ends the session of the caller.
    row("POST",   "/api/v3/configure/user",                                          FirstCredential,     Write),
    row("POST",   "/api/v3/authorize",                                               Public,              Write),
    row("POST",   "/api/v3/authorize/refresh",                                       Public,              Write),
    row("POST",   "/api/v3/authorize/reset-password",                                Public,              Write),
    row("POST",   "/api/v3/authorize/logout",                                        Token,               Write),
    row("GET",    "/api/v3/auth/oauth/config",                                       Public,              Write),
    row("GET",    "/.well-known/jwks.json",                                          Public,              Write),
    row("GET",    "/api/v3/users",                                                   READ_USERS,          Write),
    row("POST",   "/api/v3/users",                                                   CREATE_USERS,        Write),
    row("GET",    "/api/v3/users/{id}",                                              READ_USERS,          Write),
    row("PATCH",  "/api/v3/users/{id}",                                              UPDATE_USERS,        Write),
    row("DELETE", "/api/v3/users/{id}",                                              DELETE_USERS,        Write),
    row("GET",    "/api/v3/users/{id}/roles",                                        READ_USERS,          Write),
    row("PUT",    "/api/v3/users/{id}/roles",                                        UPDATE_USERS,        Write),
    row("POST",   "/api/v3/users/{id}/require-password-reset",                       UPDATE_USERS,        Write),
    row("GET",    "/api/v3/users_by_oauth_id/{oauth_id}",                            READ_USERS,          Write),
    row("GET",    "/api/v3/roles",                                                   READ_USERS,          Write),
    row("POST",   "/api/v3/roles",                                                   CREATE_USERS,        Write),
    row("DELETE", "/api/v3/roles/{id}",                                              DELETE_USERS,        Write),
    row("GET",    "/api/v3/roles/{id}/permissions",                                  READ_USERS,          Write),
    row("PUT",    "/api/v3/roles/{id}/permissions",                                  UPDATE_USERS,        Write),
    row("GET",    "/api/v3/roles_by_name/{name}",                                    READ_USERS,          Write),
    // Resources of InfluxDB 2. Lists contain only resources that the caller may see. The handler of the first token
    // refuses the request if there is an operator token already.
    row("GET",    "/api/v2",                                                         Public,              Write),
    row("GET",    "/api/v2/buckets",                                                 Token,               Write),
    row("POST",   "/api/v2/buckets",                                                 CREATE,              Write),
    row("GET",    "/api/v2/buckets/{id}",                                            Token,               Write),
    row("PATCH",  "/api/v2/buckets/{id}",                                            Admin,               Write),
    row("DELETE", "/api/v2/buckets/{id}",                                            DELETE,              Write),
    row("GET",    "/api/v2/dbrps",                                                   Token,               Write),
    row("POST",   "/api/v2/dbrps",                                                   Token,               Write),
    row("GET",    "/api/v2/dbrps/{id}",                                              Token,               Write),
    row("DELETE", "/api/v2/dbrps/{id}",                                              Token,               Write),
    row("GET",    "/api/v2/orgs",                                                    Token,               Write),
    row("GET",    "/api/v2/orgs/{id}",                                               Token,               Write),
    row("GET",    "/api/v2/users",                                                   Token,               Write),
    row("GET",    "/api/v2/users/{id}",                                              Token,               Write),
    row("GET",    "/api/v2/me",                                                      Token,               Write),
    row("GET",    "/api/v2/labels",                                                  Token,               Write),
    row("GET",    "/api/v2/resources",                                               Token,               Write),
    row("GET",    "/api/v2/authorizations",                                          Token,               Write),
    row("POST",   "/api/v2/authorizations",                                          CREATE_TOKENS,       Write),
    row("GET",    "/api/v2/authorizations/{id}",                                     Token,               Write),
    row("DELETE", "/api/v2/authorizations/{id}",                                     DELETE_TOKENS,       Write),
    row("GET",    "/api/v2/setup",                                                   Public,              Write),
    row("POST",   "/api/v2/setup",                                                   FirstCredential,     Write),
    // The processing engine. The database of a request is that of its trigger.
    row("POST",   "/api/v3/configure/processing_engine_trigger",                     Admin,               Engine),
    row("DELETE", "/api/v3/configure/processing_engine_trigger",                     Admin,               Engine),
    row("POST",   "/api/v3/configure/processing_engine_trigger/enable",              Admin,               Engine),
    row("POST",   "/api/v3/configure/processing_engine_trigger/disable",             Admin,               Engine),
    row("POST",   "/api/v3/configure/plugin_environment/install_packages",           Admin,               Engine),
    row("POST",   "/api/v3/configure/plugin_environment/install_requirements",       Admin,               Engine),
    row("GET",    "/api/v3/plugins/files",                                           Audit,               Engine),
    row("POST",   "/api/v3/plugins/files",                                           Admin,               Engine),
    row("PUT",    "/api/v3/plugins/files",                                           Admin,               Engine),
    row("DELETE", "/api/v3/plugins/files",                                           Admin,               Engine),
    row("PUT",    "/api/v3/plugins/directory",                                       Admin,               Engine),
    row("GET",    "/api/v3/plugins/available",                                       Admin,               Engine),
    row("POST",   "/api/v3/plugins/install",                                         Admin,               Engine),
    row("POST",   "/api/v3/plugin_test/wal",                                         Admin,               Engine),
    row("POST",   "/api/v3/plugin_test/schedule",                                    Admin,               Engine),
    row("ANY",    "/api/v3/engine/{*path}",                                          READ_OR_WRITE,       Engine),
    // Operation of the cluster.
    row("GET",    "/api/v3/enterprise/backup",                                       Audit,               Job),
    row("POST",   "/api/v3/enterprise/backup",                                       Admin,               Job),
    row("DELETE", "/api/v3/enterprise/backup",                                       Admin,               Job),
    row("GET",    "/api/v3/enterprise/backup/{name}",                                Audit,               Job),
    row("DELETE", "/api/v3/enterprise/backup/{name}",                                Admin,               Job),
    row("GET",    "/api/v3/enterprise/restore",                                      Audit,               Job),
    row("POST",   "/api/v3/enterprise/restore",                                      Admin,               Job),
    row("GET",    "/api/v3/enterprise/restore/{id}",                                 Audit,               Job),
    row("DELETE", "/api/v3/enterprise/restore/{id}",                                 Admin,               Job),
    row("GET",    "/api/v3/enterprise/configure/node/stop",                          Audit,               Process),
    row("POST",   "/api/v3/enterprise/configure/node/stop",                          Admin,               Process),
    row("POST",   "/api/v3/enterprise/configure/node/remove",                        Admin,               Process),
    row("GET",    "/api/v3/enterprise/configure/query_groups",                       Audit,               Process),
    row("POST",   "/api/v3/enterprise/configure/query_groups",                       Admin,               Process),
    row("GET",    "/api/v3/enterprise/configure/query_groups/{id}",                  Audit,               Process),
    row("PUT",    "/api/v3/enterprise/configure/query_groups/{id}",                  Admin,               Process),
    row("PATCH",  "/api/v3/enterprise/configure/query_groups/{id}",                  Admin,               Process),
    row("DELETE", "/api/v3/enterprise/configure/query_groups/{id}",                  Admin,               Process),
    // Clients. The page of the console contains no data, and a browser requests it before the user enters a token.
    // QuestDB's clients read the settings without credentials. Each call of a tool for agents is a request of its own
    // with the same token.
    row("GET",    "/",                                                               Public,              Write),
    row("GET",    "/console/assets/{*path}",                                         Public,              Write),
    row("GET",    "/api/v3/console/session",                                         Token,               Write),
    row("GET",    "/api/v3/console/documents",                                       READ,                Write),
    row("POST",   "/api/v3/console/documents",                                       WRITE,               Write),
    row("GET",    "/api/v3/console/documents/{id}",                                  READ,                Write),
    row("PUT",    "/api/v3/console/documents/{id}",                                  WRITE,               Write),
    row("DELETE", "/api/v3/console/documents/{id}",                                  WRITE,               Write),
    row("POST",   "/api/v3/console/assistant",                                       READ,                Process),
    row("GET",    "/settings",                                                       Public,              Write),
    row("ANY",    "/mcp",                                                            Token,               Process),
];

const fn row(
    method: &'static str,
    path: &'static str,
    access: EndpointAccess,
    function: EndpointFunction,
) -> Endpoint {
    Endpoint { method, path, access, function }
}

impl Endpoint {
    /// Returns whether the endpoint serves a method.
    pub(crate) fn serves(&self, method: &str) -> bool {
        let method = if method == "HEAD" { "GET" } else { method };
        [method, "ANY"].contains(&self.method)
    }

    /// Returns whether the path of a request, which is not routed yet, is one of this endpoint. Recognizes no
    /// parameters within a path.
    pub(crate) fn has_path(&self, path: &str) -> bool {
        match self.path.strip_suffix("{*path}") {
            Some(prefix) => path.starts_with(prefix),
            None => path == self.path,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_method_of_a_path_stands_once() {
        let mut methods = BTreeSet::new();
        for endpoint in ENDPOINTS {
            let is_new = methods.insert((endpoint.path, endpoint.method));
            assert!(is_new, "{} {}", endpoint.method, endpoint.path);
        }
    }
}
