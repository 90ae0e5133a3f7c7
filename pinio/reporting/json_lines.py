"""Log records as JSON, one a line."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime


class JSONFormatter(logging.Formatter):
    """A `logging.Formatter` that writes each record as one line of JSON.

        handler = logging.StreamHandler()
        handler.setFormatter(JSONFormatter())
        logging.getLogger("pinio").addHandler(handler)

    Every line has `time` (RFC 3339, UTC), `level`, `logger` and `message`; those of a decision have
    its fields under `pinio`, and those of an exception its text under `exception`. All that a peer
    wrote is escaped: nothing ends a line but its end.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        moment = datetime.fromtimestamp(record.created, UTC)
        found: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if isinstance(fields := getattr(record, "pinio", None), dict):
            found["pinio"] = fields
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        return json.dumps(found, default=str)
