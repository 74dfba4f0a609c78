//! Finds and identifies the input: which files, with which content, in which units of the store.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::monitor::{Monitor, add};
use super::records;
use crate::disk;
use crate::error::{Error, Place, Result};
use crate::recipe::{LoadedRecipe, MetadataType};
use crate::shard::InputEntry;
use crate::source::{self, InputFile, Rules};
use crate::store::{Store, Unit, UnitFile, UnitLock, units};
use crate::tokenize::Tokenizer;

/// One source of the recipe, ready to read.
pub struct SourceInput {
    /// Its name.
    pub name: String,
    /// Its files in order.
    pub files: Vec<InputFile>,
    /// How its records become documents.
    pub rules: Rules,
}

/// Finds the files of every source and checks every filter, before anything is read.
///
/// # Errors
/// A pattern matches nothing, a filter is wrong, or a metadata column has two types.
pub fn find(loaded: &LoadedRecipe) -> Result<Vec<SourceInput>> {
    let recipe = &loaded.recipe;
    let find = |s: &crate::recipe::Source| {
        Ok(SourceInput {
            name: s.name.clone(),
            files: source::discover(s, &loaded.base)?,
            rules: Rules::new(s, &recipe.text, &recipe.limits)?,
        })
    };
    recipe.sources.iter().map(find).collect()
}

/// The metadata columns of all sources together, in order of their names.
///
/// # Errors
/// Two sources give one column different types.
pub fn metadata_columns(sources: &[SourceInput]) -> Result<Vec<(String, MetadataType)>> {
    let mut columns: BTreeMap<&str, MetadataType> = BTreeMap::new();
    for source in sources {
        for (name, kind) in source.rules.metadata_columns() {
            if *columns.entry(name).or_insert(*kind) != *kind {
                return Err(Error::usage(format!(
                    "metadata `{name}` has different types in different sources"
                )));
            }
        }
    }
    Ok(columns
        .into_iter()
        .map(|(name, kind)| (name.to_owned(), kind))
        .collect())
}

/// A unit of the store with what it is made of.
#[derive(Debug, Clone)]
pub struct InputUnit {
    /// Source and files.
    pub unit: Unit,
    /// The files' hashes.
    pub files: Vec<UnitFile>,
    /// Its address in the store.
    pub address: String,
}

/// Hashes every input file (or recognises it) and gives the units in document order, with one
/// manifest entry per source.
///
/// # Errors
/// A file cannot be read.
pub fn identify(
    sources: &[SourceInput],
    tokenizer: &Tokenizer,
    store: &Store,
    monitor: &Monitor,
) -> Result<(Vec<InputUnit>, Vec<InputEntry>)> {
    let mut fingerprints = Fingerprints::open(store.root());
    let mut input_units = Vec::new();
    let mut entries = Vec::new();
    let identity = tokenizer.identity();
    for (index, source) in sources.iter().enumerate() {
        let mut names = blake3::Hasher::new();
        let mut hashed = Vec::with_capacity(source.files.len());
        for (number, file) in source.files.iter().enumerate() {
            monitor.check()?;
            let (blake3, (n_bytes, modified_ns, _)) = fingerprints.hash(&file.path, monitor)?;
            names.update(records::line(&(&file.name, &blake3)).as_bytes());
            hashed.push(UnitFile {
                file: number,
                blake3,
                n_bytes,
                modified_ns,
            });
        }
        let sizes: Vec<u64> = source.files.iter().map(|f| f.n_bytes).collect();
        entries.push(InputEntry {
            name: source.name.clone(),
            n_files: sizes.len() as u64,
            n_bytes: sizes.iter().sum(),
            digest: format!("blake3:{}", names.finalize().to_hex()),
        });
        for unit in units(index, &sizes) {
            let files = hashed[unit.files.clone()].to_vec();
            let address = Unit::address(&identity, &source.rules.identity(), &files);
            input_units.push(InputUnit { unit, files, address });
        }
    }
    fingerprints.save(store)?;
    Ok((input_units, entries))
}

/// Hashes of input files by path, length, time and inode, so that a large corpus is read once and
/// not once per packing. A file whose time is too fresh to be told from a later change is not kept.
struct Fingerprints {
    path: PathBuf,
    known: BTreeMap<PathBuf, Fingerprint>,
    changed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Fingerprint {
    path: PathBuf,
    n_bytes: u64,
    modified_ns: i128,
    inode: u64,
    blake3: String,
}

/// Age a file must have before its time is trusted.
const SETTLED: Duration = Duration::from_secs(2);

impl Fingerprints {
    fn open(store: &Path) -> Self {
        let path = store.join("fingerprints");
        let bytes = disk::read_small(&path, 1 << 30).unwrap_or_default();
        let known = records::parse(&bytes)
            .0
            .into_iter()
            .map(|f: Fingerprint| (f.path.clone(), f))
            .collect();
        Self {
            path,
            known,
            changed: false,
        }
    }

    fn hash(&mut self, path: &Path, monitor: &Monitor) -> Result<(String, Identity)> {
        let key = std::fs::canonicalize(path).map_err(Error::io("find", path))?;
        let found = identity(path)?;
        if let Some(known) = self.known.get(&key)
            && (known.n_bytes, known.modified_ns, known.inode) == found
        {
            add(&monitor.input_bytes, found.0);
            return Ok((known.blake3.clone(), found));
        }
        let started = SystemTime::now();
        let mut hasher = blake3::Hasher::new();
        let mut file = File::open(path).map_err(Error::io("open", path))?;
        let mut buffer = vec![0; 4 << 20];
        loop {
            monitor.check()?;
            let n = file.read(&mut buffer).map_err(Error::io("read", path))?;
            if n == 0 {
                break;
            }
            hasher.update_rayon(&buffer[..n]);
            add(&monitor.input_bytes, n as u64);
        }
        let blake3 = hasher.finalize().to_hex().to_string();
        if identity(path)? != found {
            return Err(Error::input(
                Place::file(path),
                "the file changed while it was read",
            ));
        }
        let (n_bytes, modified_ns, inode) = found;
        let age = started
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_nanos() as i128)
            - modified_ns;
        if age > SETTLED.as_nanos() as i128 {
            let entry = Fingerprint {
                path: key.clone(),
                n_bytes,
                modified_ns,
                inode,
                blake3: blake3.clone(),
            };
            self.known.insert(key, entry);
            self.changed = true;
        }
        Ok((blake3, found))
    }

    fn save(self, store: &Store) -> Result<()> {
        if !self.changed {
            return Ok(());
        }
        let _lock = UnitLock::wait(store, "fingerprints")?;
        let text: String = self.known.values().map(records::line).collect();
        disk::write_atomic(&self.path, text.as_bytes())
    }
}

/// Length in bytes, modification time in nanoseconds since 1970, and inode.
type Identity = (u64, i128, u64);

/// What tells a file from a changed one without reading it.
fn identity(path: &Path) -> Result<Identity> {
    let metadata = std::fs::metadata(path).map_err(Error::io("read", path))?;
    let modified = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    Ok((metadata.len(), modified, metadata.ino()))
}

/// Fails if an input file is no longer what was identified: it changed while the run read it.
///
/// # Errors
/// [`Error::Input`] that names the file.
pub fn still_the_same(file: &InputFile, expected: &UnitFile) -> Result<()> {
    let (n_bytes, modified_ns, _) = identity(&file.path)?;
    match (n_bytes, modified_ns) == (expected.n_bytes, expected.modified_ns) {
        true => Ok(()),
        false => Err(Error::input(
            Place::file(&file.path),
            "the file changed while it was read",
        )),
    }
}
