#!/usr/bin/env python3
"""The functions on AWS Lambda, on one machine: size, start, memory, events, fixed work, and writes of many instances.

    bench/lambda.py --binaries DIR [--only PART,...] [--runs 10] [--events 500] [--rows 1000000] [--json [FILE]]
    bench/lambda.py --compare NAME=DIR [NAME=DIR...] [--only starts]

| part | what is measured |
|---|---|
| `starts` | sizes, and starts of each function to its first event and to the first answer, with nothing of its file in the page cache and with all of it |
| `warm` | the time and processor time of an event inside a warm instance, and its memory |
| `work` | processor time of a write of 10,000 lines, of the flush and a merge of `--rows` rows, and of a query over all of them, with peak memory |
| `writes` | requests through a gateway, and writes by 1, 10 and 50 instances on one bucket; not with `--compare` |

A folder has `neap-lambda-{write,query,compact,engine}`, or those of `--functions`. The folder of `--servers`, the first
one by default, has `neap-s3-server` and for `writes` `neap-lambda-local`. The store is that S3 server on the disk of
TMPDIR, without delay. With `--compare`, several builds take turns in one run.

Prints tables in Markdown; `--json` prints one JSON object instead, or writes it to a file as well. Exits 1 if an event
was not answered as it should be.
"""

import argparse
import json
import os
import pathlib
import signal
import sys
import tempfile

import lambda_report
import lambda_starts
import lambda_work
import lambda_writes
import report as reports
import servers
from lambda_builds import FUNCTIONS, Build, missing, sizes
from lambda_events import LINES

PARTS = ("starts", "warm", "work", "writes")


def measure(arguments, builds, folder):
    names = [build.name for build in builds]
    report = {"machine": reports.this_machine(), "commit": reports.commit(), "cores": len(os.sched_getaffinity(0)),
              "load": os.getloadavg()[0], "lines": LINES, "builds": names,
              "functions": arguments.functions, "runs": arguments.runs, "events": arguments.events,
              "seconds": arguments.seconds}
    with servers.s3_server(str(arguments.servers / "neap-s3-server"), folder / "store") as store:
        if "starts" in arguments.only:
            report["sizes"] = sizes(builds, arguments.functions)
            report["starts"] = lambda_starts.starts(builds, arguments.functions, store, folder, arguments.runs)
        if "warm" in arguments.only:
            report["warm"] = lambda_starts.warm_events(builds, arguments.functions, store, folder, arguments.events)
        if "work" in arguments.only:
            report["work"] = lambda_work.fixed_work(builds, store, folder, arguments.rows)
    if "writes" in arguments.only:
        build, = builds
        report["gateway"] = lambda_writes.times_through_gateway(arguments.servers, build, folder, arguments.events)
        report["writes"] = [lambda_writes.throughput(arguments.servers, build, folder, instances, arguments.seconds)
                            for instances in arguments.instances]
    return report


def numbers(text):
    return [int(number) for number in text.split(",")]


def names_of(known):
    """What parses names with commas between them."""
    def parse(text):
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"not one of {', '.join(known)}: {', '.join(unknown)}")
        return [name for name in known if name in names]

    return parse


def named_build(text):
    name, found, folder = text.partition("=")
    if not (name.replace("-", "").replace("_", "").isalnum() and found):
        raise argparse.ArgumentTypeError(f"NAME=DIR is expected: {text}")
    return Build(name, pathlib.Path(folder).resolve())


def arguments_of_command_line():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--binaries", type=pathlib.Path, metavar="DIR", help="folder of the programs")
    what.add_argument("--compare", type=named_build, nargs="+", metavar="NAME=DIR", help="folders of builds to compare")
    parser.add_argument("--servers", type=pathlib.Path, metavar="DIR", help="folder of the S3 server and the gateway")
    parser.add_argument("--only", type=names_of(PARTS), help=f"parts, with commas: {', '.join(PARTS)}")
    parser.add_argument("--functions", type=names_of(FUNCTIONS), default=list(FUNCTIONS), help="with commas")
    parser.add_argument("--runs", type=int, default=10, help="starts of each function in each state of the page cache")
    parser.add_argument("--events", type=int, default=500, help="warm events of each kind")
    parser.add_argument("--rows", type=int, default=1_000_000,
                        help="rows of the fixed work: fewer than 800,000 leave too little to merge")
    parser.add_argument("--seconds", type=float, default=10, help="time of writes for each number of instances")
    parser.add_argument("--instances", type=numbers, default=[1, 10, 50], help="numbers of instances, with commas")
    parser.add_argument("--json", nargs="?", const="-", help="print JSON, or write it to this file as well")
    arguments = parser.parse_args()
    complete(parser, arguments)
    return arguments


def complete(parser, arguments):
    """Fills in what follows from the rest, and refuses what can't be measured."""
    arguments.builds = arguments.compare or [Build(arguments.binaries.resolve().name, arguments.binaries.resolve())]
    if len({build.name for build in arguments.builds}) < len(arguments.builds):
        parser.error("two builds have the same name")
    arguments.servers = (arguments.servers or arguments.builds[0].folder).resolve()
    arguments.only = arguments.only or [part for part in PARTS if not (arguments.compare and part == "writes")]
    if arguments.compare and "writes" in arguments.only:
        parser.error("--compare has no part `writes`")
    if arguments.rows < 2 * lambda_work.WORK_LINES or arguments.rows % lambda_work.WORK_LINES:
        parser.error(f"--rows has to be a multiple of {lambda_work.WORK_LINES}, and at least twice that")
    needed = needed_functions(arguments)
    for build in arguments.builds:
        if lacking := missing(build.folder, [f"neap-lambda-{name}" for name in needed]):
            parser.error(f"not in {build.folder}: {', '.join(lacking)}")
    programs = ["neap-s3-server"] + ["neap-lambda-local"] * ("writes" in arguments.only)
    if lacking := missing(arguments.servers, programs):
        parser.error(f"not in {arguments.servers}: {', '.join(lacking)}")


def needed_functions(arguments):
    """The functions that are measured or needed for it: rows are always written by the write function."""
    needed = {"write", *arguments.functions}
    if "work" in arguments.only:
        needed |= {"query", "compact"}
    if "writes" in arguments.only:
        needed.add("query")
    return sorted(needed)


def main():
    arguments = arguments_of_command_line()
    # What was started is stopped then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="neap-bench-") as folder:
        report = measure(arguments, arguments.builds, pathlib.Path(folder))
    if arguments.json != "-":
        print(lambda_report.markdown(report))
    if arguments.json == "-":
        print(json.dumps(report, indent=2))
    elif arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(report, indent=2) + "\n")
    return 1 if any(level.get("first_refusal") for level in report.get("writes", [])) else 0


if __name__ == "__main__":
    sys.exit(main())
