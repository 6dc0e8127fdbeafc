"""The wheel has the version of the release in Python's form."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "infra" / "packages"))

import wheel


class PythonVersion(unittest.TestCase):
    def test_pre_releases_are_written_as_python_orders_them(self):
        for version, expected in [("0.1.0", "0.1.0"), ("0.1.0-rc.1", "0.1.0rc1"), ("1.20.3-beta2", "1.20.3b2")]:
            self.assertEqual(wheel.python_version(version), expected)

    def test_other_versions_are_refused(self):
        for version in ["0.1", "0.1.0-nightly", "0.1.0+build", "0.1.0-rc"]:
            with self.assertRaises(ValueError):
                wheel.python_version(version)


if __name__ == "__main__":
    unittest.main()
