"""Every error that a person or another program may see: a code, what happened, what to do.

The class docstring is the remedy shown to people. `code` never changes once released; `retryable` tells
whether the same call may succeed later with nothing changed by hand.
"""

from __future__ import annotations


class LessonBoxError(Exception):
    """Look at the message; if it does not help, send `lessonbox doctor` to the county's technician."""

    code = "E-INTERNAL"
    retryable = False

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    @property
    def remedy(self) -> str:
        """What to do about it, one sentence."""
        return " ".join((type(self).__doc__ or "").split())

    def line(self) -> str:
        """The one line that a command prints on stderr (contract.md)."""
        what = " ".join(self.what.split()).rstrip(".")
        return f"error {self.code}: {what}. {self.remedy}"


class FormatError(LessonBoxError):
    """It was made by another or newer program, or damaged: fetch it again, or update this program."""

    code = "E-FORMAT"


class TooBigError(FormatError):
    """It is larger than this kind of file may be, so it was not read: get a fresh copy from the county."""

    code = "E-TOO-BIG"


class LengthError(FormatError):
    """Length and hash tree do not belong together: the file is not what it claims to be; fetch it again."""

    code = "E-LENGTH"


class PathError(FormatError):
    """Rename the file to a short name without / \\ : * ? " < > | and publish again."""

    code = "E-PATH"


class TorrentError(FormatError):
    """The package description is damaged or forged: fetch it again from the county."""

    code = "E-TORRENT"


class LeavesError(FormatError):
    """The list of block hashes is damaged: fetch it again from the county."""

    code = "E-LEAVES"


class LessonError(FormatError):
    """The lesson's description is damaged: the county must publish this lesson again."""

    code = "E-LESSON"


class TrustError(LessonBoxError):
    """Nothing was changed. If it came from the county's own server, call the county's technician."""

    code = "E-TRUST"


class SignatureError(TrustError):
    """It is not signed by this county: nothing was changed. Check where the file came from."""

    code = "E-SIGNATURE"


class RollbackError(TrustError):
    """It is older than what this box already has: nothing was changed. Use a newer copy."""

    code = "E-ROLLBACK"


class TargetError(TrustError):
    """The file differs from what the county signed: nothing was changed; fetch it again."""

    code = "E-TARGET"


class EnvelopeError(TrustError):
    """The envelope is for another box or older than the one here: nothing was changed."""

    code = "E-ENVELOPE"


class ClockError(LessonBoxError):
    """Set this computer's clock and try again; with a date that is really right, add --allow-date."""

    code = "E-CLOCK"


class BoxClockError(LessonBoxError):
    """Nothing is lost: usage is dated once the time is known. Connect the box to the Internet, or set its
    clock."""

    code = "E-BOX-CLOCK"


class EnrolError(LessonBoxError):
    """Make a new enrolment file at the county with `county enrol` and use that."""

    code = "E-ENROL"


class OtherSchoolError(EnrolError):
    """What this box keeps, on its disk where it has one, is another school's: put in the disk that belongs to
    the card, or an empty one; without a disk write the card anew."""

    code = "E-OTHER-SCHOOL"


class SpareClaimError(EnrolError):
    """Nothing needs doing: the box that is on the disk goes on; the card's new enrolment was not needed and
    is erased."""

    code = "E-SPARE-CLAIM"


class TokenError(LessonBoxError):
    """The county gives this only to its boxes and guests: use the address with a token that holds, or let
    staff make a new one with `county token`."""

    code = "E-TOKEN"


class TooManyError(LessonBoxError):
    """It is asked too often: it goes on by itself after a while."""

    code = "E-TOO-MANY"
    retryable = True


class SequenceConflictError(LessonBoxError):
    """Two different reports carry one number: the box may have been copied. Enrol it again."""

    code = "E-SEQ-CONFLICT"


class DiskFullError(LessonBoxError):
    """Free some space or plug in a larger disk; what is here already goes on working."""

    code = "E-DISK-FULL"
    retryable = True


class StorageError(LessonBoxError):
    """The disk refuses to read or write: check its cable and health, then try again."""

    code = "E-STORAGE"
    retryable = True


class RotError(LessonBoxError):
    """Nothing needs to be done: the damaged parts are fetched again, then the lesson is back by itself."""

    code = "E-ROT"
    retryable = True


class DiskFailingError(LessonBoxError):
    """Replace the memory card or disk soon: files on it go bad again and again."""

    code = "E-DISK-FAILING"


class DamagedDataError(LessonBoxError):
    """A damaged file was put aside, whole, and a new one begun: keep it for the county's technician; check
    the disk."""

    code = "E-DAMAGED"


class NewerDataError(LessonBoxError):
    """The data was written by a newer program: update this program; nothing was changed."""

    code = "E-NEWER-DATA"


class NetworkError(LessonBoxError):
    """Check the cable and the county's address; it is tried again by itself."""

    code = "E-NETWORK"
    retryable = True


class BudgetError(NetworkError):
    """Nothing needs doing: it goes on with the next day or month; docs/settings.md and the policy set the
    quota."""

    code = "E-BUDGET"


class NotFoundError(LessonBoxError):
    """Check the name or path and try again."""

    code = "E-NOT-FOUND"


class SetupError(LessonBoxError):
    """Run the init command first, or name the right folder with --data."""

    code = "E-SETUP"


class SettingError(LessonBoxError):
    """Correct the setting; `--help` and docs/settings.md list every one with its range."""

    code = "E-SETTING"


class UsageError(SettingError):
    """Give the command as its `--help` shows it."""

    code = "E-USAGE"


class SourceError(LessonBoxError):
    """Correct the file or folder named and publish again; what boards have already is not touched."""

    code = "E-SOURCE"


class DropError(LessonBoxError):
    """Nothing is lost; it is tried again by itself. Check the folder's cable, share and mount, and that the
    box may read it."""

    code = "E-DROP"
    retryable = True


class ArchiveError(LessonBoxError):
    """What could be read was taken. If lessons lack, pack it again as a plain zip without password, or copy
    the files loose."""

    code = "E-ARCHIVE"


class LocalError(LessonBoxError):
    """Add the file again under Local material (/local), or take the lesson named away there; the county's
    lessons are not touched."""

    code = "E-LOCAL"


class PinError(LessonBoxError):
    """Set a PIN with `lessonbox pin` and enter that; after wrong ones wait for the time shown."""

    code = "E-PIN"


class MediaError(LessonBoxError):
    """It was published as it is; make it what every board shows: MP4 with H.264 and AAC, or PDF."""

    code = "E-MEDIA"


class CardError(LessonBoxError):
    """Put the card in again and start once more: the same school comes first. If that fails, take another
    card or reader."""

    code = "E-CARD"


class CardSmallError(CardError):
    """Nothing was written: take a larger card."""

    code = "E-CARD-SMALL"


class CardGoneError(CardError):
    """Put the card in again and start once more: the same school comes first; the unfinished card does not
    boot."""

    code = "E-CARD-GONE"


class CardLockedError(CardError):
    """Slide the lock at the card's side, or take another card; a card that locked itself is worn out."""

    code = "E-CARD-LOCKED"


class CardBusyError(CardError):
    """Close what uses the card and unmount it, then start once more."""

    code = "E-CARD-BUSY"


class CardWrongError(CardError):
    """The card does not keep what is written to it: throw it away and take another one."""

    code = "E-CARD-WRONG"


class ToolError(LessonBoxError):
    """Install the program named (a Debian package) and try again."""

    code = "E-TOOL"


class BusyError(LessonBoxError):
    """Another program is using this folder or port: stop it first, or wait."""

    code = "E-BUSY"
    retryable = True


class PowerError(LessonBoxError):
    """Use the box's own power supply (a Pi 5: 5 V and 5 A) and its cable; take hungry USB disks off or give
    them a supply of their own."""

    code = "E-POWER"


class HeatError(LessonBoxError):
    """Give the box air: out of the closed cupboard and the sun, dust out of its fan, nothing on top of it."""

    code = "E-HEAT"


class ReadOnlyError(LessonBoxError):
    """Lessons go on. Switch the box off and on once, so that the disk is checked; if it comes again, replace
    the card or disk."""

    code = "E-READ-ONLY"


class LinkError(LessonBoxError):
    """Push the network cable in at both ends until it clicks; the lamps beside it must light up. Else try
    another cable or another socket of the switch."""

    code = "E-LINK"
    retryable = True


class NameServiceError(LessonBoxError):
    """The county's name is not known here: restart the school's router; if other computers have no Internet
    either, call the line's operator."""

    code = "E-DNS"
    retryable = True


class SilentError(LessonBoxError):
    """Look at the receiver: is it and its PC switched on, has anything moved the dish, is the shared folder
    still there?"""

    code = "E-SILENT"


class FlappingError(LessonBoxError):
    """Restart the box. If it goes on, write a diagnosis with `lessonbox doctor --bundle FILE` and send it to
    the county's technician."""

    code = "E-FLAPPING"


class ConfigError(LessonBoxError):
    """Put the card into a computer, correct the line named in `lessonbox.conf`, and start the box with it
    again; all other lines hold."""

    code = "E-CONFIG"


class UpdateError(LessonBoxError):
    """The box runs as before. Tell the county's technician the update's number: it is not tried again, the
    next one is."""

    code = "E-UPDATE"


class UnenrolledError(SetupError):
    """Upload this school's enrolment file on the box's page /enrol, or put it on the card or a stick and
    start the box again."""

    code = "E-UNENROLLED"


def all_errors() -> list[type[LessonBoxError]]:
    """Every error class, by code."""
    found: list[type[LessonBoxError]] = []
    queue: list[type[LessonBoxError]] = [LessonBoxError]
    while queue:
        cls = queue.pop()
        found.append(cls)
        queue.extend(cls.__subclasses__())
    return sorted(found, key=lambda cls: cls.code)
