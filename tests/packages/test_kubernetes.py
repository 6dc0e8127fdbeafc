"""Kubernetes takes the manifests, and the nodes that they describe are those of the image."""

import os
import subprocess
import unittest

import repository

FOLDER = repository.ROOT / "infra/kubernetes"
MANIFESTS = sorted(FOLDER.glob("*.yaml"))


def documents(kind=None):
    """The resources of each manifest, of one kind or of all."""
    for path in MANIFESTS:
        yield path.name, [it for it in repository.yaml_documents(path) if kind in (None, it["kind"])]


def workloads():
    """What runs nodes, each with its name and the template of its pods."""
    for path, all_kinds in documents():
        for resource in all_kinds:
            if "template" in resource.get("spec", {}):
                yield f"{path}: {resource['metadata']['name']}", resource["spec"]["template"]


class Manifests(unittest.TestCase):
    def test_fit_the_schema_of_kubernetes(self):
        self.assertEqual([it.name for it in MANIFESTS], ["one-node.yaml", "three-nodes.yaml"])
        call = repository.asked(repository.python_tools() / "kubernetes-validate", "--strict", *map(str, MANIFESTS))
        done = subprocess.run(**call, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_have_as_many_nodes_as_they_say(self):
        nodes = {path: sum(it.get("spec", {}).get("replicas", 0) for it in found) for path, found in documents()}
        self.assertEqual(nodes, {"one-node.yaml": 1, "three-nodes.yaml": 3})

    def test_services_lead_to_ports_of_nodes(self):
        for path, services in documents("Service"):
            templates = [it for name, it in workloads() if name.startswith(path)]
            for service in services:
                wanted = service["spec"]["selector"].items()
                chosen = [it for it in templates if wanted <= it["metadata"]["labels"].items()]
                self.assertEqual(len(chosen), 1, service["metadata"]["name"])
                [container] = chosen[0]["spec"]["containers"]
                ports = {port["name"] for port in container["ports"]}
                self.assertLessEqual({port["targetPort"] for port in service["spec"]["ports"]}, ports)


class Nodes(unittest.TestCase):
    def test_run_as_the_user_of_the_image(self):
        dockerfile = repository.text("infra/docker/Dockerfile")
        for name, template in workloads():
            security = template["spec"]["securityContext"]
            self.assertIn(f"USER {security['runAsUser']}:{security['runAsGroup']}\n", dockerfile, name)

    def test_write_only_where_a_volume_is(self):
        for name, template in workloads():
            [container] = template["spec"]["containers"]
            self.assertTrue(container["securityContext"]["readOnlyRootFilesystem"], name)
            mounted = {it["mountPath"] for it in container["volumeMounts"]}
            self.assertEqual(mounted, {"/tmp", "/var/lib/neap/plugins"}, name)

    def test_have_settings_that_neap_accepts(self):
        for name, template in workloads():
            [container] = template["spec"]["containers"]
            # Other values are those of the cluster.
            set_here = {it["name"]: it.get("value", "node-0") for it in container["env"]}
            call = repository.asked(repository.neap(), "config", "check")
            done = subprocess.run(**{**call, "env": {"PATH": os.environ["PATH"], **set_here}}, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, name + done.stdout + done.stderr)
            for variable in set_here.keys() - {"AWS_REGION"}:
                self.assertIn(f"# variable {variable}\n", done.stdout, name)
