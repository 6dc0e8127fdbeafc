# A function, its role and its log.

locals {
  is_image = var.code.image_uri != null
  # Managed instances are in the network of their provider.
  in_vpc         = length(var.subnet_ids) > 0 && var.managed_instances == null
  is_os_only     = startswith(var.runtime, "provided")
  is_warm        = var.provisioned_concurrency > 0
  is_managed     = var.managed_instances != null
  log_group_name = "/aws/lambda/${var.name}"

  log_statements = [{
    Sid      = "Log"
    Effect   = "Allow"
    Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    Resource = "${aws_cloudwatch_log_group.main.arn}:*"
  }]

  # These actions have no resources.
  network_statements = local.in_vpc ? [{
    Sid    = "Network"
    Effect = "Allow"
    Action = [
      "ec2:AssignPrivateIpAddresses",
      "ec2:CreateNetworkInterface",
      "ec2:DeleteNetworkInterface",
      "ec2:DescribeNetworkInterfaces",
      "ec2:DescribeSubnets",
      "ec2:UnassignPrivateIpAddresses",
    ]
    Resource = "*"
  }] : []

  tracing_statements = var.tracing ? [{
    Sid      = "Tracing"
    Effect   = "Allow"
    Action   = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]
    Resource = "*"
  }] : []

  # A managed runtime starts the wrapper instead of Python.
  wrapper = local.is_image || local.is_os_only ? {} : { AWS_LAMBDA_EXEC_WRAPPER = "/var/task/bootstrap" }
}

resource "aws_cloudwatch_log_group" "main" {
  name              = local.log_group_name
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_iam_role" "main" {
  name                 = var.name
  description          = "What ${var.name} may do."
  permissions_boundary = var.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "main" {
  name = "neap"
  role = aws_iam_role.main.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      local.log_statements,
      local.network_statements,
      local.tracing_statements,
      var.statements,
    )
  })
}

resource "aws_lambda_function" "main" {
  function_name = var.name
  description   = var.description
  role          = aws_iam_role.main.arn

  package_type     = local.is_image ? "Image" : "Zip"
  image_uri        = var.code.image_uri
  filename         = var.code.file
  source_code_hash = var.code.file == null ? null : filebase64sha256(var.code.file)
  s3_bucket        = var.code.bucket
  s3_key           = var.code.key
  runtime          = local.is_image ? null : var.runtime
  handler          = local.is_image ? null : "bootstrap"
  layers           = local.is_image ? null : var.layers
  architectures    = [var.architecture]
  publish          = local.is_warm || local.is_managed
  # Managed instances run published versions only. Requests that name no version get this one.
  publish_to = local.is_managed ? "LATEST_PUBLISHED" : null

  memory_size                    = var.memory_mib
  timeout                        = var.timeout_seconds
  reserved_concurrent_executions = var.reserved_concurrency
  kms_key_arn                    = var.kms_key_arn

  environment {
    variables = merge(var.environment, local.wrapper)
  }

  ephemeral_storage {
    size = var.temporary_mib
  }

  # Neap logs JSON, and its filter selects the lines. With another level, Lambda would drop those below INFO. Lambda itself
  # writes three lines for each invocation, of which only warnings are kept.
  logging_config {
    log_group             = aws_cloudwatch_log_group.main.name
    log_format            = "JSON"
    application_log_level = "TRACE"
    system_log_level      = "WARN"
  }

  tracing_config {
    mode = var.tracing ? "Active" : "PassThrough"
  }

  dynamic "vpc_config" {
    for_each = local.in_vpc ? [true] : []

    content {
      subnet_ids         = var.subnet_ids
      security_group_ids = var.security_group_ids
    }
  }

  dynamic "capacity_provider_config" {
    for_each = local.is_managed ? [var.managed_instances] : []

    content {
      lambda_managed_instances_capacity_provider_config {
        capacity_provider_arn                     = capacity_provider_config.value.capacity_provider_arn
        execution_environment_memory_gib_per_vcpu = 2
        per_execution_environment_max_concurrency = capacity_provider_config.value.concurrency
      }
    }
  }

  depends_on = [aws_iam_role_policy.main]
}

# By default, Lambda starts three environments.
resource "aws_lambda_function_scaling_config" "main" {
  count = local.is_managed ? 1 : 0

  function_name = aws_lambda_function.main.function_name
  qualifier     = "$LATEST.PUBLISHED"

  function_scaling_config {
    min_execution_environments = var.managed_instances.min_environments
    max_execution_environments = var.managed_instances.max_environments
  }
}

# Provisioned instances belong to a version. This alias names the newest one, and requests use the alias.
resource "aws_lambda_alias" "warm" {
  count = local.is_warm ? 1 : 0

  name             = "warm"
  description      = "The version that is kept started."
  function_name    = aws_lambda_function.main.function_name
  function_version = aws_lambda_function.main.version
}

resource "aws_lambda_provisioned_concurrency_config" "main" {
  count = local.is_warm ? 1 : 0

  function_name                     = aws_lambda_function.main.function_name
  qualifier                         = aws_lambda_alias.warm[0].name
  provisioned_concurrent_executions = var.provisioned_concurrency
}

# Scheduled runs are not repeated, because the next run continues the work of a failed one.
resource "aws_lambda_function_event_invoke_config" "main" {
  function_name                = aws_lambda_function.main.function_name
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 60
}
