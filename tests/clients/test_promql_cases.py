"""Expressions of PromQL with answers that were computed by hand. NEAP_PROMQL_CASES is the file with them."""

import json
import os
import pathlib
import struct
import unittest
import urllib.parse

from prometheus_server import PromqlApi
from prometheus_wire import STALE, histogram, series, write_request

FILE = os.environ.get("NEAP_PROMQL_CASES")
NEAP_URL, TOKEN = os.environ.get("NEAP_URL", ""), os.environ.get("NEAP_TOKEN", "")
# A multiple of a day.
START = 1_699_920_000


def number(value):
    """A value of the file. A text is one that JSON does not have."""
    return STALE if value == "stale" else float(value)


def message(one):
    """A series of the file as a message of remote write."""
    floats = [(time, value) for time, value in one["samples"] if not isinstance(value, dict)]
    samples = [((START + time) * 1_000, number(value)) for time, value in floats]
    histograms = b"".join(
        histogram((START + time) * 1_000, value["count"], value["sum"], value["schema"], value["spans"], value["deltas"], 0)
        for time, value in one["samples"]
        if isinstance(value, dict)
    )
    return series(dict(sorted(one["labels"].items())), samples, histograms)


def answer_of(case):
    """The answer of a case as pairs of labels and of times with values."""
    pairs = []
    for one in case["answer"]:
        points = one.get("values") or [[case["at"], one["value"]]]
        pairs.append((one["labels"], [(time, number(value)) for time, value in points]))
    return pairs


def answer_in(data):
    """The same of an answer over HTTP."""
    pairs = []
    for one in data["result"]:
        points = one.get("values") or [one["value"]]
        pairs.append((one["metric"], [(time - START, float(value)) for time, value in points]))
    return pairs


def is_same(one, two):
    """Whether values are equal but for their last digits."""
    bits = [struct.pack("<d", value) for value in (one, two)]
    return bits[0] == bits[1] or one != one and two != two or abs(one - two) <= 1e-12 * max(abs(one), abs(two)) < float("inf")


class Cases(unittest.TestCase):
    maxDiff = None

    def ask(self, database, case):
        api = PromqlApi(urllib.parse.urlsplit(NEAP_URL).netloc, "/prometheus", database=database, token=TOKEN)
        times = {"time": case.get("at"), "start": case.get("start"), "end": case.get("end")}
        parameters = {name: START + value for name, value in times.items() if value is not None}
        path = "query" if "at" in case else "query_range"
        if path == "query_range":
            parameters["step"] = case["step"]
        return api.answer(path, {"query": case["expression"], **parameters})

    def assertAnswer(self, case, data):
        if "scalar" in case:
            self.assertEqual((data["resultType"], float(data["result"][1])), ("scalar", case["scalar"]))
            return
        expected, found = answer_of(case), answer_in(data)
        if not case.get("ordered"):
            expected, found = sorted(expected, key=str), sorted(found, key=str)
        names = [[(labels, [time for time, _ in points]) for labels, points in pairs] for pairs in (expected, found)]
        self.assertEqual(names[1], names[0])
        for (_, one), (_, two) in zip(expected, found, strict=True):
            self.assertTrue(all(is_same(before[1], after[1]) for before, after in zip(one, two, strict=True)), (one, two))

    def test_expressions_have_the_values_that_were_computed(self):
        for number_of_group, group in enumerate(json.loads(pathlib.Path(FILE).read_text())["groups"]):
            database = f"cases_{number_of_group}"
            writer = PromqlApi(urllib.parse.urlsplit(NEAP_URL).netloc, database=database, token=TOKEN)
            writer.write(write_request(*(message(one) for one in group["series"])))
            for case in group["cases"]:
                with self.subTest(group["name"], expression=case["expression"], at=case.get("at")):
                    _, answer = self.ask(database, case)
                    if "error" in case:
                        self.assertEqual(answer.get("errorType"), case["error"], answer)
                    else:
                        self.assertEqual(answer["status"], "success", answer)
                        self.assertAnswer(case, answer["data"])


if __name__ == "__main__":
    unittest.main()
