# Neap on AWS: four functions, a bucket, and the events and schedules that start the functions.

data "aws_caller_identity" "here" {}

data "aws_partition" "here" {}

data "aws_region" "here" {}

locals {
  account     = data.aws_caller_identity.here.account_id
  bucket_name = coalesce(var.bucket_name, "${var.name}-${local.account}-${data.aws_region.here.region}")
  bucket_arn  = "arn:${data.aws_partition.here.partition}:s3:::${local.bucket_name}"
  key_prefix  = var.key_prefix == "" ? "" : "${var.key_prefix}/"

  # This prefix is known before the functions exist, because their roles contain it.
  function_arn_prefix = "arn:${data.aws_partition.here.partition}:lambda:${data.aws_region.here.region}:${local.account}:function:"

  # S3 Express has no notifications.
  has_notifications = var.engine.enabled && var.engine.notifications && var.tail_zone_id == null

  # While the tail is moved, functions read and flush the former bucket, too.
  former_tail_zone_id = var.former_tail == "bucket" ? null : var.former_tail
  tail_zone_ids       = toset([for it in [var.tail_zone_id, local.former_tail_zone_id] : it if it != null])

  # A message becomes invisible when Lambda receives it, before its function starts.
  start_seconds = 60
}

module "storage" {
  source = "./modules/storage"

  bucket_name            = local.bucket_name
  key_prefix             = local.key_prefix
  kms_key_arn            = var.kms_key_arn
  results_days           = var.results_days
  cors_origins           = concat(var.cors_origins, local.console_origins)
  log_bucket             = var.log_bucket
  force_destroy          = var.force_destroy
  express_zone_ids       = local.tail_zone_ids
  notifications          = local.has_notifications
  notification_queue_arn = local.has_notifications ? module.segments[0].arn : null
}

# Work that a run plans for other invocations: merges, and flushes of groups of databases. Lost messages are planned again.
module "merges" {
  source = "./modules/queue"

  name                       = "${var.name}-merges"
  visibility_timeout_seconds = local.functions.compact.timeout_seconds + local.start_seconds
  kms_key_arn                = var.kms_key_arn
}

# New segments, for triggers on writes. A message is repeated while another invocation runs the trigger, and while the plugin
# fails. The engine also reads the tail, and so finds the segments of dead letters.
module "segments" {
  source = "./modules/queue"
  count  = local.has_notifications ? 1 : 0

  name                       = "${var.name}-segments"
  visibility_timeout_seconds = local.functions.engine.timeout_seconds + var.engine.batching_window + local.start_seconds
  max_receives               = 10
  kms_key_arn                = var.kms_key_arn
  notifying_buckets          = [{ arn = local.bucket_arn, account = local.account }]
}
