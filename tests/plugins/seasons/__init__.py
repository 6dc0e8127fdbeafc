"""A package: its modules are beside it."""

from .calendar import season
from .text import sentences

LOADED = []


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    LOADED.append(1)
    month = int(query_parameters["month"])
    line = sentences.line(month, season(month))
    influxdb3_local.write(line)
    return {"season": season(month), "line": line.build()}
