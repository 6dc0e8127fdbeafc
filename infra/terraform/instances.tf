# Managed instances for the ingest function: machines that Lambda starts, replaces and stops, each of which handles several
# requests at once.

locals {
  has_instances = var.ingest.enabled && var.ingest.instances != null

  # The smallest machines with room for 2 GB and one processor beside the system.
  instance_types = var.ingest.instances == null ? [] : coalesce(
    var.ingest.instances.types,
    [var.architecture == "arm64" ? "c7g.large" : "c7i.large"],
  )

  managed_instances = local.has_instances ? {
    ingest = {
      capacity_provider_arn = aws_lambda_capacity_provider.ingest[0].arn
      concurrency           = var.ingest.instances.concurrency
      min_environments      = var.ingest.instances.min_environments
      max_environments      = var.ingest.instances.max_environments
    }
  } : {}
}

resource "aws_iam_role" "instances" {
  count = local.has_instances ? 1 : 0

  name                 = "${var.name}-instances"
  description          = "Lets Lambda start and stop the machines of the ingest function."
  permissions_boundary = var.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "instances" {
  count = local.has_instances ? 1 : 0

  role       = aws_iam_role.instances[0].name
  policy_arn = "arn:${data.aws_partition.here.partition}:iam::aws:policy/AWSLambdaManagedEC2ResourceOperator"
}

resource "aws_lambda_capacity_provider" "ingest" {
  count = local.has_instances ? 1 : 0

  name = "${var.name}-ingest"

  vpc_config {
    subnet_ids         = local.network_subnet_ids
    security_group_ids = local.own_security_group_ids
  }

  permissions_config {
    capacity_provider_operator_role_arn = aws_iam_role.instances[0].arn
  }

  instance_requirements {
    architectures          = [var.architecture]
    allowed_instance_types = local.instance_types
  }

  capacity_provider_scaling_config {
    scaling_mode   = "Auto"
    max_vcpu_count = var.ingest.instances.max_processors
  }

  depends_on = [aws_iam_role_policy_attachment.instances]
}
