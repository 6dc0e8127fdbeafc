# Functions that start on a schedule.

locals {
  schedules = merge(
    {
      # Flushes the tails that are due, or sends them to other invocations, and plans merges.
      flush = {
        function   = "compact"
        expression = var.schedules.flush
        input      = { event = "scheduled" }
      }
      # Checks each database: merges, retention, drops, garbage.
      collect = {
        function   = "compact"
        expression = var.schedules.collect
        input      = { event = "collect" }
      }
    },
    var.backups.schedule == null ? {} : {
      # Makes a backup. Its message is in the queue, which repeats it if it fails, and makes it a dead letter in the end,
      # because the next backup is a day away. A collection continues an interrupted backup.
      backup = {
        function   = null
        expression = var.backups.schedule
        input      = { event = "backup" }
      }
    },
    var.views.enabled ? {
      # Refreshes the views of all databases with changed rows, within the time limit of an invocation.
      views = {
        function   = "views"
        expression = var.schedules.views
        input      = { event = "refresh_views" }
      }
    } : {},
    var.engine.enabled ? {
      # Runs the schedules of triggers, and triggers whose notifications were lost.
      tick = {
        function   = "engine"
        expression = var.schedules.tick
        input      = { event = "schedule" }
      }
    } : {},
  )

  # The others go through a queue.
  scheduled_functions = toset([for it in values(local.schedules) : it.function if it.function != null])
}

resource "aws_scheduler_schedule_group" "main" {
  name = var.name
}

resource "aws_iam_role" "scheduler" {
  name                 = "${var.name}-scheduler"
  description          = "Starts the functions by the clock."
  permissions_boundary = var.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "scheduler.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy" "scheduler" {
  name = "start"
  role = aws_iam_role.scheduler.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "Start"
          Effect   = "Allow"
          Action   = "lambda:InvokeFunction"
          Resource = [for name in local.scheduled_functions : module.function[name].arn]
        },
        {
          Sid      = "QueueAndNotStarted"
          Effect   = "Allow"
          Action   = "sqs:SendMessage"
          Resource = concat([aws_sqs_queue.not_started.arn], var.backups.schedule == null ? [] : [module.merges.arn])
        },
      ],
      local.key_statements,
    )
  })
}

# Runs that could not be started.
resource "aws_sqs_queue" "not_started" {
  name                      = "${var.name}-not-started"
  message_retention_seconds = 14 * 24 * 3600
  sqs_managed_sse_enabled   = var.kms_key_arn == null ? true : null
  kms_master_key_id         = var.kms_key_arn
}

resource "aws_scheduler_schedule" "main" {
  for_each = local.schedules

  name                = each.key
  group_name          = aws_scheduler_schedule_group.main.name
  schedule_expression = each.value.expression
  kms_key_arn         = var.kms_key_arn

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = each.value.function == null ? module.merges.arn : module.function[each.value.function].arn
    role_arn = aws_iam_role.scheduler.arn
    input    = jsonencode(each.value.input)

    # The next run continues the work of a failed one, except for messages of backups.
    retry_policy {
      maximum_retry_attempts       = each.value.function == null ? 10 : 1
      maximum_event_age_in_seconds = each.value.function == null ? 3600 : 60
    }

    dead_letter_config {
      arn = aws_sqs_queue.not_started.arn
    }
  }
}

resource "aws_lambda_event_source_mapping" "merges" {
  event_source_arn        = module.merges.arn
  function_name           = module.function["compact"].arn
  batch_size              = 1
  function_response_types = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = var.merges_at_once
  }
}

resource "aws_lambda_event_source_mapping" "segments" {
  count = local.has_notifications ? 1 : 0

  event_source_arn                   = module.segments[0].arn
  function_name                      = module.function["engine"].arn
  batch_size                         = 100
  maximum_batching_window_in_seconds = var.engine.batching_window
  function_response_types            = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = var.engine.batches_at_once
  }
}
