#!/usr/bin/env python3
"""hybrid.py IMAGE: name its first partition, FAT, in the old table too (MBR), before what protects the GPT.

Raspberry Pi 4 boards older than autumn 2020 boot no GPT, and those of 2025 only by a newer start4.elf; all
of them, and Windows of any age, know this entry. Linux goes by the GPT, and systemd-repart leaves it alone.
"""

import struct
import sys

SECTOR, TABLE, FAT32, PROTECTIVE = 512, 446, 0x0C, 0xEE
_NO_CHS = b"\xfe\xff\xff"  # sector numbers hold, not cylinders


def entry(kind: int, begin: int, sectors: int) -> bytes:
    """One of the four entries."""
    return struct.pack("<B3sB3sII", 0, _NO_CHS, kind, _NO_CHS, begin, sectors)


def main(path: str) -> None:
    """Raises ValueError for what has no GPT."""
    with open(path, "r+b") as image:
        head = image.read(SECTOR * 2)
        if head[SECTOR : SECTOR + 8] != b"EFI PART":
            raise ValueError(f"{path} has no GPT")
        (table,) = struct.unpack_from("<Q", head, SECTOR + 72)
        image.seek(table * SECTOR + 32)
        begin, end = struct.unpack("<QQ", image.read(16))
        image.seek(TABLE)
        image.write(entry(FAT32, begin, end - begin + 1) + entry(PROTECTIVE, 1, begin - 1) + bytes(32))


if __name__ == "__main__":
    main(sys.argv[1])
