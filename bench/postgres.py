#!/usr/bin/env python3
"""PostgreSQL's protocol, beside Debian's PostgreSQL with the same table, and beside HTTP.

    bench/postgres.py [--rows 10000000] [--clients 32] [--seconds 10] [--runs 3] [--only PART,…] [--neap PATH]

Needs `psycopg` (tests/clients/requirements.txt) and Debian's package `postgresql`, with the clients `psql` and `pgbench`.

| part | what is measured |
|---|---|
| copy | rows/s, MB/s and the server's CPU time of `COPY ... TO STDOUT (FORMAT binary)` of all rows, read by `psql` |
| rows | rows/s and the server's CPU time of all rows as Python values by psycopg, in the binary format |
| queries | queries/s, the server's CPU time and latencies of many connections, each with one small query at a time: prepared statements by `pgbench`, and the same queries over HTTP by neap-load-generator |

The query is `single-groupby-1-1-1` of the query set, over the data of ingest.py's small scale. PostgreSQL has its default
settings; its table was vacuumed, and its processes count together. Servers and protocols take turns, run by run, on the
same cores as the client; each figure is the median of the runs. Prints Markdown.
"""

import argparse
import collections
import contextlib
import datetime
import http.client
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import psycopg

import clients
import ingest
import load
import report as reports
import servers

PARTS = ("copy", "rows", "queries")
START_NS = 1_700_000_000_000_000_000
ROWS_PER_WRITE = 20_000
COLUMNS = "host, a, b, c, time"
PSYCOPG_ROWS = 1_000

# The text of `single-groupby-1-1-1` with placeholders for a host and the begin and end of an hour.
QUERY = """SELECT date_bin(INTERVAL '1 minute', time) AS minute, max(usage_user) AS max_usage_user
FROM cpu
WHERE hostname = {host} AND time >= {begin} AND time < {end}
GROUP BY minute
ORDER BY minute;
"""
# Values of the placeholders. pgbench has no random texts, so each of these is sent by a script of its own.
VALUES = [(f"host_{number * 5}", f"2024-01-01T{number // 2:02}:07:00", f"2024-01-01T{number // 2 + 1:02}:07:00")
          for number in range(20)]

Reading = collections.namedtuple("Reading", "rows bytes seconds cpu")


class Neap:
    """Neap with an address for PostgreSQL's clients."""

    name = "Neap"

    def __init__(self, binary, folder):
        self.port = servers.free_port()
        self.server = servers.neap(binary, folder / "neap", ["--postgres-bind", f"127.0.0.1:{self.port}"])

    def source(self):
        return f"host=127.0.0.1 port={self.port} user=bench dbname=bench"

    def write(self, parts):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=600)
        for numbers in parts:
            lines = (f"rows,host=host-{n % 100} a={a},b={b},c={n}i {START_NS + n * 1_000_000}" for n, a, b in numbers)
            servers.post(connection, "/api/v3/write_lp?db=bench&precision=nanosecond", "\n".join(lines).encode())
        # The lag of a flush on a directory, and the flush itself.
        time.sleep(20)


class PostgreSql:
    """Debian's PostgreSQL in a folder of its own."""

    name = "PostgreSQL"

    def __init__(self, folder):
        self.port = servers.free_port()
        data = folder / "postgresql"
        data.mkdir(mode=0o700)
        # It refuses to run as root.
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        if user:
            subprocess.run(["chown", "postgres:", data], check=True)
            folder.chmod(0o711)
        programs = postgresql_programs()
        initdb = [*user, programs / "initdb", "--pgdata", data, "--username=bench", "--auth=trust", "--encoding=UTF8"]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd="/")
        command = [*user, str(programs / "postgres"), "-D", str(data), "-p", str(self.port),
                   "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        self.server = PostgreSqlServer("PostgreSQL", command, self.port, health=None)
        try:
            self.wait()
        except RuntimeError:
            self.server.stop()
            raise

    def wait(self):
        for _ in range(600):
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.source()).close()
                return
            time.sleep(0.05)
        raise RuntimeError("PostgreSQL did not start")

    def source(self):
        return f"host=127.0.0.1 port={self.port} user=bench dbname=postgres sslmode=disable"

    def write(self, parts):
        with psycopg.connect(self.source(), autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE rows (host TEXT, a FLOAT8, b FLOAT8, c BIGINT, time TIMESTAMP)")
            begin, step = datetime.datetime(2023, 11, 14, 22, 13, 20), datetime.timedelta(milliseconds=1)
            with cursor.copy("COPY rows FROM STDIN") as copy:
                for numbers in parts:
                    lines = (f"host-{n % 100}\t{a}\t{b}\t{n}\t{begin + n * step}\n" for n, a, b in numbers)
                    copy.write("".join(lines))
            cursor.execute("VACUUM (FREEZE, ANALYZE) rows")
            cursor.execute("CHECKPOINT")


class PostgreSqlServer(servers.Server):
    """The processes of PostgreSQL: one for each connection."""

    def cpu_seconds(self):
        """User and system time of the first process, of those that it has started, and of those that have ended."""
        total = 0
        for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = path.read_text().rsplit(")", 1)[1].split()
                if int(path.parent.name) == self.process.pid:
                    total += sum(map(int, fields[11:15]))
                elif int(fields[1]) == self.process.pid:
                    total += sum(map(int, fields[11:13]))
        return total / servers.TICKS


def postgresql_programs():
    """The folder of the newest PostgreSQL of Debian's packages."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    if not found:
        raise SystemExit("PostgreSQL is missing: apt-get install postgresql")
    return found[-1].parent


def parts_of(rows):
    """The numbers and two values of each row, in parts."""
    for start in range(0, rows, ROWS_PER_WRITE):
        numbers = range(start, min(start + ROWS_PER_WRITE, rows))
        yield [(n, n * 0.5, n * 7 % 1_000_003 / 8) for n in numbers]


def measured(contender, work):
    """Calls a function that reads all rows and returns their number and bytes."""
    cpu, began = contender.server.cpu_seconds(), time.perf_counter()
    rows, size = work(contender, f"SELECT {COLUMNS} FROM rows")
    seconds = time.perf_counter() - began
    return Reading(rows, size, seconds, contender.server.cpu_seconds() - cpu)


def copy_rows(contender, query):
    """`psql` writes the rows as they are; the rows of both servers have the same bytes."""
    command = ["psql", "-X", "-q", "-c", f"COPY ({query}) TO STDOUT (FORMAT binary)", contender.source()]
    size = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as process:
        while block := process.stdout.read(1 << 20):
            size += len(block)
    if process.returncode != 0:
        raise SystemExit(f"{contender.name}: psql ended with {process.returncode}")
    return None, size


def stream_rows(contender, query):
    with psycopg.connect(contender.source(), autocommit=True) as connection, connection.cursor() as cursor:
        return sum(1 for _ in cursor.stream(query, binary=True, size=PSYCOPG_ROWS)), None


def report_readings(report, title, readings, rows):
    """Adds the medians of the runs of each server, and their ratio to PostgreSQL, to the report."""
    seen = {(run.rows, run.bytes) for runs in readings.values() for run in runs}
    if len(seen) != 1 or seen.pop()[0] not in (None, rows):
        raise SystemExit(f"the servers have sent other rows: {readings}")
    lines = []
    peer = statistics.median(run.seconds for run in readings[PostgreSql.name])
    for name, runs in readings.items():
        seconds = statistics.median(run.seconds for run in runs)
        size = runs[0].bytes / seconds / 1e6 if runs[0].bytes else None
        cpu = statistics.median(run.cpu for run in runs) / rows * 1e6
        lines.append([name, rows / seconds, size, cpu, peer / seconds])
    report.table(f"{title}, {rows:,} rows",
                 ["server", "rows/s", "MB/s", "CPU s of the server / million rows", "ratio to PostgreSQL"], lines)


def read_all(arguments, parts, folder):
    """Measures the parts `copy` and `rows`."""
    works = {"copy": ("`COPY` in binary, `psql`", copy_rows), "rows": ("psycopg", stream_rows)}
    contenders = []
    try:
        contenders.append(Neap(arguments.neap, folder))
        contenders.append(PostgreSql(folder))
        for contender in contenders:
            contender.write(parts_of(arguments.rows))
        for part in parts:
            title, work = works[part]
            readings = {contender.name: [] for contender in contenders}
            for _ in range(arguments.runs):
                for contender in contenders:
                    readings[contender.name].append(measured(contender, work))
            report_readings(arguments.report, title, readings, arguments.rows)
    finally:
        for contender in contenders:
            contender.server.stop()


def pgbench(contender, arguments, seconds, folder):
    """Sends queries by prepared statements; returns their number, their rate, and the latencies in ms. Raises Failed."""
    logs = pathlib.Path(tempfile.mkdtemp(dir=folder))
    command = [str(postgresql_programs() / "pgbench"), "--no-vacuum", "--protocol=prepared",
               f"--client={arguments.clients}", "--jobs=1", f"--time={seconds}", "--log", f"--log-prefix={logs}/log"]
    for number, values in enumerate(VALUES):
        host, begin, end = (f"{name}{number}" for name in ("host", "begin", "end"))
        script = folder / f"query{number}.sql"
        script.write_text(QUERY.format(host=f":{host}", begin=f":{begin}", end=f":{end}"))
        command += [f"--file={script}", *(f"--define={name}={value}" for name, value in zip((host, begin, end), values))]
    command.append(contender.source())
    answer = subprocess.run(command, capture_output=True, text=True)
    rate = re.search(r"^tps = ([0-9.]+)", answer.stdout, re.M)
    if answer.returncode != 0 or not rate or "aborted" in answer.stderr:
        raise ingest.Failed(f"pgbench failed: {answer.stderr[-300:]}")
    latencies = sorted(
        int(line.split()[2]) / 1e3 for path in logs.iterdir() for line in path.read_text().splitlines()
    )
    return {
        "requests": len(latencies),
        "requests_per_second": float(rate[1]),
        "latency_ms": {name: load.percentile(latencies, share) for name, share in (("p50", 0.5), ("p99", 0.99))},
    }


def check_query(contender):
    """Raises Failed if the query with the first values has no row for each of the 60 minutes."""
    query = QUERY.format(host="%s", begin="%s", end="%s").strip().rstrip(";")
    with psycopg.connect(contender.source(), autocommit=True) as connection:
        rows = connection.execute(query, VALUES[0]).fetchall()
    if len(rows) != 60:
        raise ingest.Failed(f"{len(rows)} rows instead of 60")


def send_queries(arguments, folder):
    """Measures the part `queries`."""
    generator = clients.load_generator(arguments.load_generator)
    arguments.out.mkdir(parents=True, exist_ok=True)
    data = ingest.data_file("small", arguments.out)
    neap = Neap(arguments.neap, folder)
    with neap.server as server:
        ingest.load(server, "v3", data, 4, 5000)
        requests = clients.neap_sql()
        clients.check(server, requests)
        check_query(neap)
        ways = {
            "HTTP": lambda seconds: clients.send(generator, server, requests, folder, arguments.clients, seconds),
            "PostgreSQL's protocol": lambda seconds: pgbench(neap, arguments, seconds, folder),
        }
        results = {name: [] for name in ways}
        for send in ways.values():
            send(2)
        for _ in range(arguments.runs):
            for name, send in ways.items():
                before = server.cpu_seconds()
                sent = send(arguments.seconds)
                cpu = (server.cpu_seconds() - before) / sent["requests"] * 1e3
                latency = sent["latency_ms"]
                results[name].append((sent["requests_per_second"], cpu, latency["p50"], latency["p99"]))
    peer = statistics.median(run[0] for run in results["HTTP"])
    lines = []
    for name, runs in results.items():
        rate, cpu, p50, p99 = (statistics.median(column) for column in zip(*runs))
        lines.append([name, rate, cpu, p50, p99, rate / peer])
    arguments.report.table(
        f"Prepared queries over {arguments.clients} connections, medians of {arguments.runs} runs",
        ["protocol", "queries/s", "CPU ms of the server / query", "p50 ms", "p99 ms", "ratio to HTTP"], lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--only", default=",".join(PARTS), help="comma-separated parts")
    parser.add_argument("--neap", help="the neap binary (default: target/release/neap)")
    parser.add_argument("--load-generator", help="the neap-load-generator binary")
    parser.add_argument("--out", type=pathlib.Path, default=servers.HERE / "out")
    reports.add_options(parser)
    arguments = parser.parse_args()
    arguments.report = reports.Report(arguments.save)
    arguments.neap = servers.neap_binary(arguments.neap)
    parts = arguments.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"unknown parts: {', '.join(unknown)}")
    postgresql_programs()
    reading = [part for part in parts if part != "queries"]
    with tempfile.TemporaryDirectory() as folder:
        if reading:
            read_all(arguments, reading, pathlib.Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        if "queries" in parts:
            try:
                send_queries(arguments, pathlib.Path(folder))
            except ingest.Failed as error:
                sys.exit(f"queries: {error}")
    arguments.report.finish()


if __name__ == "__main__":
    main()
