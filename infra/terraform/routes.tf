# Which function answers what. The functions say the same of themselves (`--print-interface`), and tests compare the two.

locals {
  # Paths go to a function with all methods, so that it answers with the ones that it has when another is tried.
  paths = {
    write = [
      "/.well-known/jwks.json",
      "/api/v1/health",
      "/api/v1/prom/write",
      "/api/v1/write",
      "/api/v2/delete",
      "/api/v2/write",
      "/api/v3/auth/oauth/config",
      "/api/v3/authorize",
      "/api/v3/authorize/logout",
      "/api/v3/authorize/refresh",
      "/api/v3/authorize/reset-password",
      "/api/v3/configure/database",
      "/api/v3/configure/database/retention_period",
      "/api/v3/configure/database/undelete",
      "/api/v3/configure/distinct_cache",
      "/api/v3/configure/file_index",
      "/api/v3/configure/last_cache",
      "/api/v3/configure/retention",
      "/api/v3/configure/table",
      "/api/v3/configure/table/retention_period",
      "/api/v3/configure/table/undelete",
      "/api/v3/configure/token",
      "/api/v3/configure/token/admin",
      "/api/v3/configure/token/admin/regenerate",
      "/api/v3/configure/token/named_admin",
      "/api/v3/configure/user",
      "/api/v3/console/documents",
      "/api/v3/console/documents/{id}",
      "/api/v3/console/session",
      "/api/v3/delete_rows",
      "/api/v3/enterprise/configure/file_index",
      "/api/v3/enterprise/configure/table/retention_period",
      "/api/v3/enterprise/configure/token",
      "/api/v3/roles",
      "/api/v3/roles/{id}",
      "/api/v3/roles/{id}/permissions",
      "/api/v3/roles_by_name/{name}",
      "/api/v3/users",
      "/api/v3/users/{id}",
      "/api/v3/users/{id}/require-password-reset",
      "/api/v3/users/{id}/roles",
      "/api/v3/users_by_oauth_id/{oauth_id}",
      "/api/v3/write_lp",
      "/health",
      "/metrics",
      "/ping",
      "/settings",
      "/v1/logs",
      "/v1/metrics",
      "/v1/traces",
      "/write",
    ]
    query = [
      "/api/v1/label/{name}/values",
      "/api/v1/labels",
      "/api/v1/metadata",
      "/api/v1/prom/read",
      "/api/v1/read",
      "/api/v1/series",
      "/api/v3/configure/materialized_view",
      "/api/v3/query_influxql",
      "/api/v3/query_sql",
      "/query",
    ]
    engine = [
      "/api/v3/configure/plugin_environment/install_packages",
      "/api/v3/configure/plugin_environment/install_requirements",
      "/api/v3/configure/processing_engine_trigger",
      "/api/v3/configure/processing_engine_trigger/disable",
      "/api/v3/configure/processing_engine_trigger/enable",
      "/api/v3/engine/{proxy+}",
      "/api/v3/plugin_test/schedule",
      "/api/v3/plugin_test/wal",
      "/api/v3/plugins/directory",
      "/api/v3/plugins/files",
    ]
  }

  # The page of the console and its files, which the write function reads from the bucket.
  console_paths = ["/", "/console/assets/{proxy+}"]

  routes = merge(
    {
      # The one path of two functions.
      "GET /api/v3/configure/database" = "query"
      # Answers that there is no such path.
      "$default" = "query"
    },
    { for path in local.paths.write : "ANY ${path}" => "write" },
    { for path in local.paths.query : "ANY ${path}" => "query" },
    { for path in local.paths.engine : "ANY ${path}" => "engine" if var.engine.enabled },
    { for path in local.console_paths : "ANY ${path}" => "write" if var.console.enabled },
  )
}

module "api" {
  source = "./modules/api"

  name                = var.name
  timeout_seconds     = var.request_timeout_seconds
  routes              = local.routes
  domain              = var.domain
  requests_per_second = var.throttling.requests_per_second
  burst_requests      = var.throttling.burst_requests
  log_retention_days  = var.log_retention_days
  kms_key_arn         = var.kms_key_arn

  functions = {
    for name, it in module.function : name => { name = it.name, invoke_arn = it.invoke_arn, qualifier = it.qualifier }
  }
}
