#!/usr/bin/env python3
"""Make a large JSON-lines corpus from a small one, by repetition with edits.

    python3 scripts/make_bench_corpus.py INPUT OUT.jsonl[.zst] --bytes 2e9 --seed 0

INPUT is a file or a directory: `.txt` (one document per file), `.jsonl` and `.parquet` (field
`text`), `.gz` and `.zst` of the first two. Its documents are written again and again, as
`{"id", "text", "source"}`, until the texts hold `--bytes` bytes. From the second round on, the first
word of a document and about one in `--every` are replaced by pseudo-words, so that word caches and
duplicate detection meet fresh text, while lengths, scripts and letter frequencies stay those of the
input. The same arguments give the same texts. Memory holds one document at a time, of Parquet 64.

Needs `zstandard` for `.zst`, and `pyarrow` for `.parquet`.
"""

import argparse
import contextlib
import gzip
import io
import json
import random
import re
from pathlib import Path

WORD = re.compile(r"[^\W\d_]{3,}")
ENDINGS = (".txt", ".jsonl", ".parquet")


def open_input(path):
    if path.suffix == ".gz":
        return gzip.open(path, "rb")
    if path.suffix == ".zst":
        import zstandard

        return zstandard.open(path, "rb")
    return open(path, "rb")


def input_files(root):
    files = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
    kinds = [(path, Path(path.name.removesuffix(".gz").removesuffix(".zst")).suffix) for path in files]
    return [(path, kind) for path, kind in kinds if kind in ENDINGS]


def documents(files):
    """(source, text) of each document: the source is the row's own, or the file's name."""
    for path, kind in files:
        stem = path.name.split(".")[0]
        if kind == ".parquet":
            import pyarrow.parquet as pq

            for batch in pq.ParquetFile(path).iter_batches(batch_size=64):
                for row in batch.to_pylist():
                    yield row.get("source", stem), row["text"]
            continue
        with open_input(path) as file:
            if kind == ".txt":
                yield stem, file.read().decode("utf-8-sig")
                continue
            for line in io.TextIOWrapper(file, encoding="utf-8", newline="\n"):
                row = json.loads(line)
                yield row.get("source", stem), row["text"]


def edited(text, every, rng):
    """The text with its first word and about one word in `every` replaced by pseudo-words."""
    edits = 0

    def replace(match):
        nonlocal edits
        if edits and rng.random() * every >= 1:
            return match.group()
        edits += 1
        # Letters from just before: the script and the frequencies of this text.
        letters = [c for c in text[max(0, match.start() - 64) : match.end()] if c.isalpha()]
        return "".join(rng.choices(letters, k=len(match.group())))

    return WORD.sub(replace, text)


@contextlib.contextmanager
def open_output(path):
    with open(path, "wb") as file:
        if path.suffix != ".zst":
            yield file
            return
        import zstandard

        with zstandard.ZstdCompressor(level=3).stream_writer(file) as writer:
            yield writer


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("input", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--bytes", type=float, default=1e9, help="bytes of text to write (1e9)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=float, default=20, help="one word in this many is replaced (20)")
    args = parser.parse_args()

    files = [file for file in input_files(args.input) if file[0].resolve() != args.out.resolve()]
    rng = random.Random(args.seed)
    written = number = passes = 0
    with open_output(args.out) as out:
        while written < args.bytes:
            before = written
            for source, text in documents(files):
                if passes:
                    text = edited(text, args.every, rng)
                row = {"id": f"{passes}-{number}", "text": text, "source": source}
                out.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
                written += len(text.encode())
                number += 1
                if written >= args.bytes:
                    break
            if written == before:
                parser.error(f"{args.input} holds no text")
            passes += 1
    print(f"{number} documents, {written} bytes of text, {passes} passes")


if __name__ == "__main__":
    main()
