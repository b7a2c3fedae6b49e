"""`python -m appliance.programs_search STATE_DB SEARCH_DB [OLD]`: writes the index of the lessons, and ends.

web starts it when state.db has changed (web/search/index.py). It gives way to everything else. Killed at
any moment it leaves the index of before.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from appliance.web.search.build import refresh
from content_sync.errors import LessonBoxError


def main() -> int:
    """0 when it is written, else 1 and a line with the error's code."""
    os.nice(10)
    try:
        refresh(*map(Path, sys.argv[1:4]))
    except LessonBoxError as error:
        print(f"{error.code} {error.what}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
