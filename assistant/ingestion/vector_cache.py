"""Vectors by the hash of their text, per encoder, in one SQLite file beside the snapshots.

Only a cache: whatever is wrong with it costs time, never a run.
"""

from __future__ import annotations

import logging

_LOG = logging.getLogger(__name__)
_BATCH = 900  # below the 999 parameters that every build of SQLite takes
