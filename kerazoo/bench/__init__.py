"""One table over engines and precisions: each measured in a process of its own, turn and turn about."""

from __future__ import annotations
