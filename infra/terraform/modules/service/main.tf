# `neap serve` in containers that always run: warm caches, no limit on the time or size of an answer, and connections
# that stay open. They work on the same bucket as the functions.

data "aws_partition" "here" {}

data "aws_region" "here" {}

locals {
  port          = 8181
  listener_port = var.certificate_arn == null ? 8181 : 443

  # Containers that answer queries execute large queries together.
  worker_port = 8182
  has_workers = length(setintersection(var.mode, ["all", "query"])) > 0

  command = concat(
    ["serve", "--http-bind", "0.0.0.0:${local.port}", "--mode", join(",", sort(var.mode))],
    # Each container detects the address at which the others reach it. Only containers of this service are in the group
    # that may connect, and on AWS no machine of a network can read the connections of others.
    local.has_workers ? ["--cluster-address", "0.0.0.0:${local.worker_port}", "--cluster-without-tls"] : [],
  )
}

resource "aws_cloudwatch_log_group" "main" {
  name              = "/aws/ecs/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_ecs_cluster" "main" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

# The role that starts containers: it reads the image and writes the log.
resource "aws_iam_role" "start" {
  name                 = "${var.name}-start"
  description          = "Starts the containers of ${var.name}."
  permissions_boundary = var.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "start" {
  name = "start"
  role = aws_iam_role.start.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Log"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.main.arn}:*"
      },
      {
        Sid      = "Image"
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = "arn:${data.aws_partition.here.partition}:ecr:${data.aws_region.here.region}:*:repository/*"
      },
      {
        # This action has no resources.
        Sid      = "ImageToken"
        Effect   = "Allow"
        Action   = "ecr:GetAuthorizationToken"
        Resource = "*"
      },
    ]
  })
}

resource "aws_iam_role" "main" {
  name                 = var.name
  description          = "What ${var.name} may do."
  permissions_boundary = var.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "main" {
  name = "neap"
  role = aws_iam_role.main.id

  policy = jsonencode({ Version = "2012-10-17", Statement = var.statements })
}

resource "aws_ecs_task_definition" "main" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu_units
  memory                   = var.memory_mib
  execution_role_arn       = aws_iam_role.start.arn
  task_role_arn            = aws_iam_role.main.arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture == "arm64" ? "ARM64" : "X86_64"
  }

  # The volumes of the image, for spilled data, and for plugins with their packages. They keep the owner of the folders in the
  # image.
  volume {
    name = "temporary"
  }

  volume {
    name = "state"
  }

  container_definitions = jsonencode([{
    name      = "neap"
    image     = var.image
    essential = true
    command   = local.command

    user                   = "10001:10001"
    readonlyRootFilesystem = true
    ulimits                = [{ name = "nofile", softLimit = 65536, hardLimit = 65536 }]
    mountPoints = [
      { sourceVolume = "temporary", containerPath = "/tmp", readOnly = false },
      { sourceVolume = "state", containerPath = "/var/lib/neap", readOnly = false },
    ]
    # The server finishes its requests and flushes tails that are due.
    stopTimeout = 110
    portMappings = [
      for port in local.has_workers ? [local.port, local.worker_port] : [local.port] :
      { containerPort = port, protocol = "tcp" }
    ]
    environment = [for name, value in var.environment : { name = name, value = value }]

    healthCheck = {
      command     = ["CMD", "neap-health"]
      interval    = 15
      timeout     = 5
      retries     = 4
      startPeriod = 30
    }

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.main.name
        awslogs-region        = data.aws_region.here.region
        awslogs-stream-prefix = "neap"
      }
    }
  }])
}

resource "aws_security_group" "balancer" {
  name        = "${var.name}-balancer"
  description = "The load balancer: in from clients."
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-balancer" }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = toset(var.client_cidrs)

  security_group_id = aws_security_group.balancer.id
  description       = "Clients."
  cidr_ipv4         = each.key
  ip_protocol       = "tcp"
  from_port         = local.listener_port
  to_port           = local.listener_port
}

resource "aws_vpc_security_group_egress_rule" "containers" {
  security_group_id            = aws_security_group.balancer.id
  description                  = "The containers."
  referenced_security_group_id = aws_security_group.main.id
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_security_group" "main" {
  name        = var.name
  description = "The containers: in from the load balancer, out to AWS."
  vpc_id      = var.vpc_id

  tags = { Name = var.name }
}

resource "aws_vpc_security_group_ingress_rule" "balancer" {
  security_group_id            = aws_security_group.main.id
  description                  = "The load balancer."
  referenced_security_group_id = aws_security_group.balancer.id
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_vpc_security_group_ingress_rule" "workers" {
  count = local.has_workers ? 1 : 0

  security_group_id            = aws_security_group.main.id
  description                  = "Parts of queries, from other containers."
  referenced_security_group_id = aws_security_group.main.id
  ip_protocol                  = "tcp"
  from_port                    = local.worker_port
  to_port                      = local.worker_port
}

resource "aws_vpc_security_group_egress_rule" "workers" {
  count = local.has_workers ? 1 : 0

  security_group_id            = aws_security_group.main.id
  description                  = "Parts of queries, to other containers."
  referenced_security_group_id = aws_security_group.main.id
  ip_protocol                  = "tcp"
  from_port                    = local.worker_port
  to_port                      = local.worker_port
}

resource "aws_vpc_security_group_egress_rule" "tls" {
  security_group_id = aws_security_group.main.id
  description       = "AWS, and what plugins call."
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

# A load balancer of connections, which passes HTTP/1 and HTTP/2 through unchanged.
resource "aws_lb" "main" {
  name                             = var.name
  load_balancer_type               = "network"
  internal                         = !var.public
  subnets                          = var.subnet_ids
  security_groups                  = [aws_security_group.balancer.id]
  enable_cross_zone_load_balancing = true
  enable_deletion_protection       = false
}

resource "aws_lb_target_group" "main" {
  name                 = var.name
  vpc_id               = var.vpc_id
  target_type          = "ip"
  protocol             = "TCP"
  port                 = local.port
  deregistration_delay = 30

  # Neap counts wrong tokens by the address of the client, and logs it.
  preserve_client_ip = true

  health_check {
    protocol            = "HTTP"
    path                = "/ready"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }
}

resource "aws_lb_listener" "main" {
  load_balancer_arn = aws_lb.main.arn
  port              = local.listener_port
  protocol          = var.certificate_arn == null ? "TCP" : "TLS"
  certificate_arn   = var.certificate_arn
  ssl_policy        = var.certificate_arn == null ? null : "ELBSecurityPolicy-TLS13-1-2-2021-06"
  alpn_policy       = var.certificate_arn == null ? null : "HTTP2Preferred"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.main.arn
  }
}

resource "aws_ecs_service" "main" {
  name                   = var.name
  cluster                = aws_ecs_cluster.main.id
  task_definition        = aws_ecs_task_definition.main.arn
  desired_count          = var.tasks
  launch_type            = "FARGATE"
  enable_execute_command = false
  propagate_tags         = "SERVICE"

  # Any number of processes may share the bucket, so the new ones start before the old ones stop.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = concat([aws_security_group.main.id], var.security_group_ids)
    assign_public_ip = var.assign_public_ip
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.main.arn
    container_name   = "neap"
    container_port   = local.port
  }

  depends_on = [aws_iam_role_policy.main, aws_iam_role_policy.start, aws_lb_listener.main]
}
