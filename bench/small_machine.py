#!/usr/bin/env python3
"""A small machine under load: writers as fast as they can, with late rows, beside clients with mixed queries.

    bench/small_machine.py [--memory 512MiB] [--seconds 300] [--writers 4] [--queriers 6] [--neap PATH]

The server gets `--memory-limit`, and a control group of that size where this machine lets one be made (the last line says
so). The load runs twice, without and with queries. Prints a Markdown table: rows/s, their ratio, what became of writes
and queries, the most memory that the process held, as a share of the limit, and whether it lived. Ends with status 1 if the
process was killed, held more than 95 % of the limit, refused a query for the tail, or took less than half of the rows.
"""

import argparse
import collections
import contextlib
import http.client
import multiprocessing
import os
import pathlib
import random
import sys
import tempfile
import time

import report as reports
import servers

UNITS = {"MiB": 1 << 20, "GiB": 1 << 30}
BATCH = 5_000
HOSTS = 500
LATE_SHARE = 0.02
LATE_SECONDS = 20 * 86_400

QUERIES = [
    "SELECT host, avg(usage) AS a, count(*) AS n FROM cpu GROUP BY host ORDER BY a DESC LIMIT 20",
    "SELECT * FROM cpu ORDER BY usage DESC, time LIMIT 100",
    "SELECT date_bin(INTERVAL '1 minute', time) AS t, region, max(system) AS m FROM cpu GROUP BY t, region ORDER BY t",
    "SELECT DISTINCT host, region FROM cpu",
    "SELECT host, time, usage, row_number() OVER (PARTITION BY host ORDER BY time DESC) AS r FROM cpu ORDER BY r LIMIT 10",
    "SELECT count(*) AS n FROM cpu a JOIN cpu b ON a.host = b.host AND a.time = b.time WHERE a.usage > 90",
]


def bytes_of(text):
    for unit, factor in UNITS.items():
        if text.endswith(unit):
            return int(text[: -len(unit)]) * factor
    return int(text)


def lines(random_numbers, at_nanos):
    for number in range(BATCH):
        host = random_numbers.randrange(HOSTS)
        late = random_numbers.random() < LATE_SHARE
        time_ns = at_nanos + number - (random_numbers.randrange(LATE_SECONDS) * 10**9 if late else 0)
        yield (f"cpu,host=host-{host},region=region-{host % 7} usage={random_numbers.randrange(10_000) / 100},"
               f"system={random_numbers.randrange(100)}i,idle={random_numbers.random():.4f} {time_ns}")


def ask(connection, method, path, body):
    connection.request(method, path, body)
    reply = connection.getresponse()
    return reply.status, reply.read()


def work(port, until, make, results):
    """Sends what `make` gives, one request after the other; counts answers by status."""
    counts, refusals = collections.Counter(), collections.Counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    while time.time() < until:
        try:
            status, body = ask(connection, *make())
        except OSError:
            counts["no answer"] += 1
            connection.close()
            time.sleep(0.2)
            continue
        counts[status] += 1
        if status not in (200, 204):
            refusals[body.decode(errors="replace")[:160]] += 1
            time.sleep(0.05)
    results.put((counts, refusals))


def writer(port, until, seed, results):
    random_numbers = random.Random(seed)
    # A few bodies, sent again and again with other times: the client must not be the limit.
    bodies = ["\n".join(lines(random_numbers, 0)) for _ in range(4)]
    rows = [[line.rsplit(" ", 1) for line in body.splitlines()] for body in bodies]
    number = 0

    def make():
        nonlocal number
        number += 1
        now = time.time_ns()
        body = "\n".join(f"{head} {now + int(at)}" for head, at in rows[number % len(rows)])
        return "POST", "/api/v3/write_lp?db=bench", body

    work(port, until, make, results)


def querier(port, until, seed, results):
    random_numbers = random.Random(seed)

    def make():
        query = random_numbers.choice(QUERIES)
        body = '{"db": "bench", "q": "%s", "format": "csv"}' % query
        return "POST", "/api/v3/query_sql", body

    work(port, until, make, results)


@contextlib.contextmanager
def control_group(limit):
    """A control group of this size below that of this process, or `None`."""
    folder = None
    with contextlib.suppress(OSError):
        for line in open("/proc/self/cgroup"):
            _, controllers, path = line.strip().split(":", 2)
            mounts = {"memory": ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), "": ("/sys/fs/cgroup", "memory.max")}
            if controllers not in mounts:
                continue
            mount, name = mounts[controllers]
            candidate = pathlib.Path(mount) / path.lstrip("/") / f"neap-bench-{os.getpid()}"
            with contextlib.suppress(OSError):
                candidate.mkdir()
                (candidate / name).write_text(str(limit))
                folder = candidate
                break
    try:
        yield folder
    finally:
        if folder:
            time.sleep(0.5)
            with contextlib.suppress(OSError):
                folder.rmdir()


def held(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    return 0


def load(arguments, limit, queriers, group):
    with tempfile.TemporaryDirectory() as folder:
        port = servers.free_port()
        command = [servers.neap_binary(arguments.neap), "serve", "--object-store", "file", "--data-dir", f"{folder}/data",
                   "--http-bind", f"127.0.0.1:{port}", "--without-auth", "--memory-limit", str(limit),
                   *servers.WITHOUT_ANSWERS]
        if group:
            command = ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh", *command]
        server = servers.Server("neap", command, port, log=arguments.log)
        until = time.time() + arguments.seconds
        results = multiprocessing.Queue(), multiprocessing.Queue()
        clients = [multiprocessing.Process(target=writer, args=(port, until, seed, results[0]))
                   for seed in range(arguments.writers)]
        clients += [multiprocessing.Process(target=querier, args=(port, until, 100 + seed, results[1]))
                    for seed in range(queriers)]
        for client in clients:
            client.start()
        most = 0
        while time.time() < until and server.process.poll() is None:
            with contextlib.suppress(OSError):
                most = max(most, held(server.process.pid))
            time.sleep(0.05)
        killed = server.process.poll() is not None
        sums = [collections.Counter(), collections.Counter(), collections.Counter()]
        for at, (queue, count) in enumerate(zip(results, (arguments.writers, queriers))):
            for _ in range(count):
                counts, refusals = queue.get(timeout=300)
                sums[at].update(counts)
                sums[2].update(refusals)
        for client in clients:
            client.join()
        if not killed:
            server.stop()
        return {"rows_per_second": sums[0][204] * BATCH / arguments.seconds, "writes": dict(sums[0]), "queries": dict(sums[1]),
                "refusals": sums[2], "held": most, "killed": killed}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", default="512MiB")
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--queriers", type=int, default=6)
    parser.add_argument("--neap", help="the neap binary (default: target/release/neap)")
    parser.add_argument("--log", help="a file for the log of the server")
    reports.add_options(parser, turns=None)
    arguments = parser.parse_args()
    limit = bytes_of(arguments.memory)
    report, measured, lines = reports.Report(arguments.save), [], []
    with control_group(limit) as group:
        for queriers in (0, arguments.queriers):
            found = load(arguments, limit, queriers, group)
            measured.append(found)
            name = f"{arguments.writers} writers, {queriers} queriers"
            lines.append([name, found["rows_per_second"], found["writes"], found["queries"], found["held"] >> 20,
                          f"{found['held'] / limit:.0%}", "yes" if found["killed"] else "no"])
            for text, count in found["refusals"].most_common(8):
                print(f"{count} times: {text}", file=sys.stderr, flush=True)
    report.table(f"{arguments.seconds} s with {arguments.memory}",
                 ["load", "rows/s", "writes", "queries", "most MiB held", "of the limit", "killed"], lines)
    alone, beside = measured
    ratio = beside["rows_per_second"] / max(alone["rows_per_second"], 1)
    where = "In a control group." if group else "No control group could be made here: --memory-limit alone."
    report.note(f"rows/s beside queries: {ratio:.2f} of those without. {where}")
    report.finish()
    for_tail = sum(count for text, count in beside["refusals"].items() if "tail" in text)
    bad = [found["killed"] or found["held"] > 0.95 * limit for found in measured]
    sys.exit(1 if any(bad) or for_tail or ratio < 0.5 else 0)


if __name__ == "__main__":
    main()
