"""What a run leaves behind: machine, versions and results, as JSON that later versions can read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Result:
    """One figure of one subject; if it has a baseline, also as a ratio to it.

    A subject that is compared with several others has one result for each: the same figure, another
    `baseline` and `ratio`.
    """

    scenario: str
    subject: str
    metric: str
    unit: str
    """`s`, `B`, or empty for a plain number; seconds are CPU seconds unless the metric says otherwise."""
    median: float
    low: float
    """Lower quartile of the rounds."""
    high: float
    """Upper quartile of the rounds."""
    rounds: int
    baseline: str | None = None
    ratio: float | None = None
    """Median over the rounds of this subject's figure by the baseline's of the same round."""

    @property
    def key(self) -> tuple[str, str, str, str | None]:
        """What tells one result from another."""
        return self.scenario, self.subject, self.metric, self.baseline


@dataclass(frozen=True, slots=True)
class Record:
    """A run."""

    machine: dict[str, str]
    versions: dict[str, str]
    results: list[Result] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)
    """Subject → why it was not measured."""

    def find(
        self, scenario: str, subject: str, metric: str, baseline: str | None = None
    ) -> Result | None:
        """The result against this baseline; without one, the subject's first."""
        for item in self.results:
            if (item.scenario, item.subject, item.metric) == (scenario, subject, metric) and (
                baseline is None or item.baseline == baseline
            ):
                return item
        return None

    def scenarios(self) -> list[str]:
        """The scenarios that have results, in order."""
        return list(dict.fromkeys(item.scenario for item in self.results))

    def after(self, earlier: Record) -> Record:
        """This record with what only the earlier one has measured: a long run in several sittings."""
        again = set(self.scenarios())
        kept = [item for item in earlier.results if item.scenario not in again]
        return Record(
            self.machine,
            self.versions,
            kept + self.results,
            {**earlier.unavailable, **self.unavailable},
        )

    def write(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read what `write` wrote. Raises `ValueError` if it is something else."""
        try:
            data = json.loads(path.read_text("utf-8"))
            results = [Result(**item) for item in data["results"]]
            return cls(data["machine"], data["versions"], results, data.get("unavailable", {}))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path}: not the record of a run: {error}") from None
