variable "name" {
  description = "What names begin with."
  type        = string
}

variable "functions" {
  description = "The names of the functions."
  type        = map(string)
}

variable "url_functions" {
  description = "The names of those that have a URL of their own."
  type        = map(string)
}

variable "asynchronous_functions" {
  description = "The names of those that a scheduler starts."
  type        = map(string)
}

variable "service" {
  description = "The dimensions of the load balancer's metrics, or null where no containers run."
  type        = map(string)
}

variable "api_id" {
  description = "The id of the API."
  type        = string
}

variable "queues" {
  description = "The names of the queues."
  type        = map(string)
}

variable "dead_queues" {
  description = "The names of the queues of dead letters."
  type        = map(string)
}

variable "state_log_group_name" {
  description = "The log in which the compact function says how large the tail and the debt are."
  type        = string
}

variable "access_log_group_name" {
  description = "The access log of the API."
  type        = string
}

variable "budget_usd" {
  description = "What the account may cost in a month without a notification, or null."
  type        = number
}

variable "notify" {
  description = "Topics of SNS, or others, that are told when an alarm goes off or ends."
  type        = list(string)
}

variable "limits" {
  description = "When alarms go off."
  type = object({
    errors            = number
    throttles         = number
    turned_away       = number
    dropped           = number
    queue_age_seconds = number
    tail_bytes        = number
    tail_age_seconds  = number
    due_bytes         = number
  })
}
