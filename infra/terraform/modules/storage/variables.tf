variable "bucket_name" {
  description = "The name of the bucket."
  type        = string
}

variable "key_prefix" {
  description = "Everything is kept below this prefix; empty, or ending with a slash."
  type        = string
}

variable "kms_key_arn" {
  description = "The key that objects are encrypted with; S3's own keys without one."
  type        = string
}

variable "results_days" {
  description = "After how many days query results that were answered by a link expire."
  type        = number
}

variable "cors_origins" {
  description = "Where pages come from that may read what a link was signed for, such as `https://app.example.org`, or `*`."
  type        = list(string)
}

variable "log_bucket" {
  description = "The bucket for S3's access log; without one there is no log."
  type        = string
}

variable "force_destroy" {
  description = "Whether `terraform destroy` deletes the bucket with all data in it."
  type        = bool
}

variable "express_zone_ids" {
  description = "The availability zones of S3 Express buckets for the tail, such as `euc1-az1`; without one the tail is in the bucket."
  type        = set(string)
}

variable "notifications" {
  description = "Whether a queue is told of every new segment."
  type        = bool
}

variable "notification_queue_arn" {
  description = "That queue."
  type        = string
}
