output "arn" {
  description = "The queue."
  value       = aws_sqs_queue.main.arn

  # S3 sends a test message before it accepts a queue for notifications. So it needs the permission before the notifications
  # exist, and until they are deleted.
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
