output "bucket" {
  description = "The name of the bucket."
  value       = aws_s3_bucket.main.id
}

output "bucket_arn" {
  description = "The bucket."
  value       = aws_s3_bucket.main.arn
}

output "tail_buckets" {
  description = "The S3 Express buckets for the tail, by their availability zones."
  value       = { for zone, it in aws_s3_directory_bucket.tail : zone => { name = it.bucket, arn = it.arn } }
}
