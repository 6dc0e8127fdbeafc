"""Passes a text on to other services: `{"notification_text": …, "senders_config": {"http": {"http_webhook_url": …}}}`."""

import asyncio
import json
import urllib.request
import uuid

BODIES = {"slack": "text", "discord": "content", "http": "message"}


def post(url, body):
    request = urllib.request.Request(url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.status < 300


async def send(influxdb3_local, sender, settings, text, task):
    for attempt in range(3):
        try:
            url = settings[f"{sender}_webhook_url"]
            return await asyncio.to_thread(post, url, {BODIES[sender]: text})
        except OSError as error:
            influxdb3_local.warn(f"[{task}] {sender}, attempt {attempt + 1}: {error}")
            await asyncio.sleep(0.1 * 2**attempt)
    influxdb3_local.error(f"[{task}] {sender}: not sent")
    return False


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    task = str(uuid.uuid4())
    try:
        data = json.loads(request_body)
    except json.JSONDecodeError:
        return {"status": "failed", "message": "Invalid JSON in request body."}
    results = {}
    for sender, settings in data["senders_config"].items():
        if sender not in BODIES:
            results[sender] = "Invalid sender"
            continue
        results[sender] = asyncio.run(send(influxdb3_local, sender, settings, data["notification_text"], task))
    return {"status": "success", "results": results}
