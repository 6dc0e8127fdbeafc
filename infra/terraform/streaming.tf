# The URL of the stream function, for answers that begin before they are complete: the API waits for the whole of one.

resource "aws_lambda_function_url" "stream" {
  count = var.streaming.enabled ? 1 : 0

  function_name = module.function["stream"].name
  qualifier     = module.function["stream"].qualifier
  invoke_mode   = "RESPONSE_STREAM"
  # Neap checks tokens and answers web pages itself, here as behind the API: there is no `cors`, which would put headers
  # of its own beside those of Neap.
  authorization_type = "NONE"
}

# Either action is asked for. They are allowed to everybody by way of the URL, and to nobody in another way.
resource "aws_lambda_permission" "stream_url" {
  count = var.streaming.enabled ? 1 : 0

  statement_id           = "url"
  action                 = "lambda:InvokeFunctionUrl"
  function_name          = module.function["stream"].name
  qualifier              = module.function["stream"].qualifier
  principal              = "*"
  function_url_auth_type = "NONE"
}

resource "aws_lambda_permission" "stream_invoke" {
  count = var.streaming.enabled ? 1 : 0

  statement_id             = "invoke-by-url"
  action                   = "lambda:InvokeFunction"
  function_name            = module.function["stream"].name
  qualifier                = module.function["stream"].qualifier
  principal                = "*"
  invoked_via_function_url = true
}
