"""Starts of instances, and events of warm ones. Builds take turns, so that what disturbs the machine hits all of them.

A start is measured twice: `cold` has nothing of the program's file in the page cache (`POSIX_FADV_DONTNEED` just
before; the shared C library stays there), `warm` has all that the last start has read. What the system keeps on the
way to the disk is beyond it; `read_mib` says what came from there."""

import contextlib
import os
import statistics

from lambda_events import FIRST_EVENTS, LINES, REQUESTS, WRITE, http_event, stamped, template
from sandbox import Sandbox

STATES = ("cold", "warm")


def milliseconds(times):
    """Median, minimum and maximum of seconds, in milliseconds."""
    return {"median": round(statistics.median(times) * 1e3, 2), "min": round(min(times) * 1e3, 2),
            "max": round(max(times) * 1e3, 2), "runs": len(times)}


def drop_from_page_cache(path):
    """Forgets the pages of a file that no process has mapped."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        # Pages that are not on the disk yet would stay.
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def seed(build, store, folder, prefix):
    """Writes the rows that queries read, as one segment."""
    with Sandbox("write", build.folder, store, folder, prefix) as sandbox:
        sandbox.handle(http_event(WRITE, stamped(template(LINES))))


def start(build, function, state, store, folder, prefix):
    """One start, and the first event, which waits from the start as on Lambda: a client waits for its answer."""
    if state == "cold":
        drop_from_page_cache(build.program(function))
    with Sandbox(function, build.folder, store, folder, prefix) as sandbox:
        answered = sandbox.handle(FIRST_EVENTS[function][1]())[1]
        return {"init": sandbox.started(), "answer": answered, "cpu": sandbox.cpu_seconds(),
                "peak_mib": sandbox.peak_mib(), "read_mib": sandbox.read_mib()}


def summary(runs):
    """The medians of starts."""
    def of(name):
        return [run[name] for run in runs]

    return {"init_ms": milliseconds(of("init")), "first_answer_ms": milliseconds(of("answer")),
            "cpu_ms": milliseconds(of("cpu")), "peak_mib": round(statistics.median(of("peak_mib")), 1),
            "read_mib": round(statistics.median(of("read_mib")), 1)}


def starts(builds, functions, store, folder, runs):
    """Starts of each function by build, function and state. Each function of a build has a bucket of its own, so that
    what one writes is no work for another."""
    report = {build.name: {} for build in builds}
    for function in functions:
        prefixes = {build.name: f"starts/{build.name}/{function}" for build in builds}
        for build in builds:
            seed(build, store, folder, prefixes[build.name])
            # The first start of all is not measured: the machine, the store and the bucket are new to each other.
            start(build, function, "warm", store, folder, prefixes[build.name])
        measured = {build.name: {state: [] for state in STATES} for build in builds}
        for _ in range(runs):
            for build in builds:
                for state in STATES:
                    once = start(build, function, state, store, folder, prefixes[build.name])
                    measured[build.name][state].append(once)
        for build in builds:
            own = {state: summary(measured[build.name][state]) for state in STATES}
            report[build.name][function] = {"event": FIRST_EVENTS[function][0], **own}
    return report


def warm_events(builds, functions, store, folder, events):
    """The time and processor time that an event is inside a warm instance, and what that has had in memory at most
    after the first event and after all of them."""
    report = {build.name: {} for build in builds}
    for name, function, path, body in REQUESTS:
        if function not in functions:
            continue
        with contextlib.ExitStack() as stack:
            instances = {}
            for build in builds:
                prefix = f"warm/{build.name}/{function}"
                seed(build, store, folder, prefix)
                sandbox = Sandbox(function, build.folder, store, folder, prefix)
                instances[build.name] = stack.enter_context(sandbox)
            for build, own in of_warm(instances, path, body, events).items():
                report[build][name] = {"function": function, **own}
    return report


def of_warm(instances, path, body, events):
    """The same event again and again, to each instance in turn."""
    firsts, times = {}, {name: [] for name in instances}
    for name, sandbox in instances.items():
        sandbox.handle(http_event(path, stamped(body)))
        firsts[name] = (sandbox.cpu_seconds(), sandbox.peak_mib())
    for _ in range(events):
        for name, sandbox in instances.items():
            out, back, _ = sandbox.handle(http_event(path, stamped(body)))
            times[name].append(back - out)
    report = {}
    for name, sandbox in instances.items():
        cpu, peak = firsts[name]
        report[name] = {"ms": milliseconds(times[name]), "first_peak_mib": round(peak, 1),
                        "cpu_ms": round((sandbox.cpu_seconds() - cpu) / events * 1e3, 3),
                        "peak_mib": round(sandbox.peak_mib(), 1)}
    return report
