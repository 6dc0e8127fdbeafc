"""Random samples of about 1,000 series, from a seed, as messages of remote write.

The samples follow rules that make the answers of Prometheus 2.42 those of Prometheus 3, which has no samples at the left border of
a range and extrapolates counters to zero in another way:

* No sample is at a whole second, or half a second after one, except those of `SHARED_MS`: all targets that run are scraped
  at this time. Expressions are evaluated at these times, with ranges of whole seconds.
* A counter starts at zero or far above its increases. Only targets that are scraped regularly have counters that grow slowly
  from zero.
* Sums of values are exact in any order, because values are multiples of a power of two.
"""

import random

from prometheus_wire import STALE, histogram, series
from protobuf import chunk

START = 1_700_000_040
# The samples cover this many seconds.
SPAN = 2_400
# A whole second, 7 s after a minute: no multiple of the steps of subqueries.
SHARED_MS = (START + 1_207) * 1_000
INSTANCES = {"api": [f"api-{number}:8080" for number in range(5)], "node": [f"node-{number}:9100" for number in range(6)]}
PATHS = ["/", "/items", "/users/é"]
METHODS = ["GET", "POST"]
CODES = ["200", "404", "500"]
MODES = ["idle", "user", "system", "iowait"]
DEVICES = ["eth0", "lo"]
SITES = ["north", "south"]
ROOMS = ["attic", "cellar", "kitchen"]
QUEUES = [f"queue {number}" for number in range(12)]
TASKS = 120
BOUNDS = ["0.005", "0.025", "0.1", "0.5", "1", "2.5", "10", "+Inf"]
# Native histograms have buckets with bounds that grow by the square root of two.
SCHEMA = 1
NATIVE_BUCKETS = 8
# Far above all increases of a counter. After each restart, a counter starts at a quarter of it, so that two steps of a subquery
# with a restart between them do not extrapolate to zero.
LARGE = 1 << 32


class Series:
    """Labels, and samples in the order of their times. A sample of a native histogram is the field of a message."""

    def __init__(self, name, **labels):
        self.labels = dict(sorted({"__name__": name, **labels}.items()))
        self.samples = []
        self.is_native = False

    def message(self, samples):
        if self.is_native:
            return series(self.labels, [], b"".join(field for _, field in samples))
        return series(self.labels, samples)


class Scrapes:
    """The times of the scrapes of a target, and of its failures."""

    def __init__(self, rng, interval, is_regular):
        self.is_regular = is_regular
        phase = rng.randrange(1, interval * 1_000)
        times = []
        for number in range(SPAN // interval):
            at = START * 1_000 + phase + number * interval * 1_000
            if not is_regular:
                if rng.random() < 0.04:
                    continue
                at += rng.randrange(-180 * interval, 180 * interval)
            times.append(off_border(at))
        self.times = sorted({*times, SHARED_MS})
        # Periods in which the target does not answer, as indexes of scrapes; a counter may start again after one.
        self.down = set()
        for _ in range(rng.choice([0, 1, 1, 2])):
            first = rng.randrange(len(self.times))
            self.down.update(range(first, first + rng.choice([1, 2, 12, 25])))
        shared = self.times.index(SHARED_MS)
        # A range with the shared time and a start soon after a restart would have samples at uneven times.
        self.steady = range(shared - 14, shared + 6)
        self.down.difference_update(range(shared - 15, shared + 6))
        self.restarts = {number for number in range(1, len(self.times)) if self.restarts_at(rng, number)}

    def restarts_at(self, rng, number):
        """Whether the target restarts before a scrape: by chance, and often after a failure. A counter that is not far above
        zero never goes on after a gap."""
        if number in self.down or number in self.steady:
            return False
        return number - 1 in self.down and (self.is_regular or rng.random() < 0.6) or rng.random() < 0.008

    def fill(self, one, values, has_markers=True):
        """Adds the values of the scrapes, and a stale marker after the last one before a failure."""
        for number, at in enumerate(self.times):
            if number not in self.down:
                one.samples.append((at, values[number]))
            elif has_markers and number and number - 1 not in self.down:
                one.samples.append((at, STALE))
        return one


def off_border(at):
    return at + 1 if at % 500 == 0 else at


def counter_values(rng, scrapes, rate, quantum=1.0):
    """Increases of random multiples of `quantum`, with restarts."""
    start = LARGE
    value = rng.choice([0, start])
    values = []
    for number in range(len(scrapes.times)):
        if number in scrapes.restarts:
            value, start = 0, start // 4
        elif values:
            is_start = value == 0 and not scrapes.is_regular
            value += rng.randrange(0, rate) * quantum + is_start * start
        values.append(float(value))
    return values


def gauge_values(rng, count, low, high, offset):
    """A random walk in quarters between two bounds. `offset` is a multiple of 1/4096 below a quarter, and the same values of
    two series differ by it."""
    value = rng.randrange(low * 4, high * 4)
    values = []
    for _ in range(count):
        value = min(max(value + rng.randrange(-12, 13), low * 4), high * 4)
        values.append(value / 4 + offset / 4096)
    return values


class Samples:
    """All series of a seed."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.series = []
        self.scrapes = {}
        for job, instances in INSTANCES.items():
            for number, instance in enumerate(instances):
                self.scrapes[instance] = Scrapes(self.rng, [15, 30, 30, 60][number % 4], is_regular=job == "api")
        self.add_api()
        self.add_nodes()
        self.add_rooms()
        self.add_tasks()
        self.add_others()

    def counter(self, scrapes, rate, quantum, name, **labels):
        values = counter_values(self.rng, scrapes, rate, quantum)
        self.series.append(scrapes.fill(Series(name, **labels), values))

    def add_up(self, job, instance, scrapes):
        one = Series("up", job=job, instance=instance)
        one.samples = [(at, float(number not in scrapes.down)) for number, at in enumerate(scrapes.times)]
        self.series.append(one)

    def add_api(self):
        for instance in INSTANCES["api"]:
            scrapes, labels = self.scrapes[instance], {"job": "api", "instance": instance}
            self.add_up("api", instance, scrapes)
            for path in PATHS:
                for method in METHODS:
                    for code in CODES:
                        rate = {"200": 80, "404": 6, "500": 2}[code]
                        self.counter(scrapes, rate, 1, "http_requests_total", **labels, path=path, method=method, code=code)
                self.add_classic(scrapes, labels, path)
                self.add_native(scrapes, labels, path)
            self.add_versions(scrapes, labels)

    def add_classic(self, scrapes, labels, path):
        """Buckets that are cumulative, and restart together."""
        steps = [counter_values(random.Random(self.rng.random()), scrapes, 12) for _ in BOUNDS]
        for values in steps:
            first = values[0]
            # All start at zero, so that buckets are cumulative.
            for number, value in enumerate(values):
                values[number] = value - first if value >= first else value
        total = [0.0] * len(scrapes.times)
        for bound, values in zip(BOUNDS, steps, strict=True):
            total = [one + two for one, two in zip(total, values, strict=True)]
            one = Series("request_duration_seconds_bucket", **labels, path=path, le=bound)
            self.series.append(scrapes.fill(one, total))
        for name, values in (("sum", [value / 8 for value in total]), ("count", total)):
            self.series.append(scrapes.fill(Series(f"request_duration_seconds_{name}", **labels, path=path), values))

    def add_native(self, scrapes, labels, path):
        one = Series("latency_seconds", **labels, path=path)
        one.is_native = True
        start, total = LARGE, 1_000.0
        counts = [start + self.rng.randrange(100) for _ in range(NATIVE_BUCKETS)]
        for number, at in enumerate(scrapes.times):
            if number in scrapes.restarts:
                start, total = start // 4, 500.0
                counts = [start + self.rng.randrange(100) for _ in counts]
            counts = [count + self.rng.randrange(0, 9) for count in counts]
            total += self.rng.randrange(0, 40) / 4
            if number not in scrapes.down:
                one.samples.append((at, native_sample(at, counts, total)))
        self.series.append(one)

    def add_versions(self, scrapes, labels):
        """One series per version: the first one ends, with or without a stale marker, and the second one starts."""
        change = self.rng.randrange(len(scrapes.times) // 4, len(scrapes.times))
        has_marker = self.rng.random() < 0.7
        for version, is_first in (("1.4", True), ("1.10", False)):
            one = Series("build_info", **labels, version=version, branch="main" if is_first else "")
            if not is_first:
                del one.labels["branch"]
            for number, at in enumerate(scrapes.times):
                if number not in scrapes.down and (number < change) == is_first:
                    one.samples.append((at, 1.0))
                elif number == change and is_first and has_marker:
                    one.samples.append((at, STALE))
            if one.samples:
                self.series.append(one)

    def add_nodes(self):
        for number, instance in enumerate(INSTANCES["node"]):
            scrapes, labels = self.scrapes[instance], {"job": "node", "instance": instance}
            self.add_up("node", instance, scrapes)
            for cpu in range(4):
                for mode in MODES:
                    rate = {"idle": 50, "user": 20, "system": 8, "iowait": 2}[mode]
                    self.counter(scrapes, rate, 0.25, "node_cpu_seconds_total", **labels, cpu=str(cpu), mode=mode)
            for device in DEVICES:
                for direction in ("receive", "transmit"):
                    name = f"node_network_{direction}_bytes_total"
                    self.counter(scrapes, 2_000, 64, name, **labels, device=device)
            for kind, kinds in enumerate(("used", "free", "cached")):
                values = gauge_values(self.rng, len(scrapes.times), 100, 900, number * 3 + kind)
                self.series.append(scrapes.fill(Series("node_memory_megabytes", **labels, kind=kinds), values))

    def add_rooms(self):
        for number, (site, room) in enumerate((site, room) for site in SITES for room in ROOMS):
            scrapes = Scrapes(self.rng, self.rng.choice([20, 45]), is_regular=False)
            values = gauge_values(self.rng, len(scrapes.times), -15, 35, number)
            one = Series("temperature_celsius", site=site, room=room)
            # A sensor that ends without a stale marker.
            self.series.append(scrapes.fill(one, values, has_markers=False))
        for number, queue in enumerate(QUEUES):
            scrapes = Scrapes(self.rng, 30, is_regular=True)
            values = [float(self.rng.choice([0, 0, 1, 2, 3, 5, 8])) for _ in scrapes.times]
            self.series.append(scrapes.fill(Series("queue_length", queue=queue, job="worker"), values))

    def add_tasks(self):
        """Series that live for minutes."""
        for task in range(TASKS):
            labels = {"task": f"task-{task:03}", "kind": ["backup", "report"][task % 2], "host": f"h{task % 7}"}
            one = Series("task:duration_seconds:last", **labels)
            begin = self.rng.randrange(-600, SPAN - 120)
            end = begin + self.rng.randrange(120, 1_800)
            values = gauge_values(self.rng, SPAN // 20, 1, 120, task)
            phase = self.rng.randrange(1, 20_000)
            for number, value in enumerate(values):
                at = off_border(START * 1_000 + phase + number * 20_000)
                if begin * 1_000 <= at - START * 1_000 < end * 1_000:
                    one.samples.append((at, value))
            if one.samples and self.rng.random() < 0.5:
                one.samples.append((one.samples[-1][0] + 20_000, STALE))
            if one.samples:
                self.series.append(one)

    def add_others(self):
        """Values that are not finite, and labels with names that are columns elsewhere."""
        values = {"nan": float("nan"), "inf": float("inf"), "negative": float("-inf"), "zero": 0.0, "small": 2.0**-40}
        for kind, value in values.items():
            one = Series("unusual", kind=kind, value="x", time="noon", Zone="z")
            for number in range(SPAN // 30):
                at = off_border(START * 1_000 + 7_111 + number * 30_000)
                one.samples.append((at, value if number % 5 else number / 4))
            self.series.append(one)
        # So many series of one metric that the number of all is about 1,000.
        disks = [Scrapes(self.rng, 60, is_regular=False) for _ in range(9)]
        for number in range(1_000 - len(self.series)):
            labels = {"volume": f"v{number:03}", "disk": f"d{number % 9}", "rack": f"r{number % 4}"}
            scrapes = disks[number % 9]
            offset = number + 1
            values = gauge_values(self.rng, len(scrapes.times), 10, 90, offset)
            self.series.append(scrapes.fill(Series("disk_used_percent", **labels), values))

    def split(self):
        """Three stages of samples as pairs of a series and its samples: the first half of the time, the second one, and samples
        that arrive late."""
        rng = random.Random(len(self.series))
        middle = START * 1_000 + SPAN * 500
        stages = ([], [], [])
        for one in self.series:
            parts = ([], [], [])
            is_late = one.labels["__name__"] in LATE and rng.random() < 0.3
            for number, point in enumerate(one.samples):
                late = is_late and 0 < number < len(one.samples) - 1 and rng.random() < 0.1
                parts[2 if late else int(point[0] >= middle)].append(point)
            for stage, part in zip(stages, parts, strict=True):
                if part:
                    stage.append((one, part))
        return stages


# Metrics with samples that arrive late. Prometheus 2.42 takes no late native histograms, and does not delete late samples.
LATE = {"http_requests_total", "node_cpu_seconds_total", "temperature_celsius", "disk_used_percent"}

# What is deleted after all writes: a metric, a label with its value, and seconds from the start.
DELETES = [
    ("queue_length", "queue", "queue 3", 600.5, 1_500.5),
    ("task:duration_seconds:last", "host", "h2", 0.5, 900.5),
    ("node_memory_megabytes", "instance", "node-1:9100", 1_800.5, SPAN + 100.5),
]


def native_sample(at, counts, total):
    """A histogram whose buckets start at one."""
    deltas = [counts[0], *(two - one for one, two in zip(counts, counts[1:], strict=False))]
    return histogram(at, sum(counts) + 1, total, SCHEMA, ((1, len(counts)),), deltas)


def write_requests(stage, seconds=300):
    """Messages with the samples of a stage, in the order of their times: Prometheus refuses what is an hour older than the
    newest sample."""
    slices = {}
    for one, samples in stage:
        for point in samples:
            slices.setdefault(point[0] // (seconds * 1_000), {}).setdefault(id(one), (one, []))[1].append(point)
    for _, parts in sorted(slices.items()):
        yield b"".join(chunk(1, one.message(samples)) for one, samples in parts.values())
