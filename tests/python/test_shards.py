"""Shards are plain Arrow IPC files: zero-copy in pyarrow and numpy, readable by polars and duckdb."""

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa

PREFIX = "ultrapack."
REQUIRED_METADATA = {
    "format_version", "seq_len", "rows_per_batch", "vocab_size", "eod_id", "pad_id", "mask_id", "boundary",
    "position_mode", "align", "tokenizer_digest", "recipe_digest", "plan_digest", "shard_index",
}  # fmt: skip


def list_of(value_type):
    return pa.list_(pa.field("item", value_type, nullable=False))


def expected_fields(seq_len, aligned):
    types = {
        "tokens": pa.list_(pa.field("item", pa.uint32(), nullable=False), seq_len),
        "cu_seqlens": list_of(pa.int32()),
        "segment_document": list_of(pa.uint64()),
        "segment_start": list_of(pa.int64()),
        "full_attention": pa.bool_(),
    }
    if aligned:
        types["cu_seqlens_padded"] = list_of(pa.int32())
    return {name: pa.field(name, type, nullable=False) for name, type in types.items()}


def metadata(schema):
    pairs = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    return {key.removeprefix(PREFIX): value for key, value in pairs.items() if key.startswith(PREFIX)}


def buffers_of(array):
    """The buffers of an array that hold something; an absent validity bitmap is `None`."""
    return [buffer for buffer in array.buffers() if buffer is not None and buffer.size > 0]


def test_pyarrow_reads_every_shard_without_allocating(shards):
    for shard in shards:
        source = pa.memory_map(str(shard))
        map_start = source.read_buffer(source.size()).address
        source.seek(0)
        before = pa.total_allocated_bytes()
        file = pa.ipc.open_file(source)
        batches = [file.get_batch(i) for i in range(file.num_record_batches)]
        assert pa.total_allocated_bytes() == before, shard.name
        for batch in batches:
            batch.validate(full=True)
            for column in batch.columns:
                for buffer in buffers_of(column):
                    offset = buffer.address - map_start
                    assert 0 <= offset <= source.size() - buffer.size, "a buffer lies outside the map"
                    assert offset % 64 == 0 and buffer.address % 64 == 0, "a buffer is not 64-byte aligned"


def test_numpy_views_the_tokens_of_a_batch_as_rows(shards, manifest):
    seq_len = manifest["seq_len"]
    for shard in shards:
        file = pa.ipc.open_file(pa.memory_map(str(shard)))
        for i in range(file.num_record_batches):
            column = file.get_batch(i)["tokens"]
            tokens = column.values.to_numpy(zero_copy_only=True).reshape(-1, seq_len)
            assert tokens.shape == (len(column), seq_len) and tokens.dtype == np.uint32
            assert not tokens.flags.writeable and not tokens.flags.owndata
            assert tokens.max() < manifest["ids"]["vocab_size"]


def test_the_schema_is_the_documented_one(tables, manifest):
    for table in tables:
        fields = {field.name: field for field in table.schema}
        aligned = "cu_seqlens_padded" in fields
        assert fields == expected_fields(manifest["seq_len"], aligned)
        assert aligned == (manifest["align"] > 1)


def test_the_schema_metadata_agree_with_the_manifest(tables, manifest):
    for index, table in enumerate(tables):
        found = metadata(table.schema)
        assert REQUIRED_METADATA <= found.keys()
        assert int(found["shard_index"]) == index
        for key in ("format_version", "seq_len", "rows_per_batch", "boundary", "position_mode", "align"):
            assert found[key] == str(manifest[key]), key
        ids = manifest["ids"]
        assert int(found["vocab_size"]) == ids["vocab_size"]
        for name in ("eod", "pad", "mask"):
            assert found[f"{name}_id"] == ("none" if ids[name] is None else str(ids[name])), name
        assert found["recipe_digest"] == manifest["recipe_digest"]
        for key in ("tokenizer", "plan"):
            assert found[f"{key}_digest"] == f"blake3:{manifest[key]['blake3']}", key


def test_all_batches_but_the_last_hold_the_same_number_of_rows(shards, manifest):
    rows = max(1, 8 * 2**20 // (4 * manifest["seq_len"]))
    assert manifest["rows_per_batch"] == rows
    for shard in shards:
        file = pa.ipc.open_file(pa.memory_map(str(shard)))
        sizes = [file.get_batch(i).num_rows for i in range(file.num_record_batches)]
        assert all(size == rows for size in sizes[:-1]) and 0 < sizes[-1] <= rows


def test_polars_reads_the_same_rows(shards, tables):
    for shard, table in zip(shards, tables, strict=True):
        frame = pl.read_ipc(shard)
        assert frame.shape == (table.num_rows, table.num_columns)
        for name in table.column_names:
            assert frame[name].to_arrow().to_pylist() == table[name].to_pylist(), name


def test_polars_scans_one_column(shards, tables):
    for shard, table in zip(shards, tables, strict=True):
        frame = pl.scan_ipc(shard).select(pl.col("cu_seqlens").list.last().alias("n_tokens")).collect()
        assert frame["n_tokens"].to_list() == [row[-1] for row in table["cu_seqlens"].to_pylist()]


def test_duckdb_counts_and_slices(tables, dataset, manifest):
    shard = pa.concat_tables([table.replace_schema_metadata() for table in tables])
    connection = duckdb.connect()
    connection.register("shard", shard)
    query = "select count(*), sum(len(cu_seqlens) - 1), sum(cu_seqlens[-1]) from shard"
    expected = [
        sum(entry[key] for entry in manifest["shards"]) for key in ("n_rows", "n_segments", "n_tokens")
    ]
    assert list(connection.execute(query).fetchone()) == expected
    last = len(dataset) - 1
    head = connection.execute(f"select tokens[1:8] from shard limit 1 offset {last}").fetchone()[0]
    assert list(head) == dataset[last].tokens[:8].tolist()
