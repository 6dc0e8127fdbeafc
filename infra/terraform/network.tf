# An optional network, and an optional service in it.

locals {
  own_network = var.network == null ? false : var.network.cidr != null

  # Services other than S3: the compact function calls queues, query functions that distribute queries call Lambda, containers
  # call the registry and the log, and managed instances the log.
  interface_endpoints = setunion(
    local.in_network ? ["sqs"] : [],
    local.in_network && var.distributed_queries.max_workers > 0 ? ["lambda"] : [],
    var.service == null ? [] : ["ecr.api", "ecr.dkr", "logs"],
    local.has_instances ? ["logs"] : [],
  )

  in_network = var.network == null ? false : var.network.functions

  network_subnet_ids          = local.own_network ? module.network[0].subnet_ids : try(var.network.subnet_ids, [])
  function_subnet_ids         = local.in_network ? local.network_subnet_ids : []
  own_security_group_ids      = local.own_network ? [module.network[0].security_group_id] : try(var.network.security_group_ids, [])
  function_security_group_ids = local.in_network ? local.own_security_group_ids : []
}

module "network" {
  source = "./modules/network"
  count  = local.own_network ? 1 : 0

  name                     = var.name
  cidr                     = var.network.cidr
  zones                    = var.network.zones
  bucket_arns              = compact([local.bucket_arn, local.backup_arn])
  with_express             = local.tail_in_express
  interface_endpoints      = local.interface_endpoints
  image_bucket_arn         = var.service == null ? null : "arn:${data.aws_partition.here.partition}:s3:::prod-${data.aws_region.here.region}-starport-layer-bucket"
  log_retention_days       = var.log_retention_days
  kms_key_arn              = var.kms_key_arn
  permissions_boundary_arn = var.permissions_boundary_arn
}

module "service" {
  source = "./modules/service"
  count  = var.service == null ? 0 : 1

  name                     = "${var.name}-serve"
  image                    = var.service.image
  architecture             = var.service.architecture
  tasks                    = var.service.tasks
  mode                     = var.service.mode
  cpu_units                = var.service.cpu_units
  memory_mib               = var.service.memory_mib
  statements               = local.service_statements
  vpc_id                   = local.own_network ? module.network[0].vpc_id : var.network.vpc_id
  subnet_ids               = local.network_subnet_ids
  security_group_ids       = local.own_security_group_ids
  client_cidrs             = var.service.client_cidrs
  certificate_arn          = var.service.certificate_arn
  public                   = var.service.public
  assign_public_ip         = var.service.assign_public_ip
  log_retention_days       = var.log_retention_days
  kms_key_arn              = var.kms_key_arn
  permissions_boundary_arn = var.permissions_boundary_arn

  environment = merge(
    local.store_environment,
    {
      AWS_DEFAULT_REGION = data.aws_region.here.region
      NEAP_LOG_FILTER    = var.log_filter
      # The health checks of the container and the load balancer send no token.
      NEAP_DISABLE_AUTHZ = "health,ready"
    },
    local.access_environment,
    var.service.environment,
  )
}
