output "url" {
  description = "Where clients send requests."
  value       = var.domain == null ? aws_apigatewayv2_api.main.api_endpoint : "https://${var.domain.name}"
}

output "id" {
  description = "The id of the API."
  value       = aws_apigatewayv2_api.main.id
}

output "log_group_name" {
  description = "The name of the access log."
  value       = aws_cloudwatch_log_group.access.name
}

output "domain_target" {
  description = "What the name of your own has to point to, if Route 53 does not have its zone."
  value       = one(aws_apigatewayv2_domain_name.main[*].domain_name_configuration[0].target_domain_name)
}
