"""What the modules make of what C(sealock) says."""

from __future__ import annotations

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "plugins/module_utils"))
import failure  # noqa: E402

REFUSED = """importing plant-7.tar (1.0 MiB)
warning: the bundle is old
error[DIGEST]: damaged.tar was not imported
  Caused by: content promised as sha256:00 is sha256:11
    and another line
  Hint: Carry it again.
  Hint: `sealock explain DIGEST` says what this means
    and what to do.
"""


class ReadsFailures(unittest.TestCase):
    """Texts as the program prints them."""

    def test_a_refusal_has_code_causes_and_hints(self) -> None:
        """Whatever was said before it is left out."""
        why = failure.read(3, REFUSED)
        self.assertEqual((why.kind, why.reason), ("refused", "DIGEST"))
        self.assertTrue(why.message.startswith("error[DIGEST]: damaged.tar was not imported\n  Caused by: "))
        self.assertTrue(why.message.endswith("and another line"))
        self.assertEqual(why.hints[1], "`sealock explain DIGEST` says what this means and what to do.")

    def test_a_failure_without_a_code_has_none(self) -> None:
        """Such as a file that is not there."""
        why = failure.read(1, "error: reading cluster.yaml\n  Caused by: No such file or directory (os error 2)\n")
        self.assertEqual((why.kind, why.reason, why.hints), ("failed", None, []))

    def test_a_program_that_was_killed_still_says_something(self) -> None:
        """Ansible shows no empty message."""
        self.assertEqual(failure.read(-9, "").message, "sealock ended with -9 and said nothing")

    def test_warnings_are_handed_on(self) -> None:
        """They reach whoever runs the play."""
        self.assertEqual(failure.warnings(REFUSED), ["the bundle is old"])


if __name__ == "__main__":
    unittest.main()
