#!/usr/bin/env python3
"""Measures what a newcomer waits for: the two commands of the README from a clean clone, with empty caches.

    bench/build.py [--folder FOLDER] [COMMAND ...]

Clones HEAD into a new folder, which also holds the caches of Cargo, pip and npm and the target folder, and runs the commands
there one after the other: `scripts/quickstart --once` and `scripts/test` unless others are named. Prints the elapsed time and
the processor time of each, all of its processes included, and the size of the target folder after it. The folder is removed
unless it is named.
"""

import argparse
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time

import report as reports

COMMANDS = ("scripts/quickstart --once", "scripts/test")
ROOT = pathlib.Path(__file__).resolve().parent.parent


def environment(folder):
    """The variables of this process, with all caches in a folder, and without what configures a build."""
    settings = ("CARGO_BUILD_", "CARGO_INCREMENTAL", "CARGO_PROFILE_", "CARGO_TARGET_DIR", "CLIPPY_", "NEAP_", "PROPTEST_", "RUSTC_", "RUSTFLAGS")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(settings)}
    caches = {"CARGO_HOME": "cargo", "XDG_CACHE_HOME": "cache", "XDG_DATA_HOME": "data", "npm_config_cache": "npm", "PIP_CACHE_DIR": "pip"}
    return variables | {name: str(folder / cache) for name, cache in caches.items()}


def processor_time():
    """The seconds of all ended child processes, in user and kernel mode."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(command, clone, variables):
    """Runs a command, prints what it took, and returns whether it succeeded."""
    start, before = time.monotonic(), processor_time()
    status = subprocess.run(command, shell=True, cwd=clone, env=variables, check=False).returncode
    elapsed, computed = time.monotonic() - start, processor_time() - before
    size = sum(file.lstat().st_size for file in (clone / "target").rglob("*"))
    print(f"{command}: status {status}, {elapsed:.0f} s, {computed:.0f} s of processor time, target folder {size / (1 << 30):.1f} GiB", flush=True)
    return status == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path)
    parser.add_argument("commands", nargs="*", default=COMMANDS, metavar="COMMAND")
    options = parser.parse_args()
    folder = options.folder or pathlib.Path(tempfile.mkdtemp(prefix="neap-build-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        clone = folder / "clone"
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, clone], check=True)
        print(f"{reports.this_machine()}; commit {reports.commit()}")
        variables = environment(folder)
        sys.exit(not all([measure(command, clone, variables) for command in options.commands]))
    finally:
        if not options.folder:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
