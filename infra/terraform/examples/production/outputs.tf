output "url" {
  description = "Where clients send requests."
  value       = module.neap.url
}

output "service_url" {
  description = "Where clients in the network reach the containers."
  value       = module.neap.service_url
}

output "bucket" {
  description = "Where the data are."
  value       = module.neap.bucket
}

output "dashboard" {
  description = "The dashboard in CloudWatch."
  value       = module.neap.dashboard
}
