output "url" {
  description = "Where clients send requests."
  value       = module.api.url
}

output "query_url" {
  description = "Where clients send queries whose answers stream, or null."
  value       = one([for name, it in aws_lambda_function_url.main : trimsuffix(it.function_url, "/") if name == "stream"])
}

output "ingest_url" {
  description = "Where clients send writes that do not go through the API, or null."
  value       = one([for name, it in aws_lambda_function_url.main : trimsuffix(it.function_url, "/") if name == "ingest"])
}

output "domain_target" {
  description = "What the name of your own has to point to, if its zone was not given."
  value       = module.api.domain_target
}

output "service_url" {
  description = "Where clients of the containers send requests, those of Arrow Flight too, or null."
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
  description = "The names of their roles, for policies of your own. Plugins do not get the credentials of the engine's."
  value       = { for name, it in module.function : name => it.role_name }
}

output "dashboard" {
  description = "The name of the dashboard in CloudWatch."
  value       = module.monitoring.dashboard_name
}
