"""Prints the positions of those requirements among the arguments that no installed package meets."""

import re
import sys
from importlib.metadata import PackageNotFoundError, version

try:
    from packaging.requirements import Requirement
except ImportError:
    try:
        from pip._vendor.packaging.requirements import Requirement
    except ImportError:
        # An environment of uv has none of them. Then names are compared, without versions and conditions.
        Requirement = None


def is_installed(name):
    try:
        return version(name) is not None
    except PackageNotFoundError:
        return False


def is_met(text):
    if Requirement is None:
        return ";" in text or is_installed(re.match(r"[\w.-]+", text)[0])
    try:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            return True
        return is_installed(requirement.name) and requirement.specifier.contains(version(requirement.name), prereleases=True)
    except ValueError:
        # The installer says what is wrong with it.
        return False


print(*(position for position, text in enumerate(sys.argv[1:]) if not is_met(text)))
