"""The rows of the benchmark of many series: one of each device in each minute."""

import pathlib
import random
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

import series


class DeviceRows(unittest.TestCase):
    def test_each_device_has_one_row_a_minute_in_the_order_of_times(self):
        count, minutes = series.LINES + 7, 2
        lines = [line for minute, devices in series.spans(count, minutes)
                 for line in series.body(minute, devices, count, random.Random(1)).decode().splitlines()]
        times = [int(line.rpartition(" ")[2]) for line in lines]
        self.assertEqual(times, sorted(times))
        rows = {(line.partition(" ")[0], (time - series.START) // 60) for line, time in zip(lines, times)}
        self.assertEqual((len(lines), len(rows)), (count * minutes, count * minutes))

    def test_seconds_are_within_a_minute(self):
        seconds = [series.second(number, 90) for number in range(90)]
        self.assertEqual((seconds[0], seconds[-1], len(set(seconds))), (0, 59, 60))

    def test_devices_with_a_prefix_are_counted(self):
        self.assertEqual(series.prefixed(1_234, 10_000), ("d00012", 100))
        self.assertEqual(series.prefixed(1_234, 1_250), ("d00012", 50))


if __name__ == "__main__":
    unittest.main()
