variable "name" {
  description = "The name of the service."
  type        = string
}

variable "image" {
  description = "The image of `neap`, such as one in ECR."
  type        = string
}

variable "architecture" {
  description = "arm64 or x86_64."
  type        = string
}

variable "tasks" {
  description = "How many containers run. Any number may share the bucket."
  type        = number
}

variable "mode" {
  description = "The roles of the containers, as in `neap serve --mode`."
  type        = set(string)
}

variable "cpu_units" {
  description = "1,024 for each processor."
  type        = number
}

variable "memory_mib" {
  description = "Memory of a container."
  type        = number
}

variable "environment" {
  description = "Variables of the environment of `neap serve`."
  type        = map(string)
}

variable "statements" {
  description = "What `neap serve` may do, as statements of a policy."
  type        = any
}

variable "vpc_id" {
  description = "The network."
  type        = string
}

variable "subnet_ids" {
  description = "Its subnets for the containers and the load balancer."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Groups of the containers beside their own."
  type        = list(string)
}

variable "client_cidrs" {
  description = "The addresses that clients come from."
  type        = list(string)
}

variable "certificate_arn" {
  description = "A certificate of ACM: with it clients speak TLS, on port 443; without it plain HTTP, on port 8181."
  type        = string
}

variable "public" {
  description = "Whether the load balancer has addresses of the internet."
  type        = bool
}

variable "assign_public_ip" {
  description = "Whether containers have addresses of the internet, as they need in a subnet without NAT or endpoints."
  type        = bool
}

variable "log_retention_days" {
  description = "For how long the log is kept."
  type        = number
}

variable "kms_key_arn" {
  description = "The key that the log is encrypted with; AWS's own keys without one."
  type        = string
}

variable "permissions_boundary_arn" {
  description = "The boundary of the roles' permissions, where an organisation asks for one."
  type        = string
}
