"""Answers a request with what it was."""


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    influxdb3_local.info("asked", len(request_body))
    assert isinstance(request_body, bytes)
    answer = {
        "method": influxdb3_local.method,
        "query": query_parameters,
        "headers": {name: value for name, value in request_headers.items() if name.startswith("x-") or name == "authorization"},
        "body": request_body.decode(),
        "args": args and dict(args),
    }
    # A dictionary of a run is its own.
    if args is not None:
        args["changed"] = "yes"
    return answer
