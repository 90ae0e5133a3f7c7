"""The client's side: one process that plays one scenario for one subject at a time, when it is told to.

Reads one line of JSON for each step and answers with one: figures, or why there are none.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from typing import Any

from benchmarks.machine import CLIENT, stay_on
from benchmarks.scenarios import SCENARIOS
from benchmarks.scenarios.scenario import Figures, Stage
from benchmarks.target import Target


class Worker:
    """What is being played."""

    def __init__(self) -> None:
        self._rounds: Iterator[Figures] = iter(())

    def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        """Take one step."""
        if "scenario" in command:
            target = None if command["target"] is None else Target.from_json(command["target"])
            stage = Stage(command["subject"], target, command["quick"])
            self._end()
            self._rounds = SCENARIOS[command["scenario"]].play(stage)
        return {"figures": next(self._rounds)}

    def _end(self) -> None:
        if hasattr(self._rounds, "close"):
            self._rounds.close()


def main() -> None:
    """Obey until stdin ends."""
    stay_on(CLIENT)
    # Answers go where stdout was; what a library prints must not get between them.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    logging.basicConfig(
        level=logging.ERROR
    )  # a refusal is logged as a warning, and hundreds are made on purpose
    worker = Worker()
    for line in sys.stdin:
        try:
            answer = worker.obey(json.loads(line))
        except Exception:  # noqa: BLE001  # whoever asked is told, whatever it was
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
