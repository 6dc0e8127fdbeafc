variable "name" {
  description = "The name of the API."
  type        = string
}

variable "functions" {
  description = "The functions that answer, by their keys in `routes`, and the alias to call them by, if they have one."
  type        = map(object({ name = string, invoke_arn = string, qualifier = string }))
}

variable "timeout_seconds" {
  description = "How long the API waits for an answer, up to 30."
  type        = number
}

variable "routes" {
  description = "Which function answers what: `METHOD /path` to the function's key."
  type        = map(string)
}

variable "domain" {
  description = "A name of your own for the API, a certificate of ACM for it in this region, and the zone of Route 53 to enter it in."
  type = object({
    name            = string
    certificate_arn = string
    zone_id         = optional(string)
  })
}

variable "requests_per_second" {
  description = "How many requests a second the API takes in the long run."
  type        = number
}

variable "burst_requests" {
  description = "How many it takes at once."
  type        = number
}

variable "route_limits" {
  description = "The limits of routes that have others than the rest."
  type        = map(object({ requests_per_second = number, burst_requests = number }))
}

variable "log_retention_days" {
  description = "For how long the access log is kept."
  type        = number
}

variable "kms_key_arn" {
  description = "The key that the access log is encrypted with; AWS's own keys without one."
  type        = string
}
