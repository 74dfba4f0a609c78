//! A directory for one test, the binary in it, and the small recipes and corpora that tests share.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::UInt64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::test_runner::{Config as ProptestConfig, TestRunner};
use ultrapack::build::{self, Monitor, Options, Outcome};
use ultrapack::dataset::Dataset;
use ultrapack::error::Result;
use ultrapack::recipe::load;
use ultrapack::shard::{Finding, Level, verify};
use ultrapack::tokenize::Tokenizer;

/// A fixture by its path below `fixtures/`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// A recipe with one source per input (`s0`, `s1`, …), the fixture tokenizer and short sequences.
/// `more` is YAML at the top level; a `pack:` in it replaces the default one.
pub fn recipe(inputs: &[&str], more: &str) -> String {
    let source = |(index, input)| format!("{{ name: s{index}, paths: [{input:?}] }}");
    let sources: Vec<String> = inputs.iter().enumerate().map(source).collect();
    recipe_of(&sources, more)
}

/// The same for sources that are more than a name and a path; each is a YAML flow mapping.
pub fn recipe_of<T: AsRef<str>>(sources: &[T], more: &str) -> String {
    let mut text = "version: 1\nsources:\n".to_owned();
    for source in sources {
        text += &format!("  - {}\n", source.as_ref());
    }
    let tokenizer = fixture("tokenizer/tokenizer.json");
    text +=
        &format!("tokenizer:\n  file: {tokenizer:?}\n  eod: \"<|endoftext|>\"\n  mask: \"<|mdm_mask|>\"\n");
    if !more.contains("pack:") {
        text += "pack: { seq_len: 1024 }\n";
    }
    text + more
}

/// JSON lines with one `text` each.
pub fn jsonl<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let line = |text: T| format!("{}\n", serde_json::json!({ "text": text.as_ref() }));
    texts.into_iter().map(line).collect()
}

/// `n` passages of a novel, of 1 to `max_words` words each; the same for the same seed.
pub fn passages(n: usize, max_words: usize, seed: u64) -> Vec<String> {
    let novel = fs::read_to_string(fixture("corpus/books/treasure_island.txt")).unwrap();
    let words: Vec<&str> = novel.split_ascii_whitespace().collect();
    let mut random = Random(seed);
    let passage = |_| {
        let len = 1 + random.below(max_words);
        let from = random.below(words.len() - len);
        words[from..from + len].join(" ")
    };
    (0..n).map(passage).collect()
}

/// Runs a property on random cases: `cases` of them, or as many as `PROPTEST_CASES` says.
pub fn runner(cases: u32) -> TestRunner {
    let wanted = std::env::var("PROPTEST_CASES").ok();
    TestRunner::new(ProptestConfig {
        cases: wanted.map_or(cases, |n| n.parse().unwrap()),
        failure_persistence: None,
        ..ProptestConfig::default()
    })
}

/// Small numbers from a seed (splitmix64): a failing test can be run again.
pub struct Random(pub u64);

impl Random {
    /// The next word.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.word() % n as u64) as usize
    }
}

/// A temporary directory that is removed with everything in it.
pub struct Scratch {
    directory: tempfile::TempDir,
}

impl Scratch {
    /// An empty directory.
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// A directory with `recipe.yaml` over one file of passages, `corpus.jsonl`, not yet packed.
    pub fn with_corpus(n_documents: usize, more: &str) -> Self {
        let scratch = Self::new();
        scratch.write("corpus.jsonl", jsonl(passages(n_documents, 400, 1)));
        scratch.write("recipe.yaml", recipe(&["corpus.jsonl"], more));
        scratch
    }

    /// The same, packed into `out` with the store in `store`.
    pub fn packed(n_documents: usize, more: &str) -> Self {
        let scratch = Self::with_corpus(n_documents, more);
        scratch.pack("out").expect_code(0);
        scratch
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file, and the directories above it.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The binary, to be run in the directory.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ultrapack"));
        command.current_dir(self.directory.path()).args(args);
        command
    }

    /// Runs the binary in the directory.
    pub fn ultrapack(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Packs `recipe.yaml` into `out` with the store in `store`.
    pub fn pack(&self, out: &str) -> Output {
        self.ultrapack(&["pack", "recipe.yaml", "--out", out, "--store", "store"])
    }

    /// Packs the text of a recipe into `out` in this process, with the store in `store`.
    pub fn pack_here(&self, recipe: &str, out: &str, threads: usize) -> Result<Outcome> {
        let path = self.write(&format!("{out}.yaml"), recipe);
        let options = Options {
            out: self.path(out),
            store: self.path("store"),
            threads,
            restart: false,
        };
        build::pack(&load(&path, false)?, &options, &Monitor::default())
    }

    /// Opens the dataset `out`.
    pub fn open(&self, out: &str) -> Dataset {
        Dataset::open(&self.path(out)).unwrap()
    }

    /// Everything that `verify` finds in the dataset `out`.
    pub fn findings(&self, out: &str, level: Level) -> Vec<Finding> {
        verify(&self.path(out), level, &Default::default())
            .unwrap()
            .findings
    }
}

/// The fixture tokenizer, loaded once.
pub fn tokenizer() -> &'static Tokenizer {
    static TOKENIZER: OnceLock<Tokenizer> = OnceLock::new();
    TOKENIZER.get_or_init(|| {
        let rules = r#"{"file": "", "eod": "<|endoftext|>", "mask": "<|mdm_mask|>"}"#;
        let rules = serde_json::from_str(rules).unwrap();
        Tokenizer::load(&fixture("tokenizer/tokenizer.json"), &rules).unwrap()
    })
}

/// The ids of a text by the fixture tokenizer.
pub fn ids(text: &str) -> Vec<u32> {
    let mut ids = Vec::new();
    tokenizer().encode(text, &mut ids).unwrap();
    ids
}

/// What a dataset holds of each document: its segments in ascending order, as start and tokens.
pub fn placed(dataset: &Dataset) -> BTreeMap<u64, Vec<(u64, Vec<u32>)>> {
    let mut placed: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in 0..dataset.len() {
        let tokens = dataset.row(row).unwrap().tokens;
        let sequence = dataset.sequence(row).unwrap();
        for (segment, offset) in sequence.segments().iter().zip(sequence.offsets()) {
            let tokens = &tokens[*offset as usize..][..segment.len as usize];
            let segments = placed.entry(segment.document).or_default();
            segments.push((segment.start, tokens.to_vec()));
        }
    }
    placed.values_mut().for_each(|segments| segments.sort());
    placed
}

/// The documents of a dataset that were cut without loss, put together: number and tokens.
///
/// # Panics
/// If a document has a gap, or tokens twice.
pub fn put_together(dataset: &Dataset) -> BTreeMap<u64, Vec<u32>> {
    let join = |(document, segments): (u64, Vec<(u64, Vec<u32>)>)| {
        let mut tokens = Vec::new();
        for (start, segment) in segments {
            assert_eq!(start, tokens.len() as u64, "document {document}");
            tokens.extend(segment);
        }
        (document, tokens)
    };
    placed(dataset).into_iter().map(join).collect()
}

/// The documents table of a dataset.
pub fn documents(dataset: &Path) -> RecordBatch {
    let file = fs::File::open(dataset.join("documents.parquet")).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let mut batches = reader.with_batch_size(1 << 20).build().unwrap();
    let batch = batches.next().unwrap().unwrap();
    assert!(batches.next().is_none());
    batch
}

/// A column of numbers of the documents table.
pub fn numbers(documents: &RecordBatch, column: &str) -> Vec<u64> {
    let column = documents.column_by_name(column).unwrap();
    column.as_primitive::<UInt64Type>().values().to_vec()
}

/// Name and BLAKE3 of every file of a dataset, without those that tell of the run.
pub fn hashes(dataset: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(dataset).unwrap().map(|entry| entry.unwrap());
    let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
    named
        .filter(|(name, _)| !["LOCK", "run.json"].contains(&name.as_str()))
        .map(|(name, path)| (name, blake3::hash(&fs::read(path).unwrap()).to_hex().to_string()))
        .collect()
}

/// All files below a directory.
pub fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Replaces a file's bytes, whatever its mode says.
pub fn overwrite(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::remove_file(path).ok();
    fs::write(path, bytes).unwrap();
}

/// What tests ask of a finished process.
pub trait Finished {
    /// Fails, and shows what was printed, unless the process ended with `code`.
    fn expect_code(self, code: i32) -> Self;
    /// Standard error as text.
    fn stderr(&self) -> String;
    /// Standard output as text.
    fn stdout(&self) -> String;
}

impl Finished for Output {
    #[track_caller]
    fn expect_code(self, code: i32) -> Self {
        let (stdout, stderr) = (self.stdout(), self.stderr());
        assert_eq!(
            self.status.code(),
            Some(code),
            "{}\n{stdout}\n{stderr}",
            self.status
        );
        self
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}
