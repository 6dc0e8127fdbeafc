#!/usr/bin/env python3
"""Last and distinct value caches, beside plain SQL over the same rows in the same run.

    bench/caches.py [--keys 100000] [--combinations 1000000] [--neap PATH] [--s3-server PATH] [--only warm,...]

| part | what is measured |
|---|---|
| `warm` | p50 and p99 over HTTP for one key, 100 keys and all keys, from the tail and after a flush; bytes per entry |
| `writing` | the same for one key while rows come in |
| `distinct` | a filtered look-up among many combinations of three columns |
| `cold` | requests and time to the first answer of a new process whose store answers 30 ms late |
| `ingest` | rows/s of a table with ten caches as a ratio to one without |

Prints Markdown. Every query is asked of the cache, and of the table with the header `x-neap-cache: off`.
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import ingest
import report as reports
import servers
from settle import metric

# Added to each request to the store of the cold part, in seconds.
STORE_DELAY = 0.030
PARTS = ["warm", "writing", "distinct", "cold", "ingest"]


class Client:
    """One connection that is kept open."""

    def __init__(self, server):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)

    def send(self, method, path, body=None, headers=None):
        self.connection.request(method, path, body, headers or {})
        response = self.connection.getresponse()
        answer = response.read()
        if response.status >= 300:
            raise SystemExit(f"{method} {path}: {response.status} {answer[:300]!r}")
        return answer

    def query(self, sql, cache=True):
        headers = {"Content-Type": "application/json"}
        if not cache:
            headers["x-neap-cache"] = "off"
        body = json.dumps({"db": "bench", "q": sql, "format": "json"})
        return self.send("POST", "/api/v3/query_sql", body, headers)

    def write(self, lines):
        return self.send("POST", "/api/v3/write_lp?db=bench&precision=nanosecond", lines)

    def create(self, kind, **body):
        body = json.dumps({"db": "bench", **body})
        self.send("POST", f"/api/v3/configure/{kind}", body, {"Content-Type": "application/json"})


def fleet(keys, rounds):
    """Bodies of 5,000 lines: a row of each device in each round, the last round now."""
    chance, now = random.Random(1), time.time_ns()
    for number in range(rounds):
        at = now - (rounds - 1 - number) * 10_000_000_000
        for first in range(0, keys, 5_000):
            lines = (
                f"fleet,device=d{key:07} speed={chance.random() * 100:.3f},"
                f"level={chance.random():.4f},heat={chance.random() * 90:.2f} {at + key}"
                for key in range(first, min(first + 5_000, keys))
            )
            yield "\n".join(lines)


def percentiles(ask, runs):
    """p50 and p99 in milliseconds, after a tenth as many runs that don't count."""
    times = []
    for number in range(runs + runs // 10 + 1):
        began = time.perf_counter()
        ask()
        if number > runs // 10:
            times.append((time.perf_counter() - began) * 1000)
    times.sort()
    return times[len(times) // 2], times[int(len(times) * 0.99)]


def newest(where):
    """The definition of a last value cache with count 1 as plain SQL."""
    return (
        "SELECT device, heat, level, speed, time FROM (SELECT *, row_number() OVER "
        f"(PARTITION BY device ORDER BY time DESC) AS n FROM fleet {where}) WHERE n <= 1"
    )


def look_ups(keys):
    """Name, runs, a query of the cache, and the same of the table; each drawn anew."""
    chance = random.Random(2)

    def one():
        return f"device = 'd{chance.randrange(keys):07}'"

    def hundred():
        names = ", ".join(f"'d{chance.randrange(keys):07}'" for _ in range(100))
        return f"device IN ({names})"

    cached = "SELECT * FROM last_cache('fleet', 'latest')"
    yield ("one key", 1_000, lambda: f"{cached} WHERE {one()}",
           lambda: f"SELECT * FROM fleet WHERE {one()} ORDER BY time DESC LIMIT 1")
    yield ("100 keys", 300, lambda: f"{cached} WHERE {hundred()}", lambda: newest(f"WHERE {hundred()}"))
    yield "all keys", 20, lambda: cached, lambda: newest("")


def table(report, title, rows):
    report.table(title, ["", "cache p50 ms", "p99", "plain SQL p50 ms", "p99", "p50 ratio"], rows)


def row(name, client, runs, cached, plain):
    mine = percentiles(lambda: client.query(cached()), runs)
    slow = percentiles(lambda: client.query(plain(), cache=False), max(10, runs // 20))
    return [name, *mine, *slow, mine[0] / slow[0]]


def compact(binary, directory):
    command = [binary, "compact", "--object-store", "file", "--data-dir", str(directory)]
    subprocess.run(command, check=True, stdout=sys.stderr)


def per_entry(report, server, entries):
    held = metric(server, "neap_cache_bytes")
    report.note(f"{held / entries:.0f} bytes of memory for each of {entries:,} entries, values included; "
                f"the process had {server.peak_kib / 1024:.0f} MiB at most")


def warm(arguments, binary, work):
    directory = work / "warm"
    with servers.neap(binary, directory) as server:
        client = Client(server)
        for body in fleet(arguments.keys, 3):
            client.write(body)
        client.create("last_cache", table="fleet", name="latest", ttl=86_400)
        table(arguments.report, f"{arguments.keys:,} keys x 3 values, rows in the tail",
              [row(name, client, *look_up) for name, *look_up in look_ups(arguments.keys)])
        # What was written is old enough to be flushed after the lag of a directory.
        time.sleep(12)
        compact(binary, directory)
        compact(binary, directory)
        table(arguments.report, "the same, flushed, with a snapshot of the cache",
              [row(name, client, *look_up) for name, *look_up in look_ups(arguments.keys)])
        per_entry(arguments.report, server, arguments.keys)
        if "writing" in arguments.parts:
            writing(arguments, client, server)


def writing(arguments, client, server):
    over = threading.Event()

    def write():
        own = Client(server)
        while not over.is_set():
            for body in fleet(arguments.keys, 1):
                if over.is_set():
                    return
                own.write(body)
                time.sleep(0.05)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        name, *look_up = next(look_ups(arguments.keys))
        table(arguments.report, "one key while up to 100,000 rows/s come in", [row(name, client, *look_up)])
    finally:
        over.set()
        thread.join()


def sensors(combinations):
    """Bodies with a row of each combination of region, host and sensor."""
    now, hosts = time.time_ns(), max(1, combinations // 1_000)
    for host in range(hosts):
        lines = (f"sensors,region=r{region},host=h{host:05},sensor=s{sensor:03} value={sensor} {now}"
                 for region in range(10) for sensor in range(100))
        yield "\n".join(lines)


def distinct(arguments, binary, work):
    directory = work / "distinct"
    with servers.neap(binary, directory) as server:
        client = Client(server)
        for body in sensors(arguments.combinations):
            client.write(body)
        client.create("distinct_cache", table="sensors", name="all", columns=["region", "host", "sensor"],
                      max_cardinality=2 * arguments.combinations)
        time.sleep(12)
        compact(binary, directory)
        compact(binary, directory)
        chance, hosts = random.Random(3), max(1, arguments.combinations // 1_000)

        def where():
            return f"WHERE region = 'r{chance.randrange(10)}' AND host = 'h{chance.randrange(hosts):05}'"

        table(arguments.report, f"{arguments.combinations:,} combinations of three columns", [
            row("region and host given, 100 found", client, 500,
                lambda: f"SELECT * FROM distinct_cache('sensors', 'all') {where()}",
                lambda: f"SELECT DISTINCT region, host, sensor FROM sensors {where()}"),
            row("last column given", client, 100,
                lambda: "SELECT host FROM distinct_cache('sensors', 'all') "
                        f"WHERE region = 'r1' AND sensor = 's{chance.randrange(100):03}' LIMIT 20",
                lambda: "SELECT DISTINCT host FROM sensors "
                        f"WHERE region = 'r1' AND sensor = 's{chance.randrange(100):03}' LIMIT 20")])
        per_entry(arguments.report, server, arguments.combinations)


class LateStore:
    """A forwarder that hands requests on only after a while."""

    def __init__(self, store):
        self.target, self.port = store.port, servers.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self._run, daemon=True).start()
        time.sleep(0.2)

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self.port))
        self.loop.run_forever()

    async def _serve(self, reader, writer):
        back, forth = await asyncio.open_connection("127.0.0.1", self.target)
        await asyncio.gather(self._pass(reader, forth, STORE_DELAY), self._pass(back, writer, 0))

    @staticmethod
    async def _pass(reader, writer, delay):
        with contextlib.suppress(OSError):
            while block := await reader.read(1 << 16):
                # A request comes in one piece, or its body follows while the first piece waits.
                await asyncio.sleep(delay)
                writer.write(block)
                await writer.drain()
            writer.close()


def requests(server):
    return {name: metric(server, "neap_store_requests_total", operation=name) for name in ("get", "list", "put")}


def first_answer(binary, store, work, sql, cache):
    log = work / "cold.log"
    with servers.neap_on_s3(binary, store, "cold", log, ("--mode", "query")) as server:
        client, before = Client(server), requests(server)
        began = time.perf_counter()
        client.query(sql, cache)
        took, after = (time.perf_counter() - began) * 1000, requests(server)
        made = ", ".join(f"{after[name] - before[name]:.0f} {name.upper()}" for name in after)
        return took, made


def cold(arguments, binary, work):
    s3_binary = arguments.s3_server or shutil.which("neap-s3-server")
    s3_binary = s3_binary or str(pathlib.Path(binary).with_name("neap-s3-server"))
    with servers.s3_server(s3_binary, work / "s3") as store:
        with servers.neap_on_s3(binary, store, "cold", work / "first.log") as server:
            client = Client(server)
            for body in fleet(arguments.keys, 3):
                client.write(body)
            client.create("last_cache", table="fleet", name="latest", ttl=86_400)
            time.sleep(30)
        command = [binary, "compact", "--object-store", "s3", "--bucket", "bench", "--key-prefix", "cold",
                   "--aws-endpoint", store.url, "--aws-allow-http", "--aws-access-key-id", "AKIDTEST",
                   "--aws-secret-access-key", "SKTEST"]
        for _ in range(2):
            subprocess.run(command, check=True, stdout=sys.stderr)
        late = LateStore(store)
        rows = []
        key = "device = 'd0000007'"
        for name, sql, cache in [
            ("one key, cache", f"SELECT * FROM last_cache('fleet', 'latest') WHERE {key}", True),
            ("one key, plain SQL", f"SELECT * FROM fleet WHERE {key} ORDER BY time DESC LIMIT 1", False),
            ("all keys, cache", "SELECT * FROM last_cache('fleet', 'latest')", True),
            ("all keys, plain SQL", newest(""), False),
        ]:
            runs = [first_answer(binary, late, work, sql, cache) for _ in range(reports.TURNS)]
            rows.append([name, statistics.median(took for took, _ in runs), runs[-1][1]])
        arguments.report.table(
            f"First answer of a new process, the store {STORE_DELAY * 1000:.0f} ms late, {arguments.keys:,} keys",
            ["", "ms", "requests"], rows)


CACHES = [
    ("last_cache", {"name": f"last{number}", "key_columns": keys, "ttl": 400_000_000, "count": 1 + number % 3})
    for number, keys in enumerate([["hostname"], ["region", "hostname"], ["rack"], ["team", "service"], [], ["os", "arch"]])
] + [
    ("distinct_cache", {"name": f"distinct{number}", "columns": columns, "max_age": 400_000_000})
    for number, columns in enumerate([["hostname"], ["region", "datacenter", "rack"], ["service", "team"], ["os"]])
]


def rows_per_second(arguments, binary, work, caches, number):
    data = ingest.data_file("small", arguments.out)
    with servers.neap(binary, work / f"ingest{bool(caches)}{number}") as server:
        client = Client(server)
        with open(data) as lines:
            client.write("".join(next(lines) for _ in range(100)))
        for kind, body in caches:
            client.create(kind, table="cpu", **body)
            # Caches that nobody asks are not kept up to date.
            function = f"{kind}('cpu', '{body['name']}')"
            client.query(f"SELECT count(*) FROM {function}")
        return ingest.load(server, "v3", data, 4, 5_000)["rows_per_second"]


def with_caches(arguments, binary, work):
    ratios = []
    for number in range(5):
        without = rows_per_second(arguments, binary, work, [], number)
        ten = rows_per_second(arguments, binary, work, CACHES, number)
        ratios.append(ten / without)
        print(f"ingest {number}: {without:,.0f} rows/s without, {ten:,.0f} with ten caches", file=sys.stderr, flush=True)
    arguments.report.note(f"Ingest of a table with ten caches: {statistics.median(ratios):.2f} of the rate without "
                          f"(runs: {', '.join(f'{ratio:.2f}' for ratio in ratios)})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--combinations", type=int, default=1_000_000)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--neap", help="the neap binary (default: target/release/neap)")
    parser.add_argument("--s3-server", help="the neap-s3-server binary")
    parser.add_argument("--out", type=pathlib.Path, default=servers.HERE / "out")
    reports.add_options(parser, turns=None)
    arguments = parser.parse_args()
    arguments.report = reports.Report(arguments.save)
    arguments.parts = arguments.only.split(",")
    binary = servers.neap_binary(arguments.neap)
    arguments.out.mkdir(exist_ok=True)
    parts = {"warm": warm, "distinct": distinct, "cold": cold, "ingest": with_caches}
    with tempfile.TemporaryDirectory(dir=arguments.out) as work:
        for name, part in parts.items():
            if name in arguments.parts:
                part(arguments, binary, pathlib.Path(work))
    arguments.report.finish()


if __name__ == "__main__":
    main()
