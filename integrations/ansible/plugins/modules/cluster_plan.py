#!/usr/bin/python
"""Plans what brings hosts to a cluster spec."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_plan
short_description: Plan what it takes to bring hosts to what a cluster spec says
description:
  - Looks at every host, changes nothing on them, and says how much there is to do.
  - With O(save) the plan is written to a file, to be reviewed and carried out as it is by M(sealock.sealock.cluster_apply).
options:
  spec:
    description: The cluster spec.
    type: path
    default: cluster.yaml
  identity:
    description: The private key for SSH, where the spec names none.
    type: path
  save:
    description: Write the plan to this file. Not in check mode.
    type: path
extends_documentation_fragment: [sealock.sealock.station]
seealso:
  - module: sealock.sealock.cluster_apply
author: [The Sealock maintainers]
"""

EXAMPLES = r"""
- name: The plan is there to be reviewed
  sealock.sealock.cluster_plan:
    spec: /root/site/cluster.yaml
    save: /root/site/cluster.plan.json
  register: plan

- name: Somebody looks at it
  ansible.builtin.pause:
    prompt: "{{ plan.to_do }} steps to do on {{ plan.hosts }} hosts, plan {{ plan.plan }}. Carry it out?"
  when: plan.to_do > 0
"""

RETURN = r"""
cluster:
  description: The name of the cluster.
  returned: success
  type: str
plan:
  description: The digest of the plan.
  returned: success
  type: str
release:
  description: The number of the release that it is made from.
  returned: success
  type: int
hosts:
  description: How many hosts it has.
  returned: success
  type: int
steps:
  description: How many steps it has.
  returned: success
  type: int
to_do:
  description: How many of them are not done.
  returned: success
  type: int
done:
  description: How many are.
  returned: success
  type: int
in_the_way:
  description: How many something of others stands in the way of.
  returned: success
  type: int
reason:
  description: The reason code of a refusal, like V(PREFLIGHT).
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

import os
from typing import Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.sealock.sealock.plugins.module_utils.station import ask, flags, module as station_module

OPTIONS = {
    "spec": {"type": "path", "default": "cluster.yaml"},
    "identity": {"type": "path"},
    "save": {"type": "path"},
}


def main() -> None:
    """Plans; what changes is the plan's file at most."""
    module = station_module(OPTIONS)
    save = None if module.check_mode else module.params["save"]
    before = saved(module, save)
    switches = flags({"file": module.params["spec"], "identity": module.params["identity"], "save": save})
    result = ask(module, ["cluster", "plan", "--brief", *switches])
    module.exit_json(changed=saved(module, save) != before, **result)


def saved(module: AnsibleModule, save: Optional[str]) -> Optional[str]:
    """The digest of the plan's file, where there is one."""
    if save is None:
        return None
    path = os.path.join(module.params["chdir"] or "", save)
    return module.sha256(path) if os.path.exists(path) else None


if __name__ == "__main__":
    main()
