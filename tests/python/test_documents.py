"""From tokens back to text: every document lies in the sequences whole, and is what was in its file."""

import gzip
import json
import unicodedata
from collections import defaultdict

import numpy as np
import polars as pl
import pytest
import xxhash
import zstandard
from conftest import ROOT
from tokenizers import Tokenizer

COLUMNS = [
    "document", "source", "file", "record", "byte_start", "byte_end", "hash", "text_bytes", "n_tokens",
    "n_placed",
]  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer(path, manifest):
    return Tokenizer.from_file(str(path / manifest["tokenizer"]["name"]))


@pytest.fixture(scope="module")
def segments(dataset):
    """document -> its segments as (start, tokens), by start."""
    found = defaultdict(list)
    for row in dataset:
        for (first, end), document, start in zip(
            row.spans(), row.segment_document, row.segment_start, strict=True
        ):
            found[int(document)].append((int(start), row.tokens[first:end]))
    return {document: sorted(parts, key=lambda part: part[0]) for document, parts in found.items()}


@pytest.fixture(scope="module")
def tokens(manifest, documents, segments):
    """document -> its tokens without EOD, where each document is used once and whole."""
    total = manifest["ledger"]["total"]
    partial = [total["tokens"][key] for key in ("repeated", "overlap", "truncated", "tail_dropped")]
    if any(partial):
        pytest.skip("documents of this dataset are repeated or incomplete")
    n_tokens = dict(documents.select("document", "n_tokens").iter_rows())
    return {d: np.concatenate([part for _, part in parts])[: n_tokens[d]] for d, parts in segments.items()}


@pytest.fixture(scope="module")
def texts(documents):
    """document -> its text, read from the fixtures by the origin that the documents table names."""
    files = {file.name: file for file in (ROOT / "fixtures" / "corpus").rglob("*") if file.is_file()}
    cache = {}

    def text(file, record, byte_start, byte_end):
        name = file.rsplit("/", 1)[-1]
        if name not in files:
            pytest.skip(f"{file} is not in the fixtures")
        if name not in cache:
            cache[name] = content(files[name])
        data = cache[name]
        if isinstance(data, pl.Series):
            return data[record]
        data = data[byte_start:byte_end]
        return json.loads(data)["text"] if ".jsonl" in name else data.decode()

    rows = documents.select("document", "file", "record", "byte_start", "byte_end").iter_rows()
    return {document: text(*origin) for document, *origin in rows}


def content(file):
    """The decompressed bytes of a fixture; of Parquet, its texts."""
    if file.suffix == ".parquet":
        return pl.read_parquet(file)["text"]
    data = file.read_bytes()
    return {".gz": gzip.decompress, ".zst": zstandard.decompress}.get(file.suffix, bytes)(data)


def test_the_documents_table_has_the_documented_columns(documents):
    assert documents.columns[: len(COLUMNS)] == COLUMNS
    assert documents["document"].to_list() == list(range(documents.height))
    nulls = documents.select(COLUMNS).null_count().row(0, named=True)
    # Records of Parquet and Arrow files have no byte range.
    assert nulls.pop("byte_start") == nulls.pop("byte_end")
    assert not any(nulls.values())


def test_metadata_are_columns(documents):
    metadata = documents.columns[len(COLUMNS) :]
    if "year" not in metadata:
        pytest.skip("not the demo recipe")
    speeches = documents.filter(pl.col("source") == "speeches")
    assert speeches["year"].min() >= 1900 and speeches["year"].dtype == pl.Int64
    assert documents.filter(pl.col("source") == "books")["year"].is_null().all()


@pytest.mark.usefixtures("tokens")
def test_the_segments_of_a_document_tile_it(documents, segments, manifest):
    n_tokens = dict(documents.select("document", "n_tokens").iter_rows())
    with_eod = set()
    for document, parts in segments.items():
        at = 0
        for start, part in parts:
            assert start == at, f"document {document}: tokens {at}..{start} are missing or twice"
            at += len(part)
        with_eod.add(at - n_tokens[document])
        if at > n_tokens[document]:
            assert parts[-1][1][-1] == manifest["ids"]["eod"]
    total = manifest["ledger"]["total"]
    assert with_eod == {int(total["tokens"]["eod_added"] > 0)}, "an EOD follows each document or none"
    assert len(segments) == total["documents"]["used"]


def test_n_placed_counts_the_tokens_in_sequences(documents, segments):
    for document, n_placed in documents.select("document", "n_placed").iter_rows():
        assert n_placed == sum(len(part) for _, part in segments.get(document, [])), f"document {document}"


def test_decoding_gives_back_the_source_text(tokens, texts, tokenizer):
    for document, ids in tokens.items():
        decoded = tokenizer.decode(ids.tolist(), skip_special_tokens=False)
        assert decoded == unicodedata.normalize("NFC", texts[document]), f"document {document}"


def test_ids_are_those_of_the_reference_tokenizer(tokens, texts, tokenizer):
    special = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    for document, ids in tokens.items():
        text = texts[document]
        if not any(name in text for name in special):
            expected = tokenizer.encode(text, add_special_tokens=False).ids
            assert ids.tolist() == expected, f"document {document}"


def test_text_bytes_count_the_text_before_normalisation(documents, texts):
    for document, text_bytes in documents.select("document", "text_bytes").iter_rows():
        assert text_bytes == len(texts[document].encode()), f"document {document}"


def test_hashes_are_those_of_the_texts(documents, texts):
    for document, value in documents.select("document", "hash").iter_rows():
        found = value.hex() if isinstance(value, bytes) else value
        assert found == xxhash.xxh3_128_hexdigest(texts[document].encode()), f"document {document}"
