#!/usr/bin/env python3
"""Writes an OCI image layout with one image of one layer, the same bytes for the same input.

  mkimage.py LAYOUT --platform linux/amd64 [--file SOURCE:PATH]... [--tree DIR] [--entrypoint JSON] [--cmd JSON] [--user U]
      [--workdir DIR] [--env K=V]
  mkimage.py LAYOUT --index LAYOUT...        a multi-platform index over images made by the above
  mkimage.py LAYOUT --signature KEY --reference NAME --digest sha256:...   what cosign keeps beside a signed image
"""

import argparse
import base64
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile

# 2026-01-01T00:00:00Z, for every time that stands in an image.
EPOCH = 1767225600
CREATED = "2026-01-01T00:00:00Z"
OCI = "application/vnd.oci.image."
SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"


class Hashed:
    """A file that knows the SHA-256 and the length of what went into it."""

    def __init__(self, file):
        self.file, self.hash, self.length = file, hashlib.sha256(), 0

    def write(self, data):
        self.hash.update(data)
        self.length += len(data)
        return self.file.write(data)

    def flush(self):
        self.file.flush()

    def digest(self):
        return "sha256:" + self.hash.hexdigest()


class Layout:
    def __init__(self, folder):
        self.folder = folder
        os.makedirs(os.path.join(folder, "blobs/sha256"), exist_ok=True)

    def path_of(self, digest):
        return os.path.join(self.folder, "blobs", *digest.split(":"))

    def put(self, data, media_type, **extra):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        with open(self.path_of(digest), "wb") as file:
            file.write(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data), **extra}

    def put_json(self, value, media_type, **extra):
        return self.put(json.dumps(value, sort_keys=True, separators=(",", ":")).encode(), media_type, **extra)

    def finish(self, manifests):
        with open(os.path.join(self.folder, "index.json"), "w") as file:
            json.dump({"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": manifests}, file)
        with open(os.path.join(self.folder, "oci-layout"), "w") as file:
            json.dump({"imageLayoutVersion": "1.0.0"}, file)


class LayerTar:
    """A tar whose entries belong to root and carry one time."""

    def __init__(self, sink):
        self.tar = tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT)
        self.written = set()

    def add(self, path, kind, mode, source=None, link=""):
        if path in self.written:
            return
        self.written.add(path)
        entry = tarfile.TarInfo(path)
        entry.type, entry.mode, entry.mtime, entry.linkname = kind, mode, EPOCH, link
        entry.uname = entry.gname = "root"
        if source is None:
            self.tar.addfile(entry)
            return
        entry.size = os.path.getsize(source)
        with open(source, "rb") as file:
            self.tar.addfile(entry, file)

    def add_file(self, source, path):
        path = path.lstrip("/")
        parents = path.split("/")[:-1]
        for depth in range(1, len(parents) + 1):
            self.add("/".join(parents[:depth]), tarfile.DIRTYPE, 0o755)
        self.add(path, tarfile.REGTYPE, 0o755 if os.access(source, os.X_OK) else 0o644, source)

    def add_tree(self, top):
        for folder, folders, files in os.walk(top):
            folders.sort()
            for name in sorted(folders + files):
                source = os.path.join(folder, name)
                path = os.path.relpath(source, top)
                if os.path.islink(source):
                    self.add(path, tarfile.SYMTYPE, 0o777, link=os.readlink(source))
                elif os.path.isdir(source):
                    self.add(path, tarfile.DIRTYPE, 0o755)
                else:
                    self.add(path, tarfile.REGTYPE, 0o755 if os.access(source, os.X_OK) else 0o644, source)

    def close(self):
        self.add("tmp", tarfile.DIRTYPE, 0o1777)
        self.tar.close()


def write_layer(layout, tree, files):
    """Returns the layer's descriptor and the digest of its uncompressed form."""
    unfinished = os.path.join(layout.folder, "layer.partial")
    with open(unfinished, "wb") as raw:
        compressed = Hashed(raw)
        with gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=compressed, mtime=0) as packer:
            plain = Hashed(packer)
            layer = LayerTar(plain)
            if tree:
                layer.add_tree(tree)
            for source, path in files:
                layer.add_file(source, path)
            layer.close()
    os.rename(unfinished, layout.path_of(compressed.digest()))
    descriptor = {"mediaType": OCI + "layer.v1.tar+gzip", "digest": compressed.digest(), "size": compressed.length}
    return descriptor, plain.digest()


def write_image(layout, wanted):
    system, architecture = wanted.platform.split("/")
    layer, plain = write_layer(layout, wanted.tree, [spec.split(":") for spec in wanted.file])
    run = {"Env": wanted.env or ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}
    for key, value in (("Entrypoint", wanted.entrypoint), ("Cmd", wanted.cmd)):
        if value:
            run[key] = json.loads(value)
    if wanted.user:
        run["User"] = wanted.user
    if wanted.workdir:
        run["WorkingDir"] = wanted.workdir
    config = layout.put_json(
        {
            "architecture": architecture,
            "os": system,
            "created": CREATED,
            "config": run,
            "rootfs": {"type": "layers", "diff_ids": [plain]},
            "history": [{"created": CREATED, "comment": "assembled for the lab"}],
        },
        OCI + "config.v1+json",
    )
    manifest = {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "config": config, "layers": [layer]}
    platform = {"architecture": architecture, "os": system}
    return layout.put_json(manifest, OCI + "manifest.v1+json", platform=platform)


def gather(layout, images):
    """The layout's own index.json then is the index of all platforms."""
    manifests = []
    for image in images:
        with open(os.path.join(image, "index.json")) as file:
            manifests += json.load(file)["manifests"]
        for blob in os.listdir(os.path.join(image, "blobs/sha256")):
            shutil.copy(os.path.join(image, "blobs/sha256", blob), layout.path_of("sha256:" + blob))
    return manifests


def write_signature(layout, wanted):
    payload = json.dumps(
        {
            "critical": {
                "identity": {"docker-reference": wanted.reference},
                "image": {"docker-manifest-digest": wanted.digest},
                "type": "cosign container image signature",
            },
            "optional": None,
        },
        separators=(",", ":"),
    ).encode()
    signed = subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", wanted.signature], input=payload, stdout=subprocess.PIPE, check=True
    )
    signature = {"dev.cosignproject.cosign/signature": base64.b64encode(signed.stdout).decode()}
    layer = layout.put(payload, SIMPLE_SIGNING, annotations=signature)
    config = layout.put_json(
        {
            "architecture": "",
            "os": "",
            "created": "0001-01-01T00:00:00Z",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
            "history": [{"created": "0001-01-01T00:00:00Z"}],
        },
        OCI + "config.v1+json",
    )
    manifest = {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "config": config, "layers": [layer]}
    return layout.put_json(manifest, OCI + "manifest.v1+json")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layout")
    parser.add_argument("--platform", default="linux/amd64")
    parser.add_argument("--file", action="append", default=[])
    for option in ("--tree", "--entrypoint", "--cmd", "--user", "--workdir", "--signature", "--reference", "--digest"):
        parser.add_argument(option)
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--index", nargs="+")
    wanted = parser.parse_args()
    layout = Layout(wanted.layout)
    if wanted.index:
        layout.finish(gather(layout, wanted.index))
    elif wanted.signature:
        layout.finish([write_signature(layout, wanted)])
    else:
        layout.finish([write_image(layout, wanted)])


if __name__ == "__main__":
    sys.exit(main())
