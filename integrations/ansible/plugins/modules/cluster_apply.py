#!/usr/bin/python
"""Brings hosts to a cluster spec."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_apply
short_description: Bring hosts to what a cluster spec says
description:
  - Plans, and carries the plan out step by step, journaled at the station and on the hosts. Run again it finishes what was cut off.
  - Changes nothing where the hosts are what the spec says.
  - In check mode it plans, and says whether there is something to do.
options:
  spec:
    description: The cluster spec.
    type: path
    default: cluster.yaml
  identity:
    description: The private key for SSH, where the spec names none.
    type: path
  plan:
    description:
      - Carry out exactly this plan, which M(sealock.sealock.cluster_plan) saved.
      - Refused where spec, release or hosts changed since.
    type: path
extends_documentation_fragment: [sealock.sealock.station]
seealso:
  - module: sealock.sealock.cluster_plan
author: [The Sealock maintainers]
"""

EXAMPLES = r"""
- name: The hosts are what the spec says
  sealock.sealock.cluster_apply:
    spec: /root/site/cluster.yaml

- name: Exactly what was reviewed is carried out
  sealock.sealock.cluster_apply:
    spec: /root/site/cluster.yaml
    plan: /root/site/cluster.plan.json
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
steps_changed:
  description: How many steps changed something.
  returned: success, but not in check mode
  type: int
to_do:
  description: How many steps there are to do.
  returned: in check mode
  type: int
kubeconfig:
  description: Where the administrator's kubeconfig is, at the station.
  returned: success, but not in check mode
  type: str
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

from ansible_collections.sealock.sealock.plugins.module_utils.station import ask, flags, module as station_module

OPTIONS = {
    "spec": {"type": "path", "default": "cluster.yaml"},
    "identity": {"type": "path"},
    "plan": {"type": "path"},
}


def main() -> None:
    """Applies, or in check mode says whether there is something to do."""
    module = station_module(OPTIONS)
    places = {"file": module.params["spec"], "identity": module.params["identity"], "plan": module.params["plan"]}
    result = ask(module, ["cluster", "apply", *flags(places)], dry_run=module.check_mode)
    if module.check_mode:
        module.exit_json(changed=result["to_do"] + result["in_the_way"] > 0, **result)
    steps = result.pop("changed")
    module.exit_json(changed=steps > 0, steps_changed=steps, **result)


if __name__ == "__main__":
    main()
