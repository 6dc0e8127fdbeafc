"""Work that is always the same, by processor time, which other work on the machine hardly changes: writes of 10,000
lines each, their flush and merge, and a query over all of them. Builds take turns."""

import contextlib
import json
import statistics
import time

from lambda_events import AGGREGATE, WORK_LINES, WRITE, http_event, work_lines
from sandbox import Sandbox

# A flush takes in what is older than the flush lag of 20 s.
FLUSH_LAG_SECONDS = 21
# So small a function flushes 4 MiB of segments at a time, which leaves enough sections for a merge.
FLUSH_MEMORY_MIB = 128
QUERIES = 10


def handled(sandbox, event):
    """Has an event handled; the time, the processor time and the answer."""
    sandbox.started()
    before = sandbox.cpu_seconds()
    out, back, body = sandbox.handle(event)
    # What it tidies up after the answer is part of it.
    time.sleep(0.002)
    return back - out, sandbox.cpu_seconds() - before, body


def fixed_work(builds, store, folder, rows):
    """Processor time in milliseconds and peak memory in MiB of each build."""
    prefixes = {build.name: f"work/{build.name}" for build in builds}
    report = {build.name: {"rows": rows} for build in builds}
    writes(builds, store, folder, prefixes, rows, report)
    time.sleep(FLUSH_LAG_SECONDS)
    for build in builds:
        compaction(build, store, folder, prefixes[build.name], report[build.name])
    queries(builds, store, folder, prefixes, report)
    return report


def instances(stack, function, builds, store, folder, prefixes):
    return {build.name: stack.enter_context(Sandbox(function, build.folder, store, folder, prefixes[build.name]))
            for build in builds}


def writes(builds, store, folder, prefixes, rows, report):
    with contextlib.ExitStack() as stack:
        sandboxes = instances(stack, "write", builds, store, folder, prefixes)
        used = {name: [] for name in sandboxes}
        for number in range(rows // WORK_LINES):
            body = work_lines(number)
            for name, sandbox in sandboxes.items():
                used[name].append(handled(sandbox, http_event(WRITE, body)))
        for name, sandbox in sandboxes.items():
            # The first of them creates the table.
            own = used[name][1:]
            report[name]["write"] = {"ms": round(statistics.median(run[0] for run in own) * 1e3, 1),
                                     "cpu_ms": round(statistics.median(run[1] for run in own) * 1e3, 1),
                                     "peak_mib": round(sandbox.peak_mib(), 1)}


def compaction(build, store, folder, prefix, report):
    """A flush of everything in a small instance, and a merge of the sections in one of the usual size. Merges are
    planned by a third one, which hands them out by a queue, so that planning is no part of it."""
    with Sandbox("compact", build.folder, store, folder, prefix, FLUSH_MEMORY_MIB, with_queue=True) as sandbox:
        took, used, body = handled(sandbox, {"event": "scheduled"})
        report["flush"] = {"flushes": json.loads(body)["flushes"], "ms": round(took * 1e3), "cpu_ms": round(used * 1e3),
                           "peak_mib": round(sandbox.peak_mib(), 1)}
    with Sandbox("compact", build.folder, store, folder, prefix, with_queue=True) as sandbox:
        handled(sandbox, {"event": "collect"})
        orders = sandbox.messages
    if orders:
        with Sandbox("compact", build.folder, store, folder, prefix) as sandbox:
            sandbox.started()
            started = sandbox.peak_mib()
            took, used, body = handled(sandbox, orders[0])
            report["merge"] = {"inputs": len(orders[0]["merge"]["inputs"]), "merges": json.loads(body)["merges"],
                               "ms": round(took * 1e3), "cpu_ms": round(used * 1e3),
                               "first_peak_mib": round(started, 1), "peak_mib": round(sandbox.peak_mib(), 1)}


def queries(builds, store, folder, prefixes, report):
    """A query over all rows: the first of an instance, which reads them, and the following ones."""
    with contextlib.ExitStack() as stack:
        sandboxes = instances(stack, "query", builds, store, folder, prefixes)
        firsts = {name: handled(sandbox, http_event(AGGREGATE)) for name, sandbox in sandboxes.items()}
        used = {name: [] for name in sandboxes}
        for _ in range(QUERIES):
            for name, sandbox in sandboxes.items():
                used[name].append(handled(sandbox, http_event(AGGREGATE)))
        for name, sandbox in sandboxes.items():
            expect_all(firsts[name][2], report[name]["rows"])
            report[name]["query"] = {
                "first_ms": round(firsts[name][0] * 1e3, 1), "first_cpu_ms": round(firsts[name][1] * 1e3, 1),
                "ms": round(statistics.median(run[0] for run in used[name]) * 1e3, 1),
                "cpu_ms": round(statistics.median(run[1] for run in used[name]) * 1e3, 1),
                "peak_mib": round(sandbox.peak_mib(), 1)}


def expect_all(body, rows):
    """Every row is counted once."""
    found = sum(row["n"] for row in json.loads(json.loads(body)["body"]))
    if found != rows:
        raise SystemExit(f"the query found {found} of {rows} rows")
