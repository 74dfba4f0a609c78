//! A dataset directory or a single shard file, opened for looking: plain reads, everything checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::disk;
use crate::error::{Error, Result, shown};
use crate::sequence::Sequence;
use crate::shard::{
    DocumentRecord, MANIFEST, Manifest, RowSlices, Rows, ShardFile, ShardInfo, lookup_documents,
};
use crate::tokenize::Vocabulary;

/// An open dataset, or one open shard.
#[derive(Debug)]
pub struct Opened {
    path: PathBuf,
    manifest: Option<Manifest>,
    shards: Vec<ShardFile>,
    rows_per_shard: u64,
}

/// One row, read and checked, with what it belongs to.
#[derive(Debug)]
pub struct Row {
    rows: Rows,
    index: usize,
    /// Its number.
    pub sequence: u64,
    /// The shard's file name.
    pub shard: String,
    /// What the shard says of itself.
    pub info: ShardInfo,
    /// Its segments.
    pub layout: Sequence,
}

impl Row {
    /// The columns.
    pub fn slices(&self) -> RowSlices<'_> {
        self.rows.row(self.index)
    }
}

impl Opened {
    /// Opens a dataset directory, its `manifest.json`, or a shard file. A shard file is looked at
    /// alone, even if it lies in a dataset.
    ///
    /// # Errors
    /// It is none of these, or it is damaged.
    pub fn open(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Self::dataset(path);
        }
        if path.file_name().is_some_and(|name| name == MANIFEST) {
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            return Self::dataset(directory.unwrap_or(Path::new(".")));
        }
        if !path.exists() {
            return Err(Error::NoDataset {
                path: path.into(),
                message: "there is no such file or directory".into(),
            });
        }
        let shard = ShardFile::open(path)?;
        Ok(Self {
            path: path.into(),
            manifest: None,
            rows_per_shard: shard.n_rows().max(1),
            shards: vec![shard],
        })
    }

    fn dataset(directory: &Path) -> Result<Self> {
        let manifest = Manifest::read(directory)?;
        let shards = (0..manifest.shards.len())
            .map(|index| ShardFile::of_dataset(directory, &manifest, index))
            .collect::<Result<_>>()?;
        Ok(Self {
            path: directory.into(),
            rows_per_shard: manifest.rows_per_shard,
            manifest: Some(manifest),
            shards,
        })
    }

    /// The directory or the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The manifest, if this is a dataset.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// The shards in order.
    pub fn shards(&self) -> &[ShardFile] {
        &self.shards
    }

    /// Number of sequences.
    pub fn n_rows(&self) -> u64 {
        self.shards.iter().map(ShardFile::n_rows).sum()
    }

    /// What the shards say of themselves; `None` of a dataset without a sequence.
    pub fn info(&self) -> Option<&ShardInfo> {
        self.shards.first().map(ShardFile::info)
    }

    /// Number of the first row of shard `index`.
    pub fn first_row(&self, index: usize) -> u64 {
        index as u64 * self.rows_per_shard
    }

    /// Reads a sequence with its tokens; the batch that holds it is compared with its checksum.
    ///
    /// # Errors
    /// There is no such sequence, or the batch is damaged.
    pub fn row(&self, sequence: u64) -> Result<Row> {
        let n_rows = self.n_rows();
        if sequence >= n_rows {
            let there = match n_rows {
                0 => "there is none".to_owned(),
                n => format!("they are numbered 0 to {}", n - 1),
            };
            return Err(Error::usage(format!("there is no sequence {sequence}: {there}")));
        }
        let shard = &self.shards[(sequence / self.rows_per_shard) as usize];
        let row = sequence % self.rows_per_shard;
        let per_batch = u64::from(shard.info().rows_per_batch);
        let rows = shard.rows((row / per_batch) as usize)?;
        let index = (row % per_batch) as usize;
        let slices = rows.row(index);
        let info = shard.info().clone();
        let layout = Sequence::try_new(slices.segments(), info.seq_len, info.align, slices.attention());
        let layout = layout.map_err(|e| shard.file().damaged(format!("row {row}: {e}")))?;
        let name = shard.file().path().file_name().unwrap_or_default();
        Ok(Row {
            sequence,
            shard: name.to_string_lossy().into_owned(),
            info,
            layout,
            index,
            rows,
        })
    }

    /// Where documents came from; empty for a single shard, which does not know.
    ///
    /// # Errors
    /// The documents table is damaged.
    pub fn documents(&self, wanted: &BTreeSet<u64>) -> Result<BTreeMap<u64, DocumentRecord>> {
        match &self.manifest {
            Some(manifest) if !wanted.is_empty() => {
                lookup_documents(&self.path.join(&manifest.documents.name), wanted)
            }
            _ => Ok(BTreeMap::new()),
        }
    }

    /// The tokenizer file that belongs to the shards: the dataset's, or the one beside a single shard.
    ///
    /// # Errors
    /// It is missing or not the one that the shards were made with.
    pub fn vocabulary(&self) -> Result<Vocabulary> {
        let path = self.tokenizer_path();
        let file = disk::ReadFile::open(&path)?;
        let wanted = self.info().map(|info| info.tokenizer_digest.as_str());
        let found = format!("blake3:{}", file.blake3()?);
        if wanted.is_some_and(|wanted| wanted != found) {
            let message = "it is not the tokenizer that the shards were made with: its BLAKE3 differs";
            return Err(Error::damaged("tokenizer", path, message));
        }
        let bytes = disk::read_small(&path, 256 << 20)?;
        Vocabulary::read(&bytes).map_err(|message| Error::damaged("tokenizer", path, message))
    }

    /// Where the tokenizer file lies.
    pub fn tokenizer_path(&self) -> PathBuf {
        let directory = match &self.manifest {
            Some(_) => Some(self.path.as_path()),
            None => self.path.parent(),
        };
        directory.unwrap_or(Path::new("")).join(crate::shard::TOKENIZER)
    }

    /// The path as it may be shown.
    pub fn shown(&self) -> String {
        shown(&self.path)
    }
}
