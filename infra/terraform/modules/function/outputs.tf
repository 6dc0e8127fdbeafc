output "arn" {
  description = "The function."
  value       = aws_lambda_function.main.arn
}

output "invoke_arn" {
  description = "How API Gateway calls the function."
  value       = local.is_warm ? aws_lambda_alias.warm[0].invoke_arn : aws_lambda_function.main.invoke_arn
}

output "qualifier" {
  description = "The alias to send requests to, or null if there is none."
  value       = one(aws_lambda_alias.warm[*].name)
}

output "name" {
  description = "The name of the function."
  value       = aws_lambda_function.main.function_name
}

output "role_name" {
  description = "The name of the function's role."
  value       = aws_iam_role.main.name
}

output "log_group_name" {
  description = "The name of the function's log group."
  value       = aws_cloudwatch_log_group.main.name
}
