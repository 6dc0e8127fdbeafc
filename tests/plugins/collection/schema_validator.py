"""Passes rows on that a JSON schema allows, and says of the others why not."""

import json
import time
import uuid

from influxdata_plugin_utils import (
    KeySpec,
    Validator,
    build_line_typed,
    cached,
    infer_type,
    load_config,
    parse_bool,
    parse_toml,
    parse_trigger_args,
    resolve_path,
    write_data,
)

KEYS = KeySpec(allowlist=["schema_file", "target_database", "target_table_prefix", "write_rejection_log", "config_file_path"], unknown="reject")
VALIDATORS = [
    Validator("schema_file", required=True, cast=str),
    Validator("target_database", default="", cast=str),
    Validator("target_table_prefix", default="", cast=str),
    Validator("write_rejection_log", default=True, cast=parse_bool),
]
PYTHON = {"float": (int, float), "int": int, "uint": int, "string": str, "bool": bool}


def schema_of(influxdb3_local, path, task):
    def read():
        with open(resolve_path(path)) as file:
            schema = json.load(file)
        influxdb3_local.info(f"[{task}] Loaded schema from {path}")
        return schema

    return cached(influxdb3_local, f"schema:{path}", read, ttl_seconds=300)


def fault_of(table, row):
    for tag, rule in table["tags"].items():
        value = row.get(tag)
        if value is None and rule.get("required"):
            return f"Required tag '{tag}' is missing"
        if value is not None and value not in rule.get("allowed_values", [value]):
            return f"Tag '{tag}' value '{value}' is not allowed"
    for field, rule in table["fields"].items():
        value = row.get(field)
        if value is None:
            if rule.get("required"):
                return f"Required field '{field}' is missing"
            continue
        if isinstance(value, bool) != (rule["type"] == "bool") or not isinstance(value, PYTHON[rule["type"]]):
            return f"Field '{field}' is no {rule['type']}"
    return None


def process_writes(influxdb3_local, table_batches: list, args: dict | None = None):
    task = str(uuid.uuid4())[:8]
    args = args or {}
    try:
        config = load_config(parse_trigger_args(args, KEYS), parse_toml(args.get("config_file_path"), KEYS), validators=VALIDATORS)
        schema = schema_of(influxdb3_local, config["schema_file"], task)
    except Exception as error:
        influxdb3_local.error(f"[{task}] Failed to load configuration: {error}")
        return
    accepted = rejected = 0
    for batch in table_batches:
        table = schema["tables"].get(batch["table_name"])
        if table is None:
            continue
        lines, refused = [], []
        for row in batch["rows"]:
            if fault := fault_of(table, row):
                line = LineBuilder("_schema_rejections").tag("source_table", batch["table_name"])
                line.string_field("reason", fault).string_field("row_data", str(row)[:200])
                refused.append(line.time_ns(time.time_ns() + len(refused)))
                continue
            fields = {name: (row[name], table["fields"][name].get("type") or infer_type(row[name])) for name in table["fields"] if row.get(name) is not None}
            tags = {name: row.get(name) for name in table["tags"]}
            name = config["target_table_prefix"] + batch["table_name"]
            lines.append(build_line_typed(LineBuilder, name, tags=tags, typed_fields=fields, time_ns=row.get("time")))
        for written in (lines, refused if config["write_rejection_log"] else []):
            try:
                write_data(influxdb3_local, written, retries=0, no_sync=True, database=config["target_database"] or None)
            except Exception as error:
                influxdb3_local.error(f"[{task}] not written: {error}")
        accepted, rejected = accepted + len(lines), rejected + len(refused)
    influxdb3_local.info(f"[{task}] {accepted} accepted, {rejected} rejected")
