"""The table of formats."""

from __future__ import annotations

import pytest

from pinio import Policy
from pinio.formats import FORMATS, Format
from tests.formats.policies import OTHER, PIN

POLICY = Policy({"example.com": [PIN, OTHER]}, revision="7")


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
def test_every_format_reads_what_it_writes(format: Format) -> None:  # noqa: A002
    assert format.loads(format.dumps(POLICY), where="policy", anchors=None) == POLICY


def test_the_table_is_read_only() -> None:
    with pytest.raises(TypeError):
        FORMATS["other"] = FORMATS["native"]  # type: ignore[index]
