#!/usr/bin/python
"""Takes a bundle into the store of a station."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle_import
short_description: Take a bundle into the store of a Sealock station
description:
  - Verifies a signed bundle while it streams, and publishes a release that has it.
  - Does nothing where the bundle was imported before. What is not to be trusted is refused, and leaves the store as it was.
  - A publisher's revocation list is taken in the same way.
  - In check mode every byte is verified, and nothing is written.
options:
  bundle:
    description: The bundle; or its volumes, or folders with them; or a revocation list.
    type: list
    elements: path
    required: true
  accept_gap:
    description: Sequences of the stream that may be missing, like V(4-6).
    type: str
  accept_stale:
    description: Why a bundle is taken that is older than the site lets pass without a word. It is recorded.
    type: str
  confirm_clock:
    description: The station's clock is right, however far it is ahead of all that was accepted.
    type: bool
    default: false
  break_glass:
    description: The token with which two people let this one bundle in.
    type: path
  in_place:
    description: Serve the bundle as it is, and copy it into the store later.
    type: bool
    default: false
  receipt:
    description: Write the signed receipt to this file, for the publisher.
    type: path
  passphrase_file:
    description: The file whose first line is the passphrase of the site's keys.
    type: path
extends_documentation_fragment: [sealock.sealock.station]
author: [The Sealock maintainers]
"""

EXAMPLES = r"""
- name: The bundle is in the store
  sealock.sealock.bundle_import:
    bundle: [/media/usb/plant-7.tar]
    receipt: /media/usb/plant-7.receipt.json

- name: Volumes are read where they lie
  sealock.sealock.bundle_import:
    bundle: [/media/disk-1, /media/disk-2]
"""

RETURN = r"""
release:
  description: The number of the release that has the bundle.
  returned: when a bundle was imported, now or before
  type: int
stream:
  description: The bundle's stream.
  returned: with a bundle
  type: str
sequence:
  description: Its number in the stream.
  returned: with a bundle
  type: int
digest:
  description: The digest of its manifest.
  returned: with a bundle
  type: str
written:
  description: Bytes that were new.
  returned: when a bundle was imported
  type: int
reason:
  description: The reason code of a refusal, like V(SIG).
  returned: failure
  type: str
kind:
  description: V(failed), V(usage), V(refused), V(environment) or V(internal).
  returned: failure
  type: str
hints:
  description: What to do about a failure.
  returned: failure
  type: list
  elements: str
"""

from ansible_collections.sealock.sealock.plugins.module_utils.station import ask, flags, module as station_module

SWITCHES = {
    "accept_gap": {"type": "str"},
    "accept_stale": {"type": "str"},
    "confirm_clock": {"type": "bool", "default": False},
    "break_glass": {"type": "path"},
    "in_place": {"type": "bool", "default": False},
    "receipt": {"type": "path"},
    "passphrase_file": {"type": "path", "no_log": False},
}


def main() -> None:
    """Imports, or in check mode says whether that would change something."""
    module = station_module({"bundle": {"type": "list", "elements": "path", "required": True}, **SWITCHES})
    switches = flags({name: module.params[name] for name in SWITCHES})
    result = ask(module, ["import", *switches, "--", *module.params["bundle"]], dry_run=module.check_mode)
    changed = result.pop("changed", False)
    module.exit_json(changed=result.pop("would_change", changed), **result)


if __name__ == "__main__":
    main()
