# The API in front of the functions. Neap checks tokens itself, so the routes have no authorizers. Neap also sends the CORS
# headers: with `cors_configuration` the gateway would replace them by the same headers for each path, also for paths that
# return tokens and that pages must not use.

resource "aws_apigatewayv2_api" "main" {
  name                         = var.name
  description                  = "Neap: InfluxDB 3's HTTP API."
  protocol_type                = "HTTP"
  disable_execute_api_endpoint = var.domain != null
}

resource "aws_apigatewayv2_integration" "main" {
  for_each = toset(values(var.routes))

  api_id                 = aws_apigatewayv2_api.main.id
  integration_type       = "AWS_PROXY"
  integration_method     = "POST"
  integration_uri        = var.functions[each.key].invoke_arn
  payload_format_version = "2.0"
  timeout_milliseconds   = var.timeout_seconds * 1000
}

resource "aws_apigatewayv2_route" "main" {
  for_each = var.routes

  api_id             = aws_apigatewayv2_api.main.id
  route_key          = each.key
  target             = "integrations/${aws_apigatewayv2_integration.main[each.value].id}"
  authorization_type = "NONE"
}

resource "aws_lambda_permission" "main" {
  for_each = toset(values(var.routes))

  statement_id  = "api"
  action        = "lambda:InvokeFunction"
  function_name = var.functions[each.key].name
  qualifier     = var.functions[each.key].qualifier
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.main.execution_arn}/*/*"
}

resource "aws_cloudwatch_log_group" "access" {
  name              = "/aws/apigateway/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_apigatewayv2_stage" "main" {
  api_id      = aws_apigatewayv2_api.main.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    throttling_rate_limit  = var.requests_per_second
    throttling_burst_limit = var.burst_requests
    # Metrics of each route are billed as custom metrics, and neither alarms nor the dashboard use them.
    detailed_metrics_enabled = false
  }

  dynamic "route_settings" {
    for_each = var.route_limits

    content {
      route_key                = route_settings.key
      throttling_rate_limit    = route_settings.value.requests_per_second
      throttling_burst_limit   = route_settings.value.burst_requests
      detailed_metrics_enabled = false
    }
  }

  # Without query strings: clients of InfluxDB 1 put tokens there.
  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.access.arn

    format = jsonencode({
      time     = "$context.requestTime"
      request  = "$context.requestId"
      address  = "$context.identity.sourceIp"
      route    = "$context.routeKey"
      path     = "$context.path"
      status   = "$context.status"
      bytes    = "$context.responseLength"
      millis   = "$context.responseLatency"
      function = "$context.integrationLatency"
      error    = "$context.integrationErrorMessage"
    })
  }

  # Settings need existing routes.
  depends_on = [aws_apigatewayv2_route.main]
}

resource "aws_apigatewayv2_domain_name" "main" {
  count = var.domain == null ? 0 : 1

  domain_name = var.domain.name

  domain_name_configuration {
    certificate_arn = var.domain.certificate_arn
    endpoint_type   = "REGIONAL"
    security_policy = "TLS_1_2"
  }
}

resource "aws_apigatewayv2_api_mapping" "main" {
  count = var.domain == null ? 0 : 1

  api_id      = aws_apigatewayv2_api.main.id
  domain_name = aws_apigatewayv2_domain_name.main[0].id
  stage       = aws_apigatewayv2_stage.main.id
}

resource "aws_route53_record" "main" {
  count = var.domain == null ? 0 : var.domain.zone_id == null ? 0 : 1

  zone_id = var.domain.zone_id
  name    = var.domain.name
  type    = "A"

  alias {
    name                   = aws_apigatewayv2_domain_name.main[0].domain_name_configuration[0].target_domain_name
    zone_id                = aws_apigatewayv2_domain_name.main[0].domain_name_configuration[0].hosted_zone_id
    evaluate_target_health = false
  }
}
