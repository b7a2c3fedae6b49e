# ruff: noqa: E501 (rows)
"""What to do about each error code, in Chinese, for the technician (errors.py has the same in English).

The schools' own pages say it in fewer words and for teachers (appliance/web/troubles.py).
"""

from __future__ import annotations

from content_sync.errors import LessonBoxError

#: code -> what to do
CHINESE: dict[str, str] = {
    # 1 network
    "E-LINK": "把网线两头重新插到“咔”一声，插口旁的灯要亮；不亮就换线，再不亮换交换机的插口。",
    "E-DNS": "课箱查不到县里的网址：重启学校的路由器；别的电脑也上不了网，就找线路的运营商。",
    "E-NETWORK": "查网线和县里的网址；课箱自己会一直再试，不影响上课。",
    "E-SILENT": "看接收机和它的电脑开着没有，天线动过没有，共享文件夹还在不在。",
    "E-DROP": "没有丢东西，课箱自己会再试。查那个文件夹的线、共享和密码，课箱要有权读它。",
    "E-BUDGET": "不用做什么，到第二天或下个月自己继续；限额在县里的策略和课箱的设置里。",
    "E-TOO-MANY": "问得太频繁，过一会儿自己继续。",
    # 2 disks
    "E-DISK-FAILING": "卡或硬盘上的文件一再坏掉：尽快换新的（见“换坏掉的课箱”）。",
    "E-READ-ONLY": "照常上课。放学后关机再开机一次，让它检查磁盘；再出现就换卡或硬盘。",
    "E-DISK-FULL": "腾出空间，或者换大一点的盘；已经到的课照常用。",
    "E-STORAGE": "磁盘读不出或写不进：查线、查盘，再试。",
    "E-ROT": "不用做什么：坏的那几块会重新取来，这一课就自己回来。",
    "E-DAMAGED": "坏了的文件整个放到一边，另起了新的：留给县里看，并检查磁盘。",
    # 3 power, heat, time
    "E-POWER": "换回课箱自己的电源和线（树莓派5要 5 V 5 A）；费电的移动硬盘拔掉，或给它单独供电。",
    "E-HEAT": "让课箱通风：搬出关着的柜子，别晒太阳，清灰，上面别压东西。",
    "E-BOX-CLOCK": "没有丢东西：知道时间后记录会补上日期。接上网，或在“管理 → 时钟”对时，或插一次县里的U盘。",
    "E-CLOCK": "先把这台电脑的时间对准再试；日期确实没有错，就加 --allow-date。",
    # 4 the box and its county
    "E-UNENROLLED": "在课箱的“注册”页（/enrol）交这个学校的登记文件；或者把它放到卡上、单独放在U盘上，再开机。",
    "E-SETUP": "先运行 init 命令；或者用 --data 指对文件夹。",
    "E-ENROL": "在县里用 county enrol 重新做一份登记文件，用新的那份。",
    "E-OTHER-SCHOOL": "课箱里（有硬盘就是硬盘上）的东西是别的学校的：换上这张卡自己的硬盘或空硬盘；没有硬盘，就把卡重新写一遍。",
    "E-SPARE-CLAIM": "不用做什么：硬盘上原来的课箱接着用，卡上新的登记文件用不着，已经擦掉。",
    "E-TOKEN": "县里只给自己的课箱和客人：用还有效的地址，或在县里用 county token 换一个通行证。",
    "E-SEQ-CONFLICT": "两份不同的报告用了同一个号，多半是整张卡被复制过：重新给这个课箱注册。",
    "E-FLAPPING": "把课箱重启一次；还这样，就下载诊断文件（/help → 诊断文件）交给县里。",
    "E-BUSY": "另一个程序正在用这个文件夹或端口：先停掉它，或者等一等。",
    "E-TOOL": "装上点名的那个程序（Debian 软件包），再试。",
    "E-NEWER-DATA": "这些数据是更新的程序写的，一点没动：把课箱的程序更新到新版本。",
    "E-UPDATE": "课箱照原来的样子用。把更新的编号告诉县里：这一版不会再试，下一版会自己装。",
    "E-INTERNAL": "看这句话说的是什么；看不明白，就把诊断文件（/help → 诊断文件）发给县里。",
    # 5 what a person gave it
    "E-CONFIG": "把卡插到电脑上，改 lessonbox.conf 里点名的那一行，再用它开机；别的行都算数。",
    "E-SETTING": "改正这一项设置；--help 和 docs/settings.md 列出每一项和范围。",
    "E-USAGE": "照 --help 写的格式再输一遍。",
    "E-PIN": "用 lessonbox pin 设一个密码，再用它；输错几次要等页面上写的时间。",
    "E-NOT-FOUND": "查名字和路径，再试。",
    "E-SOURCE": "改好点名的文件或那一行，再来一遍；白板上已有的课不受影响。",
    "E-MEDIA": "已经原样发布；想让每块白板都能放，请转成 MP4（H.264、AAC）或 PDF。",
    "E-LOCAL": "到“本校资料”（/local）再放一次，或把点名的那一课拿掉；县里的课不受影响。",
    # 6 what came from outside
    "E-FORMAT": "是别的程序或新版本做的，或者坏了：重新取一份，或更新程序。",
    "E-TOO-BIG": "比这种文件允许的大，没有读：向县里重新要一份。",
    "E-LENGTH": "长度和校验对不上，不是它自称的文件：重新取一份。",
    "E-PATH": '把文件改成短名字，不带 / \\ : * ? " < > |，再发布一次。',
    "E-TORRENT": "课程包的说明坏了或是假的：从县里重新取。",
    "E-LEAVES": "校验清单坏了：从县里重新取。",
    "E-LESSON": "这一课的说明坏了：请县里把它重新发布一次。",
    "E-TRUST": "什么都没有改。如果来自县里自己的服务器，请告诉县里管服务器的人。",
    "E-SIGNATURE": "不是本县签的名，什么都没有改：查清文件是哪里来的。",
    "E-ROLLBACK": "比已有的旧，什么都没有改：用新的那份。",
    "E-TARGET": "跟县里签名的不一样，什么都没有改：重新拷一份、下一份。",
    "E-ENVELOPE": "是给别的课箱的，或比已有的旧，什么都没有改。",
    "E-ARCHIVE": "能读的都收下了。少了课，就重新打成不带密码的 zip，或者直接拷文件。",
    # 7 writing cards
    "E-CARD": "把卡重新插好，再来一次：还是先写这个学校。再不行，换一张卡或换读卡器。",
    "E-CARD-LOCKED": "拨开卡边上的锁，或换一张卡；自己锁死的卡是写坏了，扔掉。",
    "E-CARD-BUSY": "关掉正在用这张卡的窗口和程序，弹出它，再来一次。",
    "E-CARD-SMALL": "什么都没有写：换一张大一点的卡。",
    "E-CARD-WRONG": "写进去的和读出来的不一样，这张卡坏了：扔掉，换一张。",
    "E-CARD-GONE": "卡松了或拔早了：重新插好再来，还是先写这个学校；没写完的卡不会启动。",
}


def remedy(code: str, english: str, zh: bool) -> str:
    """What to do, in the reader's language; `english`: the error's own."""
    return CHINESE.get(code, english) if zh else english


def line(error: LessonBoxError, zh: bool) -> str:
    """`LessonBoxError.line`, what to do in the reader's language."""
    what = " ".join(error.what.split()).rstrip(".。")
    return (
        f"error {error.code}: {what}. {CHINESE[error.code]}" if zh and error.code in CHINESE else error.line()
    )
