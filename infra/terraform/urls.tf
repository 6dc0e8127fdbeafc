# The URLs of the stream function, for answers that begin before they are complete (the API waits for the whole of one), and
# of the ingest function, for writes whose number would make the API cost more than all else.

locals {
  # How each is called.
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
  # Neap checks tokens and answers web pages itself, here as behind the API: there is no `cors`, which would put headers
  # of its own beside those of Neap.
  authorization_type = "NONE"
}

# Either action is asked for. They are allowed to everybody by way of the URL, and to nobody in another way.
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
