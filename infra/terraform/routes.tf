# Which function answers what.

locals {
  # Paths go to a function with all methods, so that it answers with the ones that it has when another is tried.
  # scripts/check-terraform --update writes the file from what the functions say of themselves.
  paths = jsondecode(file("${path.module}/routes.json"))

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
