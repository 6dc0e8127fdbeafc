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
