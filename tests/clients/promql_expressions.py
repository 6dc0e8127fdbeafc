"""Random expressions of PromQL about the samples of `promql_samples`, from a seed.

Nine of ten have an answer with values. The others find nothing, or are refused. What Prometheus 2.42 leaves open is avoided:
which of equal values `topk` takes, and functions with steps, such as `floor`, of values whose last digits depend on the order
of an addition. Vectors without such digits are called exact here. Prometheus 3 drops the name of a metric in `atan2`, 2.42 does
not, so there is none.
"""

import random

import promql_samples as samples

COUNTER, GAUGE, BUCKET, NATIVE, INFO = "counter", "gauge", "bucket", "native", "info"
INSTANCES = samples.INSTANCES["api"] + samples.INSTANCES["node"]

# The kind, labels and values of labels of each metric.
API = {"job": ["api"], "instance": samples.INSTANCES["api"], "path": samples.PATHS}
NODE = {"job": ["node"], "instance": samples.INSTANCES["node"]}
METRICS = {
    "http_requests_total": (COUNTER, {**API, "method": samples.METHODS, "code": samples.CODES}),
    "node_cpu_seconds_total": (COUNTER, {**NODE, "cpu": ["0", "1", "2", "3"], "mode": samples.MODES}),
    "node_network_receive_bytes_total": (COUNTER, {**NODE, "device": samples.DEVICES}),
    "node_network_transmit_bytes_total": (COUNTER, {**NODE, "device": samples.DEVICES}),
    "request_duration_seconds_count": (COUNTER, API),
    "request_duration_seconds_sum": (COUNTER, API),
    "node_memory_megabytes": (GAUGE, {**NODE, "kind": ["used", "free", "cached"]}),
    "temperature_celsius": (GAUGE, {"site": samples.SITES, "room": samples.ROOMS}),
    "task:duration_seconds:last": (GAUGE, {"kind": ["backup", "report"], "host": [f"h{number}" for number in range(7)]}),
    "disk_used_percent": (GAUGE, {"disk": [f"d{number}" for number in range(9)], "rack": ["r0", "r1", "r2", "r3"]}),
    "queue_length": (INFO, {"queue": samples.QUEUES, "job": ["worker"]}),
    "up": (INFO, {"job": ["api", "node"], "instance": INSTANCES}),
    "build_info": (INFO, {"job": ["api"], "instance": samples.INSTANCES["api"], "version": ["1.4", "1.10"]}),
    "request_duration_seconds_bucket": (BUCKET, {**API, "le": samples.BOUNDS}),
    "latency_seconds": (NATIVE, API),
}
# Counters of targets that are scraped at uneven times. They do not grow slowly from zero, so that steps of a subquery may be
# the first ones that have a sample.
UNEVEN = ["node_cpu_seconds_total", "node_network_receive_bytes_total", "node_network_transmit_bytes_total"]
# Labels that have few values, for groups.
WIDE = {"disk_used_percent": "disk", "task:duration_seconds:last": "host", "node_cpu_seconds_total": "instance"}
# Functions of all values, of exact ones, and of those that do not grow beyond all measure.
ANY_VALUES = ["abs", "sqrt", "ln", "log2", "log10", "deg", "rad", "atan", "tanh", "asinh"]
EXACT_VALUES = ["ceil", "floor", "round", "sgn", "sin", "cos", "tan", "acos", "asin", "acosh", "atanh"]
SMALL_VALUES = ["exp", "sinh", "cosh"]
CALENDAR = ["minute", "hour", "day_of_week", "day_of_month", "day_of_year", "days_in_month", "month", "year"]
# No quantile of whole numbers.
QUANTILES = ["0.013", "0.37", "0.5001", "0.853", "0.951", "0.9907"]
# Multiples of 5 s, as the steps of subqueries.
RANGES = ["1m", "90s", "2m", "5m", "5m", "5m", "10m", "10m", "4m35s", "15m", "300s", "600000ms"]
OFFSETS = ["1m", "5m", "90s", "10m"]


# All functions and operators of Prometheus 2.42.
FUNCTIONS = """
abs absent absent_over_time acos acosh asin asinh atan atanh avg_over_time ceil changes clamp clamp_max clamp_min cos cosh
count_over_time day_of_month day_of_week day_of_year days_in_month deg delta deriv exp floor histogram_count histogram_fraction
histogram_quantile histogram_sum holt_winters hour idelta increase irate label_join label_replace last_over_time ln log10 log2
max_over_time min_over_time minute month pi predict_linear present_over_time quantile_over_time rad rate resets round scalar sgn
sin sinh sort sort_desc sqrt stddev_over_time stdvar_over_time sum_over_time tan tanh time timestamp vector year
""".split()
OPERATORS = """
sum avg min max count group stddev stdvar quantile topk bottomk count_values and or unless atan2 bool on ignoring group_left
group_right by without offset @ start end
""".split()


class Expressions:
    """A source of random expressions. `is_shared` tells that they are evaluated at the time of samples of all targets, so that
    a negative offset would have one at the left border of its range."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.is_shared = False
        # The number of subqueries around an expression.
        self.subqueries = 0
        # The functions that were not yet taken, of each list of many.
        self.remaining = {}

    def chance(self, share):
        return self.rng.random() < share

    def one(self, options):
        return self.rng.choice(options)

    def next_of(self, functions):
        """One of many functions: all of them before one comes again."""
        remaining = self.remaining.setdefault(functions[0], [])
        if not remaining:
            remaining.extend(functions)
            self.rng.shuffle(remaining)
        return remaining.pop()

    def weighted(self, options):
        """Calls one of the functions, each with a weight."""
        (_, make) = self.rng.choices(options, [weight for weight, _ in options])[0]
        return make()

    # Selectors

    def metric(self, *kinds):
        return self.one([name for name, (kind, _) in METRICS.items() if kind in kinds])

    def quoted(self, text):
        if self.chance(0.15):
            return f"'{text}'"
        return f"`{text}`" if self.chance(0.1) else f'"{text}"'

    def matcher(self, label, values):
        value = self.one(values)
        pick = self.rng.random()
        if pick < 0.45 or len(values) == 1:
            return f"{label}={self.quoted(value)}"
        if pick < 0.6:
            return f"{label}!={self.quoted(value)}"
        other = self.one(values)
        pattern = self.one([f"{value}|{other}", f"{value}.*", f".*{value[-1:]}", f"({value}|nothing)", "[a-z0-9/].*", ".+"])
        pattern = pattern.replace("+Inf", "[+]Inf")
        operator = "=~" if pattern[0] in ".[" else self.one(["=~", "=~", "!~"])
        return f"{label}{operator}{self.quoted(pattern)}"

    def matchers(self, metric):
        _, labels = METRICS[metric]
        found = [self.matcher(label, values) for label, values in labels.items() if self.chance(0.22)]
        if metric == "disk_used_percent" and not found and self.chance(0.8):
            found = [f'disk="{self.one(labels["disk"])}"']
        if self.chance(0.04):
            found.append(self.one(['missing=""', 'missing!="x"', 'job!=""', 'missing=~"|x"']))
        self.rng.shuffle(found)
        if found and self.chance(0.05):
            found[-1] += ","
        return found

    def plain(self, metric):
        """A metric with matchers."""
        found = self.matchers(metric)
        if self.chance(0.05):
            return "{" + ", ".join([f"__name__={self.quoted(metric)}", *found]) + "}"
        if found or self.chance(0.05):
            return metric + self.one(["{", " {", "{ "]) + self.one([",", ", "]).join(found) + "}"
        return metric

    def modifiers(self):
        text = ""
        if self.chance(0.1):
            negative = "-" if self.chance(0.2) and not self.is_shared and not self.subqueries else ""
            text += f" offset {negative}{self.one(OFFSETS)}"
        if self.chance(0.06):
            at = self.one(["start()", "end()", f"{samples.START + self.rng.randrange(600, samples.SPAN)}.5"])
            text = f" @ {at}{text}" if self.chance(0.5) else f"{text} @ {at}"
        return text

    def selector(self, metric):
        return self.plain(metric) + self.modifiers()

    def range(self, metric):
        """A range of samples."""
        return f"{self.plain(metric)}[{self.one(RANGES)}]{self.modifiers()}"

    def subquery(self, make):
        """A range of the values of an expression. The range of a subquery in another one is no multiple of its steps."""
        is_outer = self.subqueries == 0
        self.subqueries += 1
        inner = make()
        self.subqueries -= 1
        length = self.one(["5m", "10m", "15m", "450s"]) if is_outer else self.one(["302s", "601s", "4m1s"])
        step = self.one(["1m", "30s", "15s", "10s", "2m", ""])
        return f"({inner})[{length}:{step}]{self.modifiers()}"

    # Vectors

    def vector(self, depth=0):
        if depth >= 3:
            return self.weighted([(2, self.exact_leaf), (3, self.rate)])
        options = [
            (8, lambda: self.exact(depth)),
            (9, self.rate),
            (7, self.over_time),
            (10, lambda: self.aggregate(depth)),
            (3, self.top),
            (6, lambda: self.with_scalar(depth)),
            (6, self.matched),
            (2, lambda: self.set_operation(depth)),
            (6, lambda: self.mathematics(depth)),
            (4, self.quantile_of_buckets),
            (2, self.native),
            (2, lambda: self.labelled(depth)),
            (3, self.calendar),
            (2, self.absence),
            (2, self.unusual),
            (1, lambda: f"-{self.exact_leaf()}"),
            (1, lambda: f"({self.vector(depth + 1)})"),
            (1, lambda: f"vector({self.scalar(depth + 1)})"),
        ]
        if self.subqueries < 2:
            options.append((5, lambda: self.over_subquery(depth)))
        return self.weighted(options)

    def exact_leaf(self):
        if self.chance(0.7):
            return self.selector(self.metric(COUNTER, GAUGE, INFO, BUCKET))
        function = self.one(["max_over_time", "min_over_time", "sum_over_time", "count_over_time", "last_over_time",
                             "present_over_time", "changes", "resets"])
        return f"{function}({self.range(self.metric(COUNTER, GAUGE, INFO, BUCKET))})"

    def exact(self, depth):
        """A vector whose values do not depend on the order of operations."""
        if depth >= 3 or self.chance(0.5):
            return self.exact_leaf()
        if self.chance(0.5):
            return self.grouped(self.one(["sum", "max", "min", "count", "group"]), "", self.metric(COUNTER, GAUGE, INFO))
        scalar = self.one(["2", "0.25", "100", "-1", "1024"])
        return f"{self.exact(depth + 1)} {self.one(['+', '-', '*'])} {scalar}"

    def rate(self):
        pick = self.rng.random()
        if pick < 0.75:
            function = self.one(["rate", "rate", "rate", "increase", "irate"])
            return f"{function}({self.range(self.metric(COUNTER, COUNTER, BUCKET))})"
        return f"{self.one(['delta', 'idelta', 'deriv'])}({self.range(self.metric(GAUGE))})"

    def over_time(self):
        metric = self.metric(GAUGE, GAUGE, COUNTER, INFO)
        pick = self.rng.random()
        if pick < 0.5:
            function = self.one(["avg", "min", "max", "sum", "count", "last", "present"])
            return f"{function}_over_time({self.range(metric)})"
        if pick < 0.65:
            return f"{self.one(['stddev', 'stdvar'])}_over_time({self.range(self.one(['temperature_celsius', 'queue_length']))})"
        if pick < 0.8:
            quantile = self.one([*QUANTILES, "0", "1", "-1", "2"])
            return f"quantile_over_time({quantile}, {self.range(self.metric(GAUGE, INFO))})"
        if pick < 0.9:
            ahead = self.one(["60", "3600", "-300", "0"])
            return f"predict_linear({self.range(self.metric(GAUGE))}, {ahead})"
        factors = f"{self.one(['0.1', '0.5', '0.9'])}, {self.one(['0.2', '0.5', '0.8'])}"
        return f"holt_winters({self.range(self.metric(GAUGE))}, {factors})"

    def over_subquery(self, depth):
        pick = self.rng.random()
        if pick < 0.2:
            metric = self.one(UNEVEN)
            return f"{self.one(['rate', 'increase', 'irate'])}({self.subquery(lambda: self.plain(metric))})"
        if pick < 0.3:
            return f"{self.one(['delta', 'deriv'])}({self.subquery(lambda: self.plain(self.metric(GAUGE)))})"
        if pick < 0.4:
            return f"quantile_over_time({self.one(QUANTILES)}, {self.subquery(lambda: self.vector(depth + 2))})"
        function = self.one(["avg", "min", "max", "sum", "count", "last", "present"])
        return f"{function}_over_time({self.subquery(lambda: self.vector(depth + 2))})"

    # Aggregates

    def grouping(self, metric):
        """`by` or `without` with labels of a metric."""
        labels = [*METRICS[metric][1]]
        if METRICS[metric][0] == BUCKET:
            labels.remove("le")
        kept = self.rng.sample(labels, self.rng.randrange(0, min(3, len(labels) + 1)))
        if self.chance(0.05):
            kept.append("missing")
        keyword = self.one(["by", "by", "without", "BY" if self.chance(0.2) else "by"])
        text = self.one([", ", ","]).join(kept) + ("," if kept and self.chance(0.05) else "")
        return f"{keyword} ({text})"

    def grouped(self, operator, parameter, metric, inner=None):
        inner = inner or self.selector(metric)
        call = f"({parameter}{inner})"
        if self.chance(0.2):
            return f"{operator}{call}"
        grouping = self.grouping(metric)
        return f"{operator} {grouping} {call}" if self.chance(0.6) else f"{operator}{call} {grouping}"

    def aggregate(self, depth):
        metric = self.metric(COUNTER, COUNTER, GAUGE, INFO)
        pick = self.rng.random()
        if pick < 0.15:
            return self.grouped("count_values", f"{self.quoted(self.one(['number', 'job', 'x']))}, ", metric)
        if pick < 0.25:
            metric = self.one(["temperature_celsius", "queue_length", "task:duration_seconds:last", "disk_used_percent"])
            return self.grouped(self.one(["stddev", "stdvar"]), "", metric)
        if pick < 0.35:
            parameter = f"{self.one([*QUANTILES, '0', '1', '1.5'])}, "
            return self.grouped("quantile", parameter, metric)
        operator = self.one(["sum", "sum", "sum", "avg", "min", "max", "count", "group"])
        if self.chance(0.08):
            operator = operator.upper()
        if METRICS[metric][0] == COUNTER and self.chance(0.75):
            return self.grouped(operator, "", metric, f"{self.one(['rate', 'increase'])}({self.range(metric)})")
        if self.chance(0.3) and depth < 2:
            return f"{operator}({self.aggregate(depth + 1)})"
        return self.grouped(operator, "", metric)

    def distinct(self):
        """A metric, and a vector of it without equal values."""
        metric = self.metric(GAUGE)
        if self.chance(0.3):
            return metric, f"{self.one(['max', 'avg', 'last'])}_over_time({self.range(metric)})"
        return metric, self.selector(metric)

    def top(self):
        metric, inner = self.distinct()
        operator = self.one(["topk", "bottomk"])
        number = self.one(["1", "2", "3", "5", "100", "2.9", "scalar(count(up))", "0" if self.chance(0.3) else "4"])
        return self.grouped(operator, f"{number}, ", metric, inner)

    # Operators

    def scalar(self, depth=0):
        pick = self.rng.random()
        if pick < 0.6 or depth > 2:
            return self.one(["1", "2", "0.5", "-3", "1e3", "0x1F", ".25", "100", "3.7", "Inf", "NaN", "time()", "pi()"])
        if pick < 0.8:
            return f"{self.scalar(depth + 1)} {self.one(['+', '-', '*', '/', '^', '%'])} {self.scalar(depth + 1)}"
        return f"scalar({self.one(['sum', 'max', 'count'])}({self.selector(self.metric(GAUGE, INFO))}))"

    def with_scalar(self, depth):
        pick = self.rng.random()
        scalar = self.one(["2", "0.5", "3.7", "100", "-1", "1.5e2", "scalar(count(up))", "(1 + 2)"])
        if pick < 0.45:
            sides = [self.vector(depth + 1), scalar]
            if self.chance(0.25):
                sides.reverse()
            return f"{sides[0]} {self.one(['+', '*', '/', '*'])} {sides[1]}"
        if pick < 0.6:
            exact = self.exact(depth + 1)
            return self.one([f"{exact} % 7", f"{exact} - 3", f"{exact} ^ 2", f"2 ^ ({exact} / 64)", f"({exact} + 0) atan2 3"])
        comparison = self.one(["<", ">", "<=", ">=", "==", "!="])
        if comparison in ("==", "!="):
            inner = self.exact(depth + 1)
        else:
            inner, scalar = self.vector(depth + 1), self.one(["0.3071", "20.111", "-1000.1", "1e9"])
        is_bool = self.one(["bool ", "bool ", ""])
        return f"{inner} {comparison} {is_bool}{scalar}"

    def matched(self):
        """Operators between vectors, with each kind of matching."""
        operator = self.one(["+", "*", "/", "/", ">", "<", ">= bool", "< bool"])
        range_text = self.one(RANGES)
        on = self.one([["instance"], ["instance", "path"], ["path"]])
        labels = ", ".join(on)
        requests = f"rate(http_requests_total[{range_text}])"
        count = f"rate(request_duration_seconds_count[{range_text}])"
        return self.one(
            [
                f"sum by ({labels}) ({requests}) {operator} sum by ({labels}) ({count})",
                f"sum by ({labels}) ({requests}) {operator} on ({labels}) sum by ({labels}) ({count})",
                f"sum by ({labels}, code) ({requests}) {operator} ignoring (code) group_left sum by ({labels}) ({requests})",
                f"sum by ({labels}) ({requests}) {operator} on ({labels}) group_right () sum by ({labels}, code) ({requests})",
                f"rate(request_duration_seconds_sum[{range_text}]) {operator} {count}",
                f"request_duration_seconds_sum {operator} request_duration_seconds_count",
                f"max by (instance) (up{{job='api'}}) * on (instance) group_right (job) build_info",
                f"{requests} * on (instance, job) group_left (version) (build_info{{version='1.4'}} == 1)",
                f"{requests} * on (instance) group_left (version, branch) build_info",
                f"node_memory_megabytes {operator} ignoring (kind) group_left sum without (kind) (node_memory_megabytes)",
                f"node_memory_megabytes{{kind='used'}} {operator} on (instance) node_memory_megabytes{{kind='free'}}",
                f"temperature_celsius - temperature_celsius offset {self.one(OFFSETS)}",
                f"temperature_celsius{{site='north'}} - on (room) temperature_celsius{{site='south'}}",
                f"temperature_celsius {operator} ignoring (site) group_left temperature_celsius{{site='south'}}",
                f"sum(up) {self.one(['+', '/', '>= bool'])} count(up)",
                f"http_requests_total{{code='500'}} {operator} ignoring (code) http_requests_total{{code='404'}}",
            ]
        )

    def set_operation(self, depth):
        metric = self.metric(GAUGE, INFO, COUNTER)
        left, right = self.selector(metric), self.selector(metric)
        if self.chance(0.4):
            right = f"{right} > {self.one(['0', '10', '50.1'])}"
        operator = self.one(["and", "or", "unless", "AND", "and", "or"])
        matching = self.one(["", "", f" on ({self.one([*METRICS[metric][1]])})", f" ignoring ({self.one([*METRICS[metric][1]])})"])
        text = f"{left} {operator}{matching} {right}"
        if self.chance(0.2):
            text += f" or {self.exact_leaf()}"
        return text

    # Functions

    def mathematics(self, depth):
        pick = self.rng.random()
        if pick < 0.65:
            function = self.next_of(ANY_VALUES + EXACT_VALUES + SMALL_VALUES)
            if function in EXACT_VALUES:
                return f"{function}({self.exact(depth + 1)})"
            if function in SMALL_VALUES:
                return f"{function}({self.selector('temperature_celsius')})"
            return f"{function}({self.vector(depth + 1)})"
        if pick < 0.73:
            return f"round({self.exact(depth + 1)}, {self.one(['0.3', '5', '10', '0.25'])})"
        inner = self.vector(depth + 1)
        return self.one(
            [
                f"clamp({inner}, {self.one(['0', '-5', '10'])}, {self.one(['1', '50', '5'])})",
                f"clamp_max({inner}, {self.one(['20', '0.5', 'scalar(sum(up))'])})",
                f"clamp_min({inner}, {self.one(['20', '0.5', 'NaN'])})",
            ]
        )

    def quantile_of_buckets(self):
        metric = "request_duration_seconds_bucket"
        quantile = self.one([*QUANTILES, "0", "-0.5", "1.5"] if self.chance(0.2) else QUANTILES)
        rate = f"{self.one(['rate', 'increase'])}({self.range(metric)})"
        labels = self.one(["le", "le, instance", "path, le", "job, le"])
        inner = self.one([f"sum by ({labels}) ({rate})", f"sum by ({labels}) ({rate})", rate, self.selector(metric)])
        if self.chance(0.15):
            count = f"sum(rate(request_duration_seconds_count[{self.one(RANGES)}]))"
            return f"sum(rate({metric}{{le='{self.one(samples.BOUNDS)}'}}[{self.one(RANGES)}])) / {count}"
        return f"histogram_quantile({quantile}, {inner})"

    def native_histogram(self):
        rate = f"{self.one(['rate', 'increase'])}({self.range('latency_seconds')})"
        label = self.one(["path", "instance", "job"])
        return self.one([self.selector("latency_seconds"), rate, rate, f"sum by ({label}) ({rate})", f"sum({rate})"])

    def native_root(self):
        """Native histograms, for which functions of numbers have the value 0 in Prometheus 2.42, or a quantile, which is not
        compared exactly: they are in no other expression."""
        inner = self.native_histogram()
        return inner if self.chance(0.5) else f"histogram_quantile({self.one(QUANTILES)}, {inner})"

    def native(self):
        inner = self.native_histogram()
        return self.one(
            [
                f"histogram_count({inner})",
                f"histogram_sum({inner})",
                f"histogram_sum({inner}) / histogram_count({inner})",
                # Bounds of buckets, between which nothing is interpolated.
                f"histogram_fraction({self.one(['0', '1', '2', '-Inf'])}, {self.one(['4', '8', '+Inf'])}, {inner})",
                f"count({inner})",
            ]
        )

    def labelled(self, depth):
        inner = self.vector(depth + 1) if self.chance(0.5) else self.selector(self.metric(GAUGE, COUNTER))
        return self.one(
            [
                f'label_replace({inner}, "new", "$1-$2", "instance", "(.*)-(.*):.*")',
                f'label_replace({inner}, "site", "<${{1}}>", "site", "(n.*)")',
                f'label_replace({inner}, "absent", "x", "nothing", "")',
                f'label_replace({inner}, "host", "", "nothing", ".*")',
                f'label_join({inner}, "all", "/", "job", "instance", "nothing")',
                f"label_join({inner}, 'new', '')",
            ]
        )

    def calendar(self):
        function = self.next_of(CALENDAR)
        argument = self.one(["", "vector(time())", f"timestamp({self.selector(self.metric(GAUGE, INFO))})",
                             f"{self.plain(self.metric(GAUGE))} * 86400", "vector(1582934400.5)"])
        if self.chance(0.25):
            return f"timestamp({self.one([self.selector(self.metric(GAUGE, COUNTER)), self.exact_leaf()])})"
        return f"{function}({argument})"

    def absence(self):
        name = self.one(["nothing", 'nothing{job="x"}', 'up{job="x", instance=~"a|b"}', 'nothing{job="x", job="y"}', "up"])
        return self.one([f"absent({name})", f"absent_over_time({name}[5m])", f"absent(sum({name}))", f"absent({name} > 1)"])

    def unusual(self):
        """Values that are not finite."""
        metric = self.one(['unusual{kind="nan"}', 'unusual{kind="inf"}', 'unusual{value="x"}', "unusual", 'unusual{Zone=~"z"}'])
        return self.one(
            [
                metric,
                f"{metric} > 1",
                f"{metric} == bool {metric}",
                f"{self.one(['min', 'max', 'count'])} by (kind, time) ({metric})",
                f"{self.one(['min', 'max', 'sum', 'avg', 'last', 'count'])}_over_time({metric}[{self.one(RANGES)}])",
                f"changes({metric}[{self.one(RANGES)}])",
                f"count_values('text', {metric})",
                f"{metric} / 0",
                f"clamp({metric}, -1, 1)",
                f"{self.one(['sgn', 'ceil', 'ln', 'sqrt', 'abs'])}({metric})",
                f"sum without (kind) (unusual{{kind='{self.one(['inf', 'zero', 'nan', 'negative'])}'}})",
            ]
        )
