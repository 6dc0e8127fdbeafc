"""What lambda.py has measured, as Markdown. Nothing is said of what was not measured."""

from lambda_events import REQUESTS


def table(head, rows):
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join(lines + [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]) + "\n"


def of_three(times):
    return f"{times['median']} ({times['min']} to {times['max']})"


def megabytes(size):
    return f"{size / 1e6:.2f}"


def markdown(report):
    cores = report["cores"]
    parts = [f"{cores} cores for everything: clients, gateway, store and all instances. An instance may use all of "
             "them; on Lambda one of 1,769 MB has a core and one of 512 MB 0.29 of one, so that processor time says "
             f"more than time. The load was {report['load']:.1f} when the run began. The store is the project's own S3 "
             f"server, without delay. {report['machine']}; commit {report['commit']}.\n"]
    if len(report["builds"]) > 1:
        parts.append(comparison(report))
    if "starts" in report:
        parts.append(starts(report))
    if "warm" in report:
        parts.append(warm(report))
    if "work" in report:
        parts.append(work(report))
    if "writes" in report:
        parts += [gateway(report), writes(report), limits(report)]
    return "\n".join(parts)


# What stands for each function in the comparison: a warm event, and a part of the fixed work.
WARM_EVENT = {"query": REQUESTS[2][0], "write": REQUESTS[4][0]}
FIXED_WORK = {"query": "query", "write": "write", "compact": "merge"}


def comparison(report):
    head = ("function", "build", "MB", "zip -9, MB", "to the first event, ms, cold", "warm",
            "to the first answer, ms, cold", "warm", "CPU ms of a start", "warm event, ms", "CPU ms of fixed work",
            "peak MiB in it")
    rows = []
    for function in report["functions"]:
        for build in report["builds"]:
            row = [function, build]
            if "starts" in report:
                size, start = report["sizes"][build][function], report["starts"][build][function]
                row += [megabytes(size["bytes"]), megabytes(size["zip_bytes"])]
                row += [start[state][name]["median"] for name in ("init_ms", "first_answer_ms")
                        for state in ("cold", "warm")]
                row.append(start["warm"]["cpu_ms"]["median"])
            else:
                row += ["–"] * 7
            event = report.get("warm", {}).get(build, {}).get(WARM_EVENT.get(function))
            fixed = report.get("work", {}).get(build, {}).get(FIXED_WORK.get(function))
            row += [event["ms"]["median"] if event else "–"]
            row += [fixed["cpu_ms"], fixed["peak_mib"]] if fixed else ["–", "–"]
            rows.append(row)
    return (f"Medians. Warm events: {WARM_EVENT['query']}, {WARM_EVENT['write']}. Fixed work: an aggregate query, a "
            "write of 10,000 lines, a merge.\n\n" + table(head, rows))


def starts(report):
    head = ("function", "build", "MB", "zip -9, MB", "stripped", "page cache", "to the first event taken, ms",
            "to its answer, ms", "CPU ms to the answer", "MiB from the disk", "peak MiB")
    said = {True: "yes", False: "no", None: "unknown"}
    rows = []
    for function in report["functions"]:
        for build in report["builds"]:
            size = report["sizes"][build][function]
            for state in ("cold", "warm"):
                start = report["starts"][build][function][state]
                rows.append((function, build, megabytes(size["bytes"]), megabytes(size["zip_bytes"]),
                             said[size["stripped"]], state, of_three(start["init_ms"]),
                             of_three(start["first_answer_ms"]), start["cpu_ms"]["median"], start["read_mib"],
                             start["peak_mib"]))
    events = {function: own["event"] for function, own in report["starts"][report["builds"][0]].items()}
    events = "; ".join(f"{function}: {event}" for function, event in events.items())
    return (f"Starts, median (min to max) of {report['runs']} in turns, from just before the process is spawned; the "
            "event waits from the start. Cold: nothing of the binary is in the page cache, warm: all that it reads. "
            f"Peak is VmHWM after the first event ({events}).\n\n" + table(head, rows))


def warm(report):
    head = ("request", "function", "build", "inside, ms", "CPU ms", "peak MiB after one", f"after {report['events']}")
    rows = [(name, own["function"], build, own["ms"]["median"], own["cpu_ms"], own["first_peak_mib"], own["peak_mib"])
            for name, *_ in REQUESTS for build in report["builds"]
            for own in [report["warm"][build].get(name)] if own]
    return (f"Warm, median of {report['events']}, from the event handed out to the answer that comes back, with the "
            "requests to the store; processor time is the mean.\n\n" + table(head, rows))


def work(report):
    first = report["work"][report["builds"][0]]
    head = ("work", "build", "ms", "CPU ms", "peak MiB", "before it")
    rows = []
    for build in report["builds"]:
        own = report["work"][build]
        write, query, flush, merge = own["write"], own["query"], own["flush"], own.get("merge")
        rows.append(("write of 10,000 lines", build, write["ms"], write["cpu_ms"], write["peak_mib"], ""))
        rows.append((f"flush of all rows in 128 MB ({flush['flushes']} flushes)", build, flush["ms"], flush["cpu_ms"],
                     flush["peak_mib"], ""))
        if merge:
            rows.append((f"merge of {merge['inputs']} sections", build, merge["ms"], merge["cpu_ms"], merge["peak_mib"],
                         merge["first_peak_mib"]))
        rows.append(("aggregate query, first of an instance", build, query["first_ms"], query["first_cpu_ms"], "", ""))
        rows.append(("aggregate query, warm", build, query["ms"], query["cpu_ms"], query["peak_mib"], ""))
    order = list(dict.fromkeys(row[0] for row in rows))
    rows.sort(key=lambda row: order.index(row[0]))
    return (f"Fixed work on {first['rows']:,} rows. Processor time is that of all threads; peak is VmHWM.\n\n"
            + table(head, rows))


def gateway(report):
    head = ("request", "function", "through the gateway, ms")
    rows = [(name, function, of_three(report["gateway"][name])) for name, function, *_ in REQUESTS]
    return (f"Through the gateway, median (min to max) of {report['events']}; the instance is frozen between two.\n\n"
            + table(head, rows))


def writes(report):
    head = ("instances", "writes/s", "rows/s", "p50 ms", "p99 ms", "segments per write", "peak MiB of each after one",
            "after all", "answers")
    rows = [(level["instances"], level["writes_per_second"], f"{level['rows_per_second']:,}", level["p50_ms"],
             level["p99_ms"], level["segments_per_write"], level["first_peak_mib"], level["peak_mib"],
             ", ".join(f"{count} × {status}" for status, count in level["statuses"].items()))
            for level in report["writes"]]
    return (f"Writes of {report['lines']} lines to one bucket, a client for each instance, {report['seconds']:g} s "
            f"each. With more instances than the {report['cores']} cores carry, they wait for each other, which they "
            "do not on Lambda:\n\n" + table(head, rows))


def limits(report):
    names = list(report["writes"][0]["cpu"])
    head = ("instances", *names, "all", "CPU ms of a write: " + ", ".join(names[:-1]), "busiest client",
            "puts/s of the store alone", "of which used")
    rows = []
    for level in report["writes"]:
        cpu, alone = level["cpu"], level["store_alone"]["puts_per_second"]
        puts = level["writes_per_second"] * (level["segments_per_write"] or 0)
        rows.append((level["instances"], *(f"{own['share']:.0%}" for own in cpu.values()),
                     f"{sum(own['share'] for own in cpu.values()):.0%}",
                     ", ".join(str(cpu[name]["ms_per_write"]) for name in names[:-1]),
                     f"{level['busiest_client']:.0%}", alone, f"{puts / alone:.0%}"))
    return ("What limits them: the share of all cores that each took (others: what else ran on the machine), how much "
            "of its time the busiest client computed, and puts to the store by as many clients and with nothing before "
            "it. The store does one put at a time:\n\n" + table(head, rows))
