variable "region" {
  description = "Where it runs."
  type        = string
  default     = "eu-central-1"
}

variable "tail_zone_id" {
  description = "The availability zone of the bucket for new data; not every zone has S3 Express."
  type        = string
  default     = "euc1-az1"
}

variable "package_bucket" {
  description = "The bucket with the functions' zip files."
  type        = string
}

variable "release" {
  description = "The release to run."
  type        = string
}

variable "admin_token_hash" {
  description = "The SHA-512 of the operator token (docs/deployment.md)."
  type        = string
}

variable "backup_bucket" {
  description = "The bucket for backups, in another account, whose policy allows the role of the compact function to read, write, list and delete there."
  type        = string
}

variable "budget_usd" {
  description = "What the account may cost in a month without a notification."
  type        = number
  default     = 1000
}

variable "image" {
  description = "The image of `neap` of the same release, in ECR."
  type        = string
}

variable "domain" {
  description = "The name that clients use."
  type        = string
}

variable "certificate_arn" {
  description = "A certificate of ACM for that name."
  type        = string
}

variable "zone_id" {
  description = "The zone of Route 53 that the name is entered in."
  type        = string
}

variable "log_bucket" {
  description = "The bucket for S3's access log."
  type        = string
}

variable "alarm_address" {
  description = "The mail address that alarms go to."
  type        = string
}
