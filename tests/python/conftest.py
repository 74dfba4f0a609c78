"""The dataset under test: `ULTRAPACK_DATASET`, or `out/demo`, which the demo recipe writes."""

import os
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from reader import Dataset

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def path():
    path = Path(os.environ.get("ULTRAPACK_DATASET", ROOT / "out" / "demo"))
    if not (path / "manifest.json").is_file():
        pytest.exit(
            f"{path} holds no dataset; write it with `cargo run --release -- pack recipes/demo.yaml` "
            "or set ULTRAPACK_DATASET",
            returncode=2,
        )
    return path


@pytest.fixture(scope="session")
def dataset(path):
    return Dataset(path)


@pytest.fixture(scope="session")
def manifest(dataset):
    return dataset.manifest


@pytest.fixture(scope="session")
def shards(path, manifest):
    """The path of each shard, in order."""
    return [path / shard["name"] for shard in manifest["shards"]]


@pytest.fixture(scope="session")
def tables(shards):
    """Each shard as a pyarrow table over the mapped file."""
    return [pa.ipc.open_file(pa.memory_map(str(shard))).read_all() for shard in shards]


@pytest.fixture(scope="session")
def documents(path, manifest):
    return pl.read_parquet(path / manifest["documents"]["name"])
