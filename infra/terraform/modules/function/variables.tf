variable "name" {
  description = "The name of the function."
  type        = string
}

variable "description" {
  description = "What the function does."
  type        = string
}

variable "code" {
  description = "Where the code is: a zip file here, an object of a bucket, or an image."
  type = object({
    file      = optional(string)
    bucket    = optional(string)
    key       = optional(string)
    image_uri = optional(string)
  })

  validation {
    condition     = length([for it in [var.code.file, var.code.key, var.code.image_uri] : it if it != null]) == 1
    error_message = "Name one of file, key and image_uri."
  }
}

variable "runtime" {
  description = "Lambda's runtime. An image has its own."
  type        = string
  default     = "provided.al2023"
}

variable "architecture" {
  description = "arm64 or x86_64."
  type        = string
}

variable "memory_mib" {
  description = "Memory; with it come processors, one for each 1,769 MiB."
  type        = number
}

variable "timeout_seconds" {
  description = "How long an invocation may take."
  type        = number
}

variable "temporary_mib" {
  description = "Space for temporary files, from 512."
  type        = number
  default     = 512
}

variable "reserved_concurrency" {
  description = "How many invocations may run at once, and are kept free for this function; -1 shares those of the account."
  type        = number
}

variable "provisioned_concurrency" {
  description = "How many instances are kept started, for those who call the function by its alias; 0 keeps none."
  type        = number
  default     = 0
}

variable "managed_instances" {
  description = "The provider of the machines that the function runs on, how many requests an environment there handles at once, and how many environments there are; null to run where Lambda pleases."
  type = object({
    capacity_provider_arn = string
    concurrency           = number
    min_environments      = number
    max_environments      = number
  })
  default = null
}

variable "environment" {
  description = "Variables of the environment."
  type        = map(string)
}

variable "layers" {
  description = "Layers, such as one with a virtual environment."
  type        = list(string)
  default     = []
}

variable "statements" {
  description = "What the function may do beside writing its log, as statements of a policy."
  type        = any
}

variable "log_retention_days" {
  description = "For how long the log is kept."
  type        = number
}

variable "kms_key_arn" {
  description = "The key that the log and the environment are encrypted with; AWS's own keys without one."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets to run in; without any, in none of yours."
  type        = list(string)
}

variable "security_group_ids" {
  description = "The security groups there."
  type        = list(string)
}

variable "tracing" {
  description = "Whether X-Ray samples invocations."
  type        = bool
}

variable "permissions_boundary_arn" {
  description = "The boundary of the role's permissions, where an organisation asks for one."
  type        = string
}
