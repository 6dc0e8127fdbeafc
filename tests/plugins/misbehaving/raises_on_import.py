"""Raises before there is anything to call."""

raise ValueError("before anything")
