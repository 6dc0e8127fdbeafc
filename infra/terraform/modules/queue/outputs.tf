output "arn" {
  description = "The queue."
  value       = aws_sqs_queue.main.arn

  # S3 tries a queue before it takes it for its notifications: it must be allowed to send by then, and until the
  # notifications are gone.
  depends_on = [aws_sqs_queue_policy.main]
}

output "url" {
  description = "The URL of the queue."
  value       = aws_sqs_queue.main.url
}

output "name" {
  description = "The name of the queue."
  value       = aws_sqs_queue.main.name
}

output "dead_arn" {
  description = "The queue of dead letters."
  value       = aws_sqs_queue.dead.arn
}

output "dead_name" {
  description = "The name of the queue of dead letters."
  value       = aws_sqs_queue.dead.name
}
