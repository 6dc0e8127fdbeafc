"""Waves for demonstrations: `waveforms` is JSON, `[{"type": "sine", "period": 10, "amplitude": 2}]`."""

import json
import math


class Lines:
    """Lines that are written together."""

    def __init__(self, builders):
        self.text = "\n".join(str(builder.build()) for builder in builders)

    def build(self):
        return self.text


def value_at(wave, second):
    phase = 2 * math.pi * second / wave.get("period", 60)
    shape = {"sine": math.sin(phase), "square": math.copysign(1.0, math.sin(phase)), "constant": 1.0}[wave["type"]]
    return wave.get("amplitude", 1.0) * shape


def process_scheduled_call(influxdb3_local, call_time, args=None):
    now = call_time.timestamp()
    waves = json.loads(args["waveforms"])
    tags = dict(pair.split(":", 1) for pair in args.get("tags", "").split(",") if pair)
    last = influxdb3_local.cache.get("last_time")
    influxdb3_local.cache.put("last_time", now)
    if last is None:
        influxdb3_local.info("first points with the next call")
        return
    per_second = int(args.get("points_per_second", "1"))
    lines = []
    for point in range(int((now - last) * per_second)):
        second = last + point / per_second
        line = LineBuilder(args.get("measurement", "signal"))
        for name, value in tags.items():
            line.tag(name, value)
        line.float64_field("value", sum(value_at(wave, second) for wave in waves))
        lines.append(line.time_ns(round(second * 1000) * 1_000_000))
    influxdb3_local.write_sync_to_db(args["target_database"], Lines(lines), no_sync=True)
    influxdb3_local.info(f"wrote {len(lines)} points")
