"""The report of a benchmark: its tables as Markdown, and the machine, the commit and the date of the run.

A program makes one `Report`, adds its tables, and calls `finish`. With `--save`, the tables are also recorded in
bench/results.json, in `runs` by the name of the program, in place of an earlier run of it.
"""

import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results.json"

# The default number of turns: a median of fewer says little on a shared machine.
TURNS = 5


def machine(cpuinfo, memory_bytes, cores):
    """The machine in words, from the contents of /proc/cpuinfo."""
    models = [line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    model = models[0] if models else platform.machine() or "unknown processor"
    return f"{cores} cores, {model}, {round(memory_bytes / 2**30)} GiB, shared by client and servers"


def this_machine():
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return machine(cpuinfo.read_text() if cpuinfo.exists() else "", memory, os.cpu_count())


def commit():
    """The commit of the checkout, which is not that of a program of `--neap`; `-dirty` if files differ from it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"]
    answer = subprocess.run(command, capture_output=True, text=True)
    return answer.stdout.strip() if answer.returncode == 0 else "unknown"


def cell(value):
    """A value of a table as text: no more than three digits that differ from run to run."""
    if value is None:
        return "–"
    if isinstance(value, float):
        size = abs(value)
        return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return " ".join(text.split()).replace("|", "\\|")


def markdown(columns, rows):
    """A table as Markdown: text is on the left, and numbers are on the right."""
    is_number = [any(isinstance(row[at], (int, float)) for row in rows) for at in range(len(columns))]
    lines = [list(columns), ["--:" if right else "---" for right in is_number]]
    lines += [[cell(value) for value in row] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def shown(argument):
    """An argument of a command without the folders of this machine."""
    return pathlib.Path(argument).name if argument.startswith("/") else argument


def median(values):
    """The median of what was measured; none of nothing."""
    return statistics.median(values) if values else None


def ratio(value, base):
    """A value as a multiple of another one; none without both."""
    return value / base if value is not None and base else None


def with_run(results, name, run):
    """The results with the run of a program in place of its earlier one."""
    return {**results, "runs": {**results.get("runs", {}), name: run}}


class Report:
    """The tables of one run of a program."""

    def __init__(self, save=False):
        self.name = pathlib.Path(sys.argv[0]).stem
        self.command = " ".join([f"bench/{self.name}.py", *map(shown, sys.argv[1:])])
        self.is_saved, self.tables, self.notes = save, [], []

    def table(self, title, columns, rows):
        """Prints a table at once, so that a killed run has shown the tables before it."""
        rows = [list(row) for row in rows]
        self.tables.append({"title": title, "columns": list(columns), "rows": rows})
        print(f"\n{title}\n\n{markdown(columns, rows)}", flush=True)

    def note(self, text):
        """Prints a sentence, which is recorded with the tables."""
        self.notes.append(text)
        print(f"\n{text}", flush=True)

    def finish(self):
        """Prints where and when this was measured, and records the run if that is wanted."""
        today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
        run = {"command": self.command, "machine": this_machine(), "commit": commit(), "date": today}
        print(f"\n`{run['command']}`: {run['machine']}; commit {run['commit']}; {run['date']}")
        if self.is_saved:
            run.update({"notes": self.notes, "tables": self.tables})
            results = with_run(json.loads(RESULTS.read_text()), self.name, run)
            RESULTS.write_text(results_text(results))


def results_text(results):
    """The text of results.json: one line for each figure and for each row of a table."""
    def one_line(value):
        return json.dumps(value, ensure_ascii=False)

    def lines(values, indent):
        return "[\n" + ",\n".join(f"{indent}  {one_line(value)}" for value in values) + f"\n{indent}]"

    parts = [f'  "about": {one_line(results["about"])}']
    machines = json.dumps(results["machines"], ensure_ascii=False, indent=2).replace("\n", "\n  ")
    parts.append(f'  "machines": {machines}')
    runs = []
    for name, run in sorted(results.get("runs", {}).items()):
        fields = [f'      {one_line(key)}: {one_line(run[key])}' for key in run if key != "tables"]
        tables = [f'        {{"title": {one_line(table["title"])}, "columns": {one_line(table["columns"])}, '
                  f'"rows": {lines(table["rows"], "        ")}}}' for table in run["tables"]]
        fields.append('      "tables": [\n' + ",\n".join(tables) + "\n      ]")
        runs.append(f'    {one_line(name)}: {{\n' + ",\n".join(fields) + "\n    }")
    if runs:
        parts.append('  "runs": {\n' + ",\n".join(runs) + "\n  }")
    parts.append(f'  "figures": {lines(results["figures"], "  ")}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def add_options(parser, turns="--runs"):
    """Adds the options that all programs with a report have."""
    if turns:
        parser.add_argument(turns, type=int, default=TURNS, help=f"turns, of which the medians are shown ({TURNS})")
    parser.add_argument("--save", action="store_true", help="record the tables in bench/results.json")
