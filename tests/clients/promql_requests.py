"""Random requests with expressions of PromQL: at one time or at the steps of a range, and requests that are refused."""

import datetime

import promql_expressions
import promql_samples as samples

# Requests with one result have so many steps at most.
STEPS = 40
SHARED = samples.SHARED_MS // 1_000
# The share of requests that are refused, on purpose.
INVALID_SHARE = 0.045

# Expressions that are refused by the parser. Prometheus 3 refuses them, too.
MALFORMED = [
    "sum(",
    "up{",
    'up{job="api"',
    "up{job=~'['}",
    "{}",
    '{job=~".*"}',
    "rate(up)",
    "rate(sum(up))",
    "sum by (job (up)",
    "up[5m] offset",
    "up offset 1m[5m]",
    "nothing_of_the_kind(up)",
    "abs()",
    "abs(up, up)",
    "topk(up)",
    "topk('1', up)",
    "quantile(up)",
    "histogram_quantile(up)",
    "1 > 2",
    "up and 1",
    "up and bool up",
    "up + 'text'",
    "-'text'",
    "up[0s]",
    "up[5m:0s]",
    "up[5x]",
    "up[m]",
    "up{job=api}",
    "up{=\"api\"}",
    "up == bool",
    "up on (job) up",
    "up * group_left up",
    "up and on (job) group_left up",
    "up * on (job) group_left (job) up",
    "label_replace(up, 'a', 'b', 'c')",
    "vector(up)",
    "scalar(1)",
    "up @ job",
    "(up[5m])[5m:1m]",
    "sum(up) by (job) without (job)",
    "count_values(up)",
    "absent(1)",
    "up{job='a' or job='b'}",
    "'unclosed",
    "up # comment\n)",
    "",
    "up up",
    "time(1)",
    "up[5m] + 1",
]

# Expressions that are refused when they are evaluated.
FAILING = [
    "http_requests_total * on (instance) build_info",
    "http_requests_total + on (job) node_cpu_seconds_total * on (job) up",
    "up * on (job) up",
    "up / on (job) group_left http_requests_total{instance=~'api.*'} * on (job) group_left up",
    "label_replace(up, 'instance', '', 'instance', '.*')",
    "label_replace(up, 'job', 'x', 'job', '(')",
    "label_replace(up, 'instance', 'same', 'job', '.*')",
    "label_join(up, 'instance', '-', 'job')",
    "rate({__name__=~'node_network_.*'}[10m])",
    "holt_winters(temperature_celsius[10m], 2, 0.5)",
    "holt_winters(temperature_celsius[10m], 0.5, 0)",
    "-{__name__=~'node_network_.*'}",
    "abs({__name__=~'request_duration_seconds_(sum|count)'})",
]


class Request:
    """A path with parameters, how it is sent, and whether the order of the series of its answer is defined."""

    def __init__(self, path, method, **parameters):
        self.path, self.method, self.parameters = path, method, parameters
        self.is_invalid = False
        self.is_ordered = path == "query_range"

    @property
    def expression(self):
        return self.parameters.get("query", "")

    def __str__(self):
        rest = ", ".join(f"{name}={value}" for name, value in self.parameters.items() if name != "query")
        return f"{self.path} of {self.expression!r} with {rest}"


class Requests:
    """A source of random requests."""

    def __init__(self, seed):
        self.source = promql_expressions.Expressions(seed)
        self.rng = self.source.rng

    def request(self):
        pick = self.rng.random()
        if pick < INVALID_SHARE:
            request = self.invalid()
            request.is_invalid = True
            return request
        if pick < 0.1:
            request = self.instant(self.ordered)
            request.is_ordered = True
            return request
        if pick < 0.13:
            return self.rng.choice([self.instant, self.steps])(self.source.native_root)
        if pick < 0.5:
            return self.instant(self.at_one_time)
        return self.steps(self.at_steps)

    # Times

    def method(self):
        return self.rng.choice(["GET", "POST"])

    def time_text(self, seconds):
        """A time as a number or in RFC 3339."""
        if self.rng.random() < 0.2:
            return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return f"{seconds:.3f}" if self.rng.random() < 0.3 else str(seconds)

    def instant(self, make):
        self.source.is_shared = self.rng.random() < 0.3
        at = SHARED
        if not self.source.is_shared:
            at = samples.START + self.rng.randrange(600, samples.SPAN + 100) + 0.5
        return Request("query", self.method(), query=make(), time=self.time_text(at))

    def steps(self, make):
        self.source.is_shared = False
        start = samples.START + self.rng.randrange(-60 if self.rng.random() < 0.1 else 300, samples.SPAN - 400) + 0.5
        step = self.rng.choice([5, 7, 15, 15, 30, 60, 61, 120, 400])
        count = self.rng.randrange(1, STEPS)
        end = min(start + step * count + self.rng.randrange(step), samples.START + samples.SPAN + 600.5)
        step_text = self.rng.choice([str(step), f"{step}s", f"{step}.0", f"{step * 1_000}ms"])
        times = {"start": self.time_text(start), "end": self.time_text(end), "step": step_text}
        return Request("query_range", self.method(), query=make(), **times)

    # Expressions at the root

    def at_one_time(self):
        """An expression of any type."""
        pick = self.rng.random()
        if pick < 0.88:
            return self.layout(self.source.vector())
        if pick < 0.93:
            metric = self.source.metric("counter", "gauge", "info", "native")
            return self.source.range(metric) if metric != "disk_used_percent" else "disk_used_percent{disk='d1'}[3m]"
        if pick < 0.95:
            return self.source.subquery(lambda: self.source.vector(2))
        if pick < 0.98:
            return self.source.scalar()
        return self.rng.choice(["'text'", '"say \\"hi\\""', "`raw \\n`", "'\\u00e9\\t'"])

    def ordered(self):
        """An expression that orders series by their values."""
        _, inner = self.source.distinct()
        return self.rng.choice([f"sort({inner})", f"sort_desc({inner})", f"topk(5, {inner})", f"bottomk(4, {inner})"])

    def at_steps(self):
        return self.layout(self.source.vector() if self.rng.random() < 0.96 else self.source.scalar())

    def layout(self, text):
        """The expression with other white space, or a comment."""
        pick = self.rng.random()
        if pick < 0.03:
            return f"  {text}\n"
        if pick < 0.05:
            return f"# a comment\n{text} # another"
        return text

    def invalid(self):
        pick = self.rng.random()
        if pick < 0.5:
            text = self.rng.choice(MALFORMED)
            return self.rng.choice([self.instant, self.steps])(lambda: text)
        if pick < 0.8:
            text = self.rng.choice(FAILING)
            return self.rng.choice([self.instant, self.steps])(lambda: text)
        if pick < 0.86:
            return self.steps(lambda: self.rng.choice(["up[5m]", "'text'", "up[5m:1m]"]))
        request = self.steps(lambda: "up")
        change = self.rng.choice(
            [{"step": "0"}, {"step": "-1"}, {"step": "x"}, {"start": "yesterday"}, {"end": str(samples.START - 3_600)},
             {"step": "0.01", "end": str(samples.START + 86_400)}, {"start": ""}, {"end": "1.2.3"}, {"timeout": "x"}]
        )
        request.parameters.update(change)
        return request
