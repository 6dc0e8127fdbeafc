#!/usr/bin/env python3
"""Compaction at scale: what is left of many days of data after settling, and what it cost.

    bench/settle.py [--days 30] [--hosts 1000] [--interval 60s] [--late 0.05] [--neap PATH]

Days are generated and sent in the order of time; of each day some rows come with the next one. Then the
server stops, and `neap compact` settles what it left. Printed are, as Markdown: sections per day, bytes per
row beside one Parquet file that DuckDB writes of the same rows in the same order (zstd), write
amplification, MB/s of compaction per core, peak memory, queries before settling beside the same after it, and the
query set beside DataFusion over that file.

Needs the Python packages datafusion, duckdb and pyarrow in the Python that runs it, and about 12 GB of disk
for 30 days of 1,000 hosts.
"""

import argparse
import datetime
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import urllib.request

import report as reports
import servers

START = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)


def day_of_lines(arguments, number):
    """The lines of one day, as gen_tsbs.py writes them."""
    start = (START + datetime.timedelta(days=number)).strftime("%Y-%m-%dT%H:%M:%SZ")
    command = [sys.executable, str(servers.HERE / "gen_tsbs.py"), "--hosts", str(arguments.hosts),
               "--interval", arguments.interval, "--duration", "24h", "--start", start, "--seed", "42"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        yield from process.stdout


def send(server, path):
    command = [sys.executable, str(servers.HERE / "load.py"), "--url", server.url, "--api", "v3", "--db", "bench",
               "--workers", "2", "--batch", "5000", str(path)]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode != 0:
        raise SystemExit(answer.stdout + answer.stderr)
    return json.loads(answer.stdout)


def load(arguments, server, work):
    """Sends all days; the number of rows and the time that the server was written to."""
    late, rows, seconds = [], 0, 0.0
    chance = random.Random(7)
    file = work / "day.lp"
    for number in range(arguments.days):
        with open(file, "wb") as out:
            out.writelines(late)
            late = []
            for line in day_of_lines(arguments, number):
                if number + 1 < arguments.days and chance.random() < arguments.late:
                    late.append(line)
                else:
                    out.write(line)
                rows += 1
        began = time.perf_counter()
        send(server, file)
        seconds += time.perf_counter() - began
        print(f"day {number + 1}: {rows} rows", file=sys.stderr, flush=True)
    file.unlink()
    return rows, seconds


def metric(server, name, **labels):
    """A value of /metrics."""
    text = urllib.request.urlopen(f"{server.url}/metrics").read().decode()
    total = 0.0
    for line in text.splitlines():
        if line.startswith(name) and all(f'{key}="{value}"' in line for key, value in labels.items()):
            total += float(line.rsplit(" ", 1)[1])
    return total


def sql(server, query):
    body = json.dumps({"db": "bench", "q": query, "format": "json"}).encode()
    request = urllib.request.Request(f"{server.url}/api/v3/query_sql", body, {"Content-Type": "application/json"})
    return json.loads(urllib.request.urlopen(request).read())


def sections(server):
    """Sections, bytes, rows, and the most sections of a day."""
    files = sql(server, "SELECT * FROM system.parquet_files WHERE table_name = 'cpu'")
    day, most = 86_400_000_000_000, {}
    for file in files:
        for number in range(file["min_time"] // day, file["max_time"] // day + 1):
            most[number] = most.get(number, 0) + 1
    return (len(files), sum(file["size_bytes"] for file in files), sum(file["row_count"] for file in files),
            max(most.values(), default=0))


def settle(binary, directory):
    """Runs `neap compact` until nothing is left to merge; seconds, CPU seconds and peak MiB."""
    command = [binary, "compact", "--object-store", "file", "--data-dir", str(directory),
               "--settle-after", "0s", "--time-travel", "0s",
               "--query-timeout", "0s"]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(command)}: {status}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def written(directory):
    """The bytes of all data objects there are."""
    return sum(path.stat().st_size for path in directory.glob("data/**/*") if path.is_file())


def read_times(arguments, server):
    """Milliseconds of queries of all days, medians: of one host, and of all rows."""
    bins = "SELECT date_bin(INTERVAL '1 day', time) AS t, max(usage_user) FROM cpu"
    chance = random.Random(11)
    times = {}
    for name, where in (("one host", "WHERE hostname = 'host_{host}' "), ("all rows", "")):
        taken = []
        for _ in range(arguments.runs + 2):
            query = f"{bins} {where.format(host=chance.randrange(arguments.hosts))}GROUP BY t ORDER BY t"
            began = time.perf_counter()
            sql(server, query)
            taken.append(1e3 * (time.perf_counter() - began))
        times[name] = sorted(taken[2:])[arguments.runs // 2]
    return times


def compare_read_times(report, unsettled, settled):
    report.table("A maximum by day", ["of", "with late rows unmerged, ms", "settled, ms", "ratio"],
                 [[name, before, settled[name], before / settled[name]] for name, before in unsettled.items()])


def sorted_file(server, work):
    """The same rows as one sorted file, written by DuckDB; its path."""
    import duckdb

    raw, path = work / "raw.parquet", work / "cpu.parquet"
    body = json.dumps({"db": "bench", "q": "SELECT * FROM cpu", "format": "parquet"}).encode()
    request = urllib.request.Request(f"{server.url}/api/v3/query_sql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer, open(raw, "wb") as out:
        while block := answer.read(1 << 20):
            out.write(block)
    # In the order in which gen_tsbs.py writes them, which is that of Neap's sections.
    order = "hostname, region, datacenter, rack, os, arch, team, service, service_version, service_environment"
    connection = duckdb.connect()
    connection.execute(f"SET temp_directory = '{work}'; SET memory_limit = '8GB'")
    connection.execute(f"COPY (SELECT * FROM '{raw}' ORDER BY {order}, time) TO '{path}' "
                       "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)")
    raw.unlink()
    return path


def sorted_by_datafusion(path, work):
    """The size of the same rows as DataFusion writes them with its defaults."""
    import datafusion

    out = work / "datafusion.parquet"
    context = datafusion.SessionContext()
    context.register_parquet("cpu", str(path))
    context.sql("SELECT * FROM cpu").write_parquet(str(out), compression="zstd")
    files = [out] if out.is_file() else list(out.glob("*.parquet"))
    return sum(file.stat().st_size for file in files)


def queries(arguments, *extra):
    hours = 24 * arguments.days
    command = [sys.executable, str(servers.HERE / "query.py"), "--hosts", str(arguments.hosts),
               "--duration", f"{hours}h", "--runs", str(arguments.runs), *extra]
    answer = subprocess.run(command, capture_output=True, text=True)
    try:
        return json.loads(answer.stdout)
    except ValueError:
        raise SystemExit(answer.stdout + answer.stderr) from None


def compare(report, arguments, server, path):
    base = queries(arguments, "--engine", "datafusion", "--parquet", str(path))
    mine = queries(arguments, "--url", server.url, "--db", "bench")
    report.table(
        f"Queries, medians of {arguments.runs} runs", ["query", "DataFusion, one file, ms", "settled, ms", "ratio"],
        [[name, peer["p50_ms"], mine[name].get("p50_ms", mine[name].get("error", "")[:80]),
          reports.ratio(mine[name].get("p50_ms"), peer["p50_ms"])] for name, peer in base.items()])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--interval", default="60s")
    parser.add_argument("--late", type=float, default=0.05, help="the part of a day's rows that comes a day late")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--neap")
    parser.add_argument("--out", type=pathlib.Path, default=servers.HERE / "out")
    reports.add_options(parser, turns=None)
    arguments = parser.parse_args()
    binary = servers.neap_binary(arguments.neap)
    arguments.out.mkdir(exist_ok=True)
    report = reports.Report(arguments.save)
    with tempfile.TemporaryDirectory(dir=arguments.out) as temporary:
        work = pathlib.Path(temporary)
        directory = work / "data"
        with servers.neap(binary, directory) as server:
            rows, seconds = load(arguments, server, work)
            time.sleep(12)
            put = metric(server, "neap_store_bytes_total", operation="put", **{"class": "data"})
            cpu, peak = server.cpu_seconds(), server.peak_kib / 1024
        # It merges nothing meanwhile.
        with servers.neap(binary, directory, ["--mode", "ingest,query"]) as server:
            before = sections(server)
            unsettled = read_times(arguments, server)
        left = written(directory)
        settled = [settle(binary, directory)]
        grown = written(directory) - left
        with servers.neap(binary, directory) as server:
            after = sections(server)
            compare_read_times(report, unsettled, read_times(arguments, server))
            path = sorted_file(server, work)
            size = path.stat().st_size
            report.note(f"{rows} rows in {seconds:.0f} s of ingest; the server's peak is {peak:.0f} MiB, "
                        f"its CPU time {cpu:.0f} s with flushes and merges")
            peer = sorted_by_datafusion(path, work)
            report.table("Size", ["", "sections", "most in a day", "bytes/row"], [
                ["when the server stopped", before[0], before[3], before[1] / max(before[2], 1)],
                ["settled", after[0], after[3], after[1] / max(after[2], 1)],
                ["one file of DuckDB, sorted, zstd", 1, None, size / rows],
                ["the same rows, DataFusion, zstd", None, None, peer / rows]])
            total = put + grown
            took, cpu, memory = settled[0]
            report.note(f"Size: {after[1] / size:.2f} of DuckDB's, {after[1] / peer:.2f} of DataFusion's. Write "
                        f"amplification: {total / after[1]:.2f} ({total / 1e6:.0f} MB written for {after[1] / 1e6:.0f} MB). "
                        f"Settling: {grown / 1e6:.0f} MB written in {took:.0f} s, {grown / 1e6 / max(cpu, 0.01):.1f} MB/s "
                        f"per core, peak {memory:.0f} MiB.")
            compare(report, arguments, server, path)
        report.finish()


if __name__ == "__main__":
    main()
