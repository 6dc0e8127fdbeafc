"""What bench/python.py makes of its turns, and of the files of a table."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

import python


class Turns(unittest.TestCase):
    def test_the_table_has_medians_and_the_speed_beside_duckdb(self):
        def turns(*seconds):
            return [{"rows": 100, "seconds": one, "cpu": 2 * one, "peak_mib": 10.0} for one in seconds]

        rows = python.table_rows({"neapdb, pandas": turns(1.0, 9.0, 2.0), python.BASE: turns(4.0, 4.0, 5.0)}, 100)
        self.assertEqual(rows, [["neapdb, pandas", 2.0, 50.0, 2.0, 4.0, 10.0], [python.BASE, 4.0, 25.0, 1.0, 8.0, 10.0]])


class Files(unittest.TestCase):
    def test_files_of_several_sections_are_read_once(self):
        files = [{"path": "data/1/a.parquet", "row_count": 2}, {"path": "data/1/a.parquet", "row_count": 3}]
        self.assertEqual(python.parquet_files(files, "/store", 5), ["/store/data/1/a.parquet"])

    def test_rows_in_other_objects_end_the_program(self):
        files = [{"path": "data/1/a.parquet", "row_count": 2}, {"path": "data/1/b.bundle", "row_count": 3}]
        with self.assertRaisesRegex(SystemExit, "2 of 5 rows"):
            python.parquet_files(files, "/store", 5)


if __name__ == "__main__":
    unittest.main()
