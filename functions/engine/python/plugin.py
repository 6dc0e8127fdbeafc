"""Loads the code of plugins as modules.

A file is compiled once and executed in a new module for each call, so that calls share no state. A folder is a package,
which is imported once and keeps its state until its code changes.
"""

import importlib
import os
import sys
import types

SIGNATURES = {
    "process_writes": "process_writes(influxdb3_local, table_batches, args=None)",
    "process_scheduled_call": "process_scheduled_call(influxdb3_local, call_time, args=None)",
    "process_request": (
        "process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None)"
        " -> Tuple[str, Optional[Dict[str, str]]]"
    ),
}


class PluginError(Exception):
    """A plugin can't be called. The text of the exception is the whole message for the user."""


def describe(error):
    """Formats an exception as InfluxDB does: its type and its message. The command that installs a missing package follows."""
    try:
        text = str(error)
        # A name with a dot is that of a module of an installed package.
        name = error.name if isinstance(error, ModuleNotFoundError) else None
        if isinstance(name, str) and name.isidentifier():
            text += f". If it is a Python package, install it with: neap install package {name}"
    except Exception:
        text = "<exception str() failed>"
    return f"{type(error).__qualname__}: {text}"


class Plugins:
    """The plugins that this process has loaded."""

    def __init__(self):
        self._compiled = {}
        self._imported = {}

    @property
    def keeps_state(self):
        """Whether a loaded package may keep state between calls."""
        return bool(self._imported)

    def function(self, path, version, name):
        """Returns the function `name` of a plugin."""
        if os.path.isdir(path):
            module = self._package(path, version)
        else:
            module = self._file(path, version)
        function = getattr(module, name, None)
        if function is None:
            raise PluginError(
                f"the {name} function is not present in the plugin. "
                f"Should be defined as: {SIGNATURES[name]}"
            )
        return function

    def _file(self, path, version):
        known = self._compiled.get(path)
        if known is None or known[0] != version:
            with open(path, "rb") as file:
                source = file.read()
            # A process runs one plugin, except for dry runs.
            self._compiled.clear()
            known = (version, compile(source, path, "exec", dont_inherit=True))
            self._compiled[path] = known
        module = types.ModuleType("_plugin_" + os.path.splitext(os.path.basename(path))[0])
        module.__file__ = path
        # Registered, so that instances of its classes can be pickled.
        sys.modules[module.__name__] = module
        exec(known[1], module.__dict__)
        return module

    def _package(self, path, version):
        parent, name = os.path.split(os.path.normpath(path))
        known = self._imported.get(path)
        if known is not None and known[0] == version:
            return known[1]
        self._imported.pop(path, None)
        _forget(name)
        importlib.invalidate_caches()
        sys.path.insert(0, parent)
        try:
            module = importlib.import_module(name)
        except BaseException as error:
            _forget(name)
            if isinstance(error, MemoryError):
                raise
            raise PluginError(
                f"Failed to import plugin module '{name}': {describe(error)}\n"
                "Hint: Check for syntax errors or missing dependencies in Python files."
            ) from error
        finally:
            if parent in sys.path:
                sys.path.remove(parent)
        self._imported[path] = (version, module)
        return module


def _forget(name):
    for module in [key for key in sys.modules if key == name or key.startswith(name + ".")]:
        del sys.modules[module]
