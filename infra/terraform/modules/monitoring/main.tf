# Alarms and a dashboard.

data "aws_region" "here" {}

locals {
  namespace = "Neap/${var.name}"

  # Metrics from the log of the compact function after each scheduled run.
  state = {
    tail_segments       = { name = "TailSegments", unit = "Count" }
    tail_bytes          = { name = "TailBytes", unit = "Bytes" }
    tail_oldest_seconds = { name = "TailOldestSeconds", unit = "Seconds" }
    due_merges          = { name = "DueMerges", unit = "Count" }
    due_bytes           = { name = "DueBytes", unit = "Bytes" }
  }

  # Debt and age must last before they raise an alarm, because a busy moment also raises them.
  state_alarms = {
    tail_bytes = {
      limit = var.limits.tail_bytes
      about = "The tail is larger than flushes should leave it: see the compact function's log."
    }
    tail_oldest_seconds = {
      limit = var.limits.tail_age_seconds
      about = "There is a segment older than flushes should leave one: see the compact function's log."
    }
    due_bytes = {
      limit = var.limits.due_bytes
      about = "Merges don't keep up: allow more of them at once, or more memory."
    }
  }

  # The metrics of Lambda for functions, and the number in 5 minutes that raises an alarm.
  function_metrics = {
    errors = {
      functions = var.functions
      metric    = "Errors"
      limit     = var.limits.errors
      about     = "Invocations of %s fail or run out of time. Answers with an error of a client don't count."
    }
    throttles = {
      functions = var.functions
      metric    = "Throttles"
      limit     = var.limits.throttles
      about     = "Lambda turns invocations of %s away: its reserved concurrency, or that of the account, is used up."
    }
    dropped = {
      functions = var.asynchronous_functions
      metric    = "AsyncEventsDropped"
      limit     = var.limits.dropped
      about     = "Lambda gave up runs of %s that the scheduler had started: they failed, or waited too long for an instance."
    }
    url-errors = {
      functions = var.url_functions
      metric    = "Url5xxCount"
      limit     = var.limits.errors
      about     = "The URL of %s answers with 5xx."
    }
  }

  function_alarms = merge([
    for name, it in local.function_metrics : {
      for key, function in it.functions : "${key}-${name}" => merge(it, { function = function })
    }
  ]...)
}

resource "aws_cloudwatch_log_metric_filter" "state" {
  for_each = local.state

  name           = "${var.name}-${each.key}"
  log_group_name = var.state_log_group_name
  pattern        = "{ $.${each.key} = * }"

  metric_transformation {
    namespace = local.namespace
    name      = each.value.name
    value     = "$.${each.key}"
    unit      = each.value.unit
  }
}

resource "aws_cloudwatch_metric_alarm" "state" {
  for_each = local.state_alarms

  alarm_name          = "${var.name}-${replace(each.key, "_", "-")}"
  alarm_description   = each.value.about
  namespace           = local.namespace
  metric_name         = local.state[each.key].name
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.limit
  period              = 300
  evaluation_periods  = 3
  # The scheduler starts a run every minute. Without data, all runs fail.
  treat_missing_data = "breaching"
  alarm_actions      = var.notify
  ok_actions         = var.notify

  depends_on = [aws_cloudwatch_log_metric_filter.state]
}

resource "aws_cloudwatch_metric_alarm" "function" {
  for_each = local.function_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = format(each.value.about, each.value.function)
  namespace           = "AWS/Lambda"
  metric_name         = each.value.metric
  dimensions          = { FunctionName = each.value.function }
  statistic           = "Sum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.limit
  period              = 300
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.notify
  ok_actions          = var.notify
}

# The gateway counts 429 among all answers with 4xx.
resource "aws_cloudwatch_log_metric_filter" "turned_away" {
  name           = "${var.name}-turned-away"
  log_group_name = var.access_log_group_name
  pattern        = "{ $.status = \"429\" }"

  metric_transformation {
    namespace = local.namespace
    name      = "TurnedAway"
    value     = "1"
    unit      = "Count"
  }
}

resource "aws_cloudwatch_metric_alarm" "turned_away" {
  alarm_name          = "${var.name}-api-turned-away"
  alarm_description   = "The API answers with 429: a client sends more than `throttling` allows, or it is too low. See the access log."
  namespace           = local.namespace
  metric_name         = "TurnedAway"
  statistic           = "Sum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.limits.turned_away
  period              = 300
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.notify
  ok_actions          = var.notify

  depends_on = [aws_cloudwatch_log_metric_filter.turned_away]
}

# The costs are those of the account. Those of one deployment need tags that are enabled for billing.
resource "aws_budgets_budget" "main" {
  count = var.budget_usd == null ? 0 : 1

  name         = var.name
  budget_type  = "COST"
  limit_amount = tostring(var.budget_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  dynamic "notification" {
    for_each = { ACTUAL = 80, FORECASTED = 100 }

    content {
      notification_type         = notification.key
      comparison_operator       = "GREATER_THAN"
      threshold                 = notification.value
      threshold_type            = "PERCENTAGE"
      subscriber_sns_topic_arns = var.notify
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "server_errors" {
  alarm_name          = "${var.name}-api-errors"
  alarm_description   = "The API answers with 5xx."
  namespace           = "AWS/ApiGateway"
  metric_name         = "5xx"
  dimensions          = { ApiId = var.api_id }
  statistic           = "Sum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.limits.errors
  period              = 300
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.notify
  ok_actions          = var.notify
}

resource "aws_cloudwatch_metric_alarm" "service" {
  count = var.service == null ? 0 : 1

  alarm_name          = "${var.name}-service"
  alarm_description   = "No container answers: see the log of the service, and the events of its tasks."
  namespace           = "AWS/NetworkELB"
  metric_name         = "HealthyHostCount"
  dimensions          = var.service
  statistic           = "Maximum"
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  period              = 60
  evaluation_periods  = 3
  # Without a registered container, the metric has no data.
  treat_missing_data = "breaching"
  alarm_actions      = var.notify
  ok_actions         = var.notify
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  for_each = var.dead_queues

  alarm_name          = "${var.name}-${each.key}-dead-letters"
  alarm_description   = "Something could not be handled after several attempts and waits in ${each.value}."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = each.value }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 300
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.notify
  ok_actions          = var.notify
}

resource "aws_cloudwatch_metric_alarm" "queue_age" {
  for_each = var.queues

  alarm_name          = "${var.name}-${each.key}-age"
  alarm_description   = "What is in ${each.value} waits too long."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = each.value }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.limits.queue_age_seconds
  period              = 300
  evaluation_periods  = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.notify
  ok_actions          = var.notify
}
