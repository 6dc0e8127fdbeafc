# The permissions of each function for objects. The functions print the same list (`--print-interface`), and tests compare the
# two.

locals {
  store_access = {
    write = [
      { prefix = "catalog", actions = ["s3:GetObject", "s3:PutObject"] },
      { prefix = "console/", actions = ["s3:GetObject"] },
      { prefix = "db/", actions = ["s3:GetObject", "s3:PutObject"] },
      { prefix = "results/", actions = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"] },
      { prefix = "tail/", actions = ["s3:PutObject"] },
    ]
    query = [
      { prefix = "cache/", actions = ["s3:GetObject"] },
      { prefix = "catalog", actions = ["s3:GetObject", "s3:PutObject"] },
      { prefix = "data/", actions = ["s3:GetObject"] },
      { prefix = "db/", actions = ["s3:GetObject", "s3:PutObject"] },
      { prefix = "engine/", actions = ["s3:GetObject"] },
      { prefix = "exports/", actions = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"] },
      { prefix = "nodes/", actions = ["s3:GetObject"] },
      { prefix = "published/", actions = ["s3:GetObject"] },
      { prefix = "results/", actions = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"] },
      { prefix = "tail/", actions = ["s3:GetObject", "s3:PutObject"] },
    ]
    compact = [
      { prefix = "backups/", actions = ["s3:GetObject", "s3:PutObject"] },
      { prefix = "cache/", actions = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"] },
      { prefix = "catalog", actions = ["s3:GetObject", "s3:PutObject"] },
      { prefix = "data/", actions = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"] },
      { prefix = "db/", actions = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"] },
      { prefix = "engine/", actions = ["s3:DeleteObject", "s3:GetObject"] },
      { prefix = "nodes/", actions = ["s3:DeleteObject"] },
      { prefix = "plugins/", actions = ["s3:DeleteObject"] },
      { prefix = "published/", actions = ["s3:DeleteObject"] },
      { prefix = "results/", actions = ["s3:DeleteObject"] },
      { prefix = "tail/", actions = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"] },
    ]
    engine = [
      { prefix = "cache/", actions = ["s3:GetObject"] },
      { prefix = "catalog", actions = ["s3:GetObject", "s3:PutObject"] },
      { prefix = "data/", actions = ["s3:GetObject"] },
      { prefix = "db/", actions = ["s3:GetObject", "s3:PutObject"] },
      { prefix = "engine/", actions = ["s3:GetObject", "s3:PutObject"] },
      { prefix = "nodes/", actions = ["s3:GetObject"] },
      { prefix = "plugins/", actions = ["s3:GetObject", "s3:PutObject"] },
      { prefix = "results/", actions = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"] },
      { prefix = "tail/", actions = ["s3:GetObject", "s3:PutObject"] },
    ]
  }

  # A tail in a bucket of S3 Express has no permissions for objects: a session may read, or read and write.
  tail_in_express = length(local.tail_zone_ids) > 0
  tail_in_bucket  = var.tail_zone_id == null || var.former_tail == "bucket"
  express_modes = {
    for name, accesses in local.store_access : name => anytrue([
      for it in accesses : it.prefix == "tail/" && length(setsubtract(it.actions, ["s3:GetObject"])) > 0
    ]) ? "ReadWrite" : "ReadOnly"
  }

  store_statements = {
    for name, accesses in local.store_access : name => concat(
      [
        for it in accesses : {
          Sid      = "Objects${replace(title(replace(it.prefix, "/", "")), "-", "")}"
          Effect   = "Allow"
          Action   = it.actions
          Resource = ["${local.bucket_arn}/${local.key_prefix}${it.prefix}${endswith(it.prefix, "/") ? "*" : ""}"]
        } if local.tail_in_bucket || it.prefix != "tail/"
      ],
      # This permission is for the whole bucket. Without it, S3 answers 403 for missing objects. It allows to read names only.
      [{
        Sid      = "Names"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = [local.bucket_arn]
      }],
      # For a request without a mode, S3 tries a session that writes, and then one that reads.
      local.tail_in_express ? [merge(
        {
          Sid      = "Tail"
          Effect   = "Allow"
          Action   = ["s3express:CreateSession"]
          Resource = values(module.storage.tail_buckets)[*].arn
        },
        local.express_modes[name] == "ReadWrite" ? {} : {
          Condition = { StringEquals = { "s3express:SessionMode" = "ReadOnly" } }
        },
      )] : [],
    )
  }

  # A query function invokes itself, so that many invocations execute one query. Invocations of other functions can't be
  # started in this way.
  invoke_statements = {
    for name, program in local.programs : name => program != "query" ? [] : [{
      Sid    = "InvokeItself"
      Effect = "Allow"
      Action = ["lambda:InvokeFunction"]
      Resource = [
        "${local.function_arn_prefix}${var.name}-${name}",
        "${local.function_arn_prefix}${var.name}-${name}:*",
      ]
    }]
  }

  queue_statements = {
    write = []
    query = []
    compact = [
      {
        Sid      = "HandOutMerges"
        Effect   = "Allow"
        Action   = ["sqs:SendMessage"]
        Resource = [module.merges.arn]
      },
      {
        Sid      = "TakeMerges"
        Effect   = "Allow"
        Action   = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
        Resource = [module.merges.arn]
      },
    ]
    engine = local.has_notifications ? [{
      Sid      = "TakeSegments"
      Effect   = "Allow"
      Action   = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
      Resource = [module.segments[0].arn]
    }] : []
  }

  key_statements = var.kms_key_arn == null ? [] : [{
    Sid      = "Key"
    Effect   = "Allow"
    Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource = [var.kms_key_arn]
  }]

  # Backups in another bucket, which may belong to another account: its policy must allow the same.
  backup_url = var.backups.to == null ? null : join("/", compact(["s3:/", var.backups.to.bucket, var.backups.to.prefix]))
  backup_arn = var.backups.to == null ? null : "arn:${data.aws_partition.here.partition}:s3:::${var.backups.to.bucket}"

  backup_statements = var.backups.to == null ? [] : concat(
    [
      {
        Sid      = "Backups"
        Effect   = "Allow"
        Action   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
        Resource = ["${local.backup_arn}/${var.backups.to.prefix == "" ? "" : "${var.backups.to.prefix}/"}*"]
      },
      {
        Sid      = "NamesOfBackups"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = [local.backup_arn]
      },
    ],
    var.backups.to.kms_key_arn == null ? [] : [{
      Sid      = "KeyOfBackups"
      Effect   = "Allow"
      Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource = [var.backups.to.kms_key_arn]
    }],
  )

  # `neap serve` has the permissions of all functions.
  service_statements = concat(
    [
      {
        Sid      = "Objects"
        Effect   = "Allow"
        Action   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
        Resource = ["${local.bucket_arn}/${local.key_prefix}*"]
      },
      {
        Sid      = "Names"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = [local.bucket_arn]
      },
    ],
    local.tail_in_express ? [{
      Sid      = "Tail"
      Effect   = "Allow"
      Action   = ["s3express:CreateSession"]
      Resource = values(module.storage.tail_buckets)[*].arn
    }] : [],
    local.key_statements,
  )
}
