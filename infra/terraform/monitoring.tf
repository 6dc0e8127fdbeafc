module "monitoring" {
  source = "./modules/monitoring"

  name                  = var.name
  functions             = { for name, it in module.function : name => it.name }
  api_id                = module.api.id
  state_log_group_name  = module.function["compact"].log_group_name
  access_log_group_name = module.api.log_group_name
  budget_usd            = var.alarms.budget_usd
  # Lambda has an internal queue of scheduled invocations.
  asynchronous_functions = { for name in local.scheduled_functions : name => module.function[name].name }
  notify                 = var.alarms.notify
  url_functions          = { for name, it in module.function : name => it.name if contains(keys(local.urls), name) }
  service                = one(module.service[*].metric_dimensions)

  queues = merge(
    { merges = module.merges.name },
    local.has_notifications ? { segments = module.segments[0].name } : {},
  )

  dead_queues = merge(
    { merges = module.merges.dead_name, schedules = aws_sqs_queue.not_started.name },
    local.has_notifications ? { segments = module.segments[0].dead_name } : {},
  )

  limits = {
    errors            = var.alarms.errors
    throttles         = var.alarms.throttles
    turned_away       = var.alarms.turned_away
    dropped           = var.alarms.dropped
    queue_age_seconds = var.alarms.queue_age_seconds
    tail_bytes        = var.alarms.tail_bytes
    tail_age_seconds  = var.alarms.tail_age_seconds
    due_bytes         = var.alarms.due_bytes
  }
}
