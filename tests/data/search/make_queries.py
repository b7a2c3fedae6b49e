# ruff: noqa: E501 (rows of words)
"""Writes queries.tsv: what teachers type, and what they mean by it. Each line: kind, query, meaning.

The meaning is Chinese (or Latin) words, every one of which a wanted lesson has; it is written by hand where it
differs from the query, so that no converter judges itself.
"""

from __future__ import annotations

from pathlib import Path

PLAIN = {
    "one": "春 水 光 圆 角 诗 猫 桥 秋 雨 月 山 花 雪 鸟 米 秒 倍 吨 梯 声 马 蛙 钟 船 鹅 电 氧 鲁 画",
    "two": "数学 古诗 面积 周长 分数 方程 小数 乘法 口诀 认识 秋天 燕子 荷花 春节 草原 观潮 琥珀 白鹅 跳水 穷人 匆匆 寒食 竹石 比例 圆柱"
    " 折扣 扇形 空气 天气 地震 火山 语文 英语 科学 音乐 美术 体育 鲁迅 长征 细胞 地球 气候 数轴 矩形 噪声 电流 氧气 春天 妈妈 太阳",
    "part": "天门山 西沙群 小兴安 夜思 小的船 蝌蚪找 鹳雀 庐山瀑 火柴的小 子里旅行 肚子里 三角形的面 四边形 乘法口 的乘法口诀 位数乘"
    " 时计时法 百草园 承天寺 岳阳 勾股 一元二次 元二次 欧姆 显微 丝绸 位置关系 化合 二氧化 平均速 三年级 上册 第六单元 课时 复习课 人教 统编 小学 初中",
    "title": "静夜思 望天门山 富饶的西沙群岛 听听，秋的声音 听听秋的声音 心中的“110” 心中的110 我的“长生果” 习作：这儿真美 长方形和正方形的周长"
    " 卖火柴的小女孩 从百草园到三味书屋 狼牙山五壮士 圆明园的毁灭 草船借箭 一元一次方程的解法 勾股定理的逆定理 直线和圆的位置关系"
    " 什么比猎豹的速度更快 七律·长征 天净沙·秋思 父亲、树林和鸟 年月日 认识钟表 水到哪里去了",
    "latin": "unit UNIT4 unit4 hello animals love dna DNA wps scratch ai 3d CO2 c60 C60 110 24 50米 50 7的乘 9加几 let's monday mondays"
    " soccer gina section section-a part aoe bpmf zhchshr colour favourite what's 10的认识 0的",
    "words": "三年级+数学 三年级+语文+西沙 语文+三年级+上册 数学+面积 面积+课件 静夜思+课件 视频+数学+六年级 unit+animals 圆+周长 人教版+分数 北师大+面积"
    " 五年级+方程 七年级+春 鲁迅+六年级 绝句+二年级 初中+物理+光 化学+空气 试题+分数 四年级+角 统编版+燕子 数学+周长+微课 英语+colours 九年级+圆"
    " 语文+第一课时+荷花 复习课+圆柱 六年级+草原 二年级+口诀+视频 乘法+7 音乐+妈妈 秋+雨",
}  # fmt: skip
MEANT = {
    "wide": "ｕｎｉｔ　４=unit 4|ＤＮＡ=dna|１１０=110|ＣＯ２=co2|２４时=24时|５０米=50米|ＷＰＳ=wps|７的=7的|ｈｅｌｌｏ=hello|三年级　数学=三年级 数学",
    "traditional": "靜夜思=静夜思|數學=数学|語文=语文|圓的面積=圆的面积|認識鐘錶=认识钟表|長方形=长方形|望廬山瀑布=望庐山瀑布|賣火柴=卖火柴|燕子=燕子|鳥=鸟"
    "|魯迅=鲁迅|開國大典=开国大典|圖形=图形|體積=体积|線段=线段|電流=电流|細胞=细胞|歷史=历史|趙州橋=赵州桥|聲音=声音|課時=课时|三年級=三年级"
    "|陶罐和鐵罐=陶罐和铁罐|腊八=腊八|嶽陽樓記=岳阳楼记",
    "pinyin": "jingyesi=静夜思|jing ye si=静夜思|wangtianmenshan=望天门山|xishaqundao=西沙群岛|haibin=海滨|changfangxing=长方形|mianji=面积|zhouchang=周长"
    "|fangcheng=方程|renshizhongbiao=认识钟表|kou jue=口诀|xiao xing an ling=小兴安岭|caoyuan=草原|guanchao=观潮|zhaozhouqiao=赵州桥"
    "|langyashan=狼牙山|caochuanjiejian=草船借箭|gougudingli=勾股定理|xibao=细胞|ou mu ding lü=欧姆定律|yueyanglou=岳阳楼|yinyue=音乐|meishu=美术|shengyin=声音"
    "|jìng yè sī=静夜思|kuailexuexi=快乐学习|diqiuyi=地球仪|xianweijing=显微镜",
    "initials": "jys=静夜思|wtms=望天门山|xsqd=西沙群岛|hbxc=海滨小城|xxdc=小小的船|mhcdxnh=卖火柴的小女孩|cfx=长方形|sjxdmj=三角形的面积|ydmj=圆的面积"
    "|rszb=认识钟表|cfkj=乘法口诀|7dcfkj=7的乘法口诀|xxal=小兴安岭|ccjj=草船借箭|lyswzs=狼牙山五壮士|ymydhm=圆明园的毁灭|bdjyw=不懂就要问|ggdl=勾股定理"
    "|yyyc=一元一次|yylj=岳阳楼记|bcydswsw=百草园到三味书屋|omdl=欧姆定律|zxmd=自相矛盾|szdt=守株待兔|jwth=精卫填海|pgktd=盘古开天地|nwbt=女娲补天"
    "|qlcz=七律长征|kgdd=开国大典|lbz=腊八粥|bjdcj=北京的春节|xmgh=小马过河|zjgt=坐井观天|hhn=寒号鸟",
}  # fmt: skip


def main() -> None:
    """Write the file beside this one."""
    lines = [
        (kind, query.replace("+", " "), query.replace("+", " "))
        for kind, queries in PLAIN.items()
        for query in queries.split()
    ]
    for kind, pairs in MEANT.items():
        lines += [(kind, *pair.split("=")) for pair in pairs.split("|")]
    with Path(__file__).with_name("queries.tsv").open("w", encoding="utf-8") as out:
        out.writelines("\t".join(line) + "\n" for line in lines)
    print(len(lines))


if __name__ == "__main__":
    main()
