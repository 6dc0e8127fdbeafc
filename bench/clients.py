#!/usr/bin/env python3
"""Many clients that send one small request at a time, beside peers: requests/s and latencies.

    bench/clients.py [--what queries|writes] [--clients 32] [--seconds 10] [--runs 5] [--only NAME,…] [--save]

Queries: the maximum per minute of one field of one random host in a random hour (`single-groupby-1-1-1` of the query
set), over the data of ingest.py's small scale. Neap keeps no answers, apart from one row: 20 queries that all clients
repeat, as the viewers of a dashboard do. Writes: one line each. The clients are neap-load-generator, a program
with one thread, on the same cores as the server. Servers are started one after the other. Peers are measured when their
packages are installed (Debian: victoria-metrics, influxdb). Prints a Markdown table; each figure is the median of the
runs, and the last column is the ratio to Neap. A server that refuses requests or does not start has its error in the
table in place of figures; exits 1 if that server is Neap.
"""

import argparse
import collections
import http.client
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.parse

import gen_tsbs
import ingest
import query
import report as reports
import servers

# Requests that are sent in turn, again and again.
BODIES = 2_000
# Those of one dashboard, whose answers Neap keeps.
DASHBOARD_BODIES = 20
HOSTS, DURATION = 100, "12h"
FORM, JSON, TEXT = "application/x-www-form-urlencoded", "application/json", "text/plain"

Contender = collections.namedtuple("Contender", "name start api queries")
# Where requests are sent to, the type of their bodies, and a body of each set of values.
Requests = collections.namedtuple("Requests", "path kind bodies")


def template(folder, suffix):
    return (servers.HERE / "queries" / folder / f"single-groupby-1-1-1{suffix}").read_text().strip()


def filled(text):
    """The query with 2,000 hosts and hours: the same ones for all servers."""
    spec = {"hosts": 1, "range": "1h"}
    data = argparse.Namespace(hosts=HOSTS, duration=gen_tsbs.parse_duration(DURATION),
                              start=gen_tsbs.parse_time("2024-01-01T00:00:00Z"))
    numbers = random.Random(1)
    return [query.fill(text, spec, data, numbers) for _ in range(BODIES)]


def neap_sql():
    bodies = [json.dumps({"db": "bench", "q": text}) for text in filled(template("influxdb3", ".sql"))]
    return Requests("/api/v3/query_sql", JSON, bodies)


def repeated_sql():
    every = neap_sql()
    return every._replace(bodies=every.bodies[:DASHBOARD_BODIES])


def influxql():
    texts = filled(template("influxql", ".influxql"))
    return Requests("/query", FORM, [urllib.parse.urlencode({"db": "bench", "q": text}) for text in texts])


def promql():
    # The window of a step ends at the step.
    text = '{{start_ns}} {{end_ns}} max(max_over_time(cpu_usage_user{hostname=~{{hosts_sql}}}[1m]))'
    bodies = []
    for line in filled(text):
        begin, end, expression = line.split(" ", 2)
        begin, end = int(begin) // 10**9, int(end) // 10**9
        bodies.append(urllib.parse.urlencode(
            {"query": expression, "start": begin + 60, "end": end, "step": "60s"}))
    return Requests("/api/v1/query_range", FORM, bodies)


def writes(api):
    path = "/api/v3/write_lp?db=bench&precision=nanosecond" if api == "v3" else "/write?db=bench&precision=ns"
    begin = gen_tsbs.parse_time("2024-01-02T00:00:00Z")
    lines = [f"one,host=host_{number % HOSTS} value={number} {begin + number * 10**6}" for number in range(BODIES)]
    return Requests(path, TEXT, lines)


def contenders(arguments):
    binary = servers.neap_binary(arguments.neap)

    def neap(work):
        return servers.neap(binary, work / "data")

    def keeping_neap(work):
        return servers.neap(binary, work / "data", answers=())

    if arguments.what == "writes":
        yield Contender("Neap", neap, "v3", None)
    else:
        yield Contender("Neap SQL", neap, "v3", neap_sql)
        yield Contender("Neap InfluxQL", neap, "v3", influxql)
        yield Contender("Neap SQL, kept answers", keeping_neap, "v3", repeated_sql)
    if shutil.which("victoria-metrics"):
        yield Contender("VictoriaMetrics", lambda work: servers.victoria_metrics(work / "data"), "v1", promql)
    if shutil.which("influxd"):
        yield Contender("InfluxDB 1.6", lambda work: servers.influxdb_1(work / "data"), "v1", influxql)


def load_generator(given):
    path = given or shutil.which("neap-load-generator")
    if not path:
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", servers.HERE.parent / "target"))
        path = target / "release" / "neap-load-generator"
    if not pathlib.Path(path).exists():
        raise SystemExit(f"{path} is missing: cargo build --release --bin neap-load-generator")
    return str(path)


def check(server, requests):
    """Sends one query and raises Failed if its answer has no rows: servers answer mistakes with 200, too."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request("POST", requests.path, requests.bodies[0], {"Content-Type": requests.kind})
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    # The hour has 60 minutes; the shortest of the answers takes 16 bytes for each.
    if answer.status != 200 or b"error" in text or len(text) < 60 * 16:
        raise ingest.Failed(f"{answer.status} {text[:300]!r}")


def send(binary, server, requests, work, clients, seconds):
    """The report of the load generator; raises Failed."""
    bodies = work / "bodies.json"
    bodies.write_text(json.dumps(requests.bodies))
    command = [binary, server.url + requests.path, "--bodies", str(bodies), "--header",
               f"content-type: {requests.kind}", "--connections", str(clients), "--seconds", str(seconds)]
    answer = subprocess.run(command, capture_output=True, text=True)
    try:
        report = json.loads(answer.stdout)
    except ValueError:
        raise ingest.Failed(f"the load generator failed: {answer.stderr[-300:]}") from None
    if report["failed"]:
        raise ingest.Failed(f"{report['failed']} of {report['requests']} requests failed: {report['first_error']}")
    return report


def run(contender, binary, data, arguments):
    """The figures of one server, started in a directory of its own; raises Failed."""
    requests = contender.queries() if arguments.what == "queries" else writes(contender.api)
    with tempfile.TemporaryDirectory(dir=arguments.out, ignore_cleanup_errors=True) as work:
        work = pathlib.Path(work)
        try:
            with contender.start(work) as server:
                if arguments.what == "queries":
                    ingest.load(server, contender.api, data, 4, 5000)
                    if contender.name == "VictoriaMetrics":
                        # It shows new data when it has written them to a file.
                        server.request("GET", "/internal/force_flush")
                    check(server, requests)
                send(binary, server, requests, work, arguments.clients, 2)
                before = server.cpu_seconds()
                report = send(binary, server, requests, work, arguments.clients, arguments.seconds)
                cpu = server.cpu_seconds() - before
        except (RuntimeError, OSError, http.client.HTTPException) as error:
            raise ingest.Failed(f"{type(error).__name__}: {error}") from error
    return {
        "rate": report["requests_per_second"],
        "cpu_ms": cpu / report["requests"] * 1e3,
        "p50": report["latency_ms"]["p50"],
        "p99": report["latency_ms"]["p99"],
    }


def row(name, runs, errors, first):
    """The line of the table for a server: the medians of its runs, or why there are none."""
    if errors:
        return [name, f"failed in {len(errors)} of {len(runs) + len(errors)} runs: {errors[0]}", *[None] * 4]
    median = {key: statistics.median(one[key] for one in runs) for key in runs[0]}
    return [name, *median.values(), reports.ratio(median["rate"], first)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", choices=("queries", "writes"), default="queries")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--only", help="comma-separated names of servers, as in the table")
    parser.add_argument("--neap", help="the neap binary (default: target/release/neap)")
    parser.add_argument("--load-generator", help="the neap-load-generator binary")
    parser.add_argument("--out", type=pathlib.Path, default=servers.HERE / "out")
    reports.add_options(parser)
    arguments = parser.parse_args()
    binary = load_generator(arguments.load_generator)
    arguments.out.mkdir(parents=True, exist_ok=True)
    data = ingest.data_file("small", arguments.out) if arguments.what == "queries" else None
    only = arguments.only.split(",") if arguments.only else None
    measured = [one for one in contenders(arguments) if only is None or one.name in only]
    results = {one.name: [] for one in measured}
    failures = {one.name: [] for one in measured}
    for _ in range(arguments.runs):
        for contender in measured:
            try:
                results[contender.name].append(run(contender, binary, data, arguments))
            except ingest.Failed as error:
                print(f"{contender.name}: {error}", file=sys.stderr)
                failures[contender.name].append(str(error))
    first = results.get("Neap SQL") or results.get("Neap")
    first = statistics.median(one["rate"] for one in first) if first else None
    report = reports.Report(arguments.save)
    report.table(
        f"{arguments.clients} clients, one of {arguments.what} at a time, {arguments.seconds} s, {arguments.runs} runs",
        ["server", "requests/s", "server CPU ms / request", "p50 ms", "p99 ms", "of Neap"],
        [row(name, runs, failures[name], first) for name, runs in results.items()])
    report.finish()
    return 1 if any(errors for name, errors in failures.items() if name.startswith("Neap")) else 0


if __name__ == "__main__":
    sys.exit(main())
