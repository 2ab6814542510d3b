#!/usr/bin/python
"""Installs or updates an application out of the release."""

from __future__ import annotations

DOCUMENTATION = r"""
module: app_apply
short_description: Install or update an application out of the release of a Sealock station
description:
  - Renders charts and manifests, refuses images that are not in the release, applies, and waits until everything is ready.
  - Something has changed where Helm or the API server would have made something else of what was on the cluster. Hooks of charts, which
    Helm runs each time, do not count.
  - In check mode the same is asked, and nothing is applied.
options:
  spec:
    description: The app spec.
    type: path
    default: app.yaml
  timeout:
    description: Seconds to wait until everything is ready.
    type: int
    default: 300
extends_documentation_fragment: [sealock.sealock.station]
author: [The Sealock maintainers]
"""

EXAMPLES = r"""
- name: The application is on the cluster
  sealock.sealock.app_apply:
    spec: /root/site/app.yaml
    timeout: 600
"""

RETURN = r"""
app:
  description: The name of the application.
  returned: success
  type: str
cluster:
  description: The name of the cluster.
  returned: success
  type: str
images:
  description: How many images it names, each in the release.
  returned: success
  type: int
objects:
  description: How many objects it has.
  returned: success, but not in check mode
  type: int
ready:
  description: How many workloads are ready.
  returned: success, but not in check mode
  type: int
reason:
  description: The reason code of a refusal, like V(NOT_IN_RELEASE).
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

OPTIONS = {
    "spec": {"type": "path", "default": "app.yaml"},
    "timeout": {"type": "int", "default": 300},
}


def main() -> None:
    """Applies, or in check mode says whether that would change something."""
    module = station_module(OPTIONS)
    switches = flags({"file": module.params["spec"], "timeout": module.params["timeout"]})
    result = ask(module, ["app", "apply", *switches], dry_run=module.check_mode)
    changed = result.pop("would_change" if module.check_mode else "changed")
    module.exit_json(changed=changed, **result)


if __name__ == "__main__":
    main()
