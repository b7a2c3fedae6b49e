"""Fuzz one parser: `python -m tests.fuzz.run TARGET [--runs N]` (needs `pip install atheris`).

Inputs that reach new code are gathered into tests/fuzz/corpus/TARGET.zip, which the tests replay. A finding
is left as a file `crash-…` in the work folder, whose name is printed.
"""

from __future__ import annotations

import argparse
import hashlib
import shlex
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MOST = 64 << 10


def read_corpus(name: str) -> list[bytes]:
    """The gathered inputs of a target."""
    path = CORPUS / f"{name}.zip"
    if not path.exists():
        return []
    with zipfile.ZipFile(path) as archive:
        return [archive.read(entry) for entry in sorted(archive.namelist())]


def write_corpus(name: str, inputs: set[bytes]) -> None:
    """Keep inputs, the same ones as the same bytes."""
    CORPUS.mkdir(exist_ok=True)
    with zipfile.ZipFile(CORPUS / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for data in sorted(inputs):
            entry = zipfile.ZipInfo(hashlib.sha256(data).hexdigest()[:16], _EPOCH)
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)


def fuzz(name: str, arguments: list[str]) -> None:
    """Run libFuzzer in this process; it ends the process."""
    import atheris

    with atheris.instrument_imports(include=["content_sync"]):
        from tests.fuzz.targets import TARGETS
    # libFuzzer starts itself anew to merge, by the name that it is given.
    atheris.Setup(arguments, TARGETS[name].run)
    atheris.Fuzz()


def main() -> int:
    """Fuzz from the corpus and the seeds, then keep a smallest set of inputs that reaches as much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    given, more = parser.parse_known_args()
    if given.inside is not None:
        fuzz(given.target, [given.inside, *more])
        return 0
    from tests.fuzz.targets import TARGETS

    work = Path(tempfile.mkdtemp(prefix=f"fuzz-{given.target}-"))
    print(f"work folder {work}")
    begin, found, least = work / "begin", work / "found", work / "least"
    for folder in (begin, found, least):
        folder.mkdir()
    for number, data in enumerate([*TARGETS[given.target].seeds, *read_corpus(given.target)]):
        (begin / f"{number}").write_bytes(data)
    script = work / "fuzz"
    command = [sys.executable, "-m", "tests.fuzz.run", given.target, "--inside", str(script)]
    script.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    script.chmod(0o755)
    options = [f"-max_len={_MOST}", f"-artifact_prefix={work}/", "-print_final_stats=1", "-rss_limit_mb=4096"]
    ran = subprocess.run([script, *options, f"-runs={given.runs}", str(found), str(begin)])
    if ran.returncode:
        return ran.returncode
    subprocess.run([script, *options, "-merge=1", str(least), str(found), str(begin)], check=True)
    write_corpus(given.target, {path.read_bytes() for path in least.iterdir()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
