# The functions and their permissions.

locals {
  defaults = {
    write = {
      about                = "Takes line protocol and puts it into the bucket."
      memory_mib           = 512
      timeout_seconds      = 30
      reserved_concurrency = -1
      temporary_mib        = 512
    }
    ingest = {
      about                = "Takes line protocol at a URL of its own."
      memory_mib           = local.has_instances ? 2048 : 512
      timeout_seconds      = 30
      reserved_concurrency = -1
      temporary_mib        = 512
    }
    query = {
      about                = "Answers SQL and InfluxQL."
      memory_mib           = 1769
      timeout_seconds      = 30
      reserved_concurrency = -1
      temporary_mib        = 1024
    }
    stream = {
      about                = "Answers SQL and InfluxQL in pieces, as they come."
      memory_mib           = 1769
      timeout_seconds      = 900
      reserved_concurrency = -1
      temporary_mib        = 1024
    }
    views = {
      about                = "Refreshes materialized views and continuous queries."
      memory_mib           = 1769
      timeout_seconds      = 300
      reserved_concurrency = -1
      temporary_mib        = 1024
    }
    compact = {
      about                = "Flushes, merges and deletes."
      memory_mib           = 1769
      timeout_seconds      = 300
      reserved_concurrency = -1
      temporary_mib        = 512
    }
    engine = {
      about                = "Runs plugins."
      memory_mib           = 1769
      timeout_seconds      = 300
      reserved_concurrency = -1
      temporary_mib        = 1024
    }
  }

  # The program of each function. The stream function is the query function with streamed answers, the views function is the
  # query function with more time, which a scheduler invokes, and the ingest function is the write function for rows only. Each
  # has the permissions of its program.
  programs = merge({ for name in keys(local.defaults) : name => name }, { stream = "query", views = "query", ingest = "write" })

  # The timeout of the gateway begins with the request, that of a function after the start of its instance.
  request_timeout = "${var.request_timeout_seconds - 2}s"

  tail_bucket = var.tail_zone_id == null ? null : module.storage.tail_buckets[var.tail_zone_id].name

  former_tail_bucket = (
    local.former_tail_zone_id == null
    ? (var.former_tail == null ? null : local.bucket_name)
    : module.storage.tail_buckets[local.former_tail_zone_id].name
  )

  # The variables with the location of the data, for all functions.
  store_environment = {
    for name, value in {
      INFLUXDB3_BUCKET = local.bucket_name
      NEAP_TAIL_BUCKET = local.tail_bucket
      NEAP_KEY_PREFIX  = var.key_prefix

      NEAP_FORMAT_LEVEL       = tostring(var.format_level)
      NEAP_FORMER_TAIL_BUCKET = local.former_tail_bucket
    } : name => value if value != null && value != ""
  }

  # Without workers, each invocation executes its query alone.
  distribution_environment = var.distributed_queries.max_workers == 0 ? {} : {
    NEAP_DISTRIBUTED_MAX_WORKERS      = tostring(var.distributed_queries.max_workers)
    NEAP_DISTRIBUTED_BYTES_PER_WORKER = "${var.distributed_queries.mib_per_worker}MiB"
  }

  backup_environment = {
    for name, value in {
      NEAP_BACKUP_RETENTION  = var.backups.retention
      NEAP_BACKUP_TO         = local.backup_url
      NEAP_BACKUP_FULL_EVERY = var.backups.full_every == 1 ? null : tostring(var.backups.full_every)
    } : name => value if value != null
  }

  # The function of the first request installs the operator token. No function creates a first token for clients.
  access_environment = var.admin_token_hash == null ? {} : { NEAP_ADMIN_TOKEN_HASH = var.admin_token_hash }

  function_environment = {
    write = merge({ NEAP_REQUEST_TIMEOUT = local.request_timeout }, local.access_environment, local.console_environment)
    # No gateway limits the requests to its URL.
    ingest = merge({ NEAP_WRITES_ONLY = "true" }, local.access_environment)
    query  = merge({ NEAP_REQUEST_TIMEOUT = local.request_timeout }, local.access_environment, local.distribution_environment)
    # A query has the time limit of its function.
    stream = merge(
      { NEAP_RESPONSE_STREAMING = "true", NEAP_QUERY_TIMEOUT = "15m" },
      local.access_environment,
      local.distribution_environment,
    )
    # Windows are computed in one invocation.
    views = {}
    # Objects are kept for as long as a query may read them.
    compact = merge({ NEAP_MERGE_QUEUE_URL = module.merges.url, NEAP_QUERY_TIMEOUT = "15m" }, local.backup_environment)
    engine  = merge({ NEAP_REQUEST_TIMEOUT = local.request_timeout }, local.access_environment)
  }

  functions = {
    for name, it in local.defaults : name => {
      about                   = it.about
      memory_mib              = coalesce(try(var.functions[name].memory_mib, null), it.memory_mib)
      timeout_seconds         = coalesce(try(var.functions[name].timeout_seconds, null), it.timeout_seconds)
      reserved_concurrency    = coalesce(try(var.functions[name].reserved_concurrency, null), it.reserved_concurrency)
      provisioned_concurrency = try(var.functions[name].provisioned_concurrency, 0)
      temporary_mib           = coalesce(try(var.functions[name].temporary_mib, null), it.temporary_mib)
      environment             = try(var.functions[name].environment, {})
      } if lookup({
        engine = var.engine.enabled
        stream = var.streaming.enabled
        views  = var.views.enabled
        ingest = var.ingest.enabled
    }, name, true)
  }

  code = {
    for name, program in local.programs : name => {
      file      = var.packages.directory == null ? null : "${var.packages.directory}/neap-lambda-${program}-${var.architecture}.zip"
      bucket    = var.packages.bucket
      key       = var.packages.bucket == null ? null : "${var.packages.key_prefix}neap-lambda-${program}-${var.architecture}.zip"
      image_uri = null
    }
  }

  engine_image = {
    file      = null
    bucket    = null
    key       = null
    image_uri = var.engine.image_uri
  }
}

module "function" {
  source   = "./modules/function"
  for_each = local.functions

  name                    = "${var.name}-${each.key}"
  description             = each.value.about
  code                    = each.key == "engine" && var.engine.image_uri != null ? local.engine_image : local.code[each.key]
  runtime                 = each.key == "engine" ? var.engine.runtime : "provided.al2023"
  layers                  = each.key == "engine" ? var.engine.layers : []
  architecture            = var.architecture
  memory_mib              = each.value.memory_mib
  timeout_seconds         = each.value.timeout_seconds
  temporary_mib           = each.value.temporary_mib
  reserved_concurrency    = each.value.reserved_concurrency
  provisioned_concurrency = each.value.provisioned_concurrency
  log_retention_days      = var.log_retention_days
  kms_key_arn             = var.kms_key_arn
  managed_instances       = lookup(local.managed_instances, each.key, null)
  subnet_ids              = local.function_subnet_ids
  security_group_ids      = local.function_security_group_ids
  tracing                 = var.tracing

  statements = concat(
    local.store_statements[local.programs[each.key]],
    local.queue_statements[local.programs[each.key]],
    local.invoke_statements[each.key],
    local.key_statements,
    local.programs[each.key] == "compact" ? local.backup_statements : [],
  )

  environment = merge(
    local.store_environment,
    { NEAP_LOG_FILTER = var.log_filter },
    local.function_environment[each.key],
    each.value.environment,
  )

  permissions_boundary_arn = var.permissions_boundary_arn
}
