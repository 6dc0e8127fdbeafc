# The URLs of the stream function, for answers that begin before they are complete (the API waits for the whole of one), and
# of the ingest function, for writes whose number would make the API the largest part of the costs.

locals {
  # The invocation mode of each function.
  urls = merge(
    var.streaming.enabled ? { stream = "RESPONSE_STREAM" } : {},
    var.ingest.enabled ? { ingest = "BUFFERED" } : {},
  )
}

resource "aws_lambda_function_url" "main" {
  for_each = local.urls

  function_name = module.function[each.key].name
  qualifier     = module.function[each.key].qualifier
  invoke_mode   = each.value
  # Neap checks tokens and sends CORS headers itself, as behind the API. With `cors`, Lambda would add further headers.
  authorization_type = "NONE"
}

# Lambda requires both permissions. Everybody has them through the URL, and nobody in another way.
resource "aws_lambda_permission" "url" {
  for_each = local.urls

  statement_id           = "url"
  action                 = "lambda:InvokeFunctionUrl"
  function_name          = module.function[each.key].name
  qualifier              = module.function[each.key].qualifier
  principal              = "*"
  function_url_auth_type = "NONE"
}

resource "aws_lambda_permission" "invoke_by_url" {
  for_each = local.urls

  statement_id             = "invoke-by-url"
  action                   = "lambda:InvokeFunction"
  function_name            = module.function[each.key].name
  qualifier                = module.function[each.key].qualifier
  principal                = "*"
  invoked_via_function_url = true
}
