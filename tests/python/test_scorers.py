"""The scorers of `ultrapack score` against the Python packages that published evaluations call.

The rules around the packages (what is lower-cased, stripped, split) are written here a second time, from
LongBench's and NeedleBench's descriptions, so that an error would have to be made twice.
"""

import json
import os
import random
import re
import string
import subprocess
from collections import Counter
from pathlib import Path

import jieba
import pytest
from rapidfuzz import fuzz
from rapidfuzz.distance import Levenshtein
from rouge import Rouge

ROOT = Path(__file__).parents[2]
PROGRAM = os.environ.get("ULTRAPACK", ROOT / "target" / "debug" / "ultrapack")
N_PAIRS = 400

ENGLISH = (
    "the a an cat sat on mat The Cat's 3.5 12 Paragraph well-known x=1; _under_ e.g. naïve Ünïcode résumé "
    "island is . . , ! \"quoted\" (in) ﬁne ² café I'm a_b the"
).split()
CHINESE = list("的一是不了在人有我他这中大来上个国到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可") + (
    "北京 清华大学 中国科学院 段落12 今天天气 很好 研究生命起源 长江大桥 ， 。 《 》 （ ） ！ “ ” 、 2023年 GPT-4 ok 会议 总结 新闻 类别".split()
)


def score(lines):
    """The program's scores, 0..100, of `(gold, prediction)` pairs."""
    text = "".join(json.dumps({"gold": gold, "prediction": p}, ensure_ascii=False) + "\n" for gold, p in lines)
    done = subprocess.run([PROGRAM, "score", "--json"], input=text.encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    scores = json.loads(done.stdout)["scores"]
    assert len(scores) == len(lines)
    return scores


def english(rng):
    words = [rng.choice(ENGLISH) for _ in range(rng.randrange(25))]
    return rng.choice([" ", " ", "\n", "  "]).join(words) + rng.choice(["", ".", "\n\n", " "])


def chinese(rng):
    return "".join(rng.choice(CHINESE) for _ in range(rng.randrange(30))) + rng.choice(["", "。", ".", " \n"])


def near(rng, text):
    """`text` with some of its characters left out, doubled or moved."""
    characters = list(text)
    for _ in range(rng.randrange(6)):
        if characters:
            at = rng.randrange(len(characters))
            characters[at : at + 1] = rng.choice([[], characters[at] * 2, [" "], ["."]])
    return "".join(characters)


def pairs(make, seed):
    """References with predictions, of which half resemble their reference; some are empty."""
    rng = random.Random(seed)
    for _ in range(N_PAIRS):
        reference = make(rng)
        prediction = near(rng, reference) if rng.random() < 0.5 else make(rng)
        yield reference, "" if rng.random() < 0.03 else prediction


def compare(metric, make, expected, seed, **gold):
    cases = list(pairs(make, seed))
    found = score([({"metric": metric, "references": [r], **gold}, p) for r, p in cases])
    different = [
        (r, p, f["value"], 100 * expected(p, r))
        for (r, p), f in zip(cases, found, strict=True)
        if abs(f["value"] - 100 * expected(p, r)) > 1e-6
    ]
    assert not different, f"{len(different)} of {len(cases)}, first: {different[0]}"
    assert len({round(f["value"], 3) for f in found}) > 5, "the pairs do not tell the rules apart"


def bag_f1(prediction, reference):
    same = sum((Counter(prediction) & Counter(reference)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(prediction), same / len(reference)
    return 2 * precision * recall / (precision + recall)


def squad_words(text):
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


ZH_PUNCTUATION = set(
    string.punctuation
    + "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏."
)


def jieba_words(text):
    words = ("".join("".join(c for c in w.lower() if c not in ZH_PUNCTUATION).split()) for w in jieba.cut(text))
    return [word for word in words if word]


def rouge_l(prediction, reference):
    try:
        return Rouge().get_scores([prediction], [reference], avg=True)["rouge-l"]["f"]
    except ValueError:  # no sentence in one of them
        return 0.0


def spaced(text):
    return " ".join(jieba.cut(text))


def code(prediction, reference):
    lines = prediction.lstrip("\n").split("\n")
    line = next((x for x in lines if not ("`" in x or "#" in x or "//" in x)), "")
    if line == reference:
        return 1.0
    return round(fuzz.ratio(line, reference)) / 100 if line and reference else 0.0


def code_text(rng):
    parts = ["x = 1", "# c", "return a[i]", "`", "// d", "\n", "\n", "if (a) {", "}", "é", "    "]
    return "".join(rng.choice(parts) for _ in range(rng.randrange(8)))


def share_of_numbers(prediction, number):
    numbers = re.findall(r"\d+", prediction)
    return sum(n == number for n in numbers) / len(numbers) if numbers else 0.0


def test_f1_is_that_of_squad():
    compare("f1", english, lambda p, r: bag_f1(squad_words(p), squad_words(r)), 1)


def test_chinese_f1_is_over_the_words_of_jieba():
    compare("f1_zh", chinese, lambda p, r: bag_f1(jieba_words(p), jieba_words(r)), 2)


def test_rouge_l_is_that_of_the_package():
    compare("rouge_l", english, rouge_l, 3)


def test_chinese_rouge_l_is_that_of_the_package_over_the_words_of_jieba():
    compare("rouge_l_zh", chinese, lambda p, r: rouge_l(spaced(p), spaced(r)), 4)


def test_code_similarity_is_the_rounded_ratio_of_the_package():
    compare("code", code_text, code, 5)


def test_a_needle_missed_earns_a_fifth_of_its_levenshtein_similarity():
    def expected(prediction, needle):
        if "Ghost Pearl" in prediction:
            return 1.0
        a, b = re.sub(r"\s+", "", prediction), re.sub(r"\s+", "", needle)
        longest = max(len(a), len(b))
        return 0.2 * (1 - Levenshtein.distance(a, b) / longest if longest else 1)

    rng = random.Random(6)
    cases = [(needle or "x", rng.choice(["", "", "Ghost Pearl"]) + p) for needle, p in pairs(english, 6)]
    found = score([({"metric": "needle", "references": ["Ghost Pearl", needle]}, p) for needle, p in cases])
    for (needle, prediction), one in zip(cases, found, strict=True):
        assert one["value"] == pytest.approx(100 * expected(prediction, needle), abs=1e-6)
        assert one["exact"] == ("Ghost Pearl" in prediction)


@pytest.mark.parametrize("metric, mark", [("count", ""), ("retrieval", "Paragraph "), ("retrieval_zh", "段落")])
def test_numbers_are_found_as_python_finds_them(metric, mark):
    rng = random.Random(7)
    parts = ["3", "12", "12 ", "٣", "１２", "²", "Paragraph ", "段落", "x", ", ", "-", "\n"]
    cases = [
        (rng.choice(["3", "12"]), "".join(rng.choice(parts) for _ in range(rng.randrange(9)))) for _ in range(N_PAIRS)
    ]
    found = score([({"metric": metric, "references": [mark + number]}, p) for number, p in cases])
    for (number, prediction), one in zip(cases, found, strict=True):
        assert one["value"] == pytest.approx(100 * share_of_numbers(prediction, number)), prediction


def test_classes_are_counted_as_the_published_loop_counts_them():
    def expected(prediction, reference, classes):
        found = [name for name in classes if name in prediction]
        for name in found:  # while the list changes: so it is published
            if name in reference and name != reference:
                found.remove(name)
        return 1 / len(found) if reference in found else 0.0

    rng = random.Random(8)
    names = ["number", "Other", "Other number", "Other entity", "entity", "City", "Ci", "er num"]
    cases = []
    for _ in range(N_PAIRS):
        classes = rng.sample(names, rng.randrange(2, len(names)))
        prediction = " ".join(rng.choice(names) for _ in range(rng.randrange(4)))
        cases.append((rng.choice(classes), classes, prediction))
    lines = [({"metric": "class", "references": [r], "classes": c}, p) for r, c, p in cases]
    for (reference, classes, prediction), one in zip(cases, score(lines), strict=True):
        assert one["value"] == pytest.approx(100 * expected(prediction, reference, classes))


def test_only_the_first_line_is_judged_where_the_gold_says_so():
    cases = list(pairs(english, 9))
    lines = [({"metric": "f1", "references": [r or "x"], "first_line": True}, p) for r, p in cases]
    for (reference, prediction), one in zip(cases, score(lines), strict=True):
        line = prediction.lstrip("\n").split("\n")[0]
        assert one["value"] == pytest.approx(100 * bag_f1(squad_words(line), squad_words(reference or "x")))
