output "dashboard_name" {
  description = "The name of the dashboard."
  value       = aws_cloudwatch_dashboard.main.dashboard_name
}

output "namespace" {
  description = "The namespace of Neap's own metrics."
  value       = local.namespace
}
