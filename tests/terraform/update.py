"""Writes what is made of the deployment and of the binaries."""

import json

import deployment
import interfaces
import tables

loaded = {name: interfaces.load(name) for name in deployment.FUNCTIONS}
interfaces.PATHS.write_text(json.dumps(interfaces.paths(loaded), indent=2) + "\n")
deployment.SUMMARY.write_text(json.dumps(deployment.summary(), indent=2) + "\n")
tables.write(tables.README, tables.of_terraform())
tables.write(tables.DEPLOYMENT, tables.of_environment(loaded))
