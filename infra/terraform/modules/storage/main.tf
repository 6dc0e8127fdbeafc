# The bucket with all data of Neap.

resource "aws_s3_bucket" "main" {
  bucket        = var.bucket_name
  force_destroy = var.force_destroy
}

resource "aws_s3_bucket_ownership_controls" "main" {
  bucket = aws_s3_bucket.main.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "main" {
  bucket                  = aws_s3_bucket.main.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "main" {
  bucket = aws_s3_bucket.main.id

  rule {
    bucket_key_enabled = var.kms_key_arn != null

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

# The bucket has no versions. Neap overwrites only registers (catalogs, manifests), and keeps their earlier states itself for
# as long as queries may read them. With versions, each deleted segment and merged object would be kept and billed, and a
# register that is restored by hand would name deleted objects. `neap copy` makes backups.
resource "aws_s3_bucket_versioning" "main" {
  bucket = aws_s3_bucket.main.id

  versioning_configuration {
    status = "Disabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "main" {
  bucket = aws_s3_bucket.main.id

  rule {
    id     = "results"
    status = "Enabled"

    filter {
      prefix = "${var.key_prefix}results/"
    }

    expiration {
      days = var.results_days
    }
  }

  rule {
    id     = "incomplete-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}

# A page that is redirected to a result in the bucket reads it from another host than that of the API. The rule is for the
# whole bucket and gives no access: a page can read only objects of signed links.
resource "aws_s3_bucket_cors_configuration" "main" {
  count = length(var.cors_origins) == 0 ? 0 : 1

  bucket = aws_s3_bucket.main.id

  cors_rule {
    allowed_origins = var.cors_origins
    allowed_methods = ["GET", "HEAD"]
    # Browsers send the headers of the first request again, except `Authorization`.
    allowed_headers = ["*"]
    max_age_seconds = 3600
  }
}

resource "aws_s3_bucket_logging" "main" {
  count = var.log_bucket == null ? 0 : 1

  bucket        = aws_s3_bucket.main.id
  target_bucket = var.log_bucket
  target_prefix = "${var.bucket_name}/"
}

resource "aws_s3_bucket_policy" "main" {
  bucket = aws_s3_bucket.main.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyOverTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.main.arn, "${aws_s3_bucket.main.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  depends_on = [aws_s3_bucket_public_access_block.main]
}

# S3 notifies the engine of each new segment, so that it runs triggers on its rows. S3 Express has no notifications.
resource "aws_s3_bucket_notification" "segments" {
  count = var.notifications ? 1 : 0

  bucket = aws_s3_bucket.main.id

  queue {
    id            = "segments"
    queue_arn     = var.notification_queue_arn
    events        = ["s3:ObjectCreated:*"]
    filter_prefix = "${var.key_prefix}tail/"
    filter_suffix = ".wal"
  }
}

# A tail in S3 Express: writes take milliseconds instead of tens of milliseconds, in one availability zone. The next flush
# moves its rows to the bucket. Until then they have no other copy, so `terraform destroy` must not delete it.
resource "aws_s3_directory_bucket" "tail" {
  for_each = var.express_zone_ids

  bucket        = "${var.bucket_name}-tail--${each.key}--x-s3"
  force_destroy = false

  location {
    name = each.key
    type = "AvailabilityZone"
  }

  lifecycle {
    precondition {
      condition     = length("${var.bucket_name}-tail--${each.key}--x-s3") <= 63
      error_message = "The name of the bucket for new data has more than 63 characters: set a shorter bucket_name."
    }
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "tail" {
  for_each = aws_s3_directory_bucket.tail

  bucket = each.value.bucket

  rule {
    # S3 Express requires bucket keys.
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}
