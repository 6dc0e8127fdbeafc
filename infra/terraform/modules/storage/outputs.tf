output "bucket" {
  description = "The name of the bucket."
  value       = aws_s3_bucket.main.id
}

output "bucket_arn" {
  description = "The bucket."
  value       = aws_s3_bucket.main.arn
}

output "tail_bucket" {
  description = "The name of the S3 Express bucket for the tail, or null."
  value       = one(aws_s3_directory_bucket.tail[*].bucket)
}

output "tail_bucket_arn" {
  description = "The S3 Express bucket for the tail, or null."
  value       = one(aws_s3_directory_bucket.tail[*].arn)
}
