"""Everything that `influxdb3_local` has, each case on a request of its own: `?case=name`. A case that fails raises."""

import datetime
import functools
import math
import os
import threading
import time

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def raised(kind, function, *args, **kwargs):
    """The exception that a call raises, which is exactly of this class."""
    try:
        function(*args, **kwargs)
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    name = query_parameters["case"]
    CASES[name](influxdb3_local)
    return {"passed": name}


class Lines:
    """Several lines where one may be given."""

    def __init__(self, *builders):
        self.builders = builders

    def build(self):
        return "\n".join(builder.build() for builder in self.builders)


@case
def logging(local):
    local.info("one", 2, {"three": [4]}, None)
    local.warn("careful")
    local.error("wrong", ValueError("value"))
    local.info()
    local.info("two\nlines and ünïcode")


@case
def types(local):
    rows = local.query("SELECT * FROM kinds ORDER BY time")
    full, sparse = rows
    assert full == {
        "b": True, "f": 1.5, "i": -3, "s": 'text "quoted"', "t": "tag value", "time": 1_000_000_000,
        "u": 18_446_744_073_709_551_615,
    }, full
    assert [type(full[name]) for name in "bfistu"] == [bool, float, int, str, str, int], full
    assert sparse == {"b": None, "f": 2.0, "i": None, "s": None, "t": None, "time": 2_000_000_000, "u": None}, sparse
    assert isinstance(rows, list) and isinstance(sparse["f"], float)


@case
def expressions(local):
    sql = """
        SELECT count(*) AS n, MIN(time) AS first, DATE_BIN(INTERVAL '1 hour', MAX(time)) AS bin, avg(f) AS mean,
               NULL AS nothing, now() AS now, arrow_cast(3, 'UInt8') AS small, arrow_cast(1.5, 'Float32') AS single,
               arrow_cast('x', 'LargeUtf8') AS large, CAST(sum(u) AS VARCHAR) AS text
        FROM 'kinds'
    """
    (row,) = local.query(sql)
    now = row.pop("now")
    assert isinstance(now, int) and abs(now - time.time_ns()) < 3_600_000_000_000, now
    assert row == {
        "n": 2, "first": 1_000_000_000, "bin": 0, "mean": 1.75, "nothing": None, "small": 3, "single": 1.5,
        "large": "x", "text": "18446744073709551615",
    }, row


@case
def parameters(local):
    sql = "SELECT f FROM kinds WHERE t = $t AND time >= to_timestamp_nanos(arrow_cast($start, 'Int64'))"
    assert local.query(sql, {"t": "tag value", "start": "0"}) == [{"f": 1.5}]
    assert local.query(sql, args={"t": "tag value", "start": "1000000001"}) == []
    assert local.query("SELECT f FROM kinds WHERE time >= $from AND time < $to ORDER BY time",
                       {"from": "1970-01-01T00:00:02Z", "to": "1970-01-01T00:00:03Z"}) == [{"f": 2.0}]
    assert local.query("SELECT $quote AS quote", {"quote": "it's; -- \"x\""}) == [{"quote": "it's; -- \"x\""}]
    # In quotes it is a text, and a parameter may go unused.
    assert local.query("SELECT f FROM kinds WHERE t = '$t'", {"t": "tag value"}) == []
    raised(TypeError, local.query, "SELECT $n AS n", {"n": 3})
    error = raised(Exception, local.query, "SELECT $n AS n", {})
    assert type(error).__name__ == "QueryError", type(error)


@case
def other_database(local):
    assert local.query("SELECT v FROM elsewhere", database="other") == [{"v": 7}]
    assert local.query("SELECT v FROM elsewhere WHERE v = CAST($v AS BIGINT)", {"v": "7"}, "other") == [{"v": 7}]
    error = raised(Exception, local.query, "SELECT 1", database="nowhere")
    assert type(error).__name__ == "QueryError" and "nowhere" in str(error), error


@case
def schema(local):
    tables = {row["table_name"] for row in local.query("SHOW TABLES") if row["table_type"] == "BASE TABLE"}
    assert "kinds" in tables, tables
    sql = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = $table"
    columns = {row["column_name"]: row["data_type"] for row in local.query(sql, {"table": "kinds"})}
    time_type = columns.pop("time")
    assert time_type.startswith("Timestamp("), time_type
    assert columns == {
        "b": "Boolean", "f": "Float64", "i": "Int64", "s": "Utf8", "t": "Dictionary(Int32, Utf8)", "u": "UInt64",
    }, columns


@case
def failing_queries(local):
    sql = "SELECT nothing FROM kinds"
    error = raised(Exception, local.query, sql)
    assert type(error).__name__ == "QueryError" and type(error).__mro__[1] is Exception, type(error).__mro__
    assert str(error).startswith("error: ") and str(error).endswith(f" executing query on plants: {sql}"), error
    raised(Exception, local.query, "SELEKT")
    raised(Exception, local.query, "DROP TABLE kinds")
    raised(Exception, local.query, "SELECT * FROM no_such_table")
    raised(TypeError, local.query)
    raised(TypeError, local.query, 1)
    error = raised(ValueError, local.query, "SELECT [1, 2] AS list")
    assert "Unsupported data type" in str(error), error
    assert local.query("SELECT count(*) AS n FROM kinds") == [{"n": 2}]


@case
def many_rows(local):
    rows = local.query("SELECT value FROM range(0, 300000) ORDER BY value")
    assert len(rows) == 300_000 and rows[0] == {"value": 0} and rows[-1] == {"value": 299_999}
    wide = local.query("SELECT repeat('x', 1000000) AS x FROM range(0, 20)")
    assert [len(row["x"]) for row in wide] == [1_000_000] * 20


@case
def queued(local):
    local.write(LineBuilder("queued").tag("n", "1").int64_field("v", 1).time_ns(1_000_000_000))
    local.write(Lines(*(LineBuilder("queued").tag("n", str(n)).int64_field("v", n).time_ns(n) for n in (2, 3))))
    local.write_to_db("other", LineBuilder("queued").int64_field("v", 9).time_ns(5))
    tables = {row["table_name"] for row in local.query("SHOW TABLES")}
    assert "queued" not in tables, tables


@case
def queued_with_an_error(local):
    # All or nothing in each database, and the plugin does not hear of it.
    local.write(LineBuilder("half").int64_field("v", 1).time_ns(1))
    local.write(LineBuilder("kinds").string_field("f", "no float").time_ns(1))
    local.write_to_db("other", LineBuilder("whole").int64_field("v", 1).time_ns(1))


@case
def queued_and_raised(local):
    local.write(LineBuilder("lost").int64_field("v", 1).time_ns(1))
    raise ValueError("after the write")


@case
def at_once(local):
    local.write_sync(LineBuilder("at_once").int64_field("v", 1).time_ns(1), False)
    assert local.query("SELECT v FROM at_once") == [{"v": 1}]
    local.write_sync(LineBuilder("at_once").int64_field("v", 2).time_ns(2), no_sync=True)
    write = functools.partial(local.write_sync_to_db, "other", no_sync=False)
    write(Lines(LineBuilder("at_once").int64_field("v", 3).time_ns(3), LineBuilder("at_once").int64_field("v", 4)))
    assert local.query("SELECT count(*) AS n FROM at_once", database="other") == [{"n": 2}]


@case
def refused_at_once(local):
    bad = LineBuilder("kinds").string_field("f", "no float").time_ns(1)
    error = raised(Exception, local.write_sync, bad, False)
    assert str(error).startswith("error writing line protocol to plants: "), error
    error = raised(Exception, local.write_sync_to_db, "other", LineBuilder("bad,name").tag("time", "x").bool_field("b", True), False)
    assert str(error).startswith("error writing line protocol to other: "), error
    raised(TypeError, local.write_sync, LineBuilder("x").int64_field("v", 1))
    raised(Exception, local.write_sync_to_db, "_internal", LineBuilder("x").int64_field("v", 1), False)
    raised(Exception, local.write_to_db, "_internal", LineBuilder("x").int64_field("v", 1))


@case
def not_lines(local):
    raised(Exception, local.write, "m v=1")
    raised(Exception, local.write, None)
    raised(Exception, local.write, LineBuilder("no_fields"))
    raised(TypeError, local.write)


@case
def cache_values(local):
    cache = local.cache
    assert cache.get("absent") is None and cache.get("absent", 3) == 3 and cache.get("absent", default={}) == {}
    for value in ["", "0", 0, False, [], {}, None, 1.5, b"bytes", datetime.datetime(2025, 1, 1), {"a": [1, (2,)]}]:
        cache.put("value", value)
        assert cache.get("value", "default") == value, value
    assert cache.delete("value") is True and cache.delete("value") is False
    assert cache.get("value", "default") == "default"


@case
def cache_of_objects_first(local):
    # What can't be copied, such as a client with its connection.
    local.cache.put("lock", threading.Lock())
    local.cache.put("list", held := [1])
    held.append(2)


@case
def cache_of_objects_then(local):
    assert local.cache.get("lock").acquire(blocking=False)
    assert local.cache.get("list") == [1, 2]


@case
def cache_with_age(local):
    cache = local.cache
    cache.put("short", 1, 0.05)
    cache.put("long", 2, ttl=3600)
    cache.put("for_ever", 3, ttl=None)
    time.sleep(0.2)
    assert (cache.get("short"), cache.get("long"), cache.get("for_ever")) == (None, 2, 3)
    for ttl in (-1, math.nan):
        raised(ValueError, cache.put, "wrong", 1, ttl)


@case
def cache_for_all_first(local):
    local.cache.put("shared", {"n": 1}, use_global=True)
    local.cache.put("own", "mine")
    assert local.cache.get("shared") is None, "the two namespaces are apart"


@case
def cache_for_all_then(local):
    assert local.cache.get("shared", use_global=True) == {"n": 1}
    assert local.cache.get("own") is None, "another trigger's"
    assert local.cache.delete("shared", use_global=True) is True


@case
def lines(local):
    def built(builder):
        return builder.build()

    line = LineBuilder("m").tag("k", 1).int64_field("i", 1).uint64_field("u", 2).float64_field("f", 1.5)
    line = line.string_field("s", 'say "x" \\').bool_field("b", True).bool_field("c", False).time_ns(7)
    assert built(line) == 'm,k=1 i=1i,u=2u,f=1.5,s="say \\"x\\" \\\\",b=t,c=f 7', built(line)
    assert built(LineBuilder("a,b").tag("t", "a b,c=d\\e").int64_field("i", 1)) == "a\\,b,t=a\\ b\\,c\\=d\\\\e i=1i"
    assert built(LineBuilder("m").float64_field("f", 3.0)) == "m f=3.0"
    assert built(LineBuilder("m").int64_field("b", 1).int64_field("a", 2).int64_field("b", 3)) == "m b=3i,a=2i"
    assert LineBuilder("m").tag("a", "b").tags == {"a": "b"}
    for wrong, kind, text in [
        (lambda: LineBuilder("a b"), "InvalidMeasurementError", "spaces"),
        (lambda: LineBuilder("m").tag("", "v"), "InvalidKeyError", "tag key cannot be empty"),
        (lambda: LineBuilder("m").int64_field("a b", 1), "InvalidKeyError", "spaces"),
        (lambda: LineBuilder("m").bool_field("a=b", True), "InvalidKeyError", "equals"),
        (lambda: LineBuilder("m").string_field("a,b", ""), "InvalidKeyError", "commas"),
        (lambda: LineBuilder("m").tag("k", "v").build(), "InvalidLineError", "At least one field is required"),
    ]:
        error = raised(Exception, wrong)
        names = [kind.__name__ for kind in type(error).__mro__]
        assert names[:3] == [kind, "InfluxDBError", "Exception"] and text in str(error), (names, error)
    error = raised(ValueError, LineBuilder("m").uint64_field, "u", -1)
    assert "negative" in str(error)


@case
def environment(local):
    folder = os.environ["PLUGIN_DIR"]
    assert os.path.isfile(os.path.join(folder, "interface.py")), folder
    assert os.environ["INFLUXDB3_PLUGIN_DIR"] == folder
    assert datetime.datetime(1970, 1, 1).astimezone(datetime.timezone.utc).hour == 0, "the time zone is UTC"


@case
def variables(local):
    assert os.environ["REMOTE_TOKEN"] == "for plugins"
    for name in os.environ:
        assert not name.startswith(("AWS_", "AZURE_", "GOOGLE_")), name
    seen = [name for name, value in os.environ.items() if "hidden" in value]
    assert seen == [], seen
    assert datetime.datetime(1970, 1, 1).astimezone(datetime.timezone.utc).hour == 0, "the time zone is UTC"


@case
def writes_have_no_stamp(local):
    assert local.batch_id is None and local.batch_stamp is None
