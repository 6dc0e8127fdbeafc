#!/usr/bin/env python3
"""What Neap costs on AWS: requests of each operation, times how often it happens, times list prices.

    bench/cost.py            writes docs/cost.md
    bench/cost.py --check    fails if docs/cost.md is not what this program makes

The requests of an operation are those that docs/operations.md lists and tests assert; the program reads its table, and
stops where it says something else than it expects. Memory, time-outs and schedules are those of infra/terraform.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import re
import sys

from prices import PRICES, PRICES_OF, REGION, price, source

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
    "query, cold": "1 LIST for each 1,000 segments of the tail, 3 GET, 1 GET for each page of the manifest, and the ranges that it needs",
    "scheduled run that flushes n segments of a database": "4 LIST for each 1,000, 6 GET, n GET, 2 PUT",
    "merge of k sections": "1 GET of each (small), or 1 GET of its footer and coalesced reads; 2 PUT",
    "plan of all merges of a database": "2 GET, 1 GET for each page looked at, 1 PUT if there are any",
    "scheduled run, nothing to do, any number of databases": "1 LIST",
}

# How long it takes, in seconds: one trip to S3 for a PUT of a segment, for a LIST, for a GET; and in S3 Express.
PUT_SECONDS, LIST_SECONDS, GET_SECONDS = 0.070, 0.030, 0.025
EXPRESS_SECONDS = 0.008
# The work of a function besides waiting.
WRITE_SECONDS, QUERY_SECONDS, ENGINE_SECONDS = 0.005, 0.040, 0.010
# Segments that are read at once, names that a LIST gives, messages in a request to SQS.
READS_AT_ONCE, NAMES_OF_A_PAGE, MESSAGES_AT_ONCE = 16, 1_000, 10
# For so long segments stay that were flushed. S3 lists from a name on; S3 Express lists them, too.
SEGMENT_GRACE_SECONDS = 120
# An instance lives for some hours; what a cold query reads of sections is bounded by what dashboards look at.
INSTANCE_HOURS = 2
COLD_GETS = 20
# Lambda asks a queue with five requests at a time, which wait for 20 s if there is nothing.
IDLE_POLLS_PER_SECOND = 5 / 20
ALARMS, METRICS = 17, 5

# What settling writes for each byte that stays, and how much of it a core does, as bench/README.md says.
AMPLIFICATION, MERGE_BYTES_PER_SECOND = 2.18, 9.1e6
# Of values that are noisy. Those of bench/settle.py, which are less so, take a tenth.
BYTES_PER_VALUE = 4

# The line of the gateway. The functions log none, unless they are told to; a server does.
LOG_BYTES_PER_REQUEST = 350

# A dashboard: panels, seconds between two refreshes, hours and days on which somebody looks, bytes of an answer.
PANELS, REFRESH_SECONDS, HOURS_A_DAY, DAYS_A_MONTH = 6, 30, 8, 22
ANSWER_BYTES = 4_000

RETENTION_DAYS = 365


@dataclasses.dataclass
class Workload:
    """Who writes how much."""

    title: str
    about: str
    requests_per_second: float
    values_per_second: float


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
]


def settings():
    """What infra/terraform sets: memory, seconds of schedules, the engine's window in seconds and messages of a batch."""
    deployment = json.loads((ROOT / "tests" / "terraform" / "deployment.json").read_text())
    variables = (ROOT / "infra" / "terraform" / "variables.tf").read_text()
    every = dict(re.findall(r'(\w+) += optional\(string, "rate\((\d+) minutes?\)"\)', variables))
    memory = {name: it["memory_mib"] / 1024 for name, it in deployment["functions"].items()}
    (window,) = re.findall(r"batching_window += optional\(number, (\d+)\)", variables)
    batches = re.findall(r"batch_size += (\d+)", (ROOT / "infra" / "terraform" / "schedules.tf").read_text())
    return memory, {name: int(minutes) * 60 for name, minutes in every.items()}, int(window), max(map(int, batches))


MEMORY_GB, EVERY_SECONDS, WINDOW_SECONDS, BATCH = settings()


@dataclasses.dataclass
class Requests:
    """Requests to a store in a month."""

    puts: float = 0
    gets: float = 0

    def cost(self, store):
        """In dollars. A LIST costs as much as a PUT."""
        return self.puts / 1000 * price(f"{store}: a thousand PUT") + self.gets / 1000 * price(f"{store}: a thousand GET")


@dataclasses.dataclass
class Month:
    """What happens in a month of a workload."""

    workload: Workload
    users: int
    express: bool = False

    def __post_init__(self):
        self.writes = self.workload.requests_per_second * SECONDS
        self.segments = self.writes
        looked_at = HOURS_A_DAY * 3600 * DAYS_A_MONTH
        self.queries = self.users * PANELS * looked_at / REFRESH_SECONDS
        self.runs = SECONDS / EVERY_SECONDS["flush"]
        # A flush when there are 300 segments, 8 MiB of them, or the oldest is 10 minutes old, at most one in a run.
        tail_bytes = self.segments * self.segment_bytes()
        due = max(self.segments / 300, tail_bytes / (8 << 20), SECONDS / 600)
        self.flushes = min(due, self.runs)
        self.pages = self.pages_of_tail()
        # Instances that answer queries while somebody looks: one for each panel, as those of a refresh come at once and an
        # instance has one at a time, and no fewer than by Little's law. With more of them each meets more new segments.
        self.instances = PANELS
        self.query_seconds = self.seconds_of_query(looked_at)
        while self.instances < self.queries / looked_at * self.query_seconds:
            self.instances += 1
            self.query_seconds = self.seconds_of_query(looked_at)
        self.segments_while_looked_at = self.segments * looked_at / SECONDS

    def pages_of_tail(self):
        """How many pages a listing of the tail has, on average."""
        between_flushes = SECONDS / self.flushes
        # What has come since the last flush, and while this one reads.
        seconds = between_flushes / 2 + self.segments / self.flushes / READS_AT_ONCE * self.get_seconds()
        if self.express:
            seconds += between_flushes + SEGMENT_GRACE_SECONDS
        return max(1, math.ceil(self.workload.requests_per_second * seconds / NAMES_OF_A_PAGE))

    def get_seconds(self):
        """How long a GET of a segment takes."""
        return EXPRESS_SECONDS if self.express else GET_SECONDS

    def seconds_of_query(self, looked_at):
        """How long a query takes: pages are listed one after the other, then what is new to the instance is read."""
        page = EXPRESS_SECONDS if self.express else LIST_SECONDS
        new = self.workload.requests_per_second * looked_at * self.instances / self.queries
        reads = new if new < 1 else math.ceil(new / READS_AT_ONCE)
        return self.pages * page + reads * self.get_seconds() + QUERY_SECONDS

    def segment_bytes(self):
        """A segment: some 600 bytes, and what is left of the values after compression."""
        values = self.workload.values_per_second / self.workload.requests_per_second
        return 600 + values * 6

    def stored_gb(self):
        """What there is in the bucket after a year."""
        return self.workload.values_per_second * RETENTION_DAYS * 86_400 * BYTES_PER_VALUE / 1e9

    def write_requests(self):
        """Segments, and the proofs beside them."""
        proofs = min(self.writes, SECONDS / 5 * max(1, self.workload.requests_per_second * PUT_SECONDS))
        return Requests(puts=self.writes), Requests(gets=3 * proofs)

    def query_requests(self):
        """On the tail, and on the rest."""
        # An instance reads each segment once, and after a flush its sections.
        segments = self.instances * self.segments_while_looked_at
        flushed = self.instances * self.flushes * HOURS_A_DAY * DAYS_A_MONTH / HOURS
        cold = self.instances * HOURS_A_DAY * DAYS_A_MONTH / INSTANCE_HOURS
        tail = Requests(puts=self.queries * self.pages, gets=segments)
        return tail, Requests(gets=2 * self.queries + 2 * flushed + COLD_GETS * cold)

    def compact_requests(self):
        """On the tail, and on the rest."""
        # Of the four listings of a run that flushes, one is there without a flush, too.
        listed = max(1, math.ceil(self.segments / self.flushes / NAMES_OF_A_PAGE))
        lists = self.runs + (4 * max(listed, self.pages) - 1) * self.flushes
        tail = Requests(puts=lists, gets=self.segments)
        # About one merge for each seven flushes on the first tier, and a seventh of that on each further one.
        merges = self.flushes / 6
        looks = SECONDS / EVERY_SECONDS["collect"]
        rest = Requests(
            puts=2 * self.flushes + 3 * merges + 3 * looks,
            gets=6 * self.flushes + 10 * merges + 6 * looks,
        )
        return tail, rest

    def compact_seconds(self):
        """The time of all invocations."""
        new_bytes = self.workload.values_per_second * SECONDS * BYTES_PER_VALUE
        idle = self.runs * 2 * LIST_SECONDS
        reading = self.segments * self.get_seconds() / READS_AT_ONCE + self.flushes * 8 * GET_SECONDS
        looks = SECONDS / EVERY_SECONDS["collect"] * 0.5
        return idle + reading + looks + new_bytes * AMPLIFICATION / MERGE_BYTES_PER_SECOND


def engine(month):
    """What the engine costs that has nothing to do: no trigger on writes, none on times."""
    ticks = SECONDS / EVERY_SECONDS["tick"]
    invocations, messages = ticks, 0
    if not month.express:
        invocations += max(month.segments / BATCH, min(month.segments, SECONDS / WINDOW_SECONDS))
        together = min(MESSAGES_AT_ONCE, max(1, month.workload.requests_per_second * WINDOW_SECONDS))
        # S3 sends each notification by itself; Lambda fetches and deletes several.
        fetched = max(SECONDS * IDLE_POLLS_PER_SECOND, month.segments / together)
        messages = month.segments + fetched + month.segments / together
    # It asks whether the catalog has changed.
    seconds = 2 * GET_SECONDS + ENGINE_SECONDS
    return (
        ticks / 1e6 * price("EventBridge")
        + messages / 1e6 * price("SQS")
        + invocations / 1e6 * price("Lambda: a million")
        + invocations * seconds * MEMORY_GB["engine"] * price("Lambda: a GB-second")
        + Requests(gets=2 * invocations).cost("S3 Standard")
    )


def functions(month):
    """What the functions cost, by item."""
    tail_put, proofs = month.write_requests()
    tail_query, rest_query = month.query_requests()
    tail_compact, rest_compact = month.compact_requests()
    tail_store = "S3 Express" if month.express else "S3 Standard"
    put_seconds = EXPRESS_SECONDS if month.express else PUT_SECONDS
    gb_seconds = (
        month.writes * (put_seconds + WRITE_SECONDS) * MEMORY_GB["write"]
        + month.queries * month.query_seconds * MEMORY_GB["query"]
        + month.compact_seconds() * MEMORY_GB["compact"]
    )
    looks = SECONDS / EVERY_SECONDS["collect"]
    started = month.runs + looks
    # A merge is handed out by a message, taken and deleted; somebody asks the queue all the time.
    messages = 3 * month.flushes / 6 + SECONDS * IDLE_POLLS_PER_SECOND
    requests = month.writes + month.queries
    tail_gb = month.writes * month.segment_bytes() / 1e9
    tail_cost = tail_put.cost(tail_store) + tail_query.cost(tail_store) + tail_compact.cost(tail_store)
    if month.express:
        read = tail_query.gets + tail_compact.gets
        tail_cost += tail_gb * price("S3 Express: a GB uploaded")
        tail_cost += read * month.segment_bytes() / 1e9 * price("S3 Express: a GB retrieved")
        kept_seconds = 1.5 * SECONDS / month.flushes + SEGMENT_GRACE_SECONDS
        tail_cost += tail_gb * kept_seconds / SECONDS * price("S3 Express: a GB for a month")
    return {
        "API Gateway": requests / 1e6 * price("API Gateway"),
        "Lambda, requests": (requests + started + month.flushes / 6) / 1e6 * price("Lambda: a million"),
        "Lambda, time": gb_seconds * price("Lambda: a GB-second"),
        "S3, requests on new data": tail_cost,
        "S3, other requests": (
            proofs.cost("S3 Standard") + rest_query.cost("S3 Standard") + rest_compact.cost("S3 Standard")
        ),
        "S3, storage": month.stored_gb() * price("S3 Standard: a GB"),
        "Scheduler, SQS": started / 1e6 * price("EventBridge") + messages / 1e6 * price("SQS"),
        "Engine": engine(month),
        "CloudWatch": (
            requests * LOG_BYTES_PER_REQUEST / 1e9 * price("CloudWatch: a GB")
            + ALARMS * price("CloudWatch: an alarm")
            + METRICS * price("CloudWatch: a metric")
            + price("CloudWatch: a dashboard")
        ),
        "Data out": month.queries * ANSWER_BYTES / 1e9 * price("Data out"),
        "Servers": 0.0,
        "Disks": 0.0,
    }


def server_requests(month):
    """Requests of one `neap serve --sole-writer` over S3: a segment a second at most, and no question for queries."""
    segments = min(month.writes, SECONDS)
    proofs = min(month.writes, SECONDS / 5)
    merges = month.flushes / 6
    tail = Requests(puts=segments)
    flushed = Requests(puts=3 * month.flushes, gets=2 * month.flushes + segments)
    others = Requests(puts=3 * merges, gets=3 * proofs + 10 * merges + 2 * month.flushes)
    return tail, flushed, others


def container(month):
    """Half a processor and 2 GB of Fargate behind a load balancer, over S3."""
    tail, flushed, others = server_requests(month)
    hourly = 0.5 * price("Fargate: a processor") + 2 * price("Fargate: a GB") + price("Network load balancer")
    requests = month.writes + month.queries
    return {
        "S3, requests on new data": tail.cost("S3 Standard"),
        "S3, other requests": flushed.cost("S3 Standard") + others.cost("S3 Standard"),
        "S3, storage": month.stored_gb() * price("S3 Standard: a GB"),
        "CloudWatch": requests * LOG_BYTES_PER_REQUEST / 1e9 * price("CloudWatch: a GB"),
        "Data out": month.queries * ANSWER_BYTES / 1e9 * price("Data out"),
        "Servers": hourly * HOURS,
    }


def machine(month):
    """A t4g.small with its data on a disk of its own."""
    disk_gb = max(20, math.ceil(month.stored_gb() * 1.5))
    return {
        "Data out": month.queries * ANSWER_BYTES / 1e9 * price("Data out"),
        "Servers": (price("EC2") + price("A public IPv4")) * HOURS,
        "Disks": disk_gb * price("EBS"),
    }


SETUPS = [
    ("functions", lambda workload, users: functions(Month(workload, users))),
    ("functions, S3 Express", lambda workload, users: functions(Month(workload, users, express=True))),
    ("container", lambda workload, users: container(Month(workload, users))),
    ("t4g.small", lambda workload, users: machine(Month(workload, users))),
]

USERS = (5, 50)


def dollars(value):
    """An amount as people read it."""
    if value == 0:
        return "–"
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"


def table(workload):
    """What a workload costs, by item."""
    columns = [(name, users, make(workload, users)) for name, make in SETUPS for users in USERS]
    items = list(columns[0][2])
    lines = [
        "| $ a month | " + " | ".join(f"{name}, {users} users" for name, users, _ in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for item in items:
        lines.append(f"| {item} | " + " | ".join(dollars(costs.get(item, 0)) for _, _, costs in columns) + " |")
    lines.append("| **all** | " + " | ".join(f"**{dollars(sum(costs.values()))}**" for _, _, costs in columns) + " |")
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


def page():
    """The page."""
    check_budgets()
    prices = "\n".join(f"| {name} | {plain(value)} | [list]({source(name)}) |" for name, value in PRICES.items())
    engine_idle = dollars(engine(Month(WORKLOADS[0], USERS[0], express=True)))
    sections = "\n".join(f"### {it.title}\n\n{it.about}\n\n{table(it)}\n" for it in WORKLOADS)
    return f"""# What it costs

Made by `bench/cost.py` from the [requests that tests assert](operations.md#what-it-costs), the settings of
`infra/terraform`, and Amazon's list [prices](#prices) as of {PRICES_OF} in {REGION}. They were written down by hand, and nothing
here asks Amazon: before you rely on a sum, compare them with the lists that are linked below, change what is no longer true
in `bench/prices.py`, and run the program again.

{sections}
What to take from it:

* What writes cost is the number of requests, not of values: gather them before they are sent. A function has one request
  at a time, so each write is a segment of its own; a server puts one segment a second, whoever writes.
* What dashboards cost on functions is a LIST for each panel, refresh and 1,000 segments that wait to be flushed. With an
  allowed staleness (`NEAP_MAX_STALENESS`, or `x-neap-max-staleness` in a request) an instance asks once for many.
* The engine costs a message, and often an invocation, for each write, whether or not there is a plugin. Who has no trigger
  on writes says `engine = {{ notifications = false }}`, which leaves its schedule ($ {engine_idle}), and who has no plugins
  `engine = {{ enabled = false }}`.
* New data in S3 Express costs a fifth of the requests, and less time. It is in one availability zone until it is flushed.
* A server costs the same whether somebody asks or not. Functions cost next to nothing while nobody does, and answer any
  number at once.

## What is assumed

* A month of {DAYS} days; data of {RETENTION_DAYS} days, {BYTES_PER_VALUE} bytes a value: noisy ones, for those that
  change little take [a tenth](../bench/README.md#once-measured).
* A user looks at {PANELS} panels, refreshed every {REFRESH_SECONDS} s, {HOURS_A_DAY} hours on {DAYS_A_MONTH} days; an answer has {ANSWER_BYTES:,} bytes.
  Nobody allows stale answers. The panels of a refresh ask at once, each another instance; each instance reads each new
  segment. S3 Express lists segments also after they were flushed, until they are deleted {SEGMENT_GRACE_SECONDS // 60} minutes later.
* Memory: {MEMORY_GB["write"]:g} GB for writes, {MEMORY_GB["query"]:.2f} GB for queries and compaction. A PUT takes {PUT_SECONDS * 1000:.0f} ms, a LIST {LIST_SECONDS * 1000:.0f} ms, a GET {GET_SECONDS * 1000:.0f} ms,
  either in S3 Express {EXPRESS_SECONDS * 1000:.0f} ms; beside that a write takes {WRITE_SECONDS * 1000:.0f} ms, a query {QUERY_SECONDS * 1000:.0f} ms, a look of the engine
  {ENGINE_SECONDS * 1000:.0f} ms. {READS_AT_ONCE} segments are read at once. An instance lives for {INSTANCE_HOURS} hours.
* A flush every 10 minutes, or when there are 300 segments or 8 MiB, looked for every {EVERY_SECONDS["flush"] // 60} minute; everything looked at every
  {EVERY_SECONDS["collect"] // 60} minutes. Settling writes {AMPLIFICATION} bytes for each that stays, {MERGE_BYTES_PER_SECOND / 1e6:g} MB/s for each core.
* {LOG_BYTES_PER_REQUEST} bytes of logs for each request. {ALARMS} alarms, {METRICS} metrics, a dashboard.
* The engine as it is by default, and no plugins: an invocation a minute; a message for each segment in S3, gathered for
  {WINDOW_SECONDS} s and up to {BATCH} for an invocation, fetched and deleted up to {MESSAGES_AT_ONCE} at a time. The time of plugins, and what they read,
  write and call, come on top.
* The container: half a processor and 2 GB of Fargate behind a load balancer (its hours, not its units of load), with
  `--sole-writer`. The machine: a `t4g.small` that keeps its data on a disk of its own, half as large again as the data and at
  least 20 GB. Neither is there twice.
* No network of one's own, key of KMS, name, tracing or backup; nothing between zones and regions. No starts of new
  instances but for what they read.
* No free tiers. Each month a million requests and 400,000 GB-seconds of Lambda, a million requests of SQS, 14 million starts
  of the Scheduler and 100 GB of data out are free: most of the first workload but for the store.

## Prices

As of {PRICES_OF}, in {REGION}, and not compared with Amazon's lists since: that is left to whoever relies on them.

| what | $ | from |
|---|---:|---|
{prices}
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
