"""What other programs are told of drift."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from pipeline.util.events import EventType, post

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from pipeline.monitoring.look import Look


def announce_drift(config: PipelineConfig, look: Look, told: Collection[str] = ()) -> frozenset[str]:
    """Posts that there is drift, where `events.url` says so; the same drift once.

    Args:
      config: the pipeline's configuration.
      look: what was found.
      told: what was told of the look before.

    Returns:
      What has been told: the columns that have drifted, and `schema` where the rows break it.
    """
    found = frozenset((*(each.name for each in look.drifted), *(("schema",) if look.breaks_schema else ())))
    if found - set(told):
        data = {
            "version": look.version,
            "rows": look.current.rows,
            "current": look.current.title,
            "reference": look.reference.title,
            "columns": {each.name: each.importance for each in look.drifted},
            "anomalies": [{"column": name, "anomaly": text} for name, text in look.anomalies] if look.breaks_schema else [],
        }
        post(config.events.url, EventType.DRIFT_FOUND, config.name, look.version, data)
    return found
