"""How well boxes are filled, each measure beside its peer in one interleaved run:
`python bench/sync.py [NAME…]`.

A measure is a module of bench/measures with `measure(work, quick) -> list[Row]`. Without names all run, one
after the other. Needs root where a measure makes network namespaces. Prints the table of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def names() -> list[str]:
    """Every measure there is."""
    found = (path for path in (ROOT / "bench" / "measures").glob("*.py") if not path.stem.startswith("_"))
    return sorted(path.stem for path in found if "def measure(" in path.read_text("utf-8"))


def main() -> int:
    """Run the measures named; an exit code: 1 when one could not be run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}; all when left out"
    )
    parser.add_argument("--quick", action="store_true", help="fewer and smaller runs")
    given = parser.parse_args()
    unknown = set(given.names) - set(names())
    if unknown:
        parser.error(f"no measure {', '.join(sorted(unknown))}")
    failed = False
    print("| what | peer | goal | measured |\n|---|---|---|---|", flush=True)
    for name in given.names or names():
        began = time.monotonic()
        measure = importlib.import_module(f"bench.measures.{name}").measure
        try:
            with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as work:
                rows = measure(Path(work), given.quick)
        except Exception as error:  # the others shall run
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            failed = True
            continue
        for row in rows:
            print(f"| {row.what} | {row.peer} | {row.goal} | {row.measured} |", flush=True)
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
