"""Rows as the reader sees them: boundaries, what is derived from them, and padding."""

import numpy as np
import pytest


def test_boundaries_ascend_and_match_the_segments(dataset, documents, manifest):
    for row in dataset:
        cu_seqlens = row.cu_seqlens.astype(np.int64)
        assert cu_seqlens[0] == 0 and (np.diff(cu_seqlens) > 0).all()
        assert cu_seqlens[-1] <= manifest["seq_len"]
        assert len(row.segment_document) == len(row.segment_start) == len(cu_seqlens) - 1
        assert (row.segment_start >= 0).all()
        assert (row.segment_document < documents.height).all()


def test_segments_lie_behind_one_another(dataset, manifest):
    for row in dataset:
        ends = [int(end) for _, end in row.spans()]
        assert (row.offsets >= [0, *ends[:-1]]).all()
        assert ends[-1] <= manifest["seq_len"]


def test_padding_holds_the_padding_token(dataset, manifest):
    for row in dataset:
        assert (row.tokens[row.segment_ids() == 0] == manifest["ids"]["pad"]).all()


def test_segment_ids_count_the_tokens_of_each_segment(dataset):
    for row in dataset:
        counts = np.bincount(row.segment_ids())
        assert counts[1:].tolist() == np.diff(row.cu_seqlens).tolist()
        assert counts.sum() == len(row.tokens)


@pytest.mark.parametrize("mode", ["sequence", "segment", "document"])
def test_positions_count_up_within_a_segment(dataset, mode):
    for row in dataset:
        positions = row.position_ids(mode)
        for (first, end), start in zip(row.spans(), row.segment_start, strict=True):
            origin = {"sequence": first, "segment": 0, "document": start}[mode]
            assert positions[first] == origin and (np.diff(positions[first:end]) == 1).all()


def test_attention_stays_within_a_segment_unless_it_is_full(dataset):
    for row in dataset:
        # A window around a boundary: the end of the first segment and what follows it.
        end = int(row.offsets[0] + row.cu_seqlens[1])
        window = slice(max(0, end - 4), min(end + 4, len(row.tokens)))
        ids = row.segment_ids()[window]
        mask = row.mask(window, window)
        assert (mask == mask.T).all()
        for q, query in enumerate(ids):
            for k, key in enumerate(ids):
                sees = query > 0 and key > 0 and (row.full_attention or query == key)
                assert mask[q, k] == sees


def test_indices_outside_the_dataset_are_refused(dataset):
    for index in (-1, len(dataset)):
        with pytest.raises(IndexError):
            dataset[index]
