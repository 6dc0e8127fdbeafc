# The function of each path.

locals {
  # All methods of a path go to its function, so that it can list its methods in the answer to another one.
  # `scripts/check-terraform --update` writes the file from the lists that the functions print.
  paths = jsondecode(file("${path.module}/routes.json"))

  # The page of the console and its files, which the write function reads from the bucket.
  console_paths = ["/", "/console/assets/{proxy+}"]

  # Writes have their own limit, so that other requests cannot use it up.
  write_paths = [
    "/api/v1/prom/write", "/api/v1/write", "/api/v2/write", "/api/v3/write_lp", "/v1/logs", "/v1/metrics", "/v1/traces", "/write",
  ]

  # Each instance counts wrong passwords for itself. The gateway counts the requests to all of them.
  sign_in_paths = [
    "/api/v2/setup", "/api/v3/authorize", "/api/v3/authorize/refresh", "/api/v3/authorize/reset-password",
    "/api/v3/configure/token/admin", "/api/v3/configure/user",
  ]

  # There is no `$default`: the gateway answers 404 for a path without a route, and starts no function.
  routes = merge(
    {
      # This path belongs to two functions.
      "GET /api/v3/configure/database" = "query"
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

  route_limits = merge(
    { for path in local.write_paths : "ANY ${path}" => var.throttling.writes },
    { for path in local.sign_in_paths : "ANY ${path}" => var.throttling.sign_ins },
  )

  functions = {
    for name, it in module.function : name => { name = it.name, invoke_arn = it.invoke_arn, qualifier = it.qualifier }
  }
}
