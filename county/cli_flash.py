"""`county flash` and `county sign-image`: cards for schools, one after the other."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from content_sync.terminal import absolute, absolute_or_none, chinese
from county.cli_options import data_option, json_option

if TYPE_CHECKING:
    from content_sync.formats.enrolment import Enrolment
    from county.flash.batch import Batch
    from county.flash.disks import Card
    from county.flash.image import Image
    from county.flash.schools import School


def _say(zh: str, en: str) -> str:
    """In the language of who sits before it."""
    return zh if chinese() else en


image_argument = click.argument(
    "image", type=click.Path(path_type=Path, exists=True, dir_okay=False), callback=absolute
)


@click.command("sign-image")
@image_argument
@data_option
@json_option
def sign_image(image: Path, data: Path, as_json: bool) -> None:
    """Sign IMAGE (.img, .img.xz or .img.gz, and the .bmap beside it) for this county's cards: IMAGE.json.

    Check first where it came from: what is signed here, boxes are made of.
    """
    from content_sync.terminal import Progress, show, size_text
    from county.config import CountyPaths, load_settings
    from county.flash.image import manifest_path
    from county.flash.image import sign_image as sign
    from county.publish.signing import Repository

    paths, settings = CountyPaths(data), load_settings(data)
    bar = Progress(_say("读镜像", "reading"), image.stat().st_size)
    made = sign(image, Repository(paths.public, paths.keys, settings.number("expire_days")), bar.to)
    bar.close()
    show(
        {
            "manifest": str(manifest_path(image)),
            "size": made.raw.size,
            "sha256": made.raw.sha256,
            "bmap": made.bmap is not None,
        },
        as_json,
        lambda r: _say(
            f"签好了：{r['manifest']}，写到卡上是 {size_text(r['size'])}，sha256 {r['sha256']}",
            f"{r['manifest']}: {size_text(r['size'])} on a card, sha256 {r['sha256']}",
        ),
    )


class _Asked(Struct, frozen=True):
    """What the command was told."""

    device: str | None
    again: bool
    yes: bool
    ssh: tuple[str, ...]


@click.command()
@image_argument
@data_option
@click.option(
    "--schools",
    "list_file",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="CSV or XLSX, a line a school: 学校代码, 学校名称; also 收录, 主机名, 地址, 网关, 域名服务器,"
    " 无线名称, 无线密码, 代理.",
)
@click.option("--school", "code", help="Only the card of this school code.")
@click.option("--device", help="The card, like /dev/sdb; or a file of a card's size.  [default: asked]")
@click.option("--dry-run", is_flag=True, help="Check image and list, name cards and schools; write nothing.")
@click.option(
    "--again", is_flag=True, help="With --school: one more card, another box, for a school that has one."
)
@click.option("--yes", is_flag=True, help="Do not ask; with --device, one card.")
@click.option(
    "--ssh-key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A public key that may log in to the boxes (without one none may).",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=absolute_or_none,
    help="The page of door labels.  [default: LIST.labels.html]",
)
@json_option
def flash(
    image: Path,
    data: Path,
    list_file: Path,
    code: str | None,
    device: str | None,
    dry_run: bool,
    again: bool,
    yes: bool,
    ssh_key: Path | None,
    labels: Path | None,
    as_json: bool,
) -> int:
    """Write cards for the schools of a list: next card, next school.

    Only removable disks are offered. The image must be signed by this county (`county sign-image`). What is
    written is read back. A batch goes on where it stopped; exit 3: schools are left.
    """
    from content_sync.adapters.files import read_capped
    from content_sync.errors import UsageError
    from content_sync.formats.boxconfig import parse_boxconfig
    from content_sync.terminal import DONE, INCOMPLETE, Progress, show
    from county.config import CountyPaths, load_settings
    from county.flash.batch import Batch
    from county.flash.image import open_image
    from county.flash.schools import read_schools
    from county.publish.signing import Repository

    paths, settings = CountyPaths(data), load_settings(data)
    listed = read_schools(list_file, chinese())
    for heading in listed.ignored:
        said = _say(f"提醒：没有用到“{heading}”这一列", f"warning: nobody reads the column {heading}")
        click.echo(said, err=True)
    schools = tuple(one for one in listed.schools if code in (None, one.code))
    if not schools:
        raise UsageError(
            _say(f"{list_file.name} 里没有代码是 {code} 的学校", f"{list_file.name} has no school {code!r}")
        )
    if (again and code is None) or (yes and device is None):
        raise UsageError(
            _say(
                "--again 要和 --school 一起用，--yes 要和 --device 一起用",
                "--again needs --school, --yes --device",
            )
        )
    keys: tuple[str, ...] = ()
    if ssh_key is not None:
        lines = read_capped(ssh_key, 16 << 10).decode("utf-8", "replace").splitlines()
        texts = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        keys = parse_boxconfig("\n".join(f"ssh_key = {text}" for text in texts).encode()).config.ssh_keys
        if not texts or len(keys) != len(texts):
            raise UsageError(
                _say(
                    f"{ssh_key.name} 不是 SSH 公钥（文件名以 .pub 结尾的那个）",
                    f"{ssh_key.name} is no public SSH key (the file that ends with .pub)",
                )
            )

    root = Repository(paths.public, paths.keys, settings.number("expire_days")).root()
    bar = Progress(_say("核对镜像", "checking"), image.stat().st_size)
    checked = open_image(image, root, bar.to)
    bar.close()
    page = labels or list_file.absolute().with_suffix(".labels.html")
    asked = _Asked(device, again, yes, keys)
    with Batch.open(paths, settings) as batch:
        if dry_run:
            return _dry(batch, checked, schools, as_json)
        made = _all(batch, checked, schools, asked, lambda: _write_labels(batch, listed.schools, page))
        left = len(batch.left(listed.schools))
        show(
            {"cards": made, "left": left, "labels": str(page)},
            as_json,
            lambda r: _say(
                f"写好 {len(r['cards'])} 张卡，还有 {r['left']} 个学校没有写；打印门牌：{r['labels']}",
                f"{len(r['cards'])} cards written, {r['left']} schools left; labels: {r['labels']}",
            ),
        )
    return INCOMPLETE if left and code is None else DONE


def _dry(batch: Batch, image: Image, schools: tuple[School, ...], as_json: bool) -> int:
    from content_sync.terminal import DONE, show, size_text
    from county.flash.disks import disks_of_this_computer

    cards = disks_of_this_computer().cards()
    left = batch.left(schools)
    show(
        {
            "image": {"size": image.size, "to_write": image.to_write},
            "cards": [
                {"device": one.path, "model": one.model, "size": one.size, "locked": one.locked}
                for one in cards
            ],
            "schools": [{"code": one.code, "name": one.name} for one in left],
            "done": len(schools) - len(left),
        },
        as_json,
        lambda r: "\n".join(
            [
                _say(
                    f"镜像：{size_text(image.size)}，要写的有 {size_text(image.to_write)}",
                    f"image: {size_text(image.size)}, {size_text(image.to_write)} of it written",
                )
            ]
            + [_say("卡：", "card: ") + _card_text(one) for one in cards]
            + [_say("等着写：", "next: ") + f"{one.code} {one.name}" for one in left]
            + [_say(f"已有卡的学校：{r['done']} 个", f"{r['done']} schools have their card")]
        ),
    )
    return DONE


def _all(
    batch: Batch,
    image: Image,
    schools: tuple[School, ...],
    asked: _Asked,
    print_labels: Callable[[], None],
) -> list[dict[str, Any]]:
    """Cards until no school is left, or until the person ends it."""
    from content_sync.errors import CardError
    from content_sync.remedies import line

    made: list[dict[str, Any]] = []
    print_labels()
    wanted = batch.left(schools)
    if not wanted and len(schools) == 1:
        _ask_again(batch, schools[0], asked)
        wanted = list(schools)
    while wanted:
        school = wanted[0]
        try:
            made.append(_one(batch, image, school, asked))
            wanted.pop(0)
            print_labels()
            if asked.yes:
                break
        except CardError as error:
            if asked.yes or not sys.stdin.isatty():
                raise
            click.echo(line(error, chinese()), err=True)
            _bell()
        if wanted and not _yes(
            _say(
                f"\n下一个：{wanted[0].code} {wanted[0].name}。换好卡，按回车继续；不写了，输 n",
                f"Next: {wanted[0].code} {wanted[0].name}. Put in the next card. Go on?",
            ),
            default=True,
        ):
            break
    return made


def _yes(question: str, default: bool = False, abort: bool = False) -> bool:
    """Ask on the terminal; Enter is the default."""
    return click.confirm(question, default=default, abort=abort, err=True)


def _bell() -> None:
    """Who writes forty cards looks elsewhere meanwhile."""
    if sys.stderr.isatty():
        click.echo("\a", nl=False, err=True)


def _ask_again(batch: Batch, school: School, asked: _Asked) -> None:
    from content_sync.errors import UsageError

    before = batch.done(school.code)[-1]
    said = _say(
        f"{school.code} {school.name} 已经有一张卡：课箱 {before.box}，{_day(before.at)}",
        f"{school.code} {school.name} has its card already: box {before.box}, {_day(before.at)}",
    )
    if asked.again:
        return
    if asked.yes or not sys.stdin.isatty():
        raise UsageError(said + _say("；再要一台：--again", "; one more box for this school: --again"))
    _yes(said + _say("。再给它做一台？", ". Make one more box for it?"), abort=True)


def _one(batch: Batch, image: Image, school: School, asked: _Asked) -> dict[str, Any]:
    """One card for one school."""
    import time

    from content_sync.errors import UsageError
    from content_sync.terminal import size_text
    from county.flash.target import opened

    with ExitStack() as stack:
        if asked.device is not None and Path(asked.device).is_file():
            target = stack.enter_context(opened(asked.device))
            name, size = Path(asked.device).name, size_text(target.size)
            text = _say(f"文件 {name}，{size}", f"file {name}, {size}")
            _confirm(text, school, asked)
        else:
            card = _chosen(asked.device)
            text = _card_text(card)
            _confirm(text, school, asked)
            _release(card)
            target = stack.enter_context(opened(card.path, card.size))
        lying = batch.lying_in(target)
        if lying is not None:
            said = _say(
                f"这张卡刚给 {lying.school} 写好（课箱 {lying.box}）",
                f"this card was just written for {lying.school} (box {lying.box})",
            )
            if asked.yes or not sys.stdin.isatty():
                if not asked.again:
                    raise UsageError(said + _say("：换下一张", ": put in the next one"))
            else:
                _yes(said + _say("。真的要盖掉它？", ". Overwrite it?"), abort=True)
        bar = _Bar()
        enrolment: Enrolment = batch.flash(image, school, target, text, int(time.time()), bar, asked.ssh)
        bar.close()
    said = _say(
        f"写好了，也读回来对过了：{school.code} {school.name}，课箱 {enrolment.box}。可以拔卡。",
        f"{school.code} {school.name}: box {enrolment.box}, written and read back; take the card out",
    )
    click.echo(said, err=True)
    _bell()
    return {"school": school.code, "name": school.name, "box": enrolment.box, "card": text}


def _chosen(device: str | None) -> Card:
    """The removable disk to write. Raises UsageError, CardGoneError, CardLockedError."""
    from content_sync.errors import CardGoneError, CardLockedError, UsageError
    from county.flash.disks import disks_of_this_computer

    cards = disks_of_this_computer().cards()
    if device is not None:
        found = [one for one in cards if one.path == device]
        if not found:
            names = ", ".join(one.path for one in cards) or _say("没有", "none")
            raise UsageError(
                _say(
                    f"{device} 不是可移动的盘，或者系统就在它上面；可移动的：{names}",
                    f"{device} is no removable disk, or the system lies on it; removable: {names}",
                )
            )
        card = found[0]
    elif not cards:
        raise CardGoneError(_say("这台电脑里没有插卡", "no card is in this computer"))
    elif not sys.stdin.isatty():
        raise UsageError("name the card with --device")
    else:
        chosen = 1
        if len(cards) > 1:
            for number, one in enumerate(cards, 1):
                click.echo(f"{number}: {_card_text(one)}", err=True)
            which = _say("写哪一张，输前面的数", "Which")
            chosen = click.prompt(which, type=click.IntRange(1, len(cards)), err=True)
        card = cards[chosen - 1]
    if card.locked:
        raise CardLockedError(f"{card.path} ({card.model}) can only be read")
    return card


def _release(card: Card) -> None:
    from county.flash.disks import disks_of_this_computer

    disks_of_this_computer().release(card)


def _confirm(card: str, school: School, asked: _Asked) -> None:
    from content_sync.errors import UsageError

    if asked.yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("nobody is here to ask: give --yes")
    said = _say(
        f"卡：{card}\n学校：{school.code} {school.name}\n把卡擦干净，写成这个学校的课箱？输 y 才写",
        f"Erase {card} and make it the box of {school.code} {school.name}?",
    )
    _yes(said, abort=True)


class _Bar:
    """A bar for each part of the work."""

    def __init__(self) -> None:
        self._what, self._bar = "", None  # type: str, Any

    def __call__(self, what: str, done: int, total: int) -> None:
        from content_sync.terminal import Progress

        if what != self._what:
            self.close()
            words = {"writing": "写入", "reading back": "读回来对"}
            self._what, self._bar = what, Progress(_say(words.get(what, what), what), total)
        self._bar.to(done)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _card_text(card: Card) -> str:
    from content_sync.terminal import size_text

    places = ", ".join(card.mounted)
    mounted = _say(f"，正挂在 {places}", f", mounted at {places}") if card.mounted else ""
    locked = _say("，写保护", ", write-protected") if card.locked else ""
    comma = _say("，", ", ")
    return f"{card.path} {card.model}{comma}{size_text(card.size)}{locked}{mounted}"


def _day(at: int) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(at).strftime("%Y-%m-%d")


def _write_labels(batch: Batch, schools: tuple[School, ...], page: Path) -> None:
    """A label for each finished card of the list, in its order."""
    from content_sync.adapters.files import write_durable
    from county.flash.batch import address, named
    from county.flash.labels import Label, label_page

    labels = [
        Label(
            school.name,
            school.code,
            card.box,
            address(school.config),
            named(school.config) if school.config.address else "",
            card.wifi,
        )
        for school in schools
        for card in batch.done(school.code)
    ]
    write_durable(page, label_page(labels).encode())


COMMANDS = (flash, sign_image)
