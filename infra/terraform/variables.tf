variable "name" {
  description = "The prefix of all names. Each deployment in an account needs another one."
  type        = string
  default     = "neap"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,10}[a-z0-9]$", var.name))
    error_message = "Small letters, digits and dashes, 2 to 12 of them, that begin with a letter."
  }
}

variable "packages" {
  description = <<-EOT
    The code of the functions, as `scripts/release` makes it: a folder on this machine, or a bucket and the prefix of its
    keys. It contains a `neap-lambda-<function>-<architecture>.zip` for each function. Terraform compares only the keys in a
    bucket, so another release needs another `key_prefix`.
  EOT
  type = object({
    directory  = optional(string)
    bucket     = optional(string)
    key_prefix = optional(string, "")
  })

  validation {
    condition     = (var.packages.directory == null) != (var.packages.bucket == null)
    error_message = "Name either a directory or a bucket."
  }
}

variable "admin_token_hash" {
  description = <<-EOT
    The SHA-512 of the operator token in hexadecimal, which the cluster gets if it has no administrator token: the output
    of `neap create token --admin --offline --output-file F`, then of `sha512sum` over the token without a newline. It is
    no secret. Without it, the functions refuse every request, because they create no first token for clients.
  EOT
  type        = string
  default     = null

  validation {
    condition     = var.admin_token_hash == null ? true : can(regex("^[0-9a-f]{128}$", var.admin_token_hash))
    error_message = "admin_token_hash is a SHA-512: 128 hexadecimal digits in small letters. It is not the token itself."
  }
}

variable "architecture" {
  description = "The processor architecture of the functions. arm64 costs a fifth less."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "arm64 or x86_64."
  }
}

variable "functions" {
  description = <<-EOT
    Settings that differ from the defaults of `write`, `ingest`, `query`, `stream`, `views`, `compact` or `engine`: memory, the longest time of an
    invocation, invocations at once (-1 shares those of the account; a number is also kept free for the function, and AWS
    refuses numbers that leave less than 100 of the account's quota),
    instances that are kept started and paid for by the hour (of `write`, `ingest`, `query` and `stream`), space for temporary
    files, and variables of the environment as for `neap serve` (docs/deployment.md).
  EOT
  type = map(object({
    memory_mib              = optional(number)
    timeout_seconds         = optional(number)
    reserved_concurrency    = optional(number)
    provisioned_concurrency = optional(number, 0)
    temporary_mib           = optional(number)
    environment             = optional(map(string), {})
  }))
  default = {}

  validation {
    condition     = length(setsubtract(keys(var.functions), ["write", "ingest", "query", "stream", "views", "compact", "engine"])) == 0
    error_message = "The functions are write, ingest, query, stream, views, compact and engine."
  }

  validation {
    condition = alltrue([
      for name, it in var.functions : it.provisioned_concurrency == 0 || contains(["write", "ingest", "query", "stream"], name)
    ])
    error_message = "provisioned_concurrency is for write, ingest, query and stream, which answer requests."
  }

  # Without a number, or with -1, a function shares the concurrency of the account.
  validation {
    condition = alltrue([
      for it in values(var.functions) :
      it.reserved_concurrency == null ? true : it.reserved_concurrency < 0 || it.provisioned_concurrency <= it.reserved_concurrency
    ])
    error_message = "provisioned_concurrency is at most reserved_concurrency."
  }
}

variable "distributed_queries" {
  description = <<-EOT
    The maximum number of invocations that execute one query together, and how many MiB each of them reads. Without workers,
    which is the default, each invocation executes its query alone. Workers use the same concurrency: if `query` or `stream`
    has a `reserved_concurrency`, include the workers. docs/cost.md has the costs of such queries.
  EOT
  type = object({
    max_workers    = optional(number, 0)
    mib_per_worker = optional(number, 256)
  })
  default = {}

  validation {
    condition = alltrue([
      for it in [var.distributed_queries.max_workers, var.distributed_queries.mib_per_worker] : it == floor(it) && it >= 0 && it <= 10000
    ]) && var.distributed_queries.mib_per_worker > 0
    error_message = "max_workers is a whole number from 0 to 10,000, mib_per_worker one from 1."
  }
}

variable "streaming" {
  description = <<-EOT
    Whether there is a second query function, `stream`, with a URL of its own: its answers come in pieces, up to 200 MB of
    them, and may take 15 minutes. In a network, Lambda does not stream.
  EOT
  type = object({
    enabled = optional(bool, false)
  })
  default = {}

  validation {
    condition     = !(var.streaming.enabled && try(var.network.functions, false))
    error_message = "Lambda does not stream out of a network: set functions = false in network."
  }
}

variable "ingest" {
  description = <<-EOT
    Whether there is a second write function, `ingest`, with a URL of its own, which is not billed for each request as the
    API is. It accepts writes of rows only. With `instances` it runs on machines that Lambda manages: each
    environment handles up to `concurrency` requests at once, and puts their rows together, one segment of a database a
    second. `min_environments` of them always run, on machines of these `types` with `max_processors` at most, which are
    paid for by the hour. They need `network`, with a way to CloudWatch's logs. To move the function to
    machines or back, disable `ingest` first.
  EOT
  type = object({
    enabled = optional(bool, false)
    instances = optional(object({
      concurrency      = optional(number, 64)
      min_environments = optional(number, 2)
      max_environments = optional(number, 4)
      types            = optional(list(string))
      max_processors   = optional(number, 32)
    }))
  })
  default = {}

  validation {
    condition     = var.ingest.instances == null || var.network != null
    error_message = "Managed instances need a network."
  }

  validation {
    condition = var.ingest.instances == null ? true : (
      var.ingest.instances.concurrency >= 2 && var.ingest.instances.concurrency <= 1600
    )
    error_message = "concurrency is from 2 to 1600."
  }

  validation {
    condition = var.ingest.instances == null ? true : (
      var.ingest.instances.min_environments >= 1 && var.ingest.instances.min_environments <= var.ingest.instances.max_environments
    )
    error_message = "min_environments is from 1 to max_environments."
  }

  validation {
    condition = var.ingest.instances == null ? true : (
      try(var.functions.ingest.reserved_concurrency, null) == null && try(var.functions.ingest.provisioned_concurrency, 0) == 0
    )
    error_message = "Managed instances have neither reserved_concurrency nor provisioned_concurrency."
  }

  validation {
    condition     = var.ingest.instances == null ? true : coalesce(try(var.functions.ingest.memory_mib, null), 2048) >= 2048
    error_message = "Managed instances have 2048 MiB or more."
  }
}

variable "views" {
  description = <<-EOT
    Whether there is a function `views`, which refreshes materialized views and continuous queries by a schedule
    (`schedules.views`). Without it, views get no rows from functions.
  EOT
  type = object({
    enabled = optional(bool, true)
  })
  default = {}
}

variable "console" {
  description = <<-EOT
    Whether the API shows the console at its root in browsers, and the folder with the page: the content of
    `neap-console-<version>.tar.gz` of a release, or `console/web/dist` after `scripts/build-console`. With `domain`, the
    page may also show results that are answered with a link; without one, add the address of the API to `cors_origins`.
  EOT
  type = object({
    enabled   = optional(bool, false)
    directory = optional(string)
  })
  default = {}

  validation {
    condition     = !var.console.enabled || var.console.directory != null
    error_message = "A console needs the directory of its page."
  }
}

variable "request_timeout_seconds" {
  description = "The time in seconds that the API waits for an answer, from 4 to 30. A function ends a request 2 seconds earlier (`NEAP_REQUEST_TIMEOUT`), because the start of an instance takes time, too."
  type        = number
  default     = 30

  validation {
    condition     = contains(range(4, 31), var.request_timeout_seconds)
    error_message = "request_timeout_seconds is a whole number from 4 to 30."
  }
}

variable "engine" {
  description = <<-EOT
    Whether plugins run, and how: layers, such as one with a virtual environment; an image in place of the zip file, for
    larger content; the Python beside the zip file; whether S3 notifies it of new segments, which costs a message for each
    (without notifications, triggers on writes run with the next schedule); for how many seconds new segments are collected
    for one invocation (1 to 300); and how many of these run at once (at least 2): one of them runs the triggers that are not
    asynchronous, and the others wait.
  EOT
  type = object({
    enabled         = optional(bool, true)
    layers          = optional(list(string), [])
    image_uri       = optional(string)
    runtime         = optional(string, "python3.13")
    notifications   = optional(bool, true)
    batching_window = optional(number, 1)
    batches_at_once = optional(number, 4)
  })
  default = {}

  # Without a window, Lambda limits batches to 10 messages.
  validation {
    condition     = var.engine.batching_window >= 1 && var.engine.batching_window <= 300
    error_message = "batching_window is from 1 to 300 seconds."
  }

  validation {
    condition     = var.engine.batches_at_once >= 2 && var.engine.batches_at_once <= 1000
    error_message = "batches_at_once is from 2 to 1000."
  }
}

variable "merges_at_once" {
  description = "How many merges and flushes from the queue run at once, each in an invocation of the compact function. At least 2."
  type        = number
  default     = 4

  validation {
    condition     = var.merges_at_once >= 2 && var.merges_at_once <= 1000
    error_message = "From 2 to 1000."
  }
}

variable "schedules" {
  description = "The intervals of flushes of due tails (`flush`), of checks of all databases for merges, retention and garbage (`collect`), of the schedules of triggers and the search for lost notifications (`tick`), and of the refresh of views (`views`)."
  type = object({
    flush   = optional(string, "rate(1 minute)")
    collect = optional(string, "rate(30 minutes)")
    tick    = optional(string, "rate(1 minute)")
    views   = optional(string, "rate(5 minutes)")
  })
  default = {}
}

variable "backups" {
  description = <<-EOT
    When backups are made, as an expression of EventBridge Scheduler such as cron(0 2 * * ? *), and how long they are kept,
    such as 30d; by default none are made, and they are kept until they are deleted. `to` names another bucket for them, in
    the same region, with a prefix and the key of KMS that it has: in the bucket of the cluster, backups are lost with it.
    Then every backup of the number `full_every` is a full one, and the others have only what has changed.
  EOT
  type = object({
    schedule   = optional(string)
    retention  = optional(string)
    full_every = optional(number, 1)
    to = optional(object({
      bucket      = string
      prefix      = optional(string, "")
      kms_key_arn = optional(string)
    }))
  })
  default = {}

  validation {
    condition     = var.backups.full_every >= 1 && var.backups.full_every == floor(var.backups.full_every)
    error_message = "full_every is a whole number from 1."
  }
}

variable "bucket_name" {
  description = "The name of the bucket; by default made of the name, the account and the region."
  type        = string
  default     = null
}

variable "key_prefix" {
  description = "The prefix of all keys in the bucket, without a slash at the end."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*)?$", var.key_prefix))
    error_message = "Letters, digits, '-', '_' and '.', and '/' between parts."
  }
}

variable "format_level" {
  description = "The format level of a new cluster (docs/deployment.md, Upgrades); by default the oldest one that the release knows. That of an existing cluster is raised with `neap format-level`."
  type        = number
  default     = null
}

variable "tail_zone_id" {
  description = "The availability zone, such as `euc1-az1`, of an S3 Express bucket for new data: writes take milliseconds, and triggers on writes start with the next schedule instead of at once, because there are no notifications. Without it, the tail is in the bucket."
  type        = string
  default     = null
}

variable "former_tail" {
  description = <<-EOT
    The location of new data before `tail_zone_id` was set, changed or removed in a deployment with data: `bucket`, or the
    availability zone of an S3 Express bucket. Functions then read and flush both until the former one is empty
    (docs/operations.md). Without it they refuse all requests, because they could not read that data.
  EOT
  type        = string
  default     = null

  validation {
    condition     = var.former_tail == null ? true : can(regex("^(bucket|[a-z0-9]+-az[0-9]+)$", var.former_tail))
    error_message = "former_tail is `bucket`, or an availability zone such as euc1-az1."
  }

  validation {
    condition     = var.former_tail == null ? true : var.former_tail != coalesce(var.tail_zone_id, "bucket")
    error_message = "former_tail is where new data went before, and not where they go."
  }
}

variable "results_days" {
  description = "The number of days after which results expire that were too large for an answer, and were answered with a link."
  type        = number
  default     = 1
}

variable "cors_origins" {
  description = "The origins of web pages that may read such results, such as `https://app.example.org`, or `*` for all. After a redirect from another host, browsers do not send the origin of the page: a page that is not at the name of the API needs `*`."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for it in var.cors_origins : can(regex("^(\\*|https?://[A-Za-z0-9.*-]+(:[0-9]+)?)$", it))])
    error_message = "An origin is `*`, or https:// and a host, without a path."
  }
}

variable "kms_key_arn" {
  description = "A key of KMS for the bucket, the queues, the logs and the environments of functions. Its policy must allow S3 and CloudWatch Logs to use it. Without it, AWS uses its own keys."
  type        = string
  default     = null
}

variable "log_bucket" {
  description = "A bucket for S3's access log."
  type        = string
  default     = null
}

variable "force_destroy" {
  description = "Whether `terraform destroy` deletes all data."
  type        = bool
  default     = false
}

variable "domain" {
  description = "A name of your own for the API: the name, a certificate of ACM in this region, and the zone of Route 53 to enter it in, if it has one. The address of AWS is then disabled."
  type = object({
    name            = string
    certificate_arn = string
    zone_id         = optional(string)
  })
  default = null
}

variable "throttling" {
  description = <<-EOT
    The number of requests that the API accepts, per second and in a burst. Others get 429. `writes` is for each path of
    writes, `sign_ins` for each path of sign-ins and first tokens, and the first two numbers for all other paths.
  EOT
  type = object({
    requests_per_second = optional(number, 200)
    burst_requests      = optional(number, 400)

    writes = optional(object({
      requests_per_second = optional(number, 200)
      burst_requests      = optional(number, 400)
    }), {})

    sign_ins = optional(object({
      requests_per_second = optional(number, 5)
      burst_requests      = optional(number, 10)
    }), {})
  })
  default = {}
}

variable "log_filter" {
  description = "The filter of the log, such as `info`, with a line for each request, or `warn,neap_compact=debug`. Alarms on the tail and the debt need `info` of neap_lambda."
  type        = string
  default     = "info,neap_http=warn"
}

variable "log_retention_days" {
  description = "The number of days for which logs are kept."
  type        = number
  default     = 30
}

variable "tracing" {
  description = "Whether X-Ray samples invocations."
  type        = bool
  default     = false
}

variable "permissions_boundary_arn" {
  description = "The permissions boundary of all roles, if the organisation requires one."
  type        = string
  default     = null
}

variable "alarms" {
  description = <<-EOT
    The topics of SNS that alarms notify, and the limits of alarms: failed and throttled invocations in 5 minutes, the age of
    a message in a queue, requests that the API refused and scheduled invocations that Lambda dropped in 5 minutes, bytes and
    age of the tail, bytes of sections that wait to be merged. With `budget_usd`, a budget of the
    account notifies them when the costs of a month reach four fifths of it, or are forecast to exceed it; the topics must allow
    budgets.amazonaws.com to publish.
  EOT
  type = object({
    notify            = optional(list(string), [])
    errors            = optional(number, 0)
    throttles         = optional(number, 0)
    turned_away       = optional(number, 100)
    dropped           = optional(number, 0)
    budget_usd        = optional(number)
    queue_age_seconds = optional(number, 1800)
    tail_bytes        = optional(number, 1073741824)
    tail_age_seconds  = optional(number, 3600)
    due_bytes         = optional(number, 10737418240)
  })
  default = {}

  validation {
    condition     = var.alarms.budget_usd == null ? true : var.alarms.budget_usd > 0 && length(var.alarms.notify) > 0
    error_message = "budget_usd is more than 0, and needs whom to notify."
  }
}

variable "network" {
  description = <<-EOT
    The network of the functions and the service: either `cidr` for a new network without internet access, or the subnets and
    security groups of an existing one (`vpc_id`). Functions need no network.
  EOT
  type = object({
    cidr               = optional(string)
    zones              = optional(number, 2)
    vpc_id             = optional(string)
    subnet_ids         = optional(list(string), [])
    security_group_ids = optional(list(string), [])
    functions          = optional(bool, true)
  })
  default = null

  validation {
    condition     = var.network == null ? true : (var.network.cidr == null) != (var.network.vpc_id == null)
    error_message = "Name either cidr or vpc_id."
  }

  validation {
    condition     = try(var.network.vpc_id, null) == null ? true : length(var.network.subnet_ids) > 0
    error_message = "With vpc_id, name subnet_ids in it."
  }

  validation {
    condition = (
      try(var.network.vpc_id, null) == null ? true : !var.network.functions || length(var.network.security_group_ids) > 0
    )
    error_message = "Functions in a network need security_group_ids."
  }
}

variable "service" {
  description = <<-EOT
    `neap serve` in containers of ECS that always run, beside the functions: the image, how many, their roles (`--mode`),
    how large (1,024 units are a processor), the addresses that may connect, a certificate for TLS, whether the load balancer (then with a
    certificate) and the containers have public addresses, and variables of the environment. Several containers
    with the role `query` or `all` execute large queries together. Needs `network`.
  EOT
  type = object({
    image            = string
    architecture     = optional(string, "arm64")
    tasks            = optional(number, 1)
    mode             = optional(set(string), ["all"])
    cpu_units        = optional(number, 512)
    memory_mib       = optional(number, 2048)
    client_cidrs     = optional(list(string), [])
    certificate_arn  = optional(string)
    public           = optional(bool, false)
    assign_public_ip = optional(bool, false)
    environment      = optional(map(string), {})
  })
  default = null

  validation {
    condition     = var.service == null || var.network != null
    error_message = "The service needs a network."
  }

  validation {
    condition = var.service == null ? true : length(var.service.mode) > 0 && alltrue([
      for it in var.service.mode : contains(["all", "ingest", "query", "compact", "process"], it)
    ])
    error_message = "The mode of the service is one or more of all, ingest, query, compact and process."
  }

  validation {
    condition     = var.service == null ? true : !var.service.public || var.service.certificate_arn != null
    error_message = "A public service needs certificate_arn: tokens would cross the internet in clear."
  }
}
