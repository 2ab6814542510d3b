"""Writes with python-tuf a repository that vouches for FOLDER/targets/manifest.json: one root, then its successor.

FOLDER/trusted-root.json is the first root; the second one has new root keys and new publisher keys.
"""

import pathlib
import sys
from datetime import datetime, timezone

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Role, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

SEQUENCE = 7
EXPIRES = datetime(2029, 1, 1, tzinfo=timezone.utc)
MANIFEST = "manifest.json"


def new_keys():
    return [CryptoSigner.generate_ecdsa(), CryptoSigner.generate_ed25519(), CryptoSigner.generate_rsa()]


def root(version, root_keys, publisher):
    keys = {signer.public_key.keyid: signer.public_key for signer in [*root_keys, *publisher]}
    ids = {"root": root_keys, "targets": publisher, "snapshot": publisher, "timestamp": publisher}
    roles = {name: Role([signer.public_key.keyid for signer in signers], 2) for name, signers in ids.items()}
    return Metadata(Root(version=version, expires=EXPIRES, keys=keys, roles=roles, consistent_snapshot=False))


def signed(metadata, signers):
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata


def main(folder):
    old, new, publisher = new_keys(), new_keys(), new_keys()
    first = signed(root(1, old, new_keys()), old)
    second = signed(root(2, new, publisher), [*old, *new])
    target = TargetFile.from_file(MANIFEST, str(folder / "targets" / MANIFEST), ["sha256"])
    files = {
        "1.root.json": first,
        "2.root.json": second,
        "targets.json": Metadata(Targets(version=SEQUENCE, expires=EXPIRES, targets={MANIFEST: target})),
        "snapshot.json": Metadata(Snapshot(version=SEQUENCE, expires=EXPIRES, meta={"targets.json": MetaFile(SEQUENCE)})),
        "timestamp.json": Metadata(Timestamp(version=SEQUENCE, expires=EXPIRES, snapshot_meta=MetaFile(SEQUENCE))),
    }
    for name in ["targets.json", "snapshot.json", "timestamp.json"]:
        signed(files[name], publisher)
    serializer = JSONSerializer(compact=True)
    for name, metadata in files.items():
        (folder / "metadata" / name).write_bytes(metadata.to_bytes(serializer))
    (folder / "trusted-root.json").write_bytes(first.to_bytes(serializer))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
