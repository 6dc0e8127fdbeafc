locals {
  # Two columns of graphs, each 12 units wide and 6 high.
  graphs = concat(
    [
      {
        title   = "Requests by answer"
        stat    = "Sum"
        metrics = [for name in ["Count", "4xx", "5xx"] : ["AWS/ApiGateway", name, "ApiId", var.api_id]]
      },
      {
        title   = "Time to answer, median and 99th percentile, ms"
        stat    = "p50"
        metrics = [for stat in ["p50", "p99"] : ["AWS/ApiGateway", "Latency", "ApiId", var.api_id, { stat = stat }]]
      },
      {
        title   = "Invocations"
        stat    = "Sum"
        metrics = [for name in values(var.functions) : ["AWS/Lambda", "Invocations", "FunctionName", name]]
      },
      {
        title   = "Time of an invocation, 99th percentile, ms"
        stat    = "p99"
        metrics = [for name in values(var.functions) : ["AWS/Lambda", "Duration", "FunctionName", name]]
      },
      {
        title = "Errors and throttles"
        stat  = "Sum"
        metrics = concat(
          [for name in values(var.functions) : ["AWS/Lambda", "Errors", "FunctionName", name]],
          [for name in values(var.functions) : ["AWS/Lambda", "Throttles", "FunctionName", name]],
        )
      },
      {
        title   = "Invocations at once"
        stat    = "Maximum"
        metrics = [for name in values(var.functions) : ["AWS/Lambda", "ConcurrentExecutions", "FunctionName", name]]
      },
      {
        title   = "Tail, bytes, and merges that are due, bytes"
        stat    = "Maximum"
        metrics = [for key in ["tail_bytes", "due_bytes"] : [local.namespace, local.state[key].name]]
      },
      {
        title   = "Age of the oldest segment, s"
        stat    = "Maximum"
        metrics = [[local.namespace, local.state.tail_oldest_seconds.name]]
      },
      {
        title   = "Messages that wait, and dead letters"
        stat    = "Maximum"
        metrics = [for name in concat(values(var.queues), values(var.dead_queues)) : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", name]]
      },
      {
        title   = "Age of the oldest message, s"
        stat    = "Maximum"
        metrics = [for name in values(var.queues) : ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", name]]
      },
    ],
    [for name in values(var.url_functions) : {
      title   = "Requests to the URL of ${name} by answer"
      stat    = "Sum"
      metrics = [for metric in ["UrlRequestCount", "Url4xxCount", "Url5xxCount"] : ["AWS/Lambda", metric, "FunctionName", name]]
    }],
  )
}

resource "aws_cloudwatch_dashboard" "main" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = [for index, graph in local.graphs : {
      type   = "metric"
      x      = index % 2 * 12
      y      = floor(index / 2) * 6
      width  = 12
      height = 6
      properties = {
        title   = graph.title
        region  = data.aws_region.here.region
        period  = 60
        stat    = graph.stat
        metrics = graph.metrics
      }
    }]
  })
}
