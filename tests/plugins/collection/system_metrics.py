"""What this machine is doing: CPU, memory, disks, network. What is a rate needs two calls."""

import time
import uuid

import psutil
from influxdata_plugin_utils import KeySpec, Validator, build_line_typed, load_config, parse_bool, parse_trigger_args, write_data

SETTINGS = KeySpec(allowlist=["hostname", "include_cpu", "include_memory", "include_disk", "include_network"])
VALIDATORS = [
    Validator("hostname", default="localhost", cast=str),
    *(Validator(f"include_{part}", default=True, cast=parse_bool) for part in ("cpu", "memory", "disk", "network")),
]


def line(measurement, tags, whole=None, real=None):
    fields = {name: (value, "uint") for name, value in (whole or {}).items()}
    fields |= {name: (float(value), "float") for name, value in (real or {}).items()}
    return build_line_typed(LineBuilder, measurement, tags=tags, typed_fields=fields)


def cpu(influxdb3_local, host):
    times = psutil.cpu_times()._asdict()
    before = influxdb3_local.cache.get("cpu", default={})
    influxdb3_local.cache.put("cpu", times, ttl=None)
    shares = {}
    passed = sum(times.values()) - sum(before.values()) if before else 0
    if passed > 0:
        shares = {name: 100 * (times[name] - before[name]) / passed for name in times}
    yield line("system_cpu", {"host": host, "cpu": "total"}, {"cores": psutil.cpu_count()}, shares)


def memory(influxdb3_local, host):
    state = psutil.virtual_memory()
    names = ("total", "available", "used", "free")
    yield line("system_memory", {"host": host}, {name: getattr(state, name) for name in names}, {"percent": state.percent})
    own = psutil.Process().memory_info()
    yield line("system_memory_own", {"host": host}, {"rss": own.rss, "vms": own.vms})


def disk(influxdb3_local, host):
    used = psutil.disk_usage("/")
    yield line("system_disk_usage", {"host": host, "mountpoint": "/"}, {"total": used.total, "free": used.free})


def network(influxdb3_local, host):
    for name, state in psutil.net_io_counters(pernic=True).items():
        yield line("system_network", {"host": host, "interface": name}, {"bytes_sent": state.bytes_sent, "errin": state.errin})


PARTS = {"include_cpu": cpu, "include_memory": memory, "include_disk": disk, "include_network": network}


def process_scheduled_call(influxdb3_local, call_time, args=None):
    task = str(uuid.uuid4())
    begun = time.time()
    try:
        config = load_config(parse_trigger_args(args or {}, SETTINGS), validators=VALIDATORS)
    except Exception as error:
        influxdb3_local.error(f"[{task}] Configuration error: {error}")
        return
    for name, collect in PARTS.items():
        if config[name]:
            write_data(influxdb3_local, list(collect(influxdb3_local, config["hostname"])), batch=False, retries=0)
    influxdb3_local.info(f"[{task}] collected in {time.time() - begun:.3f} s")
