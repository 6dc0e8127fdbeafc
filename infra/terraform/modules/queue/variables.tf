variable "name" {
  description = "The name of the queue."
  type        = string
}

variable "visibility_timeout_seconds" {
  description = "For how long a message is hidden from others once it was handed out."
  type        = number
}

variable "retention_seconds" {
  description = "For how long a message waits."
  type        = number
  default     = 24 * 3600
}

variable "max_receives" {
  description = "How often a message is handed out before it is dead."
  type        = number
  default     = 4
}

variable "kms_key_arn" {
  description = "The key that messages are encrypted with; SQS's own keys without one."
  type        = string
  default     = null
}

variable "notifying_buckets" {
  description = "Buckets whose notifications come in, with the account they belong to."
  type        = list(object({ arn = string, account = string }))
  default     = []
}
