"""What teachers and technicians read about a problem: one Chinese sentence for each code."""

from __future__ import annotations

from content_sync.errors import LessonBoxError

_SENTENCES = {
    "E-SIGNATURE": "签名不对，不是本县发布的内容，已拒收，原有课程不受影响",
    "E-ROLLBACK": "比本机已有的目录旧，已拒收，原有课程不受影响",
    "E-TARGET": "文件与县里签名的不一致，已拒收，会再次获取",
    "E-ENVELOPE": "不是给本机的或比已有的旧，已拒收",
    "E-TRUST": "无法验证，已拒收，原有课程不受影响",
    "E-FORMAT": "内容损坏或由更新版本的程序生成，已拒收",
    "E-TOO-BIG": "超过允许的大小，没有读取",
    "E-TORRENT": "课程清单损坏或被改动，已拒收，请县里重新发布",
    "E-PATH": "课程里有不安全的文件名，已拒收，请县里重新发布",
    "E-LEAVES": "校验表损坏，已拒收，会再次获取",
    "E-LENGTH": "文件长度与校验值不符，已拒收",
    "E-LESSON": "课程说明有误，请县里重新发布这一课",
    "E-DISK-FULL": "磁盘空间不足：请清理或换更大的磁盘，已有课程不受影响",
    "E-STORAGE": "磁盘读写出错：请检查磁盘和连接线",
    "E-DROP": "接收文件夹读不到：请检查共享、连接线和权限，本机会自动再试，已有课程不受影响",
    "E-ARCHIVE": "压缩包里有读不出的文件，能读的已收下",
    "E-ROT": "存储卡上有文件损坏，这一课暂时收起，正在重新获取损坏的部分",
    "E-DISK-FAILING": "存储卡或硬盘上的文件接连损坏：请尽快更换",
    "E-LOCAL": "本校资料没有办成，县里的课不受影响，请在“本校资料”里再试一次",
    "E-NETWORK": "连不上县服务器：请检查网线和网络，本机会自动重试",
    "E-BUDGET": "今天或本月的流量用完了，到时候自动继续",
    "E-NOT-FOUND": "县服务器上找不到需要的文件",
}


def sentence(error: LessonBoxError) -> str:
    """The sentence for people, with what happened in brackets."""
    known = _SENTENCES.get(error.code, "出现问题")
    return f"{known}（{' '.join(error.what.split())[:300]}）"
