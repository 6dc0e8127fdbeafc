# The page of the console: files in the bucket, which the write function serves at the root of the API.

locals {
  console_environment = var.console.enabled ? {
    NEAP_CONSOLE_FROM_BUCKET = "true"
  } : {}

  # Results that are too large for an answer are read from the bucket.
  console_origins = var.console.enabled && var.domain != null ? ["https://${var.domain.name}"] : []
}

resource "aws_s3_object" "console" {
  for_each = var.console.enabled ? fileset(var.console.directory, "**") : toset([])

  bucket = module.storage.bucket
  # The page is at the root of the folder, and its files are in `console/assets`.
  key         = "${local.key_prefix}${startswith(each.key, "console/") ? each.key : "console/${each.key}"}"
  source      = "${var.console.directory}/${each.key}"
  source_hash = filemd5("${var.console.directory}/${each.key}")
}
