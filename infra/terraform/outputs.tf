output "url" {
  description = "The URL for requests of clients."
  value       = module.api.url
}

output "query_url" {
  description = "The URL for queries with streamed answers, or null."
  value       = one([for name, it in aws_lambda_function_url.main : trimsuffix(it.function_url, "/") if name == "stream"])
}

output "ingest_url" {
  description = "The URL for writes without the API, or null."
  value       = one([for name, it in aws_lambda_function_url.main : trimsuffix(it.function_url, "/") if name == "ingest"])
}

output "domain_target" {
  description = "The target of the DNS record of `domain`, if its zone is not set."
  value       = module.api.domain_target
}

output "service_url" {
  description = "The URL of the containers, also for Arrow Flight, or null."
  value       = one(module.service[*].url)
}

output "bucket" {
  description = "The bucket: `neap compact`, `neap fsck` and `neap copy` work on it."
  value       = module.storage.bucket
}

output "tail_bucket" {
  description = "The bucket of the tail, or null if it is the same."
  value       = local.tail_bucket
}

output "function_names" {
  description = "The names of the functions."
  value       = { for name, it in module.function : name => it.name }
}

output "role_names" {
  description = "The names of their roles, for policies of your own. Plugins do not get the credentials of the role of the engine."
  value       = { for name, it in module.function : name => it.role_name }
}

output "dashboard" {
  description = "The name of the dashboard in CloudWatch."
  value       = module.monitoring.dashboard_name
}
