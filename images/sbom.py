"""sbom.py ROOT NAME: what an image holds, as SPDX 2.3 JSON: the packages that dpkg and pip know in ROOT."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from email.parser import HeaderParser
from importlib.metadata import distributions
from pathlib import Path
from typing import Any


def debian(root: Path) -> Iterator[tuple[str, str, str]]:
    """Name, version and package URL of each installed Debian package."""
    for paragraph in (root / "var/lib/dpkg/status").read_text(encoding="utf-8").split("\n\n"):
        fields = HeaderParser().parsestr(paragraph)
        if fields["Status"] == "install ok installed":
            name, version = fields["Package"], fields["Version"]
            yield name, version, f"pkg:deb/debian/{name}@{version}?arch={fields['Architecture']}"


def python(root: Path) -> Iterator[tuple[str, str, str]]:
    """The same of each Python package of the programs' own environment."""
    for site in (root / "opt/lessonbox.d").glob("*/lib/python3.*/site-packages"):
        for found in distributions(path=[str(site)]):
            yield found.name, found.version, f"pkg:pypi/{found.name.lower()}@{found.version}"


def document(root: Path, name: str, made: datetime) -> dict[str, Any]:
    """The SPDX document; the same root gives the same one."""
    packages = [
        {
            "SPDXID": f"SPDXRef-{kind}-{''.join(c if c.isalnum() else '-' for c in package)}",
            "name": package,
            "versionInfo": version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False,
            "externalRefs": [
                {
                    "referenceCategory": "PACKAGE-MANAGER",
                    "referenceType": "purl",
                    "referenceLocator": url,
                }
            ],
        }
        for kind, found in (("deb", debian(root)), ("pypi", python(root)))
        for package, version, url in sorted(found)
    ]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, 'lessonbox:' + name)}",
        "creationInfo": {
            "created": made.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Tool: lessonbox-images-sbom"],
        },
        "packages": packages,
        "relationships": [
            {
                "spdxElementId": "SPDXRef-DOCUMENT",
                "relationshipType": "DESCRIBES",
                "relatedSpdxElement": it["SPDXID"],
            }
            for it in packages
        ],
    }


if __name__ == "__main__":
    time = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    json.dump(document(Path(sys.argv[1]), sys.argv[2], time), sys.stdout, indent=1)
    print()
