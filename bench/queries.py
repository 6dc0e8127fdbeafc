#!/usr/bin/env python3
"""The query set from the tail and from sections, in SQL and InfluxQL, beside DataFusion over one sorted Parquet file.

    bench/queries.py [--scale small|wide] [--neap PATH] [--runs 20]

Needs the Python packages datafusion and pyarrow in the Python that runs it. Prints Markdown tables of medians in
milliseconds, and the most memory that the server held. The ratios of SQL are to DataFusion in the same run, those of
InfluxQL (`/query`) to SQL. InfluxQL sorts all rows by time, SQL those of some queries. The data are those of ingest.py:
`wide` has 4,000 hosts. Answers come as JSON over HTTP, those of DataFusion stay in its process.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import ingest
import servers

# Hosts and duration of the data, by scale.
DATA = {"small": ("100", "12h"), "wide": ("4000", "30m")}


def run(arguments, *extra):
    hosts, duration = DATA[arguments.scale]
    command = [sys.executable, str(servers.HERE / "query.py"), "--hosts", hosts, "--duration", duration,
               "--runs", str(arguments.runs), *extra]
    if arguments.only:
        command += ["--only", arguments.only]
    answer = subprocess.run(command, capture_output=True, text=True)
    try:
        return json.loads(answer.stdout)
    except ValueError:
        raise SystemExit(answer.stdout + answer.stderr) from None


def parquet_of(data, arguments):
    path = arguments.out / f"cpu-{arguments.scale}.parquet"
    if not path.exists():
        with open(data, "rb") as lines:
            command = [sys.executable, str(servers.HERE / "to_parquet.py"), str(path)]
            subprocess.run(command, stdin=lines, check=True)
    return path


def flush(binary, directory):
    """Flushes until nothing of the tail is left; what is younger than the flush lag is waited for."""
    time.sleep(9)
    subprocess.run([binary, "compact", "--object-store", "file", "--data-dir", str(directory)],
                   check=True, stdout=subprocess.DEVNULL)


def both_languages(arguments, server):
    """The reports of SQL and of InfluxQL."""
    there = ("--url", server.url, "--db", "bench")
    return run(arguments, *there), run(arguments, *there, "--api", "v1-influxql")


def cells(report, name, base):
    """The median of a query, and its ratio to a base."""
    mine = report[name]
    if "error" in mine:
        return [mine["error"][:80], "–"]
    return [f"{mine['p50_ms']:.1f}", f"{mine['p50_ms'] / base:.2f}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=DATA, default="small")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--neap")
    parser.add_argument("--only", help="comma-separated names of queries")
    parser.add_argument("--out", type=pathlib.Path, default=servers.HERE / "out")
    arguments = parser.parse_args()
    binary = servers.neap_binary(arguments.neap)
    data = ingest.data_file(arguments.scale, arguments.out)
    peer = run(arguments, "--engine", "datafusion", "--parquet", str(parquet_of(data, arguments)))
    with tempfile.TemporaryDirectory(dir=arguments.out) as work:
        directory = pathlib.Path(work) / "data"
        with servers.neap(binary, directory) as server:
            ingest.load(server, "v3", data, 4, 5000)
            loaded = server.peak_kib
            tail = both_languages(arguments, server)
            flush(binary, directory)
            flushed = both_languages(arguments, server)
            held = server.peak_kib
    print("| query | DataFusion ms | tail, SQL ms | of DataFusion | tail, InfluxQL ms | of SQL "
          "| sections, SQL ms | of DataFusion | sections, InfluxQL ms | of SQL |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, base in peer.items():
        line = [name, f"{base['p50_ms']:.1f}"]
        for sql, influxql in (tail, flushed):
            line += cells(sql, name, base["p50_ms"])
            line += cells(influxql, name, sql[name].get("p50_ms", float("nan")))
        print("| " + " | ".join(line) + " |")
    print(f"\nThe server held {loaded >> 10} MiB at most until the rows were loaded, {held >> 10} MiB with the queries.")


if __name__ == "__main__":
    main()
