# A deployment for production: a domain, an encryption key, a network without internet access, new data in S3 Express,
# containers with warm caches, backups in another bucket, and alarms and a budget that notify by e-mail.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.64"
    }
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = {
      application = "neap"
      environment = "production"
    }
  }
}

data "aws_caller_identity" "here" {}

data "aws_partition" "here" {}

resource "aws_kms_key" "neap" {
  description         = "What Neap keeps."
  enable_key_rotation = true

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Account"
        Effect    = "Allow"
        Principal = { AWS = "arn:${data.aws_partition.here.partition}:iam::${data.aws_caller_identity.here.account_id}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid    = "LogsAndNotifications"
        Effect = "Allow"
        Principal = {
          Service = [
            "logs.${var.region}.amazonaws.com", "s3.amazonaws.com", "cloudwatch.amazonaws.com", "budgets.amazonaws.com",
          ]
        }
        Action   = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
        Resource = "*"
      },
    ]
  })
}

resource "aws_kms_alias" "neap" {
  name          = "alias/neap"
  target_key_id = aws_kms_key.neap.key_id
}

resource "aws_sns_topic" "alarms" {
  name              = "neap-alarms"
  kms_master_key_id = aws_kms_key.neap.arn
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "AlarmsAndBudgets"
      Effect    = "Allow"
      Principal = { Service = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"] }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.alarms.arn
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.here.account_id } }
    }]
  })
}

resource "aws_sns_topic_subscription" "alarms" {
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.alarm_address
}

module "neap" {
  source = "../.."

  packages         = { bucket = var.package_bucket, key_prefix = "neap/${var.release}/" }
  admin_token_hash = var.admin_token_hash
  kms_key_arn      = aws_kms_key.neap.arn
  log_bucket       = var.log_bucket
  tracing          = true

  domain = {
    name            = var.domain
    certificate_arn = var.certificate_arn
    zone_id         = var.zone_id
  }

  throttling = {
    requests_per_second = 500
    burst_requests      = 1000
    writes              = { requests_per_second = 2000, burst_requests = 4000 }
  }

  # These functions reserve 362 of the concurrency of the account, which must be at least 462. So queries can't use up the
  # concurrency of writes and merges.
  functions = {
    write   = { memory_mib = 1024, reserved_concurrency = 200 }
    query   = { memory_mib = 3538, reserved_concurrency = 100, temporary_mib = 4096 }
    compact = { memory_mib = 3538, timeout_seconds = 900, reserved_concurrency = 12 }
    engine  = { reserved_concurrency = 50 }
  }
  merges_at_once = 8

  backups = {
    schedule   = "cron(0 2 * * ? *)"
    retention  = "30d"
    full_every = 7
    to         = { bucket = var.backup_bucket, prefix = "neap" }
  }

  tail_zone_id = var.tail_zone_id

  network = { cidr = "10.80.0.0/20", zones = 2 }

  service = {
    image           = var.image
    tasks           = 2
    cpu_units       = 1024
    memory_mib      = 4096
    client_cidrs    = ["10.0.0.0/8"]
    certificate_arn = var.certificate_arn
  }

  alarms = { notify = [aws_sns_topic.alarms.arn], budget_usd = var.budget_usd }

  log_retention_days = 90
}
