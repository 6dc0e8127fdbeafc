"""The rows of the benchmark of a billion rows: each is sent once, and two of a hundred are late."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

import billion_queries
import fleet as fleets


def sent(fleet):
    """The host, the tick and the tick of sending of each row."""
    return [(host, row, tick) for tick in range(fleet.ticks) for host in range(fleet.hosts)
            for row in fleet.sent_at(host, tick)]


class FleetRows(unittest.TestCase):
    def test_each_row_is_sent_once(self):
        for fleet in [fleets.Fleet(7, 900), fleets.Fleet(3, 1), fleets.Fleet(60, 51)]:
            points = [(host, row) for host, row, _ in sent(fleet)]
            self.assertEqual(len(set(points)), fleet.rows)
            self.assertEqual(len(points), fleet.rows)

    def test_two_of_a_hundred_rows_are_late(self):
        fleet = fleets.Fleet(20, 5_000)
        late = [tick - row for _, row, tick in sent(fleet) if tick > row]
        self.assertGreater(len(late), 0.01 * fleet.rows)
        self.assertLessEqual(len(late), 0.02 * fleet.rows)
        self.assertLessEqual(max(late), fleet.ticks // 2)

    def test_no_row_is_more_than_twenty_days_late(self):
        fleet = fleets.Fleet.of_rows(1_000, 10**9)
        delays = [fleet.delay(host) for host in range(fleet.hosts)]
        self.assertLessEqual(max(delays), 20 * fleets.TICKS_PER_DAY)
        self.assertGreater(max(delays), 19 * fleets.TICKS_PER_DAY)
        self.assertEqual(len(set(delays)), fleet.hosts)

    def test_a_billion_rows_of_a_thousand_hosts_are_116_days(self):
        fleet = fleets.Fleet.of_rows(1_000, 10**9)
        self.assertEqual((fleet.rows, fleet.days), (10**9, 116))

    def test_rows_are_rounded_down_to_whole_ticks(self):
        self.assertEqual(fleets.Fleet.of_rows(300, 1_000).rows, 900)
        self.assertEqual(fleets.Fleet.of_rows(300, 10).rows, 300)

    def test_rare_rows_are_counted(self):
        for fleet in [fleets.Fleet(2, 2), fleets.Fleet(2, 3), fleets.Fleet(1_000, 20_000)]:
            last_tick, last_host = fleet.ticks - 1, fleet.hosts - 1
            numbers = range(fleets.RARE_REMAINDER, last_tick * fleet.hosts + last_host + 1, fleets.RARE_EVERY)
            self.assertEqual(fleet.rare_rows, len(numbers))
            for number in numbers:
                self.assertTrue(fleet.is_rare(number % fleet.hosts, number // fleet.hosts))

    def test_spans_continue_where_an_earlier_run_has_stopped(self):
        self.assertEqual(fleets.spans(10, 4), [(0, 4), (4, 8), (8, 10)])
        self.assertEqual(fleets.spans(10, 4, 8), [(8, 10)])
        self.assertEqual(fleets.spans(10, 4, 10), [])


class Queries(unittest.TestCase):
    def test_both_engines_get_their_own_functions(self):
        for query in billion_queries.dashboard(fleets.Fleet(10, 20_000)):
            self.assertNotIn("time_bucket", query.neap)
            self.assertNotIn("date_bin", query.duckdb)
            for text in (query.neap, query.duckdb):
                self.assertNotIn("BIN(", text)
                self.assertNotIn("AT '", text)

    def test_expected_rows_are_those_of_queries(self):
        fleet = fleets.Fleet(10, 20_000)
        names = {query.name for query in billion_queries.dashboard(fleet)}
        self.assertLessEqual(billion_queries.expected_rows(fleet).keys(), names)

    def test_ranges_have_each_host_once(self):
        ranges = billion_queries.host_ranges(fleets.Fleet(10, 1_000), 3_500)
        self.assertEqual(ranges, [(0, 2), (3, 5), (6, 8), (9, 9)])
        self.assertEqual(billion_queries.host_ranges(fleets.Fleet(2, 1_000), 10), [(0, 0), (1, 1)])


if __name__ == "__main__":
    unittest.main()
