#!/usr/bin/env python3
"""The query set from the tail and from sections, in SQL and InfluxQL, beside DataFusion over one sorted Parquet file.

    bench/queries.py [--scale small|wide] [--neap PATH] [--runs 20]

Needs the Python packages datafusion and pyarrow in the Python that runs it. Prints Markdown tables of medians in
milliseconds, and the most memory that the servers held: one that loads the rows and does not flush them, and one that
starts when they are flushed. The ratios of SQL are to DataFusion in the same run, those of InfluxQL (`/query`) to SQL,
which takes turns with it. InfluxQL sorts all rows by time, SQL those of some queries. The data are those of ingest.py:
`wide` has 4,000 hosts. Answers come as JSON over HTTP, those of DataFusion stay in its process.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import ingest
import report as reports
import servers

# Hosts and duration of the data, by scale.
DATA = {"small": ("100", "12h"), "wide": ("4000", "30m")}

# Turns of the languages.
TURNS = 5


def run(arguments, runs, *extra):
    hosts, duration = DATA[arguments.scale]
    command = [sys.executable, str(servers.HERE / "query.py"), "--hosts", hosts, "--duration", duration,
               "--runs", str(runs), *extra]
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
    """The reports of SQL and of InfluxQL. Each turn has its own hosts and times."""
    turns = {"v3-sql": [], "v1-influxql": []}
    runs = -(-arguments.runs // TURNS)
    for turn in range(TURNS):
        for number, api in enumerate(sorted(turns, reverse=turn % 2)):
            there = ("--url", server.url, "--db", "bench", "--api", api, "--seed", str(2 * turn + number))
            turns[api].append(run(arguments, runs, *there))
    return tuple(median_of(reports) for reports in turns.values())


def median_of(reports):
    """The median of each query over the reports of several turns."""
    merged = {}
    for name in reports[0]:
        failed = [report[name] for report in reports if "error" in report[name]]
        p50s = [report[name].get("p50_ms") for report in reports]
        merged[name] = failed[0] if failed else {"p50_ms": statistics.median(p50s)}
    return merged


def cells(report, name, base):
    """The median of a query, and its ratio to a base."""
    mine = report[name]
    if "error" in mine:
        return [mine["error"][:80], None]
    return [mine["p50_ms"], reports.ratio(mine["p50_ms"], base)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=DATA, default="small")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--neap")
    parser.add_argument("--only", help="comma-separated names of queries")
    parser.add_argument("--out", type=pathlib.Path, default=servers.HERE / "out")
    reports.add_options(parser, turns=None)
    arguments = parser.parse_args()
    binary = servers.neap_binary(arguments.neap)
    data = ingest.data_file(arguments.scale, arguments.out)
    peer = run(arguments, arguments.runs, "--engine", "datafusion", "--parquet", str(parquet_of(data, arguments)))
    with tempfile.TemporaryDirectory(dir=arguments.out) as work:
        directory = pathlib.Path(work) / "data"
        with servers.neap(binary, directory, ["--mode", "ingest,query"]) as server:
            ingest.load(server, "v3", data, 4, 5000)
            held = [server.peak_kib]
            tail = both_languages(arguments, server)
            held.append(server.peak_kib)
        flush(binary, directory)
        with servers.neap(binary, directory) as server:
            flushed = both_languages(arguments, server)
            held.append(server.peak_kib)
    rows = []
    for name, base in peer.items():
        line = [name, base["p50_ms"]]
        for sql, influxql in (tail, flushed):
            line += cells(sql, name, base["p50_ms"])
            line += cells(influxql, name, sql[name].get("p50_ms"))
        rows.append(line)
    report = reports.Report(arguments.save)
    report.table(
        f"{arguments.scale}, medians of {arguments.runs} runs in {TURNS} turns",
        ["query", "DataFusion ms", "tail, SQL ms", "of DataFusion", "tail, InfluxQL ms", "of SQL", "sections, SQL ms",
         "of DataFusion", "sections, InfluxQL ms", "of SQL"], rows)
    loaded, with_tail, with_sections = (kib >> 10 for kib in held)
    report.note(f"The server held {loaded} MiB at most until the rows were loaded, {with_tail} MiB with the queries of the "
                f"tail, and after a restart {with_sections} MiB with those of sections.")
    report.finish()


if __name__ == "__main__":
    main()
