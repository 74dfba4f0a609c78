"""The manifest: what it says of the files is true, and its sums agree."""

import numpy as np
import pyarrow as pa
import pytest
from blake3 import blake3

KEYS = {
    "format_version", "dataset", "recipe_digest", "recipe", "seq_len", "boundary", "position_mode", "align",
    "rows_per_batch", "rows_per_shard", "batch_rows", "ids", "tokenizer", "inputs", "store", "plan",
    "documents", "shards", "ledger", "statistics",
}  # fmt: skip


def total(manifest, key):
    return sum(shard[key] for shard in manifest["shards"])


def test_the_manifest_has_the_documented_keys(manifest):
    assert KEYS == manifest.keys()
    assert manifest["boundary"] in ("direct", "eod", "adaptive", "hybrid")


def test_each_shard_is_as_the_manifest_says(shards, manifest):
    for shard, entry in zip(shards, manifest["shards"], strict=True):
        assert shard.stat().st_size == entry["n_bytes"], shard.name
        table = pa.ipc.open_file(pa.memory_map(str(shard))).read_all()
        boundaries = table["cu_seqlens"].to_pylist()
        assert table.num_rows == entry["n_rows"], shard.name
        assert sum(row[-1] for row in boundaries) == entry["n_tokens"], shard.name
        assert sum(len(row) - 1 for row in boundaries) == entry["n_segments"], shard.name


def test_hashes_match_the_files(path, manifest):
    for entry in [*manifest["shards"], *(manifest[key] for key in ("tokenizer", "plan", "documents"))]:
        content = (path / entry["name"]).read_bytes()
        assert len(content) == entry["n_bytes"], entry["name"]
        assert blake3(content).hexdigest() == entry["blake3"], entry["name"]


def test_the_id_of_the_dataset_is_the_hash_of_its_manifest(path, manifest):
    text = (path / "manifest.json").read_text()
    unnamed = text.replace(manifest["dataset"], "", 1)
    assert manifest["dataset"] == f"blake3:{blake3(unnamed.encode()).hexdigest()}"


def test_the_ledger_agrees_with_the_shards(manifest):
    slots, tokens = manifest["ledger"]["slots"], manifest["ledger"]["total"]["tokens"]
    assert slots["sequences"] == total(manifest, "n_rows")
    assert slots["total"] == total(manifest, "n_rows") * manifest["seq_len"]
    assert tokens["placed"] == total(manifest, "n_tokens")
    assert slots["total"] == tokens["placed"] + slots["padding_align"] + slots["padding_tail"]


def test_the_ledger_balances(manifest):
    tokens = manifest["ledger"]["total"]["tokens"]
    incoming = sum(tokens[key] for key in ("used", "repeated", "overlap", "eod_added"))
    assert incoming == sum(tokens[key] for key in ("placed", "truncated", "tail_dropped"))


def test_the_boundary_rule_sets_the_attention_of_each_row(dataset, manifest):
    full = np.array([row.full_attention for row in dataset])
    if manifest["boundary"] in ("direct", "eod"):
        assert full.all()
    elif manifest["boundary"] == "adaptive":
        assert not full.any()


def test_the_mask_token_is_never_in_a_sequence(dataset, manifest):
    if manifest["ids"]["mask"] is None:
        pytest.skip("the recipe names no mask token")
    if manifest["ids"]["mask"] == manifest["ids"]["pad"]:
        pytest.skip("padding is written with the mask token")
    for row in dataset:
        assert not (row.tokens == manifest["ids"]["mask"]).any()
