"""What the documentation of every module says of its station."""

from __future__ import annotations


class ModuleDocFragment:
    """Options that all modules have."""

    DOCUMENTATION = r"""
options:
  chdir:
    description: The folder from which relative paths are meant.
    type: path
  executable:
    description: The program C(sealock) at the station.
    type: path
    default: sealock
  config:
    description: The settings file to read, and no other.
    type: path
  state_dir:
    description: Where the station keeps store, trust and keys, if not in the usual place.
    type: path
attributes:
  check_mode:
    description: Can say what would change, and change nothing.
    support: full
  diff_mode:
    description: Shows what changes in detail.
    support: none
notes:
  - The module runs at the station, and needs nothing there but Python and C(sealock).
"""
