#!/usr/bin/env python3
"""Rebuild `fixtures/corpus` from two public collections of public-domain text.

    git clone https://github.com/computationalstylistics/100_english_novels SOURCES/100_english_novels
    git clone https://github.com/nltk/nltk_data SOURCES/nltk_data
    pip install pyarrow==26.0.1 zstandard==0.25.0
    python3 scripts/make_fixtures.py SOURCES [OUT]

OUT is `fixtures/corpus` unless given. Every choice is fixed here, so the same collections give the
same texts; the same package versions (above) and zlib give the same compressed bytes.
"""

import argparse
import gzip
import json
import random
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

# One book longer than a sequence of 131,072 tokens under the fixtures' tokenizer, one shorter.
BOOKS = {"rosary.txt": "Barclay_Rosary_1909", "treasure_island.txt": "Stevenson_Treasure_1883"}
# Inaugural addresses of these years, from Lincoln to Kennedy.
YEARS = range(1861, 1962)
RECORDS_PER_GZIP_MEMBER = 10
# The book that is cut into short texts, how much of it, and the log-normal law of their sizes.
PIECES_BOOK, PIECES_BYTES, PIECES_LOG_MEAN, PIECES_LOG_DEVIATION = "Doyle_Hound_1902", 110_000, 6.3, 1.1
# Sixteen languages in ten scripts, some with texts that NFC changes (Greek, Hindi, Vietnamese).
LANGUAGES = "arb cmn_hans deu ell_polytonic eng fra heb hin jpn kor pol rus spa tha tur vie".split()


def book(sources, name):
    """The text of a novel with LF line ends and without the byte order mark."""
    data = (sources / "100_english_novels" / "corpus" / f"{name}.txt").read_bytes()
    return data.decode("utf-8-sig").replace("\r\n", "\n")


def package(sources, name, wanted):
    """(stem, text) of the files in a zipped NLTK corpus whose stem is `wanted`, in order of names."""
    with zipfile.ZipFile(sources / "nltk_data" / "packages" / "corpora" / f"{name}.zip") as archive:
        for path in sorted(n for n in archive.namelist() if n.endswith(".txt")):
            if wanted(Path(path).stem):
                yield Path(path).stem, archive.read(path).decode("utf-8-sig").strip()


def speeches(sources):
    for stem, text in package(sources, "inaugural", lambda stem: int(stem[:4]) in YEARS):
        yield {"id": stem, "text": text, "source": "inaugural", "year": int(stem[:4])}


def pieces(text, rng):
    """Cuts a text at line ends into pieces whose sizes, in characters, are log-normal."""
    piece, want = [], rng.lognormvariate(PIECES_LOG_MEAN, PIECES_LOG_DEVIATION)
    for line in text.splitlines(keepends=True):
        piece.append(line)
        if sum(map(len, piece)) >= want:
            yield "".join(piece).strip()
            piece, want = [], rng.lognormvariate(PIECES_LOG_MEAN, PIECES_LOG_DEVIATION)
    yield "".join(piece).strip()


def short(sources):
    used = 0
    for number, text in enumerate(pieces(book(sources, PIECES_BOOK), random.Random(0))):
        used += len(text.encode())
        if used > PIECES_BYTES:
            return
        if text:
            yield {"id": f"hound-{number}", "text": text, "source": "novel"}


def declaration(sources):
    for stem, text in package(sources, "udhr2", LANGUAGES.__contains__):
        yield {"id": f"udhr-{stem}", "text": text, "source": "udhr", "language": stem}


def json_lines(rows):
    return [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "sources", type=Path, help="directory with the clones 100_english_novels and nltk_data"
    )
    parser.add_argument(
        "out", type=Path, nargs="?", default=Path(__file__).parent.parent / "fixtures" / "corpus"
    )
    args = parser.parse_args()

    (args.out / "books").mkdir(parents=True, exist_ok=True)
    for file, name in BOOKS.items():
        (args.out / "books" / file).write_bytes(book(args.sources, name).encode())

    lines = json_lines(speeches(args.sources))
    members = (lines[i : i + RECORDS_PER_GZIP_MEMBER] for i in range(0, len(lines), RECORDS_PER_GZIP_MEMBER))
    data = b"".join(gzip.compress(b"".join(member), 9, mtime=0) for member in members)
    (args.out / "speeches.jsonl.gz").write_bytes(data)

    data = b"".join(json_lines(short(args.sources)))
    (args.out / "short.jsonl.zst").write_bytes(zstandard.ZstdCompressor(level=19).compress(data))

    table = pa.Table.from_pylist(list(declaration(args.sources)))
    pq.write_table(
        table,
        args.out / "declaration.parquet",
        compression="zstd",
        compression_level=19,
        row_group_size=8,
        use_dictionary=False,
    )


if __name__ == "__main__":
    main()
