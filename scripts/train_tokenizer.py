#!/usr/bin/env python3
"""Train the fixtures' tokenizer on `fixtures/corpus`: byte-level BPE in the shape of LLaDA's.

    pip install tokenizers==0.23.3 pyarrow==26.0.1 zstandard==0.25.0
    python3 scripts/train_tokenizer.py [OUT.json]

Only the vocabulary, the merges and the ids of the special tokens differ from LLaDA-8B's
`tokenizer.json`; normaliser, pattern, flags and the form of the merges are the same. The result is
deterministic: texts are read in a fixed order and the trainer breaks ties by id.
"""

import argparse
import gzip
import json
from pathlib import Path

import pyarrow.parquet as pq
import zstandard
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

ROOT = Path(__file__).parent.parent
VOCAB_SIZE = 8192
PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*"
    r"|\s*[\r\n]|\s+(?!\S)|\s+"
)
# LLaDA's names, in the order of their ids there; here they are the last ids.
SPECIAL_TOKENS = [
    "<|startoftext|>", "<|endoftext|>", "[CLS]", "[gMASK]",
    "<|mdm_mask|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
]  # fmt: skip


def texts(corpus):
    """Every text of the corpus, in a fixed order."""
    for path in sorted((corpus / "books").glob("*.txt")):
        yield path.read_bytes().decode()
    lines = gzip.decompress((corpus / "speeches.jsonl.gz").read_bytes()).splitlines()
    lines += zstandard.ZstdDecompressor().decompress((corpus / "short.jsonl.zst").read_bytes()).splitlines()
    for line in lines:
        yield json.loads(line)["text"]
    yield from pq.read_table(corpus / "declaration.parquet")["text"].to_pylist()


def train(corpus):
    """The base vocabulary (token -> id) and the merges, without special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    # The alphabet makes all 256 bytes tokens, so that every text can be written.
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - len(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(corpus), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], model["merges"]


def byte_level(add_prefix_space, trim_offsets, use_regex):
    return {
        "type": "ByteLevel",
        "add_prefix_space": add_prefix_space,
        "trim_offsets": trim_offsets,
        "use_regex": use_regex,
    }


def document(vocab, merges):
    """The whole `tokenizer.json`, field by field as in LLaDA's file."""
    added = [
        {
            "id": id,
            "content": content,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for id, content in enumerate(SPECIAL_TOKENS, start=len(vocab))
    ]
    split = {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level(False, True, False)]},
        # As in LLaDA's file: a byte-level post-processor only trims offsets, it adds no token.
        "post_processor": byte_level(True, False, True),
        "decoder": byte_level(True, True, True),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": vocab,
            # Byte-level tokens hold no space, so "a b" is unambiguous.
            "merges": [" ".join(merge) for merge in merges],
        },
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = ROOT / "fixtures" / "tokenizer" / "tokenizer.json"
    parser.add_argument("out", type=Path, nargs="?", default=default)
    args = parser.parse_args()
    vocab, merges = train(ROOT / "fixtures" / "corpus")
    data = json.dumps(document(vocab, merges), ensure_ascii=False, separators=(",", ":"))
    args.out.write_text(data + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
