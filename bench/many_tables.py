#!/usr/bin/env python3
"""Many tables: what flushes and compaction cost when each table has few rows.

    bench/many_tables.py [--tables 10000] [--flushes 100] [--neap PATH]

Rounds of one row for each table are written to a server that does not compact (`--mode ingest`); `neap compact
--flush-only` flushes them one by one. Then `neap compact` settles what there is: every table becomes one section.
Printed are, as Markdown: the bytes of the manifest and its pages, the time and memory of flushes, of a query of one table by a
new server before and after, merges/s and peak memory of compaction, and the medians of statements that list the tables.

A flush takes what is older than 8 s. Rounds take turns with flushes, so that each flush has one or two of them.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import report as reports
import servers

START = 1_700_000_000_000_000_000
LISTING_RUNS = 11
LISTINGS = [
    "SHOW TABLES",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM information_schema.columns",
    "SELECT count(*) FROM information_schema.columns WHERE table_name = 'm7'",
]


def write(server, tables, number):
    """Writes a row to each table, in one request."""
    lines = "\n".join(f"m{table},host=a v={number} {START + number}" for table in range(tables))
    urllib.request.urlopen(f"{server.url}/api/v3/write_lp?db=bench", lines.encode()).read()


def compact(binary, directory, *extra):
    """Runs `neap compact`: what it printed, seconds, CPU seconds and peak MiB."""
    command = [binary, "compact", "--object-store", "file", "--data-dir", str(directory), *extra]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(command)}: {status}")
    return text, time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def sizes(directory):
    """Bytes of the manifest, number and bytes of objects of pages, number and bytes of bundles."""
    manifest = max(path.stat().st_size for path in directory.glob("db/*/manifest"))
    pages = [path.stat().st_size for path in directory.glob("data/**/*.page")]
    everything = [path for path in directory.glob("data/**/*") if path.is_file() and path.suffix != ".page"]
    return manifest, len(pages), sum(pages), len(everything), sum(path.stat().st_size for path in everything)


def ask(server, statement):
    """Seconds of a statement."""
    body = json.dumps({"db": "bench", "q": statement, "format": "json"}).encode()
    request = urllib.request.Request(f"{server.url}/api/v3/query_sql", body, {"Content-Type": "application/json"})
    began = time.perf_counter()
    urllib.request.urlopen(request).read()
    return time.perf_counter() - began


def query(binary, directory, tables):
    """Seconds until a new server answers its first and its second query of one table."""
    with servers.neap(binary, directory, ("--mode", "query")) as server:
        return [ask(server, f"SELECT count(*) FROM m{table}") for table in (tables // 2, tables // 2 + 1)]


def listings(binary, directory):
    """Median seconds of statements that list all tables."""
    with servers.neap(binary, directory, ("--mode", "query")) as server:
        return {statement: statistics.median(ask(server, statement) for _ in range(LISTING_RUNS)) for statement in LISTINGS}


def row(name, directory, took):
    manifest, pages, page_bytes, bundles, bundle_bytes = sizes(directory)
    return [name, manifest / 1e3, pages, page_bytes / 1e6, bundles, bundle_bytes / 1e6, took[0] * 1e3, took[1] * 1e3]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=10_000)
    parser.add_argument("--flushes", type=int, default=100)
    parser.add_argument("--neap")
    parser.add_argument("--out", type=pathlib.Path, default=servers.HERE / "out")
    reports.add_options(parser, turns=None)
    arguments = parser.parse_args()
    binary = servers.neap_binary(arguments.neap)
    arguments.out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.out) as temporary:
        directory = pathlib.Path(temporary) / "data"
        flushes = []
        limits = ("--max-new-tables", str(arguments.tables), "--max-tables-per-database", str(arguments.tables))
        with servers.neap(binary, directory, ("--mode", "ingest", *limits)) as server:
            for number in range(arguments.flushes):
                write(server, arguments.tables, number)
                flushes.append(compact(binary, directory, "--flush-only")[1:])
                print(f"round {number + 1}: {flushes[-1][0]:.2f} s, {flushes[-1][2]:.0f} MiB", file=sys.stderr, flush=True)
        time.sleep(9)
        flushes.append(compact(binary, directory, "--flush-only")[1:])
        slowest, largest = max(one[0] for one in flushes), max(one[2] for one in flushes)
        report = reports.Report(arguments.save)
        report.note(f"{arguments.tables} tables, {arguments.flushes} rounds: a process that flushes takes up to "
                    f"{slowest:.1f} s and {largest:.0f} MiB")
        rows = [row("flushed", directory, query(binary, directory, arguments.tables))]
        text, took, cpu, memory = compact(binary, directory, "--settle-after", "0s", "--time-travel", "0s",
                                          "--query-timeout", "0s")
        rows.append(row("settled", directory, query(binary, directory, arguments.tables)))
        report.table("Manifest and queries", ["", "manifest, kB", "objects of pages", "MB", "bundles", "MB",
                                              "first query, ms", "of another table, ms"], rows)
        found = re.search(r"(\d+) merges?", text)
        merges = int(found[1]) if found else 0
        report.note(f"Settling: {merges} merges in {took:.0f} s, {merges / took:.0f}/s, {cpu:.0f} s of CPU, peak "
                    f"{memory:.0f} MiB.")
        report.table(f"Statements, medians of {LISTING_RUNS} runs", ["statement", "ms"],
                     [[f"`{statement}`", seconds * 1e3] for statement, seconds in listings(binary, directory).items()])
        report.finish()


if __name__ == "__main__":
    main()
