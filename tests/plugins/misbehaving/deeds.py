"""Does what no plugin should. Which deed it is, an argument says, or a request: `?deed=name`."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time


def behave(local):
    return "fine"


def loop_for_ever(local):
    while True:
        pass


def sleep_for_ever(local):
    time.sleep(1_000_000)


def catch_everything(local):
    while True:
        try:
            while True:
                time.sleep(0.01)
        except BaseException:
            pass


def ignore_signals(local):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGXCPU):
        signal.signal(number, signal.SIG_IGN)
    while True:
        pass


def allocate_without_end(local):
    held = []
    while True:
        held.append(bytearray(16 << 20))


def allocate_in_one_go(local):
    return len(bytearray(1 << 40))


def exit_with_a_status(local):
    sys.exit(3)


def exit_at_once(local):
    os._exit(4)


def die_of_a_signal(local):
    os.kill(os.getpid(), signal.SIGKILL)


def read_nowhere(local):
    ctypes.string_at(0)


def fork_and_stay(local):
    for _ in range(20):
        if os.fork() == 0:
            time.sleep(1_000_000)
    while True:
        time.sleep(1)


def start_a_process(local):
    subprocess.run(["sleep", "1000000"])


def start_a_process_and_leave(local):
    child = subprocess.Popen(["sleep", "1000000"], start_new_session=True)
    local.info("child", child.pid)
    while True:
        time.sleep(1)


def fork_and_return(local):
    if os.fork() == 0:
        # The copy answers as well, on the same pipes.
        return "from the copy"
    time.sleep(0.2)
    return "from the plugin"


def flood_stdout(local):
    line = "flood " * 1000
    while True:
        print(line)


def flood_stderr(local):
    while True:
        os.write(2, b"flood " * 1000)


def flood_the_log(local):
    while True:
        local.info("flood " * 1000)


def flood_with_lines(local):
    while True:
        local.write(LineBuilder("flood").string_field("s", "x" * 10_000))


def answer_without_end(local):
    return ("endless " * 1000 for _ in iter(int, 1))


def write_to_every_file(local):
    for number in range(3, 64):
        try:
            os.write(number, b"\xff\xff\xff\xff nonsense" * 100)
        except OSError:
            pass
    return "written"


def close_every_file(local):
    os.closerange(0, 64)
    return "closed"


def recurse(local):
    return recurse(local)


def raise_system_exit(local):
    raise SystemExit("as if it ended")


def raise_an_interrupt(local):
    raise KeyboardInterrupt


def raise_what_has_no_text(local):
    class Silent(Exception):
        def __str__(self):
            raise ValueError("no text")

    raise Silent


def leave_a_thread(local):
    threading.Thread(target=loop_for_ever, args=(local,)).start()
    return "left"


def break_the_interface(local):
    sys.modules["json"] = None
    import builtins

    builtins.len = builtins.str = builtins.repr = None
    return {"a": 1}


DEEDS = {name: deed for name, deed in globals().items() if callable(deed)}


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    return DEEDS[query_parameters["deed"]](influxdb3_local)


def process_writes(influxdb3_local, table_batches, args=None):
    influxdb3_local.info("about to")
    return DEEDS[args["deed"]](influxdb3_local)


def process_scheduled_call(influxdb3_local, call_time, args=None):
    influxdb3_local.info("about to")
    return DEEDS[args["deed"]](influxdb3_local)
