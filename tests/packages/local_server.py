"""A server on this machine for the files of a release."""

import base64
import contextlib
import functools
import hashlib
import http.server
import json
import tarfile
import threading
import urllib.parse


class Files(http.server.SimpleHTTPRequestHandler):
    """Serves a folder."""

    def log_message(self, *_):
        pass


@functools.cache
def npm_manifest(archive):
    """The manifest in the archive of an npm package, with the hash of the archive as registries have it."""
    with tarfile.open(archive) as file:
        manifest = json.load(file.extractfile("package/package.json"))
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    return {**manifest, "dist": {"integrity": f"sha512-{digest}"}}


class NpmRegistry(Files):
    """Serves a folder with archives of packages as npm's registry does: a document for each package, and the archives."""

    def do_GET(self):
        name = urllib.parse.unquote(self.path).strip("/")
        for archive in self.server.folder.glob("*.tgz"):
            manifest = npm_manifest(archive)
            if manifest["name"] == name:
                dist = {**manifest["dist"], "tarball": f"{self.server.url}/{archive.name}"}
                return self.send_document(name, manifest["version"], {**manifest, "dist": dist})
        return super().do_GET()

    def send_document(self, name, version, manifest):
        document = {"name": name, "dist-tags": {"latest": version}, "versions": {version: manifest}}
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def serve(folder, handler=Files):
    """The URL of a server for a folder."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=folder)) as server:
        server.folder, server.url = folder, f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.url
        finally:
            server.shutdown()
