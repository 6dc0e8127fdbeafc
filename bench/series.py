#!/usr/bin/env python3
"""Many series: first queries, queries of one series, and memory, from the tail and from sections.

    bench/series.py [--series 1000000] [--rows 4000000] [--runs 20] [--neap PATH [--neap PATH]]

Writes rows of many devices in the order of their times. A server that has just started answers a first `count(*)` over the
tail, then queries of one device, its ten newest rows, and the newest row of each of the first 1,000 devices. The same follows
after everything was flushed. Prints Markdown: medians in milliseconds, and resident memory at the end of each part. Several
programs are measured one after the other on copies of the same data.
"""

import argparse
import http.client
import json
import pathlib
import random
import shutil
import signal
import statistics
import tempfile
import time

import queries
import servers

START = 1_700_000_000_000_000_000
LINES = 20_000

QUERIES = {
    "one device": "SELECT count(*) AS n, avg(v) AS v FROM readings WHERE device = '{device}'",
    "its ten newest rows": "SELECT * FROM readings WHERE device = '{device}' ORDER BY time DESC LIMIT 10",
    "count": "SELECT count(*) AS n FROM readings",
    "newest row of 1,000 devices":
        "SELECT DISTINCT ON (device) * FROM readings WHERE device < 'd0001000' ORDER BY device, time DESC",
}


def ask(connection, sql):
    """The answer, and the time in milliseconds."""
    began = time.perf_counter()
    answer = servers.post(connection, "/api/v3/query_sql", json.dumps({"db": "bench", "q": sql}))
    return json.loads(answer), (time.perf_counter() - began) * 1000


def write(server, arguments):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
    numbers = random.Random(1)
    for first in range(0, arguments.rows, LINES):
        rows = range(first, min(first + LINES, arguments.rows))
        lines = [f"readings,device=d{row % arguments.series:07} v={numbers.random():.3f},w={row % 97}i "
                 f"{START + row * 1_000_000}" for row in rows]
        servers.post(connection, "/api/v3/write_lp?db=bench", "\n".join(lines))


def measure(server, arguments):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
    answer, first = ask(connection, QUERIES["count"])
    if answer[0]["n"] != arguments.rows:
        raise SystemExit(f"{answer[0]['n']} rows are there, not {arguments.rows}")
    figures = {"first count": first}
    numbers = random.Random(2)
    for name, sql in QUERIES.items():
        times = []
        for _ in range(arguments.runs):
            device = f"d{numbers.randrange(arguments.series):07}"
            times.append(ask(connection, sql.format(device=device))[1])
        figures[name] = statistics.median(times)
    figures["resident MiB"] = server.resident_kib() >> 10
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--neap", action="append", help="a program; several are compared")
    parser.add_argument("--out", type=pathlib.Path, default=servers.HERE / "out")
    arguments = parser.parse_args()
    arguments.out.mkdir(exist_ok=True)
    binaries = [servers.neap_binary(given) for given in arguments.neap or [None]]
    parts = {}
    # The tail must not be flushed while it is measured.
    extra = ["--mode", "ingest,query"]
    with tempfile.TemporaryDirectory(dir=arguments.out) as work:
        written = pathlib.Path(work) / "written"
        with servers.neap(binaries[0], written, extra) as server:
            write(server, arguments)
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
    print("| | " + " | ".join(f"{part}, {binaries[number]}" for part, number in parts) + " |")
    print("|---|" + "---|" * len(parts))
    for name in next(iter(parts.values())):
        print(f"| {name} | " + " | ".join(f"{figures[name]:.1f}" for figures in parts.values()) + " |")


if __name__ == "__main__":
    main()
