#!/usr/bin/env python3
"""What Neap costs on AWS: requests of each operation, times how often it happens, times list prices.

    bench/cost.py            writes docs/cost.md
    bench/cost.py --check    fails if docs/cost.md is not what this program makes

The requests of an operation are those that docs/operations.md lists and tests assert; the program reads its table, and
stops where it says something else than it expects. Memory, schedules, batches and sizes are those of infra/terraform.
"""

import argparse
import dataclasses
import itertools
import json
import math
import pathlib
import re
import sys

from prices import PRICES, PRICES_OF, REGION, Bill, price, source

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "cost.md"

DAYS = 30
HOURS = DAYS * 24
SECONDS = HOURS * 3600

# The rows of the table in docs/operations.md that are used here, word for word.
BUDGETS = {
    "write, warm": "1 PUT, and at most every 5 s three conditional GETs beside the parsing",
    "query, warm, nothing new": "1 LIST for each 1,000 segments of the tail, 2 conditional GET; none within the allowed staleness",
    "query, warm, n new segments": "the same and n GET",
    "query, cold": "1 LIST for each 1,000 segments of the tail, 3 GET, 1 GET for each [page](#many-tables) of the manifest that may have sections of its tables and times, and the ranges that it needs",
    "scheduled run that flushes n segments of a database": "2 LIST for each 1,000 segments of the tail, 5 GET, n GET, 2 PUT",
    "scheduled run that flushes k databases, each with n segments": "1 LIST for each 1,000 segments of all tails, 1 GET; for each database 1 LIST for each 1,000 segments, 4 GET, n GET, 2 PUT",
    "scheduled run that deletes what k databases have flushed": "1 LIST for each 1,000 segments of all tails, 1 GET; for each database 1 GET, 1 DELETE for each 1,000 segments",
    "merge of k sections": "1 conditional GET; 1 GET of each (small), or 1 GET of its footer and coalesced reads; 2 PUT",
    "plan of all merges of a database": "1 GET, conditional after the first, 1 GET, 1 GET for each page looked at, 1 PUT if there are any",
    "flush of n segments, any number of tables": "1 LIST for each 1,000 segments of the tail, but at most 15; 2 GET, n GET, 2 PUT; the first one of a database 1 PUT more, which records the manifest in the catalog",
    "scheduled run, nothing to do, any number of databases": "1 LIST",
    "collection (`--retention-check-interval`), beside what it does for each database": "2 LIST, for query results and [processes](system-tables.md#nodes)",
    "the same for each database with nothing to do": "2 LIST, 4 GET",
    "a process of `neap serve`": "1 PUT when it starts, every 10 minutes, and when it stops, for [`system.nodes`](system-tables.md#nodes); 1 conditional GET every 30 s, for [requests to stop](cluster.md#stopping-a-process). A [worker](cluster.md) 1 PUT more when it stops, and the first one of a cluster 1 PUT when it starts",
}

# How long it takes, in seconds: one trip to S3 for a PUT of a segment, for a LIST, for a GET; and in S3 Express.
PUT_SECONDS, LIST_SECONDS, GET_SECONDS = 0.070, 0.030, 0.025
EXPRESS_SECONDS = 0.008
# From the start of an instance to its first event, which is billed like any other time.
START_SECONDS = 0.2
# The work of a function besides waiting.
WRITE_SECONDS, QUERY_SECONDS, ENGINE_SECONDS = 0.005, 0.040, 0.010
# Databases that a scheduled run works on at once. Segments that are read at once, names that a LIST gives, messages in a request to SQS.
DATABASES_AT_ONCE, READS_AT_ONCE, NAMES_OF_A_PAGE, MESSAGES_AT_ONCE = 16, 16, 1_000, 10
# For so long segments stay that were flushed. S3 lists from a name on; S3 Express lists them, too.
SEGMENT_GRACE_SECONDS = 120
# S3 Express bills by the hour.
LEAST_BILLED_SECONDS = 3600
# A flush in a scheduled run beside its segments: a listing, four GET, and two PUT one after the other.
SECONDS_OF_FLUSH = LIST_SECONDS + 4 * GET_SECONDS + 2 * PUT_SECONDS
# An instance lives for some hours; what a cold query reads of sections is bounded by what dashboards look at.
INSTANCE_HOURS = 2
COLD_GETS = 20
# Lambda asks a queue with five requests at a time, which wait for 20 s if there is nothing.
IDLE_POLLS_PER_SECOND = 5 / 20
# As infra/terraform has them; two of the alarms are for the queue of notifications. The function with a URL has three more.
ALARMS, ALARMS_OF_NOTIFICATIONS, ALARMS_OF_INGEST, METRICS = 23, 2, 3, 6
# Managed instances: one environment of the smallest size (2 GB, one processor) fits beside the system on the smallest
# machine. Lambda starts three environments unless it is told otherwise.
MANAGED_TYPE, ENVIRONMENTS_OF_LAMBDA = "c7g.large", 3

# What settling writes for each byte that stays, and how much of it a core does, as bench/README.md says.
AMPLIFICATION, MERGE_BYTES_PER_SECOND = 2.18, 9.1e6
# Of values that are noisy. Those of bench/settle.py, which are less so, take a tenth.
BYTES_PER_VALUE = 4

# A line of the gateway for each request, and one of each scheduled run. The functions log no requests, unless they are
# told to; a server does.
LOG_LINE_BYTES = 350

# A dashboard: panels, seconds between two refreshes, hours and days on which somebody looks, bytes of an answer.
PANELS, REFRESH_SECONDS, HOURS_A_DAY, DAYS_A_MONTH = 6, 30, 8, 22
ANSWER_BYTES = 4_000
# A write is answered by a head.
WRITE_ANSWER_BYTES = 300
# A segment, and what compression leaves of each value in it.
SEGMENT_BYTES, SEGMENT_BYTES_PER_VALUE = 600, 6

RETENTION_DAYS = 365

# A query that many invocations execute together. How fast one core aggregates all rows of sections with noisy values,
# measured on one core of a shared x86-64 machine (6 million rows of 3 fields, 28 bytes each, grouped by hour and tag);
# how fast one instance reads from S3; bytes of a coalesced read; how much more the worker with the most bytes reads than
# the mean; a request to Lambda, without the start of the instance; invocations at once.
SCANNED_BYTES_PER_SECOND = 360e6
FETCHED_BYTES_PER_SECOND = 70e6
READ_BYTES = 8 << 20
LARGEST_SHARE = 1.3
INVOKE_SECONDS = 0.05
BYTES_PER_WORKER, WORKERS_AT_ONCE = 256 << 20, 1_000
QUERIED_BYTES = (1e9, 100e9, 1e12)
# An invocation ends after 15 minutes.
LONGEST_INVOCATION_SECONDS = 900

# Classes of cold data, and how many bytes of it the table is for. A query reads with coalesced reads; a section that
# becomes cold has about as many bytes as one that a merge makes of a day.
COLD_CLASSES = {"STANDARD_IA": "S3 Standard-IA", "ONEZONE_IA": "S3 One Zone-IA", "GLACIER_IR": "S3 Glacier Instant Retrieval"}
COLD_GB, COLD_SECTION_BYTES = 100, 64 << 20

# Where others measured how long S3 takes, and where Amazon says what it bills, and how many environments it starts.
LATENCIES = (
    "https://github.com/semistrict/sproutfs/blob/9bbb874e92a8ac36902547c6848d785ed2465e4e/docs/measurements/"
    "aws-hot-tier-2026-10-04.md"
)
FEWEST_ENVIRONMENTS = (
    "https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/"
    "sam-property-function-functionscalingconfig.html"
)
STARTS_ARE_BILLED = "https://aws.amazon.com/blogs/compute/aws-lambda-standardizes-billing-for-init-phase/"


# How long the lines for Telegraf let a host gather.
(GATHERED_SECONDS,) = map(int, re.findall(r'^ +flush_interval = "(\d+)s"$', (ROOT / "docs" / "clients.md").read_text(), re.M))


@dataclasses.dataclass
class Workload:
    """Who writes how much."""

    title: str
    about: str
    requests_per_second: float
    values_per_second: float
    # Each gets as much as the others. A user looks at one of them.
    databases: int = 1


WORKLOADS = [
    Workload(
        "A hub of 50 sensors",
        "50 values every 10 s, sent by the hub in one request.",
        requests_per_second=0.1,
        values_per_second=5,
    ),
    Workload(
        "1,000 hosts, each for itself",
        "10 metrics of each host every 10 s; each host sends its own request.",
        requests_per_second=100,
        values_per_second=1_000,
    ),
    Workload(
        f"1,000 hosts, each gathers for {GATHERED_SECONDS} s",
        f"The same; each host sends one request every {GATHERED_SECONDS} s, as [five lines](clients.md#fewer-requests) let Telegraf do.",
        requests_per_second=1_000 / GATHERED_SECONDS,
        values_per_second=1_000,
    ),
    Workload(
        "1,000 hosts, gathered",
        "The same, sent through an agent that gathers: one request a second.",
        requests_per_second=1,
        values_per_second=1_000,
    ),
    Workload(
        "100,000 series",
        "A value of each every 60 s, sent in requests of 5,000 lines.",
        requests_per_second=100_000 / 60 / 5_000,
        values_per_second=100_000 / 60,
    ),
    Workload(
        "1,000 databases",
        "50 values every 10 min to each of 1,000 databases, in one request; all users look at one of them.",
        requests_per_second=1_000 / 600,
        values_per_second=50_000 / 600,
        databases=1_000,
    ),
]


def number(text, setting):
    """A setting of infra/terraform that is a number."""
    (found,) = set(re.findall(rf"\b{setting} += (?:optional\(number, )?(\d+)", text))
    return int(found)


VARIABLES = (ROOT / "infra" / "terraform" / "variables.tf").read_text()
DEPLOYMENT = json.loads((ROOT / "tests" / "terraform" / "deployment.json").read_text())

MEMORY_GB = {name: it["memory_mib"] / 1024 for name, it in DEPLOYMENT["functions"].items()}
# Views are refreshed by the program of the query function.
MEMORY_GB["views"] = MEMORY_GB["query"]
EVERY_SECONDS = {
    name: int(minutes) * 60
    for name, minutes in re.findall(r'(\w+) += optional\(string, "rate\((\d+) minutes?\)"\)', VARIABLES)
}
WINDOW_SECONDS = number(VARIABLES, "batching_window")
BATCH = max(map(int, re.findall(r"batch_size += (\d+)", (ROOT / "infra" / "terraform" / "schedules.tf").read_text())))
PROCESSORS, CONTAINER_GB = number(VARIABLES, "cpu_units") / 1024, number(VARIABLES, "memory_mib") / 1024
ZONES = number(VARIABLES, "zones")
ENVIRONMENTS = number(VARIABLES, "min_environments")
(LOG_DAYS,) = map(int, re.findall(r'"log_retention_days".*?default += (\d+)', VARIABLES, re.S))


@dataclasses.dataclass
class Requests:
    """Requests to a store in a month."""

    puts: float = 0
    gets: float = 0

    def bill(self, bill, item, store):
        """Puts them on a bill. A LIST costs as much as a PUT."""
        bill.add(item, f"{store}: a thousand PUT", self.puts / 1000)
        bill.add(item, f"{store}: a thousand GET", self.gets / 1000)


def flushes_due(segments, segment_bytes):
    """Flushes of a database in a month: when there are 300 segments, 8 MiB of them, or the oldest is 10 minutes old."""
    return max(segments / 300, segments * segment_bytes / (8 << 20), min(segments, SECONDS / 600))


@dataclasses.dataclass
class Month:
    """What happens in a month of a workload."""

    workload: Workload
    users: int
    express: bool = False
    # Whether writes go to a function with a URL of its own, and how many environments it has on managed instances.
    url: bool = False
    environments: int = 0

    def __post_init__(self):
        self.writes = self.workload.requests_per_second * SECONDS
        self.databases = self.workload.databases
        self.segments = self.writes
        if self.environments > 0:
            # Each puts a segment of a database once a second, and with it the rows of all requests in between.
            self.segments = min(self.writes, self.environments * SECONDS * self.databases)
        looked_at = HOURS_A_DAY * 3600 * DAYS_A_MONTH
        self.queries = self.users * PANELS * looked_at / REFRESH_SECONDS
        self.runs = SECONDS / EVERY_SECONDS["flush"]
        self.looks = SECONDS / EVERY_SECONDS["collect"]
        # There are no views, so that a refresh reads catalogs.
        self.refreshes = SECONDS / EVERY_SECONDS["views"]
        # At most one flush of a database in a run.
        flushes = flushes_due(self.segments / self.databases, self.segment_bytes())
        self.flushes = min(flushes, self.runs) * self.databases
        self.flushing_runs = min(self.runs, self.flushes)
        # About one merge for each seven flushes on the first tier, and a seventh of that on each further one.
        self.merges = self.flushes / 6
        self.pages = self.pages_of_tail()
        # Instances that answer queries while somebody looks: one for each panel, as those of a refresh come at once and an
        # instance has one at a time, and no fewer than by Little's law. With more of them each meets more new segments.
        self.instances = PANELS
        self.query_seconds = self.seconds_of_query(looked_at)
        while self.instances < self.queries / looked_at * self.query_seconds:
            self.instances += 1
            self.query_seconds = self.seconds_of_query(looked_at)
        self.segments_while_looked_at = self.segments / self.databases * looked_at / SECONDS

    def pages_of_tail(self):
        """How many pages a listing of the tail of a database has, on average."""
        between_flushes = SECONDS / self.flushes * self.databases
        # What has come since the last flush, and while this one reads.
        seconds = between_flushes / 2 + self.segments / self.flushes / READS_AT_ONCE * self.get_seconds()
        if self.express:
            seconds += between_flushes + SEGMENT_GRACE_SECONDS
        return max(1, math.ceil(self.segments_per_second_and_database() * seconds / NAMES_OF_A_PAGE))

    def segments_per_second_and_database(self):
        """What a database gets, and a query meets."""
        return self.segments / SECONDS / self.databases

    def pages_of_all_tails(self):
        """How many pages the listing of a scheduled run has, on average: what is not flushed, or not deleted."""
        if self.databases == 1:
            return 1
        seconds = 1.5 * SECONDS / self.flushes * self.databases + SEGMENT_GRACE_SECONDS
        return max(1, math.ceil(self.segments / SECONDS * seconds / NAMES_OF_A_PAGE))

    def get_seconds(self):
        """How long a GET of a segment takes."""
        return EXPRESS_SECONDS if self.express else GET_SECONDS

    def seconds_of_query(self, looked_at):
        """How long a query takes: pages are listed one after the other, then what is new to the instance is read."""
        page = EXPRESS_SECONDS if self.express else LIST_SECONDS
        new = self.segments_per_second_and_database() * looked_at * self.instances / self.queries
        reads = new if new < 1 else math.ceil(new / READS_AT_ONCE)
        return self.pages * page + reads * self.get_seconds() + QUERY_SECONDS

    def write_seconds(self):
        """How long a write takes."""
        return (EXPRESS_SECONDS if self.express else PUT_SECONDS) + WRITE_SECONDS

    def engine_invocations(self):
        """Invocations of an engine that has nothing to do: by its schedule, and for segments that were gathered."""
        ticks = SECONDS / EVERY_SECONDS["tick"]
        if self.express:
            return ticks
        return ticks + max(self.segments / BATCH, min(self.segments, SECONDS / WINDOW_SECONDS))

    def starts(self):
        """How many instances of each function are started."""
        looked_at = HOURS_A_DAY * DAYS_A_MONTH
        writing = 0 if self.environments else max(1, math.ceil(self.workload.requests_per_second * self.write_seconds()))
        hours = {"write": writing * HOURS, "query": self.instances * looked_at, "compact": HOURS, "engine": HOURS}
        hours["views"] = HOURS
        return {name: it / INSTANCE_HOURS for name, it in hours.items()}

    def segment_bytes(self):
        """The bytes of a segment, which has the rows of one request or more."""
        values = self.workload.values_per_second / self.workload.requests_per_second
        return self.writes / self.segments * (SEGMENT_BYTES + values * SEGMENT_BYTES_PER_VALUE)

    def stored_gb(self):
        """What there is in the bucket after a year."""
        return self.workload.values_per_second * RETENTION_DAYS * 86_400 * BYTES_PER_VALUE / 1e9

    def write_requests(self):
        """Segments, and the proofs beside them."""
        instances = self.environments or max(1, self.workload.requests_per_second * PUT_SECONDS)
        proofs = min(self.writes, SECONDS / 5 * instances)
        return Requests(puts=self.segments), Requests(gets=3 * proofs)

    def query_requests(self):
        """On the tail, and on the rest."""
        # An instance reads each segment once, and after a flush its sections.
        segments = self.instances * self.segments_while_looked_at
        flushed = self.instances * self.flushes / self.databases * HOURS_A_DAY * DAYS_A_MONTH / HOURS
        cold = self.instances * HOURS_A_DAY * DAYS_A_MONTH / INSTANCE_HOURS
        tail = Requests(puts=self.queries * self.pages, gets=segments)
        return tail, Requests(gets=2 * self.queries + 2 * flushed + COLD_GETS * cold)

    def compact_requests(self):
        """On the tail, and on the rest."""
        # A run lists all tails, and that of each database that it flushes.
        listed = max(1, math.ceil(self.segments / self.flushes / NAMES_OF_A_PAGE))
        lists = self.runs * self.pages_of_all_tails() + max(listed, self.pages) * self.flushes
        tail = Requests(puts=lists, gets=self.segments)
        # A merge reads some seven sections, beside what plans it. A look lists query results and processes, and of each
        # database the tail and the data. What is flushed is deleted by a later run, which reads the manifest once more.
        rest = Requests(
            puts=2 * self.flushes + 3 * self.merges + (2 + 2 * self.databases) * self.looks,
            gets=5 * self.flushes + 2 * self.flushing_runs + 10 * self.merges + (1 + 4 * self.databases) * self.looks,
        )
        return tail, rest

    def refresh_requests(self):
        """The catalogs of the cluster and of each database."""
        return Requests(gets=(1 + self.databases) * self.refreshes)

    def refresh_seconds(self):
        """The time of all invocations."""
        return self.refreshes * GET_SECONDS * (1 + math.ceil(self.databases / DATABASES_AT_ONCE))

    def compact_seconds(self):
        """The time of all invocations."""
        new_bytes = self.workload.values_per_second * SECONDS * BYTES_PER_VALUE
        idle = self.runs * 2 * LIST_SECONDS
        at_once = min(DATABASES_AT_ONCE, max(1, self.flushes / self.runs))
        reading = self.segments * self.get_seconds() / READS_AT_ONCE + self.flushes * SECONDS_OF_FLUSH / at_once
        looking = self.looks * 0.5 * math.ceil(self.databases / DATABASES_AT_ONCE)
        return idle + reading + looking + new_bytes * AMPLIFICATION / MERGE_BYTES_PER_SECOND


def bill_invocations(bill, month):
    """Functions but the engine: invocations, and the time of those and of starts."""
    invocations = month.writes + month.queries + month.runs + month.looks + month.merges + month.refreshes
    bill.add("Lambda, requests", "Lambda: a million requests", invocations / 1e6)
    seconds = {
        "write": 0 if month.environments else month.writes * month.write_seconds(),
        "query": month.queries * month.query_seconds,
        "compact": month.compact_seconds(),
        "views": month.refresh_seconds(),
    }
    starts = month.starts()
    for name, it in seconds.items():
        gb_seconds = (it + starts[name] * START_SECONDS) * MEMORY_GB[name]
        bill.add("Lambda, time", "Lambda: a GB-second, arm64", gb_seconds)


def bill_engine(bill, month):
    """The engine that has nothing to do: no trigger on writes, none on times."""
    invocations = month.engine_invocations()
    # It asks whether the catalog has changed.
    seconds = invocations * (2 * GET_SECONDS + ENGINE_SECONDS) + month.starts()["engine"] * START_SECONDS
    bill.add("Engine", "EventBridge", SECONDS / EVERY_SECONDS["tick"] / 1e6)
    bill.add("Engine", "Lambda: a million requests", invocations / 1e6)
    bill.add("Engine", "Lambda: a GB-second, arm64", seconds * MEMORY_GB["engine"])
    Requests(gets=2 * invocations).bill(bill, "Engine", "S3 Standard")
    if not month.express:
        together = min(MESSAGES_AT_ONCE, max(1, month.workload.requests_per_second * WINDOW_SECONDS))
        # S3 sends each notification by itself; Lambda fetches and deletes several.
        fetched = max(SECONDS * IDLE_POLLS_PER_SECOND, month.segments / together)
        bill.add("Engine", "SQS", (month.segments + fetched + month.segments / together) / 1e6)


def bill_tail(bill, month):
    """New data: who puts, lists and reads segments."""
    store = "S3 Express" if month.express else "S3 Standard"
    written, asked, flushed = month.write_requests()[0], month.query_requests()[0], month.compact_requests()[0]
    for requests in (written, asked, flushed):
        requests.bill(bill, "S3, requests on new data", store)
    if month.express:
        gb = month.segment_bytes() / 1e9
        kept_seconds = max(LEAST_BILLED_SECONDS, 1.5 * SECONDS / month.flushes + SEGMENT_GRACE_SECONDS)
        bill.add("S3, requests on new data", "S3 Express: a GB uploaded", month.segments * gb)
        bill.add("S3, requests on new data", "S3 Express: a GB retrieved", (asked.gets + flushed.gets) * gb)
        bill.add("S3, requests on new data", "S3 Express: a GB for a month", month.segments * gb * kept_seconds / SECONDS)


def bill_logs(bill, lines):
    """Lines of logs: taken in, and kept for some days, as if they were not compressed."""
    gb = lines * LOG_LINE_BYTES / 1e9
    bill.add("CloudWatch", "CloudWatch: a GB of logs", gb)
    bill.add("CloudWatch", "CloudWatch: a GB of logs kept for a month", gb * LOG_DAYS / DAYS)


def bill_answers(bill, month):
    """What goes out: answers to queries and to writes."""
    bill.add("Data out", "Data out", (month.queries * ANSWER_BYTES + month.writes * WRITE_ANSWER_BYTES) / 1e9)


def functions(month):
    """What the functions cost."""
    bill = Bill()
    # A URL costs nothing, and has no access log.
    requests = month.queries if month.url else month.writes + month.queries
    bill.add("API Gateway", "API Gateway", requests / 1e6)
    bill_invocations(bill, month)
    bill_tail(bill, month)
    others = (month.write_requests()[1], month.query_requests()[1], month.compact_requests()[1], month.refresh_requests())
    for it in others:
        it.bill(bill, "S3, other requests", "S3 Standard")
    bill.add("S3, storage", "S3 Standard: a GB", month.stored_gb())
    bill.add("Scheduler, SQS", "EventBridge", (month.runs + month.looks + month.refreshes) / 1e6)
    # A merge is handed out by a message, taken and deleted; somebody asks the queue all the time.
    bill.add("Scheduler, SQS", "SQS", (3 * month.merges + SECONDS * IDLE_POLLS_PER_SECOND) / 1e6)
    bill_engine(bill, month)
    bill_logs(bill, requests + month.runs + month.looks + month.refreshes)
    alarms = ALARMS - (ALARMS_OF_NOTIFICATIONS if month.express else 0) + (ALARMS_OF_INGEST if month.url else 0)
    bill.add("CloudWatch", "CloudWatch: an alarm", alarms)
    bill.add("CloudWatch", "CloudWatch: a metric", METRICS)
    bill.add("CloudWatch", "CloudWatch: a dashboard", 1)
    bill_answers(bill, month)
    if month.environments > 0:
        bill_managed_instances(bill, month.environments)
    return bill


def bill_managed_instances(bill, environments):
    """Machines of Lambda, each with one environment, and the endpoint for the log in the zones of their network."""
    hours = environments * HOURS
    bill.add("Servers", f"EC2: {MANAGED_TYPE}", hours)
    bill.add("Servers", "Lambda: management of instances", hours * price(f"EC2: {MANAGED_TYPE}"))
    bill.add("Servers", "VPC endpoint", ZONES * HOURS)


def managed_dollars(environments):
    """What managed instances cost in a month, without their requests."""
    bill = Bill()
    bill_managed_instances(bill, environments)
    return bill.total()


def bill_server_requests(bill, month):
    """Requests of one `neap serve --sole-writer` over S3: a segment a second at most, no LIST and two GET for a query."""
    segments = min(month.writes, SECONDS)
    of_database = segments / month.databases
    flushes = flushes_due(of_database, month.writes / segments * month.segment_bytes()) * month.databases
    merges = flushes / 6
    proofs = min(month.writes, SECONDS / 5)
    Requests(puts=segments).bill(bill, "S3, requests on new data", "S3 Standard")
    others = Requests(
        puts=3 * flushes + 3 * merges + SECONDS / 600,
        gets=2 * month.queries + 3 * proofs + segments + 4 * flushes + 10 * merges,
    )
    others.bill(bill, "S3, other requests", "S3 Standard")


def container(month):
    """A container of Fargate behind a load balancer with addresses of the internet, over S3."""
    bill = Bill()
    bill_server_requests(bill, month)
    bill.add("S3, storage", "S3 Standard: a GB", month.stored_gb())
    bill_logs(bill, month.writes + month.queries)
    bill_answers(bill, month)
    bill.add("Servers", "Fargate: a processor", PROCESSORS * HOURS)
    bill.add("Servers", "Fargate: a GB", CONTAINER_GB * HOURS)
    bill.add("Servers", "Network load balancer", HOURS)
    # The load balancer has one in each zone, the container one.
    bill.add("Servers", "A public IPv4", (ZONES + 1) * HOURS)
    return bill


def machine(month):
    """A t4g.small with its data on a disk of its own."""
    bill = Bill()
    bill_answers(bill, month)
    bill.add("Servers", "EC2: t4g.small", HOURS)
    bill.add("Servers", "A public IPv4", HOURS)
    bill.add("Disks", "EBS", max(20, math.ceil(month.stored_gb() * 1.5)))
    return bill


SETUPS = [
    ("functions", lambda workload, users: functions(Month(workload, users))),
    ("functions, S3 Express", lambda workload, users: functions(Month(workload, users, express=True))),
    ("functions, S3 Express, URL", lambda workload, users: functions(Month(workload, users, express=True, url=True))),
    (
        "functions, S3 Express, URL, managed instances",
        lambda workload, users: functions(
            Month(workload, users, express=True, url=True, environments=ENVIRONMENTS)
        ),
    ),
    ("container", lambda workload, users: container(Month(workload, users))),
    ("t4g.small", lambda workload, users: machine(Month(workload, users))),
]

USERS = (5, 50)


def dollars(value):
    """An amount as people read it."""
    if value == 0:
        return "–"
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"


ITEMS = [
    "API Gateway",
    "Lambda, requests",
    "Lambda, time",
    "S3, requests on new data",
    "S3, other requests",
    "S3, storage",
    "Scheduler, SQS",
    "Engine",
    "CloudWatch",
    "Data out",
    "Servers",
    "Disks",
]


def fewest_requests_for_instances():
    """The writes a second, in steps of 5, from which on managed instances cost less than one request for each instance."""
    alone = WORKLOADS[1]
    values = alone.values_per_second / alone.requests_per_second
    for rate in itertools.count(5, 5):
        workload = dataclasses.replace(alone, requests_per_second=rate, values_per_second=rate * values)
        with_instances = Month(workload, USERS[0], express=True, url=True, environments=ENVIRONMENTS)
        if functions(with_instances).total() < functions(Month(workload, USERS[0], express=True, url=True)).total():
            return rate


def table(workload):
    """What a workload costs, by item."""
    columns = [(name, users, make(workload, users)) for name, make in SETUPS for users in USERS]
    bills = [bill for _, _, bill in columns]
    rows = [(item, [bill.item(item) for bill in bills]) for item in ITEMS]
    rows.append(("**all**", [bill.total() for bill in bills]))
    rows.append(("of it free each month", [bill.free() for bill in bills]))
    rows.append(("**to pay**", [bill.total() - bill.free() for bill in bills]))
    lines = [
        "| $ a month | " + " | ".join(f"{name}, {users} users" for name, users, _ in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for title, amounts in rows:
        mark = "**" if title.startswith("**") else ""
        lines.append(f"| {title} | " + " | ".join(f"{mark}{dollars(it)}{mark}" for it in amounts) + " |")
    return "\n".join(lines)


@dataclasses.dataclass
class DistributedQuery:
    """A query that aggregates this many bytes of sections, alone or together with other invocations."""

    bytes: float
    workers: int

    def seconds_of_worker(self, share):
        """How long an invocation takes that reads this share of the bytes. It fetches and computes at the same time."""
        rate = min(SCANNED_BYTES_PER_SECOND, FETCHED_BYTES_PER_SECOND)
        return START_SECONDS + 4 * GET_SECONDS + share / rate

    def seconds(self):
        """How long the client waits."""
        if self.workers == 0:
            return self.seconds_of_worker(self.bytes) + LIST_SECONDS + QUERY_SECONDS
        coordinator = START_SECONDS + LIST_SECONDS + 2 * GET_SECONDS + 2 * QUERY_SECONDS
        slowest = self.seconds_of_worker(LARGEST_SHARE * self.bytes / self.workers)
        return coordinator + INVOKE_SECONDS + slowest

    def cents(self):
        """What it costs. The coordinator waits, and is billed for it."""
        seconds = self.seconds() + self.workers * self.seconds_of_worker(self.bytes / max(1, self.workers))
        gb_seconds = seconds * MEMORY_GB["query"] * price("Lambda: a GB-second, arm64")
        invocations = (1 + self.workers) / 1e6 * price("Lambda: a million requests")
        gets = (self.bytes / READ_BYTES + 3 * (1 + self.workers)) / 1000 * price("S3 Standard: a thousand GET")
        return 100 * (gb_seconds + invocations + gets)


def distributed_table():
    """Seconds and cents of queries, alone and together."""
    lines = [
        "| it reads | invocations | seconds | cents | in one invocation: seconds | cents |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for size in QUERIED_BYTES:
        workers = min(WORKERS_AT_ONCE, math.ceil(size / BYTES_PER_WORKER))
        together, alone = DistributedQuery(size, workers), DistributedQuery(size, 0)
        one = "– | –"
        if alone.seconds() < LONGEST_INVOCATION_SECONDS:
            one = f"{alone.seconds():,.0f} | {alone.cents():.2f}"
        size = f"{size / 1e9:,.0f} GB" if size < 1e12 else f"{size / 1e12:,.0f} TB"
        lines.append(f"| {size} | 1 + {workers:,} | {together.seconds():,.1f} | {together.cents():,.2f} | {one} |")
    return "\n".join(lines)


def cold_table():
    """What data costs in a class of cold data, to keep, to move there and to read."""

    def reads(store, gb):
        return gb * 1e9 / READ_BYTES / 1000 * price(f"{store}: a thousand GET")

    standard = price("S3 Standard: a GB for a month")
    puts = COLD_GB * 1e9 / COLD_SECTION_BYTES / 1000
    lines = [
        f"| class | {COLD_GB} GB for a month, $ | moving them there once, $ | a query that reads 1 GB of it, cents "
        "| costs less than Standard if queries read less of it each month than |",
        "|---|---:|---:|---:|---:|",
        f"| Standard | {dollars(COLD_GB * standard)} | – | {100 * reads('S3 Standard', 1):.2f} | – |",
    ]
    for name, store in COLD_CLASSES.items():
        kept = price(f"{store}: a GB for a month")
        moved = reads("S3 Standard", COLD_GB) + puts * price(f"{store}: a thousand PUT")
        read = price(f"{store}: a GB retrieved") + reads(store, 1)
        even = (standard - kept) / (read - reads("S3 Standard", 1))
        lines.append(
            f"| `{name}` | {dollars(COLD_GB * kept)} | {moved:.2f} | {100 * read:.2f} | {min(even, 1):.0%} |"
        )
    return "\n".join(lines)


def plain(value):
    """A price with as many digits as it has."""
    return f"{value:.10f}".rstrip("0").rstrip(".")


def check_budgets():
    """The table of requests says what is counted here."""
    text = (ROOT / "docs" / "operations.md").read_text()
    rows = dict(re.findall(r"^\| (.+?) \| (.+) \|$", text, re.M))
    for operation, requests in BUDGETS.items():
        if rows.get(operation) != requests:
            sys.exit(f"docs/operations.md says of '{operation}': {rows.get(operation)!r}; bench/cost.py counts {requests!r}")


def price_rows():
    """The table of prices."""
    return "\n".join(
        f"| {name} | {plain(it.dollars)} | {f'{it.free:,}' if it.free else ''} | [list]({source(name)}) "
        f"| [{it.seen.date}]({it.seen.address}) |"
        for name, it in PRICES.items()
    )


def page():
    """The page."""
    check_budgets()
    engine_idle = Bill()
    bill_engine(engine_idle, Month(WORKLOADS[0], USERS[0], express=True))
    watching = ALARMS * price("CloudWatch: an alarm") + METRICS * price("CloudWatch: a metric")
    watching += price("CloudWatch: a dashboard")
    asked = Month(WORKLOADS[0], USERS[-1]).queries
    shared = asked / 1000 * price("S3 Standard: a thousand PUT")
    addresses = (ZONES + 1) * HOURS * price("A public IPv4")
    endpoints = 3 * ZONES * HOURS * price("VPC endpoint")
    kept_started = MEMORY_GB["query"] * SECONDS * price("Lambda: a GB-second kept started")
    gateway = price("API Gateway")
    log_gb = LOG_LINE_BYTES * 1e6 / 1e9
    gateway_logs = log_gb * (price("CloudWatch: a GB of logs") + price("CloudWatch: a GB of logs kept") * LOG_DAYS / DAYS)
    managed, managed_more = managed_dollars(ENVIRONMENTS), managed_dollars(ENVIRONMENTS_OF_LAMBDA) - managed_dollars(ENVIRONMENTS)
    many = WORKLOADS[-1].databases
    round_seconds = many * (SECONDS_OF_FLUSH + GET_SECONDS) / DATABASES_AT_ONCE
    sections = "\n".join(f"### {it.title}\n\n{it.about}\n\n{table(it)}\n" for it in WORKLOADS)
    return f"""# What it costs

`bench/cost.py` computes this page from the [requests that tests assert](operations.md#what-it-costs), the settings of
`infra/terraform`, and Amazon's list [prices](#prices) of {PRICES_OF} in {REGION}. Latencies, sizes and habits are
[assumed](#what-is-assumed): the sums show orders of magnitude and proportions, and do not predict a bill. Before you rely on a sum, compare the prices with
the lists that are linked below, change what is no longer true in `bench/prices.py`, and run the program again.

{sections}
"Free each month" is the allowance that every account has without a time limit. Other uses of the account share it.

The tables show:

* The cost of writes depends on the number of requests, not of values: gather values before you send them. Telegraf does so
  with [five lines](clients.md#fewer-requests).
* An instance of a function handles one request at a time, so each write is a segment of its own. A server puts at most one
  segment a second for any number of clients, and [60 more](operations.md#what-it-costs) after a pause. So does each environment
  on [managed instances](deployment.md#many-clients-that-write-alone), without the 60.
* A function's [URL](deployment.md#many-clients-that-write-alone) costs nothing for each write, and has no access log. API Gateway
  costs $ {dollars(gateway)} for a million writes, and {dollars(gateway_logs)} for the lines of its log.
* Managed instances cost the same with and without writes: $ {dollars(managed)} for {ENVIRONMENTS} of them, which are worth it from about
  {fewest_requests_for_instances()} writes a second on. Three, with which [Lambda starts]({FEWEST_ENVIRONMENTS}) if it is told nothing else, cost $ {dollars(managed_more)} more.
* Dashboards on functions cost a LIST for each panel, refresh and 1,000 segments that wait to be flushed. With an allowed
  staleness (`NEAP_MAX_STALENESS`, or `x-neap-max-staleness` in a request), many queries of an instance share one LIST.
* Each database that is written to costs flushes of its own. A scheduled run that flushes {many:,} databases
  with a segment each takes {round_seconds:.0f} s of requests, {DATABASES_AT_ONCE} databases at once; most runs flush a part of them.
* The engine costs a message, and often an invocation, for each write, whether or not there is a plugin. Without
  triggers on writes, set `engine = {{ notifications = false }}`: then the engine costs only its schedule ($ {dollars(engine_idle.total())}). Without
  plugins, set `engine = {{ enabled = false }}`.
* New data in S3 Express costs a fifth of the requests, and less time. It is in one availability zone until it is flushed.
* A server costs the same with and without queries. Without queries, functions cost little more than their
  alarms, metrics and dashboard ($ {dollars(watching)}, most of it free). They answer any number of queries at once. An instance of the query function that is
  kept started (`provisioned_concurrency`) costs $ {dollars(kept_started)} a month in addition to the time that it runs.

## Queries over many invocations

With `NEAP_DISTRIBUTED_MAX_WORKERS` the query function invokes itself: each invocation reads a part of the sections and
aggregates it, and the first one puts the parts together. Nothing is left running afterwards. These figures are
computed, not measured on AWS:

{distributed_table()}

An invocation reads {BYTES_PER_WORKER >> 20} MiB, or more if the query would need more than {WORKERS_AT_ONCE:,} invocations; Lambda executes 1,000 at once
in an account unless Amazon raises the limit. Queries that take longer than the gateway's 30 s need the `stream` function. Each instance
reads {FETCHED_BYTES_PER_SECOND / 1e6:.0f} MB/s from S3, which is assumed; one core aggregates {SCANNED_BYTES_PER_SECOND / 1e6:.0f} MB/s of sections with noisy values, which is measured
on one core of another machine; S3, not the core, is the limit here. The instance with the most bytes reads {LARGEST_SHARE:g} times the mean, and all
instances have a cold start of {START_SECONDS * 1000:.0f} ms. Each has {MEMORY_GB["query"]:.2f} GB of memory, and with it one processor.

## Cold data

[Rows that are seldom read](cold-data.md) cost less in another storage class of S3, and each read of them costs more:

{cold_table()}

A query reads the columns that it needs, of the sections that its times and tags leave, and each byte once as long as the process keeps
it in memory. `cold_bytes` of [`system.queries`](system-tables.md#queries) has the bytes that a query has read from cold sections. Moving
reads a section once, and puts one of {COLD_SECTION_BYTES >> 20} MiB on average, which is assumed; the time of the compact function is not counted. A section that is rewritten or
deleted early is billed for 30 days in the two `IA` classes, and for 90 days in `GLACIER_IR`.

## What is assumed

* A month has {DAYS} days. Data of {RETENTION_DAYS} days is kept. A value takes {BYTES_PER_VALUE} bytes, because the values are noisy; values that change
  little take [a tenth](../bench/README.md#once-measured). A segment has {SEGMENT_BYTES} bytes and {SEGMENT_BYTES_PER_VALUE} for each value. A request has no more
  than the 512 KiB that are billed as one request.
* A user looks at {PANELS} panels, refreshed every {REFRESH_SECONDS} s, {HOURS_A_DAY} hours on {DAYS_A_MONTH} days; an answer to a query has {ANSWER_BYTES:,} bytes, an answer to
  a write {WRITE_ANSWER_BYTES}, over connections that stay open. Data that is sent to AWS is free. No query allows stale answers. The panels of a refresh
  query at once, each in a different instance; each instance reads each new segment. S3 Express lists segments also after they were flushed, until they are deleted {SEGMENT_GRACE_SECONDS // 60} minutes later, and bills
  at least an hour for each segment.
* Memory: {MEMORY_GB["write"]:g} GB for writes, {MEMORY_GB["query"]:.2f} GB for queries and compaction. A PUT takes {PUT_SECONDS * 1000:.0f} ms, a LIST {LIST_SECONDS * 1000:.0f} ms, a GET {GET_SECONDS * 1000:.0f} ms,
  each of them in S3 Express {EXPRESS_SECONDS * 1000:.0f} ms ([measured by others]({LATENCIES}): 26 and 4 ms for a small GET); in addition, a write takes
  {WRITE_SECONDS * 1000:.0f} ms, a query {QUERY_SECONDS * 1000:.0f} ms, a check of the engine {ENGINE_SECONDS * 1000:.0f} ms. {READS_AT_ONCE} segments are read at once. None of this was measured on AWS.
* An instance lives for {INSTANCE_HOURS} hours. Its start takes {START_SECONDS * 1000:.0f} ms, which AWS bills like the time after it: for `provided.al2023`
  it has always done so, for the engine's Python since [August 2025]({STARTS_ARE_BILLED}).
* A tail is flushed every 10 minutes, or when it has 300 segments or 8 MiB. A scheduled run looks for such tails every {EVERY_SECONDS["flush"] // 60} minute,
  and a collection runs every {EVERY_SECONDS["collect"] // 60} minutes. Flushes and merges write {AMPLIFICATION} bytes for each byte that stays, {MERGE_BYTES_PER_SECOND / 1e6:g} MB/s for each core.
* {LOG_LINE_BYTES} bytes of logs for each request and scheduled run, kept for {LOG_DAYS} days and counted without compression: the line of the
  gateway, or of the server. Lambda's own lines are turned off, except warnings. {ALARMS} alarms ({ALARMS - ALARMS_OF_NOTIFICATIONS} with S3 Express), {METRICS} metrics, a
  dashboard for the functions, and {ALARMS_OF_INGEST} more for the URL; none for the servers.
* Managed instances: {ENVIRONMENTS} environments that always run, each on a `{MANAGED_TYPE}` of its own, which has room for one, and an
  endpoint for the log in {ZONES} zones. Each environment puts a segment of a database a second. Lambda bills the requests, the
  machines, and {price("Lambda: management of instances"):.0%} of their price. Their disks are not counted, nor are machines that Lambda adds for a load that grows, or replaces.
* The engine has its default settings, and no plugins: an invocation a minute; a message for each segment in S3, gathered for
  {WINDOW_SECONDS} s and up to {BATCH} for an invocation, fetched and deleted up to {MESSAGES_AT_ONCE} at a time. The time of plugins, and their reads,
  writes and calls, cost extra.
* The container: {PROCESSORS:g} of a processor and {CONTAINER_GB:g} GB of Fargate with `--sole-writer`, a load balancer (its hours, not its units of load), and
  {ZONES + 1} public addresses ($ {dollars(addresses)}); in a network without internet access, {3 * ZONES} endpoints instead of them ($ {dollars(endpoints)}). Without
  `--sole-writer` each query costs a LIST: $ {dollars(shared)} for {USERS[-1]} users. The machine: a `t4g.small` that keeps its data on a disk of its
  own, half as large again as the data and at least 20 GB. Neither the container nor the machine has a second instance.
* Not counted: a network for the functions, a KMS key, a domain name, tracing, Container Insights, backups, and traffic between
  zones and regions.
* Allowances that end after a year or after the first months of an account are not counted.

## Prices

The prices are of {PRICES_OF}, in {REGION}, in dollars without discounts and tax. "Seen" links the page on which each price was last
seen, with the date: most are in data that programs derived from Amazon's price list; that of managing instances is in what a program
copied out of Amazon's page; those of Fargate, of dashboards and of instances that are kept started are in texts that people wrote.
They were not compared with Amazon's own pages.

| what | $ | free each month | from | seen |
|---|---:|---:|---|---|
{price_rows()}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    made = page()
    if not parser.parse_args().check:
        PAGE.write_text(made)
    elif not PAGE.exists() or PAGE.read_text() != made:
        sys.exit("docs/cost.md is not what bench/cost.py makes: run it")


if __name__ == "__main__":
    main()
