# The smallest deployment: `terraform apply` creates a database, and prints its address.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.64"
    }
  }
}

variable "region" {
  description = "Where it runs."
  type        = string
  default     = "eu-central-1"
}

variable "packages" {
  description = "The folder with the functions' zip files, as `scripts/release` makes it."
  type        = string
  default     = "../../../../dist"
}

variable "admin_token_hash" {
  description = "The SHA-512 of the operator token (docs/deployment.md). Without it, the functions refuse every request."
  type        = string
  default     = null
}

provider "aws" {
  region = var.region
}

module "neap" {
  source = "../.."

  packages         = { directory = var.packages }
  admin_token_hash = var.admin_token_hash
}

output "url" {
  description = "Where clients send requests."
  value       = module.neap.url
}

output "bucket" {
  description = "Where the data are."
  value       = module.neap.bucket
}
