"""What benchmarks print and record, the room that they check, and how they continue."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

import billion_work
import report

RUN = {"command": "bench/one.py", "machine": "m", "commit": "c", "date": "2026-11-30",
       "tables": [{"title": "t", "columns": ["a", "b"], "rows": [["x", 1.5], ["y", None]]}]}


class Tables(unittest.TestCase):
    def test_text_is_on_the_left_and_numbers_are_on_the_right(self):
        table = report.markdown(["way", "rows/s"], [["a|b", 1234567], ["c", None]])
        self.assertEqual(table.splitlines(), ["| way | rows/s |", "| --- | --: |", "| a\\|b | 1,234,567 |", "| c | – |"])

    def test_floats_have_three_digits(self):
        self.assertEqual([report.cell(value) for value in (0.123456, 12.3456, 123456.7)], ["0.12", "12.3", "123,457"])

    def test_medians_and_ratios_of_nothing_are_none(self):
        self.assertIsNone(report.median([]))
        self.assertIsNone(report.ratio(None, 2))
        self.assertIsNone(report.ratio(2, 0))
        self.assertEqual(report.ratio(3, 2), 1.5)

    def test_commands_do_not_name_folders_of_the_machine(self):
        self.assertEqual(report.shown("/opt/build/neap"), "neap")
        self.assertEqual(report.shown("bench/out"), "bench/out")


class Results(unittest.TestCase):
    def test_a_run_replaces_the_earlier_one_of_its_program(self):
        results = {"about": "a", "machines": {"m": "n"}, "figures": [{"id": "f"}]}
        once = report.with_run(results, "one", RUN)
        twice = report.with_run(once, "one", {**RUN, "date": "2026-12-01"})
        self.assertEqual(once["runs"]["one"]["date"], "2026-11-30")
        self.assertEqual([run["date"] for run in twice["runs"].values()], ["2026-12-01"])
        self.assertEqual(twice["figures"], results["figures"])

    def test_the_text_has_the_results(self):
        results = report.with_run({"about": "a", "machines": {"m": "n"}, "figures": [{"id": "f"}]}, "one", RUN)
        self.assertEqual(json.loads(report.results_text(results)), results)

    def test_the_recorded_file_is_what_the_program_writes(self):
        text = report.RESULTS.read_text()
        self.assertEqual(report.results_text(json.loads(text)), text)

    def test_a_machine_has_its_processor_and_memory(self):
        text = report.machine("processor\t: 0\nmodel name\t: Some CPU\nmodel name\t: Some CPU\n", 8 << 30, 2)
        self.assertEqual(text, "2 cores, Some CPU, 8 GiB, shared by client and servers")


class LongRuns(unittest.TestCase):
    def test_a_completed_part_is_not_repeated(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "progress.json"
            billion_work.Progress(path, {"rows": 1}).part("one", lambda: {"seconds": 2})
            again = billion_work.Progress(path, {"rows": 1})
            self.assertEqual(again.part("one", lambda: self.fail("repeated")), {"seconds": 2})

    def test_a_run_with_other_options_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "progress.json"
            billion_work.Progress(path, {"rows": 1}).save()
            with self.assertRaises(SystemExit):
                billion_work.Progress(path, {"rows": 2})

    def test_only_the_process_with_the_recorded_command_is_an_earlier_server(self):
        command = [sys.executable, "-c", "import time; time.sleep(600)"]
        with subprocess.Popen(command) as process:
            try:
                # The command is that of this program until the new one is executed.
                billion_work.wait_until(lambda: billion_work.is_running(process.pid, command), 60, "start", 0.01)
                self.assertFalse(billion_work.is_running(process.pid, [*command, "8181"]))
            finally:
                process.kill()
        self.assertFalse(billion_work.is_running(process.pid, command))

    def test_costs_are_added_and_the_highest_memory_counts(self):
        load = billion_work.add_cost({"ticks": 1}, {"ticks": 2, "cpu": 1.5, "peak_mib": 10})
        load = billion_work.add_cost(load, {"cpu": 1, "peak_mib": 7})
        self.assertEqual(load, {"ticks": 3, "cpu": 2.5, "peak_mib": 10})

    def test_missing_room_is_named(self):
        needed = {"disk": 4 << 30, "memory": 1 << 30}
        self.assertEqual(billion_work.lacking(needed, {"disk": 5 << 30, "memory": 1 << 30}), [])
        self.assertEqual(billion_work.lacking(needed, {"disk": 1 << 30, "memory": 1 << 30}),
                         ["disk: 4.0 GiB are needed, 1.0 GiB are free"])
        self.assertEqual(billion_work.available_memory("MemFree: 1 kB\nMemAvailable:   2048 kB\n"), 2 << 20)

    def test_a_run_that_continues_needs_less_room(self):
        whole = billion_work.needed_disk(10**9, 10**8)
        self.assertLess(billion_work.needed_disk(10**9, 10**8, 10**10), whole)
        self.assertEqual(billion_work.needed_disk(10**9, 10**8, 10**12), billion_work.ROOM_AT_LEAST)

    def test_sections_of_one_bundle_are_one_object(self):
        paths = ["data/1/a.parquet", "data/1/b.bundle", "data/1/b.bundle"]
        self.assertEqual(billion_work.of_parquet(paths), 0.5)
        self.assertEqual(billion_work.of_parquet([]), 0.0)

    def test_all_writes_count_for_the_amplification(self):
        self.assertEqual(billion_work.write_amplification({"put": 300}, [{"written": 80}, {"written": 20}], 200), 2.0)


if __name__ == "__main__":
    unittest.main()
