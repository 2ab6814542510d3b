"""What C(sealock) says when a command does not end well."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Optional

KINDS = {1: "failed", 2: "usage", 3: "refused", 4: "environment", 5: "internal"}
HEAD = re.compile(r"^error(?:\[([A-Z_]+)\])?: ")
CAUSE = "  Caused by: "
HINT = "  Hint: "


@dataclass
class Failure:
    """Why a command did not do what it was asked to do."""

    kind: str
    reason: Optional[str] = None
    message: str = ""
    hints: list[str] = field(default_factory=list)


def read(exit_code: int, said: str) -> Failure:
    """Reads what was said on standard error; where nothing of it is an error, all of it is the message."""
    failure = Failure(KINDS.get(exit_code, "killed"))
    lines = said.splitlines()
    start = next((number for number, line in enumerate(lines) if HEAD.match(line)), None)
    if start is None:
        failure.message = said.strip() or f"sealock ended with {exit_code} and said nothing"
        return failure
    head = HEAD.match(lines[start])
    failure.reason = head.group(1) if head else None
    told = []
    for line in lines[start:]:
        if line.startswith(HINT):
            failure.hints.append(line[len(HINT) :])
        elif failure.hints:
            failure.hints[-1] += " " + line.strip()
        else:
            told.append(line)
    failure.message = "\n".join(told)
    return failure


def warnings(said: str) -> list[str]:
    """What somebody should know though nothing failed."""
    mark = "warning: "
    return [line[len(mark) :] for line in said.splitlines() if line.startswith(mark)]
