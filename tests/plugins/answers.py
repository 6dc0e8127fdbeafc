"""Answers in every form there is: `?form=name`."""


class Flask:
    """An answer as Flask has it."""

    status_code = 418
    headers = {"x-kind": "teapot", "content-type": "text/plain"}

    def __flask_response__(self):
        return True

    def get_data(self):
        return b"short and stout"


FORMS = {
    "text": lambda: "plain <b>text</b>",
    "dictionary": lambda: {"a": [1, None, True, 1.5], "ü": "ß"},
    "list": lambda: [1, "two"],
    "status": lambda: ("made", 201),
    "headers": lambda: ({"a": 1}, {"x-kind": "special"}),
    "all": lambda: ("gone", 410, {"x-kind": "old", "content-type": "text/csv"}),
    "number": lambda: (42, 200),
    "flask": Flask,
    "parts": lambda: (part for part in ["one", "two"]),
    "nothing": lambda: None,
    "object": object,
    "wrong_status": lambda: ("x", 100_000),
    "recursive": lambda: recursive(),
}


def recursive():
    answer = []
    answer.append(answer)
    return answer


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    return FORMS[query_parameters["form"]]()
