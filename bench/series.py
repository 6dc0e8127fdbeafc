#!/usr/bin/env python3
"""Many series: ingest, first queries, queries of one series, tag values, and memory, from the tail and from sections.

    bench/series.py [--series 10000000] [--minutes 2] [--runs 20] [--neap PATH [--neap PATH]] [--save]

Each device has one value a minute, at a second of its own. Ingest is measured over several connections that send bodies which
were built before; nothing is flushed meanwhile. A server that has just started answers a first `count(*)` over the tail, then
queries of one device, its ten newest rows, the newest row of each of the first 1,000 devices, and `SHOW TAG VALUES` of the
devices with a prefix. The same follows after everything was flushed. Prints Markdown: medians in milliseconds, and memory
at the end of each part. Several programs are measured one after the other on copies of the same data. There is no peer.
"""

import argparse
import json
import pathlib
import random
import shutil
import signal
import tempfile
import time

import queries
import report
import rollups
import servers

START = 1_700_000_000
LINES = 20_000
# Bodies that are built before they are sent.
BODIES = 50
# Digits of a device that a prefix leaves open: 100 devices.
OPEN_DIGITS = 2

SQL, INFLUXQL = "/api/v3/query_sql", "/api/v3/query_influxql"
QUERIES = {
    "one device": (SQL, "SELECT count(*) AS n, avg(v) AS v FROM readings WHERE device = '{device}'"),
    "its ten newest rows": (SQL, "SELECT * FROM readings WHERE device = '{device}' ORDER BY time DESC LIMIT 10"),
    "count": (SQL, "SELECT count(*) AS n FROM readings"),
    "newest row of 1,000 devices":
        (SQL, "SELECT DISTINCT ON (device) * FROM readings WHERE device < 'd0001000' ORDER BY device, time DESC"),
    "tag values with a prefix": (INFLUXQL, "SHOW TAG VALUES FROM readings WITH KEY = device WHERE device =~ /^{prefix}/"),
}


def expected(series, minutes):
    """The number of rows of the answers."""
    return {"one device": 1, "its ten newest rows": min(10, minutes), "count": 1,
            "newest row of 1,000 devices": min(1_000, series)}


def device(number):
    return f"d{number:07}"


def prefixed(number, series):
    """The prefix of a device's name, and how many devices have it."""
    first = number - number % 10**OPEN_DIGITS
    return device(number)[:-OPEN_DIGITS], min(series, first + 10**OPEN_DIGITS) - first


def second(number, series):
    """The second of its minute at which a device sends. Devices are in the order of their seconds."""
    return number * 60 // series


def spans(series, minutes):
    """The minute and the devices of each body."""
    return [(minute, range(first, min(first + LINES, series))) for minute in range(minutes)
            for first in range(0, series, LINES)]


def body(minute, devices, series, numbers):
    return "".join(f"readings,device={device(number)} v={numbers.random():.3f},w={number % 97}i "
                   f"{START + 60 * minute + second(number, series)}\n" for number in devices).encode()


def write(server, arguments):
    """Writes all rows; rows per second while bodies are sent."""
    numbers, seconds, rows = random.Random(1), 0.0, 0
    todo = spans(arguments.series, arguments.minutes)
    for first in range(0, len(todo), BODIES):
        built = [(body(minute, devices, arguments.series, numbers), len(devices))
                 for minute, devices in todo[first:first + BODIES]]
        sent, elapsed = rollups.write_all(server, ((lambda text=text: text, count) for text, count in built),
                                          arguments.connections)
        rows, seconds = rows + sent, seconds + elapsed
    return rows / seconds


def ask(client, path, text):
    """The rows of an answer, and the time in milliseconds."""
    began = time.perf_counter()
    answer = client.send(path, json.dumps({"db": "bench", "q": text, "format": "json"}), {"Content-Type": "application/json"})
    return json.loads(answer), (time.perf_counter() - began) * 1000


def measure(server, arguments):
    client = rollups.Client(server)
    answer, first = ask(client, *QUERIES["count"])
    rows = arguments.series * arguments.minutes
    if answer[0]["n"] != rows:
        raise SystemExit(f"{answer[0]['n']} rows are there, not {rows}")
    figures = {"first count, ms": first}
    numbers, counts = random.Random(2), expected(arguments.series, arguments.minutes)
    for name, (path, text) in QUERIES.items():
        times = []
        for _ in range(arguments.runs):
            number = numbers.randrange(arguments.series)
            prefix, matching = prefixed(number, arguments.series)
            answer, milliseconds = ask(client, path, text.format(device=device(number), prefix=prefix))
            if len(answer) != counts.get(name, matching):
                raise SystemExit(f"{name}: {len(answer)} rows, not {counts.get(name, matching)}")
            times.append(milliseconds)
        figures[f"{name}, ms"] = report.median(times)
    return {**figures, "resident MiB": server.resident_kib() >> 10, "peak MiB": server.peak_kib >> 10}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=10_000_000)
    parser.add_argument("--minutes", type=int, default=2)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--neap", action="append", help="a program; several are compared")
    parser.add_argument("--out", type=pathlib.Path, default=servers.HERE / "out")
    report.add_options(parser, turns=None)
    arguments = parser.parse_args()
    if not 1 <= arguments.series <= 10_000_000:
        parser.error("--series is not from 1 to 10,000,000: names of devices have seven digits")
    arguments.out.mkdir(exist_ok=True)
    binaries = [servers.neap_binary(given) for given in arguments.neap or [None]]
    parts = {}
    # The tail must not be flushed while it is measured.
    extra = ["--mode", "ingest,query"]
    with tempfile.TemporaryDirectory(dir=arguments.out) as work:
        written = pathlib.Path(work) / "written"
        with servers.neap(binaries[0], written, extra) as server:
            rate = write(server, arguments)
            cpu, peak = server.cpu_seconds(), server.peak_kib >> 10
            server.stop(signal.SIGKILL)
        for number, binary in enumerate(binaries):
            directory = pathlib.Path(work) / f"data{number}"
            shutil.copytree(written, directory)
            for part in ["tail", "sections"]:
                with servers.neap(binary, directory, extra) as server:
                    parts[part, number] = measure(server, arguments)
                if part == "tail":
                    queries.flush(binary, directory)
            shutil.rmtree(directory)
    rows = arguments.series * arguments.minutes
    out = report.Report(arguments.save)
    out.table(f"Ingest of {arguments.series:,} series, one value a minute",
              ["rows", "rows/s", "server CPU µs/row", "peak MiB"], [[rows, rate, cpu / rows * 1e6, peak]])
    out.table(f"Queries, medians of {arguments.runs} turns",
              ["", *(f"{part}, {report.shown(binaries[number])}" for part, number in parts)],
              [[name, *(figures[name] for figures in parts.values())] for name in next(iter(parts.values()))])
    out.finish()


if __name__ == "__main__":
    main()
