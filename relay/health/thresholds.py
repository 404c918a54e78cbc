"""From when on something is a need, as config/alerts.yaml says it: one answer for pages, /metrics and terminals."""

from __future__ import annotations

from pathlib import Path

from relay.configuration.alerts import load_alerting_thresholds
from relay.health.assessment import DEFAULT, Thresholds


def load_thresholds(folder: Path) -> Thresholds:
    """The thresholds of the configuration in this folder. Raises ConfigError."""
    said = load_alerting_thresholds(folder)
    return Thresholds(*said) if said else DEFAULT
