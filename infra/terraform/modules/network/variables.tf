variable "name" {
  description = "What names begin with."
  type        = string
}

variable "cidr" {
  description = "The addresses of the network, a /16 to a /24."
  type        = string
}

variable "zones" {
  description = "The number of availability zones."
  type        = number
}

variable "bucket_arns" {
  description = "The buckets that may be reached."
  type        = list(string)
}

variable "with_express" {
  description = "Whether S3 Express is reached, too."
  type        = bool
}

variable "interface_endpoints" {
  description = "Services of AWS that get an endpoint in each subnet, such as `sqs`. Each is billed by the hour."
  type        = set(string)
}

variable "image_bucket_arn" {
  description = "The bucket from which ECR serves the layers of images, or null where no containers run."
  type        = string
}

variable "log_retention_days" {
  description = "For how long the flow log is kept."
  type        = number
}

variable "kms_key_arn" {
  description = "The key that the flow log is encrypted with; AWS's own keys without one."
  type        = string
}

variable "permissions_boundary_arn" {
  description = "The boundary of the role's permissions, where an organisation asks for one."
  type        = string
}
