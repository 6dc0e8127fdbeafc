# Loads the modules of the plugin host from the first frame on standard input, and runs them.
import json
import os
import sys
import types


def exactly(count):
    parts = []
    while count:
        part = os.read(0, min(count, 1 << 20))
        if not part:
            os._exit(0)
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


if sys.version_info < (3, 8):
    sys.exit("Python 3.8 or later is needed, this is " + sys.version.split()[0])
package = types.ModuleType("neap_host")
package.__path__ = []
sys.modules["neap_host"] = package
for name, source in json.loads(exactly(int.from_bytes(exactly(4), "little"))):
    full_name = "neap_host." + name
    module = types.ModuleType(full_name)
    module.__package__ = "neap_host"
    sys.modules[full_name] = module
    setattr(package, name, module)
    exec(compile(source, "<neap>/" + name + ".py", "exec"), module.__dict__)
del exactly
sys.modules["neap_host.host"].serve()
