"""The container image, as an archive in the OCI image layout. It needs neither a daemon nor a base image.

The root has the program, the C library and the certificates from Debian, and nothing else: no shell, and no Python for
plugins (infra/docker/Dockerfile has that). The architecture of this machine does not matter, because nothing is executed.
"""

import hashlib
import json
import pathlib
import subprocess
import tempfile

import archives
from release import LICENSES, ROOT

# Names of the architectures in OCI and Debian.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PACKAGES = ("ca-certificates", "libc6", "libgcc-s1")
USER = 10001
FILES = {
    "etc/group": f"root:x:0:\nneap:x:{USER}:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/passwd": f"root:x:0:0::/root:/sbin/nologin\nneap:x:{USER}:{USER}::/var/lib/neap:/sbin/nologin\n",
}


def download(architecture, folder):
    """Downloads the packages for an architecture from the sources of this machine, and returns their files."""
    for name in ("lists", "cache", "packages"):
        (folder / name).mkdir(parents=True)
    # A state of its own, because that of this machine has no packages of other architectures.
    options = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Dir::State": folder,
        "Dir::State::status": "/dev/null",
        "Dir::Cache": folder / "cache",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    subprocess.run([*apt, "update"], check=True, timeout=300)
    subprocess.run([*apt, "download", *PACKAGES], check=True, cwd=folder / "packages", timeout=300)
    return sorted((folder / "packages").iterdir())


def library_entries(root):
    """The shared libraries and the copyright files of unpacked packages. Older packages have libraries outside of usr."""
    for file in sorted(root.rglob("*")):
        path = file.relative_to(root)
        if not (".so" in file.name and "gconv" not in path.parts or file.name == "copyright"):
            continue
        name = str(path) if path.parts[0] == "usr" else f"usr/{path}"
        if file.is_symlink():
            yield archives.link(name, str(file.readlink()))
        elif file.is_file():
            yield archives.Entry(name, file.read_bytes(), file.stat().st_mode & 0o755)


def system_entries(architecture):
    """The entries of the layer below the program."""
    with tempfile.TemporaryDirectory() as work:
        folder, root = pathlib.Path(work), pathlib.Path(work) / "root"
        entries = []
        for package in download(architecture, folder):
            subprocess.run(["dpkg", "-x", package, root], check=True, timeout=60)
            fields = subprocess.run(["dpkg-deb", "--field", package], check=True, capture_output=True, timeout=60).stdout
            # Vulnerability scanners read the versions there.
            entries.append(archives.Entry(f"var/lib/dpkg/status.d/{package.name.split('_')[0]}", fields))
        certificates = sorted((root / "usr/share/ca-certificates/mozilla").iterdir())
        bundle = b"".join(file.read_bytes() for file in certificates)
        entries += [archives.Entry("etc/ssl/certs/ca-certificates.crt", bundle), *library_entries(root)]
    entries += [archives.Entry(path, content.encode()) for path, content in FILES.items()]
    entries += [archives.link(name, f"usr/{name}") for name in ("lib", "lib64")]
    entries.append(archives.folder("tmp", 0o1777))
    return archives.with_folders(entries)


def program_entries(program):
    """The entries of the layer with the program, its settings, and the folders that it writes to."""
    settings = (ROOT / "infra/docker/neap.toml").read_bytes()
    entries = [
        archives.Entry("etc/neap/neap.toml", settings),
        archives.Entry("usr/local/bin/neap", program.read_bytes(), 0o755),
        *(archives.Entry(f"usr/share/doc/neap/{it}", (ROOT / it).read_bytes()) for it in LICENSES),
        *(archives.folder(f"var/lib/neap{it}", 0o750, USER) for it in ("", "/data", "/plugins")),
    ]
    return archives.with_folders(entries)


def labels(release):
    """The description of the image that registries show."""
    values = {"title": "neap", "description": release.summary, "licenses": release.license, "version": release.version}
    return {f"org.opencontainers.image.{name}": value for name, value in values.items()}


def configuration(release, architecture, diff_ids):
    """The configuration of the image: that of infra/docker/Dockerfile."""
    config = {
        "User": f"{USER}:{USER}",
        "ExposedPorts": {"8181/tcp": {}},
        "Env": ["PATH=/usr/local/bin"],
        "Entrypoint": ["neap"],
        "Cmd": ["serve"],
        "Volumes": {"/var/lib/neap": {}, "/tmp": {}},
        "WorkingDir": "/var/lib/neap",
        "StopSignal": "SIGTERM",
        "Labels": labels(release),
    }
    rootfs = {"type": "layers", "diff_ids": diff_ids}
    return {"created": release.timestamp, "architecture": architecture, "os": "linux", "config": config, "rootfs": rootfs}


class Layout:
    """The blobs of the archive, by their digests."""

    def __init__(self):
        self.entries = []

    def add(self, media_type, content):
        """Adds a blob and returns its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        self.entries.append(archives.Entry(f"blobs/sha256/{digest}", content))
        name = f"application/vnd.oci.image.{media_type}"
        return {"mediaType": name, "digest": f"sha256:{digest}", "size": len(content)}

    def add_json(self, media_type, value):
        """Adds a blob of JSON and returns its descriptor."""
        return self.add(media_type, json.dumps(value, separators=(",", ":")).encode())

    def add_manifest(self, release, architecture, program):
        """Adds the image for one architecture and returns the descriptor of its manifest."""
        diff_ids, layers = [], []
        for entries in (system_entries(architecture), program_entries(program)):
            layer = archives.tar(entries, release.time)
            diff_ids.append(f"sha256:{hashlib.sha256(layer).hexdigest()}")
            layers.append(self.add("layer.v1.tar+gzip", archives.compress(layer, release.compression_level)))
        config = self.add_json("config.v1+json", configuration(release, architecture, diff_ids))
        media_type = "manifest.v1+json"
        manifest = {"schemaVersion": 2, "mediaType": f"application/vnd.oci.image.{media_type}"}
        descriptor = self.add_json(media_type, {**manifest, "config": config, "layers": layers})
        return {**descriptor, "platform": {"architecture": architecture, "os": "linux"}}


def index(manifests):
    """The content of an index of these descriptors."""
    return {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests}


def build(release):
    """Makes the archive. Its index names one image, so that clients choose the manifest of their architecture."""
    layout = Layout()
    manifests = [layout.add_manifest(release, ARCHITECTURES[name], program) for name, program in release.programs.items()]
    image = layout.add_json("index.v1+json", index(manifests))
    # podman and containerd take the name from the second annotation, others from the first.
    name = f"neap:{release.version}"
    image["annotations"] = {
        "org.opencontainers.image.ref.name": name,
        "io.containerd.image.name": f"localhost/{name}",
    }
    top = {"oci-layout": {"imageLayoutVersion": "1.0.0"}, "index.json": index([image])}
    entries = [archives.Entry(path, json.dumps(value).encode()) for path, value in top.items()]
    entries += {entry.path: entry for entry in layout.entries}.values()
    (release.folder / f"neap-{release.version}-oci.tar").write_bytes(archives.tar(entries, release.time))
