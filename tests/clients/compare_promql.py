"""Compares the answers of Prometheus and of Neap to random expressions of PromQL over random samples.

    python3 tests/clients/compare_promql.py --prometheus .debian/prometheus/usr/bin/prometheus --url http://127.0.0.1:8181

`--prometheus` is the program of Debian's package, 2.42. The token of Neap is in `NEAP_TOKEN`. Each seed has its own samples of
about 1,000 series in a database, and 250 expressions. Both get the samples by remote write: the first half, the second half, and
late ones; then some are deleted. `--flush` moves samples from the tail to sections in between. Without `--url`, only Prometheus
is asked, and the program reports how many expressions have an answer.

Neap follows Prometheus 3. `ACCEPTED` lists the differences to 2.42 that are accepted. All others end the program with status 1, and
so does, with `--complete`, one that is listed and never met. Values are equal if they differ by 1e-12 of the largest one of their
series. Refused expressions have the same status and type of error; texts differ.
"""

import argparse
import datetime
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import urllib.parse

from import_influxdb1 import fetch
from prometheus_server import PromqlApi, start_prometheus
from promql_expressions import FUNCTIONS, OPERATORS
from promql_requests import Requests
from promql_samples import DELETES, SCHEMA, START, Samples, write_requests

REQUESTS_PER_SEED = 250
TOKEN = os.environ.get("NEAP_TOKEN", "")
TOLERANCE = 1e-12
# A difference that counts for no value.
SMALLEST = 1e-13
# A call, or another word. Names of metrics are not followed by a parenthesis.
WORD = re.compile(r"[a-z_0-9]+(?=\()|@|\b(?:" + "|".join(word for word in OPERATORS if word != "@") + r")\b")


class Accepted:
    """A difference to Prometheus 2.42 that is accepted: its reason, the expressions that meet it, and how values compare."""

    def __init__(self, reason, pattern, rename=None, equal=None):
        self.reason, self.pattern = reason, re.compile(pattern)
        self.rename, self.equal = rename, equal

    def applies_to(self, expression):
        return self.pattern.search(expression) is not None


def in_the_same_bucket(one, two):
    """Whether two values can be in one bucket of a native histogram."""
    if min(abs(one), abs(two)) == 0 or one * two < 0:
        return one == two
    return abs(math.log2(one / two)) <= 2**-SCHEMA


ACCEPTED = [
    Accepted(
        "Prometheus 3 has the function with another name, and Neap answers to it.",
        r"\bholt_winters\(",
        rename=("holt_winters", "double_exponential_smoothing"),
    ),
    Accepted(
        "Prometheus 3 interpolates exponentially within a bucket of a native histogram, 2.42 linearly.",
        r"^histogram_quantile\(.*latency_seconds",
        equal=in_the_same_bucket,
    ),
]


# Comparison of answers


def numbers_of(points):
    """All values of points, also those of histograms."""
    found = []
    for _, kind, value in points:
        found.extend([float(value)] if kind == "value" else [float(value["count"]), float(value["sum"])])
    return found


class Tolerance:
    """How values of an answer compare, by the largest value of each series."""

    def __init__(self, accepted=()):
        self.margin = SMALLEST
        self.accepted = [one for one in accepted if one.equal]
        self.used = set()

    def start_series(self, points):
        finite = [abs(value) for value in numbers_of(points) if math.isfinite(value)]
        self.margin = max(TOLERANCE * max(finite, default=0.0), SMALLEST)

    def equal(self, one, two):
        if one == two or math.isnan(one) and math.isnan(two):
            return True
        if math.isfinite(one) and math.isfinite(two):
            if abs(one - two) <= max(TOLERANCE * max(abs(one), abs(two)), self.margin):
                return True
            for accepted in self.accepted:
                if accepted.equal(one, two):
                    self.used.add(accepted)
                    return True
        return False

    def histograms_equal(self, one, two):
        texts = ("count", "sum")
        left, right = one.get("buckets", []), two.get("buckets", [])
        return all(self.equal(float(one[name]), float(two[name])) for name in texts) and len(left) == len(right) and all(
            before[0] == after[0] and all(self.equal(float(x), float(y)) for x, y in zip(before[1:], after[1:], strict=True))
            for before, after in zip(left, right, strict=True)
        )


def labels_of(one):
    return tuple(sorted(one["metric"].items()))


def points_of(one):
    """Times with values or histograms, in the order of the answer."""
    pairs = one.get("values", [one["value"]] if "value" in one else [])
    more = one.get("histograms", [one["histogram"]] if "histogram" in one else [])
    points = [(at, "value", value) for at, value in pairs] + [(at, "histogram", value) for at, value in more]
    return sorted(points, key=lambda point: point[0])


def difference(request, one, two, tolerance):
    """Describes the first difference of two results; `None` without one."""
    if one["resultType"] != two["resultType"]:
        return f"types {one['resultType']} and {two['resultType']}"
    left, right = one["result"], two["result"]
    if one["resultType"] == "scalar":
        is_equal = left[0] == right[0] and tolerance.equal(float(left[1]), float(right[1]))
        return None if is_equal else f"{left} and {right}"
    if one["resultType"] == "string":
        return None if left == right else f"{left} and {right}"
    if not request.is_ordered:
        left, right = sorted(left, key=labels_of), sorted(right, key=labels_of)
    names, others = [labels_of(series) for series in left], [labels_of(series) for series in right]
    if names != others:
        if sorted(names) == sorted(others):
            return f"order of series: {[dict(name) for name in names[:5]]} and {[dict(name) for name in others[:5]]}"
        missing = [dict(name) for name in names if name not in set(others)][:3]
        further = [dict(name) for name in others if name not in set(names)][:3]
        return f"{len(names)} and {len(others)} series, missing {missing}, further {further}"
    for before, after in zip(left, right, strict=True):
        tolerance.start_series(points_of(before))
        found = difference_of_points(points_of(before), points_of(after), tolerance)
        if found:
            return f"{dict(labels_of(before))}: {found}"
    return None


def difference_of_points(left, right, tolerance):
    times, others = [point[:2] for point in left], [point[:2] for point in right]
    if times != others:
        return f"{len(times)} and {len(others)} points, in one of them only {sorted(set(times) ^ set(others))[:4]}"
    for (at, kind, before), (_, _, after) in zip(left, right, strict=True):
        if kind == "value":
            if not tolerance.equal(float(before), float(after)):
                return f"at {at}: {before} and {after}"
        elif not tolerance.histograms_equal(before, after):
            return f"at {at}: {json.dumps(before)} and {json.dumps(after)}"
    return None


def is_empty(answer):
    return answer["status"] == "success" and answer["data"]["result"] == []


class Neap:
    """Processes of Neap on one store."""

    def __init__(self, options, database):
        self.writer_url, self.database = options.writer_url or options.url, database
        self.writer = self.api(self.writer_url)
        urls = {"alone": options.url, "workers": options.workers_url}
        self.readers = {name: self.api(url) for name, url in urls.items() if url}
        self.command = options.flush and json.loads(options.flush)

    def api(self, url):
        return PromqlApi(urllib.parse.urlsplit(url).netloc, "/prometheus", database=self.database, token=TOKEN)

    def flush(self):
        if self.command:
            subprocess.run(self.command, check=True, stdout=subprocess.DEVNULL)

    def delete(self, metric, label, value, start, end):
        body = {"start": rfc3339(start), "stop": rfc3339(end), "predicate": f'_measurement="{metric}" AND {label}="{value}"'}
        url = f"{self.writer_url}/api/v2/delete?bucket={self.database}"
        status, text = fetch(url, json.dumps(body).encode(), TOKEN)
        assert status == 204, (status, text[:500])


def rfc3339(seconds):
    """A time in whole or half seconds as text."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Comparison:
    """Answers of Prometheus and of Neap, and what was found."""

    def __init__(self, options):
        self.options = options
        self.compared, self.refused, self.empty = 0, [], []
        self.accepted = {one: 0 for one in ACCEPTED}
        self.unmet_words = {*FUNCTIONS, *OPERATORS}
        self.differences = []

    def run_seed(self, seed, count):
        samples = Samples(seed)
        neap = Neap(self.options, f"promql_{seed}") if self.options.url else None
        with tempfile.TemporaryDirectory() as folder:
            program, address = start_prometheus(self.options.prometheus, folder)
            try:
                prometheus = PromqlApi(address)
                self.write(samples, prometheus, neap)
                source = Requests(seed)
                for _ in range(count):
                    self.compare(seed, source.request(), prometheus, neap)
            finally:
                program.stop()

    def write(self, samples, prometheus, neap):
        for number, stage in enumerate(samples.split()):
            for message in write_requests(stage):
                prometheus.write(message)
                if neap:
                    neap.writer.write(message)
            # Late samples stay in the tail.
            if neap and number < 2:
                neap.flush()
        for metric, label, value, *seconds in DELETES:
            start, end = (START + one for one in seconds)
            selector = {"match[]": f'{metric}{{{label}="{value}"}}', "start": start, "end": end}
            path = f"/api/v1/admin/tsdb/delete_series?{urllib.parse.urlencode(selector)}"
            status, text = prometheus.request("POST", path)
            assert status == 204, (status, text)
            if neap:
                neap.delete(metric, label, value, start, end)

    def compare(self, seed, request, prometheus, neap):
        status, expected = prometheus.answer(request.path, request.parameters, request.method)
        self.compared += 1
        if expected["status"] != "success":
            self.refused.append((request, expected))
        elif is_empty(expected):
            self.empty.append(request)
        else:
            self.unmet_words.difference_update(WORD.findall(request.expression))
        if not neap:
            return
        accepted = [one for one in ACCEPTED if one.applies_to(request.expression)]
        parameters = dict(request.parameters)
        for one in accepted:
            if one.rename:
                parameters["query"] = parameters["query"].replace(*one.rename)
                self.accepted[one] += 1
        for name, reader in neap.readers.items():
            answer = reader.answer(request.path, parameters, request.method)
            text = self.difference(request, (status, expected), answer, accepted)
            if text:
                self.differences.append(f"seed {seed} ({name}): {request}\n    {text}")
                return

    def difference(self, request, expected, found, accepted):
        """Describes the difference of two statuses with answers; `None` without one."""
        (status, one), (other_status, two) = expected, found
        if one["status"] != "success" or two["status"] != "success":
            outcomes = [(status, one.get("errorType")), (other_status, two.get("errorType"))]
            if outcomes[0] == outcomes[1]:
                return None
            return f"{outcomes[0]} and {outcomes[1]}: {one.get('error')!r} and {two.get('error')!r}"
        tolerance = Tolerance(accepted)
        text = difference(request, one["data"], two["data"], tolerance)
        if not text:
            for used in tolerance.used:
                self.accepted[used] += 1
        return text

    def unmet(self):
        """What all expressions together were to meet, and did not."""
        if not self.options.complete:
            return []
        unmet = [f"no answer has the word {word}" for word in sorted(self.unmet_words)]
        if self.options.url:
            unmet += [f"no answer has the accepted difference: {one.reason}" for one, count in self.accepted.items() if not count]
        return unmet

    def report(self):
        """Prints what was found, and returns whether all is well."""
        unmet = self.unmet()
        for text in [*self.differences[: self.options.show], *unmet]:
            print(text)
        print(
            f"{self.compared} expressions compared, {len(self.refused)} of them refused by Prometheus, "
            f"{len(self.empty)} without values, {len(self.differences)} differences"
        )
        return not self.differences and not unmet


def describe_answers(comparison):
    """Prints expressions that have no answer although they were to have one."""
    unplanned = [(request, answer) for request, answer in comparison.refused if not request.is_invalid]
    for request, answer in unplanned[: comparison.options.show]:
        print(f"refused: {request}\n    {answer['errorType']}: {answer['error']}")
    for request in comparison.empty[: comparison.options.show]:
        print(f"empty: {request}")
    answered = [request for request, _ in comparison.refused if request.is_invalid]
    print(f"{len(unplanned)} refused beside {len(answered)} that were to be refused, {len(comparison.empty)} empty")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prometheus", required=True)
    parser.add_argument("--url")
    parser.add_argument("--writer-url", help="the process that writes samples, if it is another one")
    parser.add_argument("--workers-url", help="a process that distributes queries")
    parser.add_argument("--flush", help="a command, as a JSON list, that moves samples from the tail to sections")
    parser.add_argument("--expressions", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--complete", action="store_true", help="requires all functions, operators and accepted differences")
    parser.add_argument("--show", type=int, default=40, help="how many differences are printed")
    options = parser.parse_args()
    comparison = Comparison(options)
    seed = options.seed
    while comparison.compared < options.expressions:
        comparison.run_seed(seed, min(REQUESTS_PER_SEED, options.expressions - comparison.compared))
        seed += 1
    if not options.url:
        describe_answers(comparison)
    sys.exit(0 if comparison.report() else 1)


if __name__ == "__main__":
    main()
