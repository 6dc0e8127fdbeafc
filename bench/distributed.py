#!/usr/bin/env python3
"""Queries over several worker processes: how the work is shared, what sharing costs, and how long a slow store takes.

    bench/distributed.py [--days 30] [--hosts 1000] [--interval 60s] [--keep DIR] [--only work,overhead,slow]
                         [--neap PATH] [--s3-server PATH]

| part | what is measured |
|---|---|
| `work` | bytes from the store, tasks and CPU seconds of each worker and of the coordinator, cold, with 1, 2, 4 and 8 workers; the largest share of a worker, and all work beside that of one process |
| `overhead` | the time of a query that reads just enough to be distributed over two workers, beside the same query in one process, warm |
| `slow` | the time with 1 and 4 workers if the store answers 30 ms late and each process gets 50 MB/s of it |

All processes share one machine, so `work` counts work and not time. Each row of `work` is of new processes with empty caches.
"One worker" is a process that executes the query alone. The data are those of settle.py, in the project's own S3 server.
--keep loads them into a folder, or uses what an earlier run loaded there with the same arguments.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import report as reports
import servers
import settle

STORE_DELAY = 0.030
STORE_BYTES_PER_SECOND = 50_000_000
PREFIX = "bench"

QUERIES = {
    "count": "SELECT count(*) AS n, count(usage_user) AS m FROM cpu WHERE usage_user > 90",
    "hosts": "SELECT hostname, avg(usage_user) AS a, max(usage_system) AS b FROM cpu GROUP BY hostname ORDER BY hostname",
    "hours": "SELECT date_bin(INTERVAL '1 hour', time) AS hour, hostname, avg(usage_user) AS a FROM cpu "
             "GROUP BY hour, hostname ORDER BY hour, hostname",
    "columns": "SELECT hostname, max(usage_user) AS a, max(usage_system) AS b, max(usage_idle) AS c, max(usage_nice) AS d, "
               "max(usage_iowait) AS e FROM cpu GROUP BY hostname ORDER BY hostname",
    "distinct": "SELECT count(DISTINCT usage_user) AS n FROM cpu",
    "top": "SELECT time, hostname, usage_user FROM cpu ORDER BY usage_user DESC, time, hostname LIMIT 100",
    "join": "SELECT a.hostname, count(*) AS n FROM cpu a JOIN (SELECT hostname, max(time) AS last FROM cpu GROUP BY hostname) b "
            "ON a.hostname = b.hostname WHERE a.time > b.last - INTERVAL '1 day' GROUP BY a.hostname ORDER BY a.hostname",
}


class Process(servers.Server):
    """A process that answers queries."""

    def query(self, text):
        """The rows, and the number of workers."""
        body = json.dumps({"db": "bench", "q": text, "format": "json"}).encode()
        request = urllib.request.Request(f"{self.url}/api/v3/query_sql", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=3600) as answer:
                return json.loads(answer.read()), int(answer.headers.get("x-neap-workers", "0"))
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{error.code} {error.read()[:500]!r}: {text}") from None

    def usage(self):
        """Bytes read from the store, tasks, and CPU seconds so far."""
        return (settle.metric(self, "neap_store_bytes_total", operation="get", **{"class": "data"}),
                settle.metric(self, "neap_distributed_tasks_total"), self.cpu_seconds())


class Proxy:
    """A store that answers late and slowly, for one process."""

    def __init__(self, store):
        self.port = servers.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = multiprocessing.Process(target=lambda: asyncio.run(self._serve(store.port)), daemon=True)
        self.process.start()

    async def _serve(self, store):
        loop = asyncio.get_running_loop()
        free_at = [loop.time()]

        async def forward(reader, writer, delay, limited):
            with contextlib.suppress(OSError):
                while block := await reader.read(1 << 16):
                    if delay:
                        await asyncio.sleep(delay)
                    if limited:
                        free_at[0] = max(free_at[0], loop.time()) + len(block) / STORE_BYTES_PER_SECOND
                        await asyncio.sleep(free_at[0] - loop.time())
                    writer.write(block)
                    await writer.drain()
            writer.close()

        async def connect(reader, writer):
            back, forth = await asyncio.open_connection("127.0.0.1", store)
            await asyncio.gather(forward(reader, forth, STORE_DELAY, False), forward(back, writer, 0, True))

        server = await asyncio.start_server(connect, "127.0.0.1", self.port)
        async with server:
            await server.serve_forever()

    def stop(self):
        self.process.terminate()
        self.process.join()


def serve(binary, store_url, name, work, extra):
    port = servers.free_port()
    command = [binary, "serve", *store_options(store_url), "--http-bind", f"127.0.0.1:{port}", "--without-auth",
               "--node-id", name, *servers.WITHOUT_ANSWERS, *extra]
    return Process(name, command, port, log=work / f"{name}.log")


def store_options(url):
    return ["--object-store", "s3", "--bucket", "neap", "--key-prefix", PREFIX, "--aws-endpoint", url, "--aws-allow-http",
            "--aws-access-key-id", "AKIDTEST", "--aws-secret-access-key", "SKTEST"]


@contextlib.contextmanager
def cluster(binary, store, workers, work, bytes_per_worker, slow=False):
    """A coordinator and workers; with one worker, a process that executes queries alone."""
    # The processes of earlier runs, which a cluster would not have had.
    shutil.rmtree(store.nodes, ignore_errors=True)
    with contextlib.ExitStack() as stack:
        def started(name, extra):
            url = store.url
            if slow:
                proxy = Proxy(store)
                stack.callback(proxy.stop)
                url = proxy.url
            process = serve(binary, url, name, work, ["--mode", "query", *extra])
            stack.callback(process.stop)
            return process

        if workers == 1:
            yield started("alone", ["--distributed-max-workers", "0"]), []
            return
        nodes = [started(f"worker-{number}", ["--cluster-address", f"127.0.0.1:{servers.free_port()}"])
                 for number in range(workers)]
        limits = ["--distributed-max-workers", str(workers), "--distributed-bytes-per-worker", str(bytes_per_worker)]
        yield started("coordinator", limits), nodes


def load(arguments, binary, store, work):
    extra = ["--mode", "ingest,query,compact", "--wal-flush-interval", "20ms"]
    server = serve(binary, store.url, "loader", work, extra)
    rows, seconds = settle.load(arguments, server, work)
    # The lag of a flush of a network store.
    time.sleep(40)
    server.stop()
    subprocess.run([binary, "compact", *store_options(store.url), "--settle-after", "0s", "--time-travel", "0s",
                    "--query-timeout", "0s"], check=True, stdout=sys.stderr)
    print(f"{rows} rows loaded in {seconds:.0f} s", file=sys.stderr)


def measure(binary, store, workers, work, text, bytes_per_worker):
    """A query of new processes: its rows, time, number of workers, and usage by process."""
    with cluster(binary, store, workers, work, bytes_per_worker) as (coordinator, nodes):
        processes = [*nodes, coordinator]
        before = [process.usage() for process in processes]
        began = time.perf_counter()
        rows, used = coordinator.query(text)
        seconds = time.perf_counter() - began
        time.sleep(0.5)
        after = [process.usage() for process in processes]
        usage = [tuple(b - a for a, b in zip(one, other)) for one, other in zip(before, after)]
        return rows, seconds, used, usage


def part_work(arguments, binary, store, work):
    lines = []
    for name, text in arguments.queries.items():
        alone = None
        for workers in arguments.workers:
            rows, _, used, usage = measure(binary, store, workers, work, text, arguments.bytes_per_worker)
            total = [sum(column) for column in zip(*usage)]
            if workers == 1:
                alone = (rows, total)
                lines.append([name, 1, None, None, None, None, total[0] / 1e6, 1, total[2], 1])
                continue
            if alone and rows != alone[0]:
                raise SystemExit(f"{name}: {workers} workers answer otherwise than one process")
            if used == 0:
                lines.append([name, workers, "not distributed", *[None] * 7])
                continue
            *nodes, coordinator = usage
            read = [node[0] for node in nodes if node[1]]
            largest = max(read) / max(statistics.mean(read), 1)
            base = alone[1] if alone else total
            lines.append([name, used, spread(one / 1e6 for one in read), largest,
                          spread(node[2] for node in nodes if node[1]), coordinator[2], total[0] / 1e6,
                          total[0] / max(base[0], 1), total[2], total[2] / max(base[2], 0.01)])
    arguments.report.table("Work", ["query", "workers", "MB of each worker", "largest share", "CPU s of each worker",
                                    "CPU s of the coordinator", "MB, all", "ratio", "CPU s, all", "ratio"], lines)


def spread(values):
    values = sorted(values)
    return f"{values[0]:.2f} – {values[-1]:.2f}" if values else "–"


def part_overhead(arguments, binary, store, work):
    lines = []
    for name, text in arguments.queries.items():
        _, _, _, usage = measure(binary, store, 1, work, text, 1)
        read = int(usage[0][0])
        # The estimate of what a query reads may be above or below what it has read.
        for share in (2.1, 2.6, 3.5, 5, 10, 30):
            times = {}
            for workers in (1, 2):
                with cluster(binary, store, workers, work, max(int(read / share), 1)) as (coordinator, _):
                    used = coordinator.query(text)[1]
                    samples = []
                    for _ in range(arguments.runs):
                        began = time.perf_counter()
                        coordinator.query(text)
                        samples.append(time.perf_counter() - began)
                    times[workers] = statistics.median(samples) * 1000
            if used:
                lines.append([name, read / 1e6, times[1], times[2], times[2] / times[1]])
                break
        else:
            lines.append([name, read / 1e6, times[1], "not distributed", None])
    arguments.report.table("Overhead of a query just above the threshold, warm",
                           ["query", "MB read", "alone, ms", "on 2 workers, ms", "ratio"], lines)


def part_slow(arguments, binary, store, work):
    rate, lines = STORE_BYTES_PER_SECOND / 1e6, []
    for name, text in arguments.queries.items():
        times = {}
        for workers in (1, 4):
            samples = []
            for _ in range(arguments.slow_runs):
                with cluster(binary, store, workers, work, arguments.bytes_per_worker, slow=True) as (coordinator, _):
                    began = time.perf_counter()
                    used = coordinator.query(text)[1]
                    samples.append(time.perf_counter() - began)
            times[workers] = statistics.median(samples)
        if used:
            lines.append([name, times[1], times[4], times[4] / times[1]])
        else:
            lines.append([name, times[1], "not distributed", None])
    arguments.report.table(
        f"The store {STORE_DELAY * 1000:.0f} ms late, {rate:.0f} MB/s for each process, cold",
        ["query", "alone, s", "on 4 workers, s", "ratio"], lines)


PARTS = {"work": part_work, "overhead": part_overhead, "slow": part_slow}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--interval", default="60s")
    parser.add_argument("--late", type=float, default=0.05, help="the part of a day's rows that comes a day late")
    parser.add_argument("--workers", default="1,2,4,8", help="numbers of workers of `work`")
    parser.add_argument("--bytes-per-worker", type=int, default=1 << 20)
    parser.add_argument("--runs", type=int, default=10, help="warm runs of each query of `overhead`")
    parser.add_argument("--slow-runs", type=int, default=reports.TURNS, help="cold runs of each query of `slow`")
    parser.add_argument("--queries", default=",".join(QUERIES), help=f"of {', '.join(QUERIES)}")
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--keep", type=pathlib.Path, help="the folder of the data, if they are to be kept")
    parser.add_argument("--neap")
    parser.add_argument("--s3-server")
    parser.add_argument("--out", type=pathlib.Path, default=servers.HERE / "out")
    reports.add_options(parser, turns=None)
    arguments = parser.parse_args()
    arguments.report = reports.Report(arguments.save)
    arguments.workers = [int(number) for number in arguments.workers.split(",")]
    arguments.queries = {name: QUERIES[name] for name in arguments.queries.split(",")}
    binary = servers.neap_binary(arguments.neap)
    s3_server = arguments.s3_server or str(pathlib.Path(binary).with_name("neap-s3-server"))
    arguments.out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.out) as temporary:
        work = pathlib.Path(temporary)
        data = arguments.keep or work / "store"
        is_loaded = (data / "loaded").exists()
        (data / "neap").mkdir(parents=True, exist_ok=True)
        port = servers.free_port()
        with servers.Server("S3 server", [s3_server, str(port), str(data)], port, health="/") as store:
            store.nodes = data / "neap" / PREFIX / "nodes"
            if not is_loaded:
                load(arguments, binary, store, work)
                (data / "loaded").touch()
            for name in arguments.only.split(","):
                PARTS[name](arguments, binary, store, work)
    arguments.report.finish()


if __name__ == "__main__":
    main()
