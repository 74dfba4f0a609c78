"""Reads an Ultrapack dataset with pyarrow and numpy alone. Copy it; nothing else is needed.

A shard is an Arrow IPC file, mapped into memory: opening reads the footer, and the tokens of a row
are a view of the file. For PyTorch: `torch.from_numpy(row.tokens.astype("int64"))`.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class Row:
    """One sequence; `n` is its number of segments."""

    tokens: np.ndarray  # uint32 [seq_len], read-only view of the file
    cu_seqlens: np.ndarray  # int32 [n + 1]: 0, then the running sum of segment lengths
    offsets: np.ndarray  # int32 [n]: position of each segment's first token
    segment_document: np.ndarray  # uint64 [n]: row of documents.parquet
    segment_start: np.ndarray  # int64 [n]: offset in the document, in tokens
    full_attention: bool  # every token sees every token, not only its segment

    def spans(self):
        """(first, end) position of each segment."""
        return zip(self.offsets, self.offsets + np.diff(self.cu_seqlens), strict=True)

    def segment_ids(self):
        """int32 [seq_len]: 1, 2, ... per segment, 0 = padding."""
        ids = np.zeros(len(self.tokens), np.int32)
        for number, (first, end) in enumerate(self.spans(), start=1):
            ids[first:end] = number
        return ids

    def position_ids(self, mode="sequence"):
        """int32 [seq_len]: counted by "sequence", "segment" or "document"; 0 = padding."""
        ids = np.zeros(len(self.tokens), np.int32)
        for (first, end), start in zip(self.spans(), self.segment_start, strict=True):
            origin = {"sequence": first, "segment": 0, "document": start}[mode]
            ids[first:end] = np.arange(origin, origin + end - first)
        return ids

    def mask(self, queries, keys):
        """bool [queries, keys]: who attends to whom; slices, since the whole is seq_len squared."""
        ids = self.segment_ids()
        q, k = ids[queries, None], ids[None, keys]
        return (q > 0) & (k > 0) & (self.full_attention | (q == k))


class Dataset:
    """The rows of all shards, in order."""

    def __init__(self, path):
        path = Path(path)
        self.manifest = json.loads((path / "manifest.json").read_text())
        self.batches = []
        for shard in self.manifest["shards"]:
            file = pa.ipc.open_file(pa.memory_map(str(path / shard["name"])))
            self.batches += [file.get_batch(i) for i in range(file.num_record_batches)]
        self.ends = np.cumsum([batch.num_rows for batch in self.batches])

    def __len__(self):
        return int(self.ends[-1]) if len(self.ends) else 0

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(index)
        at = int(np.searchsorted(self.ends, index, side="right"))
        batch, row = self.batches[at], index - int(self.ends[at]) + self.batches[at].num_rows
        names = ["tokens", "cu_seqlens", "segment_document", "segment_start"]
        # A shard of aligned segments says where each one starts; otherwise they adjoin.
        names.append("cu_seqlens_padded" if "cu_seqlens_padded" in batch.schema.names else "cu_seqlens")
        tokens, cu_seqlens, document, start, starts = (
            batch[name][row].values.to_numpy(zero_copy_only=True) for name in names
        )
        return Row(tokens, cu_seqlens, starts[:-1], document, start, batch["full_attention"][row].as_py())
