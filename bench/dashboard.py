#!/usr/bin/env python3
"""A dashboard beside writers that send rows at a steady rate, some of them late.

    bench/dashboard.py [--hosts 2000] [--rate 142000] [--seconds 120] [--writers 2] [--neap PATH]

Each host sends a row with 3 fields again and again; 2 % of all rows are up to 20 days old. One client asks for the panels of
a dashboard, one after the other, without pauses. The server is `neap serve` on a directory. Prints Markdown: latencies
of each panel and of all of them, rows/s, and the memory of the server. The panel `newest` is the ten newest rows of one host:
it is also asked before the writers start, over 20 minutes of rows of each host. There is no peer.
"""

import argparse
import http.client
import itertools
import json
import pathlib
import random
import statistics
import sys
import tempfile
import threading
import time

import report as reports
import servers
from query import percentile

ROWS_PER_BODY = 4_000
LATE_SHARE = 0.02
LATE_SECONDS = 20 * 86_400
# Different bodies, sent again and again with other times.
BODIES = 32
INTERVAL_SECONDS = 10
BEFORE_SECONDS = 20 * 60

PANELS = {
    "one host": "SELECT date_bin(INTERVAL '1 minute', time) AS t, avg(usage) AS usage, max(system) AS system FROM cpu "
                "WHERE host = 'host-{host}' AND time >= now() - INTERVAL '1 hour' GROUP BY t ORDER BY t",
    "regions": "SELECT date_bin(INTERVAL '1 minute', time) AS t, region, avg(usage) AS usage FROM cpu "
               "WHERE time >= now() - INTERVAL '15 minutes' GROUP BY t, region ORDER BY t, region",
    "busiest": "SELECT host, avg(usage) AS usage FROM cpu WHERE time >= now() - INTERVAL '5 minutes' "
               "GROUP BY host ORDER BY usage DESC LIMIT 10",
    "newest": "SELECT * FROM cpu WHERE host = 'host-{host}' ORDER BY time DESC LIMIT 10",
}


def body(numbers, hosts, place):
    """Lines in a random order of hosts, none of which has the time of a line of another place. `@` stands for the seconds
    of a time."""
    lines = []
    for number in range(ROWS_PER_BODY):
        host, nanos = numbers.randrange(hosts), number * 250_000 + place
        lines.append(f"cpu,host=host-{host},region=region-{host % 7} usage={numbers.randrange(10_000) / 100},"
                     f"system={numbers.randrange(100)}i,idle={numbers.random():.4f} @{nanos:09}")
    return "\n".join(lines).encode()


def stamped(text, numbers, seconds):
    """A body of this second. Some of its lines are late."""
    text = text.replace(b"@", str(seconds).encode())
    late = int(ROWS_PER_BODY * LATE_SHARE)
    lines = text.split(b"\n", late)
    for at in range(late):
        head, _, nanos = lines[at].rpartition(b" ")
        lines[at] = b"%s %d%s" % (head, seconds - numbers.randrange(LATE_SECONDS), nanos[-9:])
    return b"\n".join(lines)


class Writer(threading.Thread):
    """Sends bodies at a rate, until it is stopped."""

    def __init__(self, port, hosts, rate, seed):
        super().__init__(daemon=True)
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.numbers = random.Random(seed)
        # Two of the same second have different points: they are used in turn, and there are more than are sent in a second.
        bodies = [body(self.numbers, hosts, seed * BODIES + number) for number in range(BODIES)]
        self.bodies = itertools.cycle(bodies)
        self.pause = ROWS_PER_BODY / rate
        self.stopped = threading.Event()
        self.rows = 0
        self.error = None

    def run(self):
        next_at = time.monotonic()
        while not self.stopped.is_set():
            text = stamped(next(self.bodies), self.numbers, int(time.time()))
            try:
                servers.post(self.connection, "/api/v3/write_lp?db=bench", text)
            except (SystemExit, OSError, http.client.HTTPException) as error:
                self.error = str(error)
                return
            self.rows += ROWS_PER_BODY
            next_at += self.pause
            self.stopped.wait(max(0, next_at - time.monotonic()))


def fill(port, hosts):
    """Writes the rows before the writers start."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    numbers, now = random.Random(7), int(time.time())
    for second in range(now - BEFORE_SECONDS, now, INTERVAL_SECONDS):
        lines = (f"cpu,host=host-{host},region=region-{host % 7} usage={numbers.randrange(10_000) / 100},"
                 f"system={numbers.randrange(100)}i,idle=0.5 {second}{host * 1_000:09}" for host in range(hosts))
        servers.post(connection, "/api/v3/write_lp?db=bench", "\n".join(lines).encode())


class Asker:
    """Asks for panels, and keeps their times."""

    def __init__(self, port, hosts):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self.numbers, self.hosts = random.Random(11), hosts
        self.times = {name: [] for name in PANELS}

    def ask(self, name):
        query = PANELS[name].format(host=self.numbers.randrange(self.hosts))
        began = time.perf_counter()
        answer = servers.post(self.connection, "/api/v3/query_sql", json.dumps({"db": "bench", "q": query}))
        self.times[name].append((time.perf_counter() - began) * 1e3)
        if name != "newest" and not json.loads(answer):
            raise SystemExit(f"no rows: {query}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=2_000)
    parser.add_argument("--rate", type=int, default=142_000, help="rows per second of all writers")
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--neap", help="the neap binary (default: target/release/neap)")
    parser.add_argument("--out", type=pathlib.Path, default=servers.HERE / "out")
    reports.add_options(parser, turns=None)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    report = reports.Report(arguments.save)
    with tempfile.TemporaryDirectory(dir=arguments.out, ignore_cleanup_errors=True) as work:
        directory = pathlib.Path(work) / "data"
        with servers.neap(servers.neap_binary(arguments.neap), directory) as server:
            fill(server.port, arguments.hosts)
            alone = Asker(server.port, arguments.hosts)
            for _ in range(50):
                alone.ask("newest")
            report.note(f"Ten newest rows of one of {arguments.hosts:,} hosts, without writers: "
                        f"{statistics.median(alone.times['newest']):.1f} ms")
            writers = [Writer(server.port, arguments.hosts, arguments.rate / arguments.writers, seed)
                       for seed in range(arguments.writers)]
            began = time.monotonic()
            for writer in writers:
                writer.start()
            asker = Asker(server.port, arguments.hosts)
            while time.monotonic() < began + arguments.seconds:
                for name in PANELS:
                    asker.ask(name)
            seconds = time.monotonic() - began
            held = server.resident_kib() >> 10
            for writer in writers:
                writer.stopped.set()
            for writer in writers:
                writer.join()
    failed = [writer.error for writer in writers if writer.error]
    everything = [one for times in asker.times.values() for one in times]
    panels = [(name, sorted(times)) for name, times in [*asker.times.items(), ("all", everything)]]
    report.table("Panels during writes", ["panel", "answers", "p50 ms", "p99 ms", "max ms"],
                 [[name, len(times), percentile(times, 0.5), percentile(times, 0.99), times[-1]] for name, times in panels])
    rows = sum(writer.rows for writer in writers)
    report.note(f"{rows / seconds:,.0f} rows/s for {seconds:.0f} s, {LATE_SHARE:.0%} of them late. The server held {held} "
                f"MiB at the end, {server.peak_kib >> 10} MiB at most.")
    if failed:
        report.note(f"A writer failed: {failed[0]}")
    report.finish()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
