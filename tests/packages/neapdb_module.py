"""Tests of the installed module, run by a Python that has it and pandas, polars and pyarrow."""

import _thread
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import unittest

import main_job
import neapdb
import pandas
import polars
import pyarrow

# A thousand rows in the fourth power.
ENDLESS = "SELECT count(*) FROM soil a, soil b, soil c, soil d WHERE a.moisture + b.moisture + c.moisture + d.moisture < 0"

# Counts the rows at the start and after each line of input, beside an answer of which it has read nothing.
READER = """
import sys, neapdb
garden = neapdb.connect(sys.argv[1], "garden")
def count():
    unread = garden.sql("SELECT * FROM soil")
    print(garden.sql("SELECT count(*) AS n FROM soil").to_arrow()["n"][0].as_py(), flush=True)
    return unread
unread = count()
for line in sys.stdin:
    unread = count()
"""


class Module(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        self.garden = neapdb.connect(self.folder, "garden")

    def rows(self, statement, params=None):
        return self.garden.sql(statement, params).to_arrow().to_pylist()

    def count(self):
        return self.rows("SELECT count(*) AS n FROM soil")[0]["n"]

    def test_lines_are_text_bytes_or_a_list(self):
        self.assertEqual(self.garden.write("soil,bed=herbs moisture=1 1\nsoil,bed=herbs moisture=2 2"), 2)
        self.assertEqual(self.garden.write(b"soil,bed=herbs moisture=3 3"), 1)
        self.assertEqual(self.garden.write(["soil,bed=roses moisture=4 4", "soil,bed=roses moisture=5 5"]), 2)
        self.assertEqual(self.rows("SELECT sum(moisture) AS total FROM soil WHERE bed = 'roses'"), [{"total": 9.0}])

    def test_a_frame_of_pandas_returns_as_it_was_written(self):
        times = pandas.to_datetime([1_700_000_000, 1_700_000_060], unit="s").as_unit("ns")
        frame = pandas.DataFrame({"bed": ["herbs", "roses"], "moisture": [38.5, None], "time": times})
        self.assertEqual(self.garden.write(frame.dropna(), "soil", tags=["bed"]), 1)
        self.assertEqual(self.garden.write(frame.fillna({"moisture": 0}), "soil", tags=["bed"]), 2)
        back = self.garden.sql("SELECT bed, moisture, time FROM soil ORDER BY time").to_pandas()
        self.assertEqual(list(back["bed"]), ["herbs", "roses"])
        self.assertEqual(list(back["moisture"]), [38.5, 0.0])
        self.assertEqual(list(back["time"]), list(times))
        # The frame without a row has an index that is no range, which Arrow has as a column.
        self.assertEqual(self.garden.sql("SELECT * FROM soil").columns, ["bed", "moisture", "time"])

    def test_a_frame_of_polars_returns_as_it_was_written(self):
        frame = polars.DataFrame({"bed": ["herbs", "roses"], "moisture": [1, 2], "at": [1_000, 2_000]})
        frame = frame.with_columns(polars.from_epoch("at", time_unit="s"))
        self.assertEqual(self.garden.write(frame, "soil", tags=["bed"], time="at"), 2)
        back = self.garden.sql("SELECT bed, moisture FROM soil ORDER BY time").to_polars()
        self.assertEqual(back["moisture"].to_list(), [1, 2])
        self.assertEqual(back["bed"].cast(polars.String).to_list(), ["herbs", "roses"])

    def test_streams_and_batches_of_arrow_are_rows(self):
        batch = pyarrow.record_batch({"moisture": [1, 2], "time": pyarrow.array([1, 2], pyarrow.timestamp("s"))})
        self.assertEqual(self.garden.write(batch, "soil"), 2)
        later = batch.set_column(1, "time", pyarrow.array([3, 4], pyarrow.timestamp("s")))
        stream = pyarrow.RecordBatchReader.from_batches(batch.schema, iter([batch, later]))
        self.assertEqual(self.garden.write(stream, "soil"), 4)
        self.assertEqual(self.count(), 4)

    def test_rows_of_a_statement_are_written_to_another_table(self):
        self.garden.write("soil,bed=herbs moisture=1 1\nsoil,bed=roses moisture=2 2")
        other = neapdb.connect(self.folder, "garden")
        for read in [self.garden, other]:
            rows = read.sql("SELECT bed, moisture, time FROM soil")
            self.assertEqual(self.garden.write(rows, "kept"), 2)
        stream = pyarrow.RecordBatchReader.from_stream(self.garden.sql("SELECT bed, moisture, time FROM soil"))
        self.assertEqual(self.garden.write(stream, "kept"), 2)
        self.assertEqual(self.rows("SELECT count(*) AS n FROM kept"), [{"n": 2}])

    def test_rows_are_read_once(self):
        self.garden.write("soil moisture=1 1")
        rows = self.garden.sql("SELECT moisture FROM soil")
        self.assertEqual(rows.columns, ["moisture"])
        self.assertEqual(pyarrow.schema(rows).names, ["moisture"])
        self.assertEqual(rows.to_arrow().num_rows, 1)
        with self.assertRaisesRegex(ValueError, "read before"):
            rows.to_arrow()

    def test_placeholders_have_values(self):
        self.garden.write("soil,bed=herbs moisture=1 1\nsoil,bed=roses moisture=2 2")
        statement = "SELECT moisture FROM soil WHERE bed = $bed AND moisture < $limit"
        self.assertEqual(self.rows(statement, {"bed": "roses", "limit": 10}), [{"moisture": 2.0}])

    def test_failures_are_exceptions(self):
        with self.assertRaisesRegex(neapdb.Error, "database not found: garden"):
            self.garden.sql("SELECT 1 FROM soil")
        with self.assertRaisesRegex(neapdb.Error, "line 2 is refused"):
            self.garden.write("soil moisture=1 1\nsoil moisture= 2")
        with self.assertRaisesRegex(ValueError, "name of a table"):
            self.garden.write(pyarrow.table({"moisture": [1]}))
        with self.assertRaisesRegex(ValueError, "lines name their tables"):
            self.garden.write("soil moisture=1", "soil")
        with self.assertRaisesRegex(TypeError, "PyCapsule"):
            self.garden.write(17)
        with self.assertRaisesRegex(neapdb.Error, "cannot connect to 'ftp://host/a'"):
            neapdb.connect("ftp://host/a")
        self.assertTrue(issubclass(neapdb.Unavailable, neapdb.Error))

    def test_threads_write_at_once(self):
        def write(bed):
            for time in range(1, 11):
                self.garden.write(f"soil,bed=b{bed} moisture=1 {time}")

        threads = [threading.Thread(target=write, args=(bed,)) for bed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.count(), 40)

    def test_another_thread_interrupts_a_query_because_the_lock_is_released(self):
        self.garden.write([f"soil moisture={time} {time}" for time in range(1, 1001)])
        threading.Timer(0.3, _thread.interrupt_main).start()
        with self.assertRaises(KeyboardInterrupt):
            self.garden.sql(ENDLESS).to_arrow()
        self.assertEqual(self.count(), 1000)

    def test_a_forked_process_is_refused(self):
        self.garden.write("soil moisture=1 1")
        child = os.fork()
        if child == 0:
            refused = 0
            for call in (lambda: self.garden.sql("SELECT 1"), lambda: neapdb.connect(self.folder, "garden")):
                try:
                    call()
                except Exception as error:
                    # Whatever it is, the child must not go on with the tests.
                    refused += isinstance(error, neapdb.Error) and "spawn" in str(error)
            os._exit(0 if refused == 2 else 1)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)

    def test_flushed_rows_stay(self):
        self.garden.write("soil moisture=1 1\nsoil moisture=2 2")
        call = [os.environ["NEAP"], "compact", "--data-dir", self.folder]
        subprocess.run(call, check=True, capture_output=True, timeout=120)
        self.assertEqual(self.count(), 2)
        self.garden.write("soil moisture=3 3")
        self.assertEqual(self.count(), 3)

    def test_a_process_that_reads_sees_each_acknowledged_write_and_leaves_no_object(self):
        self.garden.write("soil moisture=0 1")
        before = self.objects()
        with subprocess.Popen([sys.executable, "-c", READER, self.folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True) as reader:
            for row in range(2, 6):
                self.assertEqual(int(reader.stdout.readline()), row - 1)
                self.assertEqual(self.objects(), before)
                # The reader has an answer of which it has read nothing, and no write waits for it.
                self.garden.write(f"soil moisture=0 {row}")
                before = self.objects()
                print(row, file=reader.stdin, flush=True)
            self.assertEqual(int(reader.stdout.readline()), 5)
            reader.stdin.close()
            self.assertEqual(reader.wait(timeout=60), 0)
        self.assertEqual(self.objects(), before)

    def objects(self):
        paths = pathlib.Path(self.folder).rglob("*")
        return {path for path in paths if path.is_file() and ".neap" not in path.parts}

    def test_a_server_and_the_module_see_the_writes_of_each_other(self):
        folder, neap = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())), os.environ["NEAP"]
        env = main_job.environment(HOME=str(folder))
        with main_job.serve([neap], folder, "/", env, 0) as url:
            target = ["--host", url, "--database", "garden"]
            main_job.call_client([neap, "write", *target, "soil moisture=1 1"], env)
            garden = neapdb.connect(folder / "data", "garden")
            count = "SELECT count(*) AS n FROM soil"
            self.assertEqual(garden.sql(count).to_arrow()["n"].to_pylist(), [1])
            garden.write("soil moisture=2 2")
            self.assertEqual(main_job.call_client([neap, "query", *target, "--format", "csv", count], env), "n\n2\n")


if __name__ == "__main__":
    unittest.main()
