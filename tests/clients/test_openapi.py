"""Every operation of the OpenAPI description of InfluxDB 3 Enterprise, requested from a running server.

NEAP_OPENAPI names the description, NEAP_COMPATIBILITY the page that lists all operations, and NEAP_OPENAPI_EXCEPTIONS the
list of operations that are not served or whose answers differ from the description, each with its reason. A request is made from the schemas and examples of its operation, with the
values of VALUES and STEPS. Its answer must come from a route, have a status that the operation documents, and fit the
schema of that status.
"""

import functools
import json
import os
import re
import time
import unittest
import urllib.parse

import jsonschema
import yaml
from server import JSON, create_database, request, write_lines

METHODS = ("get", "post", "put", "patch", "delete")

# Values of parameters and properties by name.
VALUES = {
    "db": "walk",
    "database": "walk",
    "bucket": "walk",
    "table": "m",
    "q": "SELECT 1",
    "name": "walk",
    "backup_name": "walk",
    "token_name": "walk",
    "trigger_name": "walk",
    "filename": "walk.py",
    "plugin_name": "walk",
    "plugin_filename": "walk.py",
    "duration": "30d",
    "input_lp": "m,t=a v=1 1",
    "node_id": "walk",
    "id": "1",
    "seq": "1",
    "request_path": "walk",
    "roleName": "Admin",
    "oauth_id": "walk",
    "profile_id": "1",
    "columns": ["t"],
    "format": "json",
}

LINES = "m,t=a v=1"
PASSWORD = "correct horse battery staple"
PLUGIN = "def process_request(local, query, headers, body, arguments=None):\n    return {'walked': True}\n"
SCHEDULED = "def process_scheduled_call(local, time, arguments=None):\n    pass\n"

# What the requests of some operations contain beside or instead of generated values: `query`, `path`, `body`, and
# `text` in place of a JSON body.
STEPS = {
    "POST /api/v2/write": {"text": LINES},
    "POST /api/v3/write_lp": {"text": LINES},
    "POST /write": {"text": LINES},
    "POST /query": {"body": {"db": "walk", "q": "SHOW MEASUREMENTS"}},
    "GET /query": {"query": {"q": "SHOW MEASUREMENTS", "db": "walk"}},
    "GET /api/v3/query_influxql": {"query": {"db": "walk", "q": "SHOW MEASUREMENTS"}},
    "POST /api/v3/query_influxql": {"body": {"db": "walk", "q": "SHOW MEASUREMENTS"}},
    "POST /api/v3/configure/database": {"body": {"db": "walk-new"}},
    "PUT /api/v3/configure/database": {"body": {"db": "walk-new", "retention_period": "7d"}},
    "DELETE /api/v3/configure/database": {"query": {"db": "walk-new"}},
    "POST /api/v3/configure/table": {"body": {"db": "walk", "table": "made", "tags": ["t"], "fields": []}},
    "PUT /api/v3/configure/table": {"body": {"db": "walk", "table": "made", "retention_period": "30d"}},
    "DELETE /api/v3/configure/table": {"query": {"db": "walk", "table": "made"}},
    "POST /api/v3/configure/last_cache": {"body": {"db": "walk", "table": "m", "name": "walk"}},
    "POST /api/v3/configure/distinct_cache": {"body": {"db": "walk", "table": "m", "name": "walk", "columns": ["t"]}},
    "POST /api/v3/configure/processing_engine_trigger": {
        "body": {
            "db": "walk",
            "plugin_filename": "walk.py",
            "trigger_name": "walk",
            "trigger_settings": {"run_async": False, "error_behavior": "log"},
            "trigger_specification": "request:walk",
            "trigger_arguments": None,
            "disabled": False,
        }
    },
    "DELETE /api/v3/configure/processing_engine_trigger": {"query": {"force": "true"}},
    "POST /api/v3/configure/plugin_environment/install_packages": {"body": {"packages": []}},
    "POST /api/v3/configure/plugin_environment/install_requirements": {"body": {"requirements_location": "none.txt"}},
    "POST /api/v3/plugins/files": {"body": {"plugin_name": "walk.py", "content": PLUGIN}},
    "PUT /api/v3/plugins/files": {"body": {"plugin_name": "walk.py", "content": PLUGIN}},
    "PUT /api/v3/plugins/directory": {
        "body": {"plugin_name": "walked", "files": [{"content": SCHEDULED, "relative_path": "__init__.py"}]}
    },
    "POST /api/v3/configure/token/named_admin": {"body": {"token_name": "walk-admin"}},
    "POST /api/v3/enterprise/configure/token": {
        "body": {
            "token_name": "walk",
            "permissions": [{"resource_type": "db", "resource_names": ["walk"], "actions": ["read"]}],
        }
    },
    "PUT /api/v3/configure/query_concurrency_limit": {"body": {"max_concurrent_queries": 16}},
    "POST /api/v3/users": {"body": {"username": "walker", "password": PASSWORD, "requiresPasswordReset": False}},
    "POST /api/v3/authorize": {"body": {"username": "walker", "password": PASSWORD}},
    "POST /api/v3/configure/user": {"body": {"username": "first", "password": PASSWORD}},
    "POST /api/v3/row_delete_requests": {"body": {"db": "walk", "table": "m", "min_time": 0, "max_time": 1}},
    "POST /api/v3/enterprise/backup": {"body": {"type": "full", "name": "walk"}},
    "DELETE /api/v3/enterprise/backup": {"body": {"name": "none"}},
}

# Operations that prepare others, in this order, and those that end what others need. All others are between them, in
# the order of the description.
FIRST = [
    "PUT /api/v3/plugins/directory",
    "POST /api/v3/plugins/files",
    "POST /api/v3/configure/database",
    "POST /api/v3/configure/table",
    "POST /api/v3/configure/last_cache",
    "POST /api/v3/configure/distinct_cache",
    "POST /api/v3/configure/processing_engine_trigger",
    "POST /api/v3/enterprise/configure/file_index",
    "POST /api/v3/enterprise/configure/token",
    "POST /api/v3/users",
    "POST /api/v3/row_delete_requests",
    "POST /api/v3/enterprise/backup",
    "GET /api/v3/enterprise/backup/{name}",
]
LAST = [
    "DELETE /api/v3/configure/processing_engine_trigger",
    "DELETE /api/v3/configure/last_cache",
    "DELETE /api/v3/configure/distinct_cache",
    "DELETE /api/v3/enterprise/configure/file_index",
    "DELETE /api/v3/configure/token",
    "DELETE /api/v3/configure/table",
    "DELETE /api/v3/configure/database",
    "DELETE /api/v3/enterprise/backup/{name}",
    # It ends the token of this test.
    "POST /api/v3/configure/token/admin/regenerate",
]

# Statuses of a refusal that need no mention in an operation.
REFUSALS = {400, 401, 403, 404, 405, 409, 422}


@functools.cache
def description():
    with open(os.environ["NEAP_OPENAPI"], encoding="utf-8") as file:
        return yaml.safe_load(file)


def exceptions():
    """Returns the reasons by section and operation."""
    sections, section = {"missing": {}, "answers": {}}, None
    with open(os.environ["NEAP_OPENAPI_EXCEPTIONS"], encoding="utf-8") as file:
        for line in file.read().splitlines():
            if line.startswith("["):
                section = sections[line.strip("[]")]
            elif line and not line.startswith("#"):
                operation, reason = line.split(": ", 1)
                section[operation] = reason
    return sections


def resolve(value):
    """Returns an object of the description without references, as JSON Schema understands it."""
    if isinstance(value, list):
        return [resolve(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        target = description()
        for part in value["$ref"].lstrip("#/").split("/"):
            target = target[part]
        return resolve(target)
    resolved = {name: resolve(item) for name, item in value.items()}
    if resolved.pop("nullable", False) and isinstance(resolved.get("type"), str):
        resolved["type"] = [resolved["type"], "null"]
    return resolved


def operations():
    """Returns the operations by name, in the order in which they are requested."""
    found = {}
    for path, item in description()["paths"].items():
        for method in METHODS:
            if method in item:
                operation = resolve(item[method])
                operation["parameters"] = resolve(item.get("parameters", [])) + operation.get("parameters", [])
                found[f"{method.upper()} {path}"] = operation
    between = [name for name in found if name not in FIRST and name not in LAST]
    return {name: found[name] for name in [*FIRST, *between, *LAST] if name in found}


def value_of(name, schema):
    """Returns a value of a schema."""
    if name in VALUES:
        return VALUES[name]
    # The examples of whole objects name other databases.
    has_properties = schema.get("type") == "object" and "properties" in schema
    for key in ("example", "default"):
        if key in schema and not has_properties:
            return schema[key]
    if "enum" in schema:
        return schema["enum"][0]
    for alternatives in ("allOf", "oneOf", "anyOf"):
        if alternatives in schema:
            return value_of(name, schema[alternatives][0])
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {})
            return {key: value_of(key, properties.get(key, {})) for key in schema.get("required", [])}
        case "array":
            return [value_of(name, schema.get("items", {}))]
        case "integer" | "number":
            return 1
        case "boolean":
            return False
        case _:
            return "walk"


def send(name, operation):
    """Requests an operation; returns the status, the headers and the text of the answer."""
    step = STEPS.get(name, {})
    method, path = name.split(" ", 1)
    query = {}
    for parameter in operation["parameters"]:
        key, schema = parameter["name"], parameter.get("schema", {})
        if parameter["in"] == "path" or parameter.get("required") and parameter["in"] == "query":
            query[key] = step.get("path", {}).get(key) or value_of(key, schema)
    for key in re.findall(r"{(\w+)}", path):
        value = urllib.parse.quote(str(query.pop(key, VALUES.get(key, "1"))), safe="")
        path = path.replace(f"{{{key}}}", value)
    query.update(step.get("query", {}))
    if query:
        path = f"{path}?{urllib.parse.urlencode(query)}"
    content = operation.get("requestBody", {}).get("content", {})
    if "text" in step:
        return request(method, path, step["text"], {"Content-Type": "text/plain"})
    if method != "GET" and ("body" in step or "application/json" in content):
        body = step.get("body")
        if body is None:
            body = value_of("", content["application/json"].get("schema", {}))
        return request(method, path, json.dumps(body), JSON)
    return request(method, path, None if method == "GET" else b"")


def unfit(operation, status, text):
    """Returns why an answer does not fit its operation, or None."""
    documented = operation.get("responses", {})
    answer = documented.get(str(status))
    if answer is None:
        return None if status in REFUSALS else f"status {status} is not documented: {text[:300]}"
    schema = answer.get("content", {}).get("application/json", {}).get("schema")
    if schema is None or status >= 400 and not text.startswith("{"):
        return None
    try:
        jsonschema.validate(json.loads(text), schema)
    except (json.JSONDecodeError, jsonschema.ValidationError) as error:
        return f"{status} {text[:300]}: {str(error).splitlines()[0]}"
    return None


def is_without_route(status, text):
    return status in (404, 405) and text == "Not found"


def listed_operations():
    """Returns the operations in the tables of the page about compatibility."""
    with open(os.environ["NEAP_COMPATIBILITY"], encoding="utf-8") as file:
        rows = re.findall(r"^\| (`[A-Z`, ]+`) \| `(/[^`]*)` \|", file.read(), re.MULTILINE)
    return [f"{method} {path}" for methods, path in rows for method in re.findall("[A-Z]+", methods)]


class Walk(unittest.TestCase):
    maxDiff = None

    def test_every_operation_is_documented_once(self):
        self.assertEqual(sorted(listed_operations()), sorted(operations()))

    def test_every_operation_is_served_or_listed(self):
        create_database("walk")
        write_lines("walk", f"{LINES} {time.time_ns()}")
        listed = exceptions()
        missing, answers, wrong, succeeded = [], [], [], 0
        for name, operation in operations().items():
            status, _, text = send(name, operation)
            if is_without_route(status, text):
                missing.append(name)
                if name not in listed["missing"]:
                    wrong.append(f"{name} is not served")
                continue
            succeeded += status < 300
            reason = unfit(operation, status, text)
            if reason:
                answers.append(name)
                if name not in listed["answers"]:
                    wrong.append(f"{name}: {reason}")
        wrong.extend(f"{name} is served, but listed" for name in listed["missing"] if name not in missing)
        wrong.extend(f"{name} answers as described, but is listed" for name in listed["answers"] if name not in answers)
        self.assertEqual("\n".join(wrong), "")
        # Most requests are meant to succeed, so that their answers are compared.
        self.assertGreater(succeeded, len(operations()) // 2)


if __name__ == "__main__":
    unittest.main()
