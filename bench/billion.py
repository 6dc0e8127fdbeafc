#!/usr/bin/env python3
"""A billion rows: ways in, compaction, queries beside DuckDB, changes, and the size of what stays.

    bench/billion.py [--rows 1000000000] [--hosts 1000] [--line-rows 100000000] [--work DIR] [--neap PATH] [--save]

Each of the hosts has a row of 10 fields every 10 seconds; 2 % of the rows come up to 20 days late (`fleet.py`). A run
that was killed continues with the same command: the folder of `--work` has its data and progress. Disk and memory are
checked first: a row takes up to 45 bytes of disk.

| part | what is measured |
|---|---|
| ways in | rows/s, CPU time of the server (with flushes and merges) and of the client for each row, peak memory: `adbc_ingest` of all rows into a directory, and, with up to `--line-rows`, with `--memory-limit 512MiB`, by line protocol, with that limit, and on the S3 server of the project; a backup into another directory, and its restore |
| settled | what `neap compact` leaves when it finds nothing to merge: objects, bytes per row beside one sorted file of DuckDB (zstd), write amplification (bytes put to the store, tail and all, for each byte that stays), time from the start of a process to its first answer |
| queries | 11 queries of dashboards: the first one of a process, and the medians of `--runs` more of them, without and with `--memory-limit 512MiB`; DuckDB with 2 threads takes turns, over the same Parquet objects, and over its sorted file. The files stay in the page cache |
| changes | the rows of a host are deleted, a column is dropped, a materialized view over all rows is created |

Needs the Python packages of tests/clients/requirements.txt: adbc-driver-flightsql, adbc-driver-manager, duckdb, numpy,
pyarrow.
"""

import argparse
import http.client
import json
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

import billion_queries
import clients
import fleet as fleets
import many_tables
import report
import servers
import settle
from billion_work import Meter, Progress, add_cost, of_parquet, per_row, require_room, wait_until, write_amplification

LIMIT = "512MiB"
# Batches of `fleet_rows` in one statement of ADBC, after which the progress is recorded.
BATCHES_PER_CHUNK = 10
CONNECTIONS = 4
WAIT_SECONDS = 4 * 3_600
# Attempts with a chunk that the server can't take yet, with a second between them.
ATTEMPTS = 120
COMPACTIONS = 20
JSON = {"Content-Type": "application/json"}


class Context:
    """The options of a run, its fleet, folder and progress."""

    def __init__(self, arguments):
        self.binary = servers.neap_binary(arguments.neap)
        self.generator = clients.load_generator(arguments.load_generator)
        self.s3_binary = arguments.s3_server or str(pathlib.Path(self.binary).with_name("neap-s3-server"))
        self.runs, self.work = arguments.runs, arguments.work
        self.fleet = fleets.Fleet.of_rows(arguments.hosts, arguments.rows)
        self.small = fleets.Fleet.of_rows(arguments.hosts, min(arguments.rows, arguments.line_rows))
        self.work.mkdir(parents=True, exist_ok=True)
        options = {"rows": self.fleet.rows, "hosts": arguments.hosts, "line_rows": self.small.rows}
        self.progress = Progress(self.work / "progress.json", options)
        self.progress.stop_earlier_servers()

    def serve(self, directory, limit=None, extra=()):
        limits = ["--memory-limit", limit] if limit else []
        return self.progress.running(servers.neap(self.binary, directory, [*limits, *extra]))


def call(server, method, path, body=None):
    """The answer to a request with JSON. Ends the program if it is not 2xx."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_SECONDS)
    connection.request(method, path, json.dumps(body) if body else None, JSON)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status >= 300:
        raise SystemExit(f"{method} {path}: {answer.status} {text[:300]!r}")
    return json.loads(text) if text else None


def ask(server, text, database="bench"):
    """The rows of an answer, and the time in milliseconds."""
    began = time.perf_counter()
    rows = call(server, "POST", "/api/v3/query_sql", {"db": database, "q": text, "format": "json"})
    return rows, (time.perf_counter() - began) * 1e3


def require_rows(server, expected, database="bench"):
    count = ask(server, "SELECT count(*) AS n FROM cpu", database)[0][0]["n"]
    if count != expected:
        raise SystemExit(f"{count:,} rows are in {database}, not {expected:,}")


def wait_for_flush(server):
    wait_until(lambda: settle.metric(server, "neap_tail_segments") == 0, WAIT_SECONDS, "the flush of the tail")


def load_by_adbc(context, name, fleet, directory, limit=None):
    """Writes the rows of a fleet, from where an earlier process has stopped. The rows of a chunk that is sent twice replace
    themselves."""
    import adbc_driver_flightsql.dbapi as adbc
    import fleet_rows
    from adbc_driver_flightsql import DatabaseOptions

    rows, load = fleet_rows.FleetRows(fleet), context.progress.load(name)
    header = f"{DatabaseOptions.RPC_CALL_HEADER_PREFIX.value}database"
    with context.serve(directory, limit) as server:
        options = {header: "bench"}
        with adbc.connect(f"grpc://127.0.0.1:{server.port}", db_kwargs=options, autocommit=True) as connection, \
                connection.cursor() as cursor:
            meter = Meter(server)
            for first, last in fleets.spans(fleet.ticks, BATCHES_PER_CHUNK * rows.batch_ticks, load["ticks"]):
                refusals = send_chunk(cursor, rows, first, last)
                add_cost(load, {"ticks": last - first, "refusals": refusals, **meter.cost()})
                context.progress.save()
        # What is left to flush costs CPU time and bytes, but no client waits for it.
        wait_for_flush(server)
        cost = meter.cost()
        add_cost(load, {key: cost[key] for key in ("cpu", "put", "peak_mib")})
        require_rows(server, fleet.rows)
    return {"rows": fleet.rows, **load}


def send_chunk(cursor, rows, first, last):
    """Writes the rows of some ticks, again while the server can't take them. Returns the number of refusals."""
    from adbc_driver_manager import Error

    for attempt in range(ATTEMPTS):
        try:
            cursor.adbc_ingest("cpu", rows.reader(first, last), mode="create_append")
            return attempt
        except Error as error:
            if not re.search("unavailable|resource.?exhausted", str(error), re.I):
                raise
            time.sleep(1)
    raise SystemExit(f"the server has refused a chunk {ATTEMPTS} times")


def load_by_lines(context, fleet, server):
    """Writes the rows of a fleet by line protocol with the load generator."""
    path = "/api/v3/write_lp?db=bench&precision=nanosecond"
    command = [context.generator, server.url + path, "--rows", str(fleet.rows), "--hosts", str(fleet.hosts),
               "--connections", str(CONNECTIONS), "--seconds", str(WAIT_SECONDS)]
    meter, before = Meter(server), resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = subprocess.run(command, capture_output=True, text=True)
    try:
        sent = json.loads(answer.stdout)
    except ValueError:
        raise SystemExit(f"the load generator failed: {answer.stderr[-300:]}") from None
    if set(sent["outcomes"]) - {"204", "429", "503"}:
        raise SystemExit(f"a write failed: {sent['first_error']}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    wait_for_flush(server)
    require_rows(server, fleet.rows)
    client = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"rows": fleet.rows, **meter.cost(), "seconds": sent["seconds"], "client_cpu": client,
            "refusals": sent["failed"]}


def fresh(context, name):
    """An empty folder in place of that of a part that was not completed."""
    directory = context.work / name
    shutil.rmtree(directory, ignore_errors=True)
    return directory


def lines_on_directory(context, name, limit=None):
    directory = fresh(context, name)
    with context.serve(directory, limit) as server:
        result = load_by_lines(context, context.small, server)
    shutil.rmtree(directory)
    return result


def lines_on_s3(context):
    directory = fresh(context, "s3")
    started = context.progress.running
    with started(servers.s3_server(context.s3_binary, directory)) as store:
        with started(servers.neap_on_s3(context.binary, store, "bench", context.work / "s3.log")) as server:
            result = load_by_lines(context, context.small, server)
    shutil.rmtree(directory)
    return result


def limited_adbc(context):
    directory = context.work / "limited"
    result = load_by_adbc(context, "limited", context.small, directory, LIMIT)
    shutil.rmtree(directory)
    return result


def compact(context, directory):
    """Runs `neap compact` until it has nothing to merge; the cost of each process."""
    done = []
    for _ in range(COMPACTIONS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_oublock
        text, seconds, cpu, peak = many_tables.compact(
            context.binary, directory, "--settle-after", "0s", "--time-travel", "0s", "--query-timeout", "0s")
        # Blocks of 512 bytes that the process has written to files.
        written = (resource.getrusage(resource.RUSAGE_CHILDREN).ru_oublock - before) * 512
        done.append({"seconds": seconds, "cpu": cpu, "peak_mib": peak, "written": written})
        merges = re.search(r"(\d+) merges", text)
        if not merges or merges[1] == "0":
            return done
    raise SystemExit(f"{COMPACTIONS} runs of neap compact leave work")


def settled(context, directory):
    """The objects of the settled table, and what it took to get there."""
    done = compact(context, directory)
    with context.serve(directory, extra=["--mode", "query"]) as server:
        files, _ = ask(server, "SELECT path, size_bytes, row_count FROM system.parquet_files WHERE table_name = 'cpu'")
    paths = [file["path"] for file in files]
    return {"compactions": done, "sections": len(files), "objects": len(set(paths)), "of_parquet": of_parquet(paths),
            "bytes": sum(file["size_bytes"] for file in files), "rows": sum(file["row_count"] for file in files),
            "parquet": sorted({path for path in paths if path.endswith(".parquet")}),
            "parquet_rows": sum(file["row_count"] for file in files if file["path"].endswith(".parquet"))}


def restarts(context, directory):
    """Seconds from the start of a process until it is ready, and until it has answered a first query."""
    times = []
    for _ in range(context.runs):
        began = time.perf_counter()
        with context.serve(directory) as server:
            ready = time.perf_counter() - began
            require_rows(server, context.fleet.rows)
            times.append((ready, time.perf_counter() - began))
    return [report.median(column) for column in zip(*times)]


def sorted_by_duckdb(context, paths):
    """The bytes and rows of the sorted file, whose path is the same in each run."""
    path = billion_queries.sorted_file(paths, context.fleet, context.work)
    rows, _ = billion_queries.DuckDb([path], context.work).run("SELECT count(*) FROM cpu")
    return {"path": str(path), "bytes": path.stat().st_size, "rows": rows[0][0]}


def queries(context, directory, peers, limit=None):
    """The first and later times of each query, in turns with the peers; each query has a process of its own."""
    expected, results = billion_queries.expected_rows(context.fleet), {}
    for query in billion_queries.dashboard(context.fleet):
        with context.serve(directory, limit) as server:
            rows, first = ask(server, query.neap)
            if len(rows) != expected.get(query.name, len(rows)):
                raise SystemExit(f"{query.name}: {len(rows)} rows, not {expected[query.name]}")
            warm, others, counts = [], {name: [] for name in peers}, {}
            for _ in range(context.runs):
                warm.append(ask(server, query.neap)[1])
                for name, peer in peers.items():
                    answer, milliseconds = peer.run(query.duckdb)
                    others[name].append(milliseconds)
                    counts[name] = len(answer)
            results[query.name] = {"rows": len(rows), "first": first, "warm": report.median(warm),
                                   "peers": {name: report.median(times) for name, times in others.items()},
                                   "peer_rows": counts, "peak_mib": server.peak_kib / 1024}
    return results


def wait_for_job(server, path):
    """Waits for a backup or a restore; its last state."""
    state = {}

    def is_done():
        state.update(call(server, "GET", path))
        return state["status"] != "in_progress"

    wait_until(is_done, WAIT_SECONDS, path)
    if state["status"] != "completed":
        raise SystemExit(f"{path}: {state}")
    return state


def backup_and_restore(context, directory):
    """A backup into another directory, and its restore as another database, which is dropped again."""
    place = fresh(context, "backup")
    place.mkdir()
    results = {}
    with context.serve(directory, extra=["--backup-to", str(place)]) as server:
        drop = {"q": "DROP DATABASE IF EXISTS restored"}
        call(server, "POST", "/api/v3/execute_sql", drop)
        meter = Meter(server)
        backup = {"type": "full", "name": "billion", "database": "bench", "to": str(place), "force": True}
        call(server, "POST", "/api/v3/enterprise/backup", backup)
        state = wait_for_job(server, "/api/v3/enterprise/backup/billion")
        results["backup"] = {"rows": context.fleet.rows, "bytes": state["total_size_bytes"], **meter.cost()}
        restore = {"backup_name": "billion", "database": "bench", "to": "restored"}
        started = call(server, "POST", "/api/v3/enterprise/restore", restore)
        wait_for_job(server, f"/api/v3/enterprise/restore/{started['restore_id']}")
        results["restore"] = {"rows": context.fleet.rows, **meter.cost()}
        require_rows(server, context.fleet.rows, "restored")
        call(server, "POST", "/api/v3/execute_sql", drop)
        call(server, "DELETE", "/api/v3/enterprise/backup/billion")
    shutil.rmtree(place)
    return results


def execute(server, statement):
    """Executes a statement; its time in milliseconds."""
    began = time.perf_counter()
    call(server, "POST", "/api/v3/execute_sql", {"db": "bench", "q": statement})
    return (time.perf_counter() - began) * 1e3


def change(context, directory, statement, remaining):
    """Executes a statement that leaves as many rows; its time in milliseconds."""
    with context.serve(directory) as server:
        milliseconds = execute(server, statement)
        require_rows(server, remaining)
    return milliseconds


def changes(context, directory):
    """Deletes a host, drops a column, and creates a view over all rows; the costs of each, and of the merges after it."""
    results, fleet = {}, context.fleet
    host = fleet.host_name(fleet.hosts // 2)
    remaining = fleet.rows - fleet.ticks
    statements = {
        "delete of a host": f"DELETE FROM cpu WHERE hostname = '{host}'",
        "dropped column": "ALTER TABLE cpu DROP COLUMN usage_guest",
    }
    for name, statement in statements.items():
        milliseconds = context.progress.part(f"{name}, statement", lambda: change(context, directory, statement, remaining))
        merged = context.progress.part(f"{name}, merges", lambda: compact(context, directory))
        results[name] = {"ms": milliseconds, "compactions": merged}
    view = ("CREATE MATERIALIZED VIEW IF NOT EXISTS cpu_1h AS SELECT date_bin(INTERVAL '1 hour', time) AS time, hostname, "
            "avg(usage_user) AS mean, max(usage_user) AS high FROM cpu GROUP BY 1, hostname")
    with context.serve(directory) as server:
        meter = Meter(server)
        milliseconds = execute(server, view)
        states = "SELECT state, pending_windows, error FROM system.materialized_views"
        wait_until(lambda: ask(server, states)[0] == [{"state": "current", "pending_windows": 0}], WAIT_SECONDS, "the view")
        cost = meter.cost()
        rows = ask(server, "SELECT count(*) AS n FROM cpu_1h")[0][0]["n"]
    results["view over all rows"] = {"ms": milliseconds, "rows": rows, **cost}
    return results


def measure(context):
    """All parts in their order; those that an earlier process has completed are not repeated."""
    progress, data = context.progress, context.work / "data"
    ways = {
        "ADBC, directory": (None, progress.part("adbc", lambda: load_by_adbc(context, "adbc", context.fleet, data))),
        f"ADBC, directory, {LIMIT}": (LIMIT, progress.part("adbc limited", lambda: limited_adbc(context))),
        "line protocol, directory": (None, progress.part("lines", lambda: lines_on_directory(context, "lines"))),
        f"line protocol, directory, {LIMIT}":
            (LIMIT, progress.part("lines limited", lambda: lines_on_directory(context, "lines", LIMIT))),
        "line protocol, S3 server": (None, progress.part("s3", lambda: lines_on_s3(context))),
    }
    stays = progress.part("settled", lambda: settled(context, data))
    paths = [data / path for path in stays["parquet"]]
    if not paths:
        raise SystemExit("none of the settled objects is a Parquet file, so that DuckDB has nothing to read")
    sorted_rows = progress.part("sorted", lambda: sorted_by_duckdb(context, paths))
    restart = progress.part("restart", lambda: restarts(context, data))
    peers = {"objects": billion_queries.DuckDb(paths, context.work),
             "sorted": billion_queries.DuckDb([sorted_rows["path"]], context.work)}
    free = progress.part("queries", lambda: queries(context, data, peers))
    limited = progress.part("queries limited", lambda: queries(context, data, {}, LIMIT))
    copies = progress.part("backup", lambda: backup_and_restore(context, data))
    ways["backup into a directory"] = (None, copies["backup"])
    ways["restore of the backup"] = (None, copies["restore"])
    changed = progress.part("changes", lambda: changes(context, data))
    return ways, stays, sorted_rows, restart, free, limited, changed


def show(out, context, ways, stays, sorted_rows, restart, free, limited, changed):
    load = ways["ADBC, directory"][1]
    out.table(
        f"Ways in, {context.fleet.hosts:,} hosts",
        ["way", "memory limit", "rows", "rows/s", "server CPU µs/row", "client CPU µs/row", "peak MiB", "refusals"],
        [[name, limit, way["rows"], way["rows"] / way["seconds"], per_row(way["cpu"], way["rows"]),
          per_row(way["client_cpu"], way["rows"]), way["peak_mib"], way.get("refusals")]
         for name, (limit, way) in ways.items()])
    size, done = stays["bytes"] / stays["rows"], stays["compactions"]
    out.table("Settled", ["figure", "value"], [
        ["rows", stays["rows"]], ["sections", stays["sections"]], ["objects", stays["objects"]],
        ["share of objects that are Parquet files", stays["of_parquet"]],
        ["share of rows in them", stays["parquet_rows"] / stays["rows"]],
        ["bytes/row", size], ["bytes/row, sorted by DuckDB, zstd", sorted_rows["bytes"] / sorted_rows["rows"]],
        ["of DuckDB's", report.ratio(size, sorted_rows["bytes"] / sorted_rows["rows"])],
        ["write amplification", write_amplification(load, done, stays["bytes"])],
        ["`neap compact` after the load, s", sum(one["seconds"] for one in done)],
        ["its CPU time, s", sum(one["cpu"] for one in done)],
        ["its peak, MiB", max(one["peak_mib"] for one in done)],
        ["start until ready, s", restart[0]], ["start until the first answer, s", restart[1]]])
    out.table(
        f"Queries, ms: medians of {context.runs} turns. DuckDB has {billion_queries.THREADS} threads",
        ["query", "rows", "first", "warm", "peak MiB", f"warm, {LIMIT}", f"peak MiB, {LIMIT}", "DuckDB, same objects",
         "ratio", "DuckDB, sorted file", "ratio"],
        [[name, one["rows"], one["first"], one["warm"], one["peak_mib"], limited[name]["warm"], limited[name]["peak_mib"],
          one["peers"]["objects"], report.ratio(one["warm"], one["peers"]["objects"]), one["peers"]["sorted"],
          report.ratio(one["warm"], one["peers"]["sorted"])] for name, one in free.items()])
    rows = [[name, one["ms"], *(sum(it[key] for it in one["compactions"]) for key in ("seconds", "cpu")),
             sum(it["written"] for it in one["compactions"]) / 1e6, max(it["peak_mib"] for it in one["compactions"])]
            for name, one in changed.items() if "compactions" in one]
    view = changed["view over all rows"]
    rows.append([f"view over all rows: {view['rows']:,} rows", view["ms"], view["seconds"], view["cpu"], view["put"] / 1e6,
                 view["peak_mib"]])
    out.table("Changes", ["change", "answered after ms", "completed after s", "CPU s", "MB written", "peak MiB"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000_000)
    parser.add_argument("--hosts", type=int, default=1_000)
    parser.add_argument("--line-rows", type=int, default=100_000_000, help="rows of the smaller loads (100,000,000)")
    parser.add_argument("--neap", help="the neap binary (default: target/release/neap)")
    parser.add_argument("--s3-server", help="the neap-s3-server binary (default: beside that of neap)")
    parser.add_argument("--load-generator", help="the neap-load-generator binary")
    parser.add_argument("--work", type=pathlib.Path, default=servers.HERE / "out" / "billion",
                        help="the folder of the run, which is kept (bench/out/billion)")
    report.add_options(parser)
    arguments = parser.parse_args()
    # Servers are stopped by context managers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    context = Context(arguments)
    require_room(context.work, context.fleet.rows, context.small.rows)
    out = report.Report(arguments.save)
    show(out, context, *measure(context))
    out.finish()


if __name__ == "__main__":
    main()
