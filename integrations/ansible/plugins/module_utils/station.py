"""Calls C(sealock) at a station, and hands back what it answers."""

from __future__ import annotations

import json
import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from . import failure

OPTIONS: dict[str, dict[str, Any]] = {
    "chdir": {"type": "path"},
    "executable": {"type": "path", "default": "sealock"},
    "config": {"type": "path"},
    "state_dir": {"type": "path"},
}


def module(options: dict[str, dict[str, Any]], **how: Any) -> AnsibleModule:
    """A module with these options and those that all have."""
    return AnsibleModule(argument_spec={**OPTIONS, **options}, supports_check_mode=True, **how)


def flags(values: dict[str, Any]) -> list[str]:
    """Command line flags: none for what was not given or is false."""
    words: list[str] = []
    for name, value in values.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif value is not None and value is not False:
            words.append(f"{flag}={value}")
    return words


def ask(module: AnsibleModule, words: list[str], dry_run: bool = False) -> dict[str, Any]:
    """Runs C(sealock WORDS) and answers its result; a failure ends the task with what Sealock says."""
    program = module.get_bin_path(module.params["executable"], required=True)
    places = flags({name: module.params[name] for name in ("config", "state_dir")})
    asked = ["--dry-run"] if dry_run else ["--yes"]
    command = [program, "--output=json", *places, *asked, *words]
    exit_code, result, said = module.run_command(
        command, cwd=module.params["chdir"], environ_update={"NO_COLOR": "1"}
    )
    for warning in failure.warnings(said):
        module.warn(warning)
    if exit_code != 0:
        end(module, exit_code, said, command)
    return answer(module, result, said)


def end(module: AnsibleModule, exit_code: int, said: str, command: list[str]) -> None:
    """Ends the task with what Sealock says."""
    why = failure.read(exit_code, said)
    module.fail_json(
        msg=why.message, reason=why.reason, kind=why.kind, hints=why.hints, rc=exit_code, stderr=said, cmd=command
    )


def answer(module: AnsibleModule, result: str, said: str) -> dict[str, Any]:
    """The result with names as Ansible writes them."""
    try:
        members = json.loads(result)
    except ValueError as error:
        module.fail_json(msg=f"what sealock answers is not JSON: {error}", kind="internal", stdout=result, stderr=said)
    return {snake(name): value for name, value in members.items()}


def snake(name: str) -> str:
    """C(wouldChange) as C(would_change)."""
    return re.sub(r"[A-Z]", lambda letter: "_" + letter.group().lower(), name)
