"""Needs what nobody has installed."""

import no_such_module_anywhere  # noqa: F401
