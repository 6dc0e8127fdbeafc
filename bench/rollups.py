#!/usr/bin/env python3
"""A dashboard from a materialized view beside its source, and the cost of keeping the view up to date.

    bench/rollups.py [--days 90] [--hosts 1000] [--interval 5m] [--only dashboard,refresh] [--neap PATH]

A table `cpu` with 3 fields of each host gets a point per `--interval`, for `--days`. It is compacted. A view of windows
of 1 hour then has `count`, `sum`, `avg`, `min` and `max` of each field and host. There is no peer: the source is compared
with the view, on one server.

| part | what is measured |
|---|---|
| `dashboard` | 12 panels over the last 30 days, with windows of 1 hour, 6 hours and 1 day, one after the other: from the source (`x-neap-rollups: off`), from the view by a query of the source (`exact`), and by a query of the view's table. The answers are compared, and the plan of each `exact` panel must name the view |
| `refresh` | the server's CPU time for writing one hour of new rows, and the CPU time that the view adds |

How `refresh` separates the two: two servers run on copies of the same data, one with the view, one without it. Both get
the same hours of rows, one hour per round, and each round lasts the same time for both: until the rows are flushed, the view
is current, and its rows are flushed, too. On the server without the view, a view of an idle table makes flushes as
frequent. Before the first round, each server's CPU time without writes is measured for the length of a round, and
subtracted from each round. Then

    writing = CPU time of the server without the view: requests, flush and merges of the source
    refresh = CPU time of the server with the view - writing: query, write, flush and merges of the view's rows

over all rounds, because a single round takes only a few ticks of the processor's clock. With `--parts 6`, an hour comes in 6
parts, each followed by a flush and a refresh, so that its window is computed 6 times. The new rows have their own interval
(`--write-interval`), because the share of a refresh depends on the number of points in a window.

The client and the servers share the machine. Prints Markdown.
"""

import argparse
import contextlib
import datetime
import http.client
import itertools
import json
import math
import pathlib
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time

import gen_tsbs
import report as reports
import servers
from settle import metric, settle

PARTS = ["dashboard", "refresh"]
START = 1_704_067_200  # 2024-01-01T00:00:00Z
HOUR, DAY = 3_600, 86_400
REGIONS = sorted(gen_tsbs.REGIONS)
FIELDS = ["usage_user", "usage_system", "load1"]
LINES_PER_BODY = 10_000
# The number of different points. A host repeats them from a place of its own.
POINTS = 1 << 16
# Age of rows at their flush, in seconds. It exceeds the minimum age, so that all rows of an hour are in one flush.
ROLLUP_INTERVAL = 15
# Maximum time for the refresh of a new view, in seconds.
REFRESH_LIMIT = 1_800


class Fleet:
    """Line protocol of all hosts: each field is a random walk."""

    def __init__(self, hosts):
        numbers = random.Random(42)
        self.prefixes = [f"cpu,hostname=host_{host},region={REGIONS[host % len(REGIONS)]} " for host in range(hosts)]
        self.offsets = [numbers.randrange(POINTS) for _ in range(hosts)]
        self.points, (user, system, load) = [], (50.0, 20.0, 4.0)
        for _ in range(POINTS):
            user = min(max(user + numbers.gauss(0, 1), 0), 100)
            system = min(max(system + numbers.gauss(0, 1), 0), 100)
            load = min(max(load + numbers.gauss(0, 0.1), 0), 64)
            self.points.append(f"usage_user={user:.0f}i,usage_system={system:.0f}i,load1={load:.2f} ")

    def bodies(self, begin, end, interval):
        """Yields functions that build the bodies of requests, and their numbers of rows."""
        step = interval * max(1, LINES_PER_BODY // len(self.prefixes))
        for first in range(begin, end, step):
            times = range(first, min(first + step, end), interval)
            yield lambda times=times: self.body(times, interval), len(times) * len(self.prefixes)

    def body(self, times, interval):
        points, mask = self.points, POINTS - 1
        lines = []
        for moment in times:
            stamp, tick = f"{moment}\n", moment // interval
            lines += [prefix + points[offset + tick & mask] + stamp
                      for prefix, offset in zip(self.prefixes, self.offsets)]
        return "".join(lines).encode()


class Client:
    """One connection that is kept open."""

    def __init__(self, server):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)

    def send(self, path, body, headers=None):
        """Sends a request, again while the server asks to wait; returns the answer."""
        while True:
            self.connection.request("POST", path, body, headers or {})
            response = self.connection.getresponse()
            answer = response.read()
            wait = response.headers["retry-after"]
            if response.status < 300:
                return answer
            if response.status not in (429, 503) or wait is None:
                raise SystemExit(f"{path}: {response.status} {answer[:300]!r}")
            time.sleep(float(wait))

    def query(self, sql, rollups="exact"):
        headers = {"Content-Type": "application/json", "x-neap-rollups": rollups}
        return self.send("/api/v3/query_sql", json.dumps({"db": "bench", "q": sql, "format": "json"}), headers)

    def rows(self, sql, rollups="exact"):
        return json.loads(self.query(sql, rollups))

    def write(self, lines):
        self.send("/api/v3/write_lp?db=bench&precision=second", lines)


def write_all(server, bodies, connections):
    """Writes bodies over several connections, roughly in order; returns rows and seconds."""
    lock, written, errors = threading.Lock(), [], []

    def work():
        client = Client(server)
        while not errors:
            with lock:
                body, rows = next(bodies, (None, 0))
            if body is None:
                return
            try:
                client.write(body())
            except (SystemExit, OSError, http.client.HTTPException) as error:
                errors.append(error)
            written.append(rows)

    began = time.perf_counter()
    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise SystemExit(f"the server refused a write: {errors[0]}")
    return sum(written), time.perf_counter() - began


def start(arguments, directory):
    return servers.neap(arguments.neap, directory, ["--rollup-interval", f"{ROLLUP_INTERVAL}s"])


def load(arguments, fleet, directory):
    """Writes all days and compacts them."""
    with start(arguments, directory) as server:
        bodies = fleet.bodies(START, arguments.end, arguments.interval)
        rows, seconds = write_all(server, bodies, arguments.connections)
        # What is younger than the flush lag is not flushed.
        time.sleep(9)
    arguments.report.note(f"{rows:,} rows of {arguments.hosts:,} hosts and {arguments.days} days, written in "
                          f"{seconds:.0f} s ({rows / seconds:,.0f} rows/s)")
    settle(arguments.neap, directory)


def view_values():
    """The aggregates of the view, each with the name of its column."""
    functions = ["count", "sum", "avg", "min", "max"]
    return [(function, field, f"{function}_{field}") for field in FIELDS for function in functions]


def view_sql():
    values = ", ".join(f"{function}({field}) AS {name}" for function, field, name in view_values())
    return ("CREATE MATERIALIZED VIEW cpu_1h AS SELECT date_bin(INTERVAL '1 hour', time) AS time, hostname, region, "
            f"{values} FROM cpu GROUP BY 1, hostname, region")


def is_idle(server):
    """Returns whether all views are current, and nothing is left to flush."""
    states = Client(server).rows("SELECT state, pending_windows, error FROM system.materialized_views")
    failed = [state["error"] for state in states if state.get("error")]
    if failed:
        raise SystemExit(f"the refresh failed: {failed[0]}")
    is_current = all((state["state"], state.get("pending_windows")) == ("current", 0) for state in states)
    return is_current and metric(server, "neap_tail_segments") == 0


def wait_until_idle(server):
    end = time.monotonic() + REFRESH_LIMIT
    while not is_idle(server):
        if time.monotonic() > end:
            raise SystemExit(f"the view is not current after {REFRESH_LIMIT} s")
        time.sleep(0.5)


def create_view(arguments, directory):
    """Creates the view, waits until it has all rows, and merges what it has written."""
    with start(arguments, directory) as server:
        used, began, client = server.cpu_seconds(), time.perf_counter(), Client(server)
        client.query(view_sql())
        states = "SELECT state, pending_windows, error FROM system.materialized_views"
        while client.rows(states) != [{"state": "current", "pending_windows": 0}]:
            if time.perf_counter() - began > REFRESH_LIMIT:
                raise SystemExit(f"the view is not current: {client.rows(states)}")
            time.sleep(0.2)
        seconds, cpu = time.perf_counter() - began, server.cpu_seconds() - used
        rows = client.rows("SELECT count(*) AS n FROM cpu_1h")[0]["n"]
        arguments.report.note(f"First refresh of the view: {rows:,} rows in {seconds:.1f} s, {cpu:.1f} s of CPU time")
        wait_until_idle(server)
    settle(arguments.neap, directory)


class Panel:
    """A query of the source, and the same one of the view's table."""

    def __init__(self, name, window, values, tags=(), where=None):
        self.name, self.window, self.values, self.tags, self.where = name, window, values, tags, where

    def sql(self, arguments, of_view):
        keys = ["t", *self.tags]
        values = ", ".join(f"{self.value(function, field, of_view)} AS {function}_of_{field}"
                           for function, field in self.values)
        begin = datetime.datetime.fromtimestamp(max(START, arguments.end - 30 * DAY), datetime.timezone.utc)
        conditions = [f"time >= '{begin:%Y-%m-%dT%H:%M:%SZ}'", *([self.where] if self.where else [])]
        return (f"SELECT date_bin(INTERVAL '{self.window}', time) AS {', '.join(keys)}, {values} "
                f"FROM {'cpu_1h' if of_view else 'cpu'} WHERE {' AND '.join(conditions)} "
                f"GROUP BY {', '.join(keys)} ORDER BY {', '.join(keys)}")

    @staticmethod
    def value(function, field, of_view):
        if function == "mean":
            total, count = (Panel.value(part, field, of_view) for part in ("sum", "count"))
            return f"CAST({total} AS DOUBLE) / {count}"
        # One row of the view per group: its mean is the result.
        outer = {"count": "sum", "avg": "max"}.get(function, function)
        return f"{outer}({function}_{field})" if of_view else f"{function}({field})"


def panels(hosts):
    ten = "hostname IN (" + ", ".join(f"'host_{host * 37 % hosts}'" for host in range(10)) + ")"
    host, series = f"hostname = 'host_{7 % hosts}'", ("hostname", "region")
    region = f"region = '{REGIONS[0]}'"
    yield Panel("one host, mean and maximum", "1 hour", [("avg", "usage_user"), ("max", "usage_user")], series, host)
    yield Panel("10 hosts, mean", "1 hour", [("avg", "load1")], series, ten)
    yield Panel("all hosts, maximum", "1 hour", [("max", "usage_user")])
    yield Panel("all hosts, mean and count", "1 hour", [("mean", "usage_system"), ("count", "usage_system")])
    yield Panel("regions, maximum", "1 hour", [("max", "load1")], ("region",))
    yield Panel("10 hosts, minimum and maximum", "6 hours", [("min", "load1"), ("max", "load1")], ("hostname",), ten)
    yield Panel("all hosts, minimum and maximum", "6 hours", [("min", "usage_user"), ("max", "usage_user")])
    yield Panel("regions, mean", "6 hours", [("mean", "usage_user")], ("region",))
    yield Panel("all hosts, mean", "1 day", [("mean", "usage_user")])
    yield Panel("all hosts, points", "1 day", [("count", "load1")])
    yield Panel("hosts of a region, maximum", "1 day", [("max", "usage_system")], ("hostname",), region)
    yield Panel("regions, minimum and maximum", "1 day", [("min", "load1"), ("max", "load1")], ("region",))


SIDES = {"source": ("off", False), "exact": ("exact", False), "view": ("off", True)}


def differ(one, other):
    """Returns whether two values differ by more than rounding."""
    if isinstance(one, float) and isinstance(other, float):
        return not math.isclose(one, other, rel_tol=1e-12)
    return one != other


def check(client, panel, queries):
    """Ends the program if the answers differ, or if the `exact` one is not from the view."""
    answers = {name: client.rows(queries[name], rollups) for name, (rollups, _) in SIDES.items()}
    if not answers["source"]:
        raise SystemExit(f"{panel.name}: no rows")
    # Floats are added in another order in each execution.
    for one, other, view in itertools.zip_longest(*answers.values(), fillvalue={}):
        if any(one.keys() != it.keys() or any(differ(one[key], it[key]) for key in one) for it in (other, view)):
            raise SystemExit(f"{panel.name}: the view has {other}, its table {view}, the source {one}")
    for rollups, is_expected in (("exact", True), ("off", False)):
        plan = client.query(f"EXPLAIN {queries['exact']}", rollups).decode()
        if ("TableScan: cpu_1h" in plan) != is_expected:
            raise SystemExit(f"{panel.name}: the plan with {rollups}: {plan}")
    return len(answers["source"])


def dashboard(arguments, _, directory):
    shown = list(panels(arguments.hosts))
    times = {(name, panel.name, panel.window): [] for name in SIDES for panel in shown}
    with start(arguments, directory) as server:
        wait_until_idle(server)
        client = Client(server)
        queries = [{name: panel.sql(arguments, of_view) for name, (_, of_view) in SIDES.items()} for panel in shown]
        sizes = [check(client, panel, query) for panel, query in zip(shown, queries)]
        for _, (name, (rollups, _)) in itertools.product(range(arguments.rounds), SIDES.items()):
            for panel, query in zip(shown, queries):
                began = time.perf_counter()
                client.query(query[name], rollups)
                times[name, panel.name, panel.window].append((time.perf_counter() - began) * 1000)
    def row(title, window, rows, medians):
        source, exact, view = (medians[name] for name in SIDES)
        return [title, window, rows, source, exact, source / exact, view, source / view]

    lines = [row(panel.name, panel.window, rows,
                 {name: statistics.median(times[name, panel.name, panel.window]) for name in SIDES})
             for panel, rows in zip(shown, sizes)]
    rounds = {name: zip(*(runs for (side, *_), runs in times.items() if side == name)) for name in SIDES}
    lines.append(row("all 12", "", sum(sizes), {name: statistics.median(map(sum, runs)) for name, runs in rounds.items()}))
    arguments.report.table(f"12 panels over 30 days, medians of {arguments.rounds} rounds",
                           ["panel", "window", "rows", "source ms", "exact ms", "ratio", "view's table ms", "ratio"], lines)


def round_of(arguments, both, bodies=None):
    """Writes bodies to both servers, and waits as long for both; returns the CPU seconds of each."""
    used, began = [server.cpu_seconds() for server in both], time.monotonic()
    for server in both if bodies else []:
        write_all(server, iter(bodies), arguments.connections)
    time.sleep(max(0.0, began + arguments.round_seconds - time.monotonic()))
    if not all(is_idle(server) for server in both):
        raise SystemExit(f"rows are not flushed or refreshed after {arguments.round_seconds} s: --round-seconds")
    return [server.cpu_seconds() - before for server, before in zip(both, used)]


def refresh(arguments, fleet, directory):
    hours, interval = arguments.hours, arguments.write_interval
    with contextlib.ExitStack() as stack:
        without = stack.enter_context(start(arguments, arguments.copy))
        client = Client(without)
        client.write(f"idle value=1 {START}")
        client.query("CREATE MATERIALIZED VIEW idle_1h AS SELECT date_bin(INTERVAL '1 hour', time) AS time, "
                     "count(value) AS n FROM idle GROUP BY 1")
        both = [without, stack.enter_context(start(arguments, directory))]
        for server in both:
            wait_until_idle(server)
        piece = HOUR // arguments.parts
        spans = [range(arguments.end + hour * HOUR + part * piece, arguments.end + hour * HOUR + (part + 1) * piece)
                 for hour in range(hours + 1) for part in range(arguments.parts)]
        bodies = [[(lambda body=body(): body, rows) for body, rows in fleet.bodies(span.start, span.stop, interval)]
                  for span in spans]
        rows = sum(rows for _, rows in itertools.chain(*bodies[arguments.parts:]))
        # The first hour opens files and caches.
        for part in bodies[:arguments.parts]:
            round_of(arguments, both, part)
        idle = round_of(arguments, both)
        before = [metric(both[1], f"neap_view_{name}_total") for name in ("windows", "rows")]
        rounds = [round_of(arguments, both, part) for part in bodies[arguments.parts:]]
        windows, view_rows = (metric(both[1], f"neap_view_{name}_total") - old
                              for name, old in zip(("windows", "rows"), before))
    totals = [sum(column) - len(rounds) * rest for column, rest in zip(zip(*rounds), idle)]
    writing, added = totals[0], totals[1] - totals[0]
    arguments.report.table(
        f"{hours} hours of new rows, a point per host each {interval} s, in {arguments.parts} "
        f"part{'s' if arguments.parts > 1 else ''} per hour; "
        f"{windows:.0f} windows computed, {view_rows:,.0f} rows of the view written",
        ["per hour", "rows", "CPU ms", "CPU ms / 1,000 rows", "of writing"],
        [[name, count / hours, seconds / hours * 1e3, seconds / max(count, 1) * 1e6, seconds / writing]
         for name, seconds, count in (("writing and flush", writing, rows), ("refresh of the view", added, view_rows))])
    arguments.report.note("CPU seconds of each round, without and with the view: "
                          + ", ".join(f"{one:.2f} / {other:.2f}" for one, other in rounds)
                          + f"; {idle[0]:.2f} / {idle[1]:.2f} without writes")


def seconds_of(text):
    return gen_tsbs.parse_duration(text) // 10**9


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--interval", type=seconds_of, default="5m", help="time between two points of a host (5m)")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the dashboard (5)")
    parser.add_argument("--hours", type=int, default=5, help="hours that are written in the part refresh (5)")
    parser.add_argument("--parts", type=int, default=1, help="parts of an hour, each followed by a refresh (1)")
    parser.add_argument("--write-interval", type=seconds_of, default="10s",
                        help="time between two points of a host in the part refresh (10s)")
    parser.add_argument("--round-seconds", type=float, default=40, help="length of a round of the part refresh (40)")
    parser.add_argument("--connections", type=int, default=3)
    parser.add_argument("--neap", help="the neap binary (default: target/release/neap)")
    parser.add_argument("--out", type=pathlib.Path, default=servers.HERE / "out")
    reports.add_options(parser, turns=None)
    arguments = parser.parse_args()
    arguments.report = reports.Report(arguments.save)
    if arguments.hosts < 10:
        parser.error("--hosts is less than 10")
    chosen = arguments.only.split(",")
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}")
    arguments.neap = servers.neap_binary(arguments.neap)
    arguments.end = START + arguments.days * DAY
    arguments.out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.out) as temporary:
        directory, fleet = pathlib.Path(temporary) / "data", Fleet(arguments.hosts)
        load(arguments, fleet, directory)
        if "refresh" in chosen:
            arguments.copy = directory.with_name("without")
            shutil.copytree(directory, arguments.copy)
        create_view(arguments, directory)
        for name, part in (("dashboard", dashboard), ("refresh", refresh)):
            if name in chosen:
                part(arguments, fleet, directory)
    arguments.report.finish()


if __name__ == "__main__":
    sys.exit(main())
