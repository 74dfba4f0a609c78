//! Changed bits, cut files, and manifests and shards that lie with consistent checksums: `verify`
//! finds each, nothing panics, and `repair` brings back the recorded bytes.

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, FixedSizeListArray, ListArray, RecordBatch};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{ArrowPrimitiveType, Int32Type, Int64Type, UInt32Type, UInt64Type};
use serde_json::{Value, json};
use ultrapack::build::{DeepOptions, Monitor, verify_deep};
use ultrapack::dataset::Dataset;
use ultrapack::error::Result;
use ultrapack::ipc::{CheckedFile, Hashes, Writer};
use ultrapack::recipe;
use ultrapack::shard::{Level, Manifest, Report, verify};
use ultrapack::store::Store;

use crate::scratch::{Finished, Random, Scratch, files_below, hashes, overwrite};

/// Threads that look for damage at the same time, each in a copy of its own.
const COPIES: usize = 2;

/// A dataset of a few dozen kilobytes, some rows with several segments, the last with padding.
fn small(more: &str) -> Scratch {
    Scratch::packed(12, &format!("pack: {{ seq_len: 256{more} }}\n"))
}

/// Copies a directory with everything in it; the copies may be written.
fn copy(from: &Path, to: &Path) {
    for file in files_below(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, &target).unwrap();
        fs::set_permissions(&target, Permissions::from_mode(0o644)).unwrap();
    }
}

/// Whether `verify` says that the dataset is damaged; that it cannot be read at all counts too.
fn is_found(dataset: &Path, level: Level) -> bool {
    !verify(dataset, level, &Default::default()).is_ok_and(|report| report.findings.is_empty())
}

/// Flips one bit of `path` while `test` runs.
fn with_flip(path: &Path, bit: u64, test: impl FnOnce() -> bool) -> bool {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, bit / 8).unwrap();
    file.write_all_at(&[byte[0] ^ (1 << (bit % 8))], bit / 8).unwrap();
    let result = test();
    file.write_all_at(&byte, bit / 8).unwrap();
    result
}

/// `n` bits of a range of bytes: all of them if there are no more, else some.
fn bits(bytes: std::ops::Range<u64>, n: usize, random: &mut Random) -> Vec<u64> {
    let all = (bytes.end - bytes.start) * 8;
    if all <= n as u64 {
        return (bytes.start * 8..bytes.end * 8).collect();
    }
    (0..n).map(|_| bytes.start * 8 + random.word() % all).collect()
}

/// Where the record batches of a file lie.
fn batches(path: &Path) -> std::ops::Range<u64> {
    let file = CheckedFile::open(path, "file", |found| Ok(found.clone())).unwrap();
    let last = file.n_batches() - 1;
    file.batch_offset(0)..file.batch_offset(last) + file.batch_n_bytes(last)
}

#[test]
fn verify_finds_every_flipped_bit() {
    let scratch = small("");
    let mut random = Random(1);
    let shard = scratch.path("out/shard-00000.arrow");
    let (data, n_bytes) = (batches(&shard), fs::metadata(&shard).unwrap().len());
    let whole = |name: &str| 0..fs::metadata(scratch.path("out").join(name)).unwrap().len();
    let mut flips: Vec<(&str, u64, Level)> = Vec::new();
    let mut plan = |name, range, n, level| {
        flips.extend(
            bits(range, n, &mut random)
                .into_iter()
                .map(|bit| (name, bit, level)),
        );
    };
    plan("manifest.json", whole("manifest.json"), 2500, Level::Full);
    plan("plan.arrow", whole("plan.arrow"), 2000, Level::Full);
    plan("documents.parquet", whole("documents.parquet"), 1500, Level::Full);
    plan("tokenizer.json", whole("tokenizer.json"), 300, Level::Full);
    plan("shard-00000.arrow", data.clone(), 2000, Level::Full);
    // What `--quick` promises: the manifest, and the headers and footers of shards.
    plan("manifest.json", whole("manifest.json"), 1000, Level::Quick);
    plan("shard-00000.arrow", 0..data.start, 2000, Level::Quick);
    plan("shard-00000.arrow", data.end..n_bytes, 2000, Level::Quick);
    assert!(flips.len() >= 10_000);
    missed_none(&scratch, &flips);
}

fn missed_none(scratch: &Scratch, flips: &[(&str, u64, Level)]) {
    std::thread::scope(|scope| {
        for index in 0..COPIES {
            let dataset = scratch.path(&format!("copy-{index}"));
            copy(&scratch.path("out"), &dataset);
            assert!(!is_found(&dataset, Level::Full));
            scope.spawn(move || {
                for (name, bit, level) in flips.iter().skip(index).step_by(COPIES) {
                    let found = with_flip(&dataset.join(name), *bit, || is_found(&dataset, *level));
                    assert!(found, "{name}, bit {bit}, {level:?}");
                }
                assert!(!is_found(&dataset, Level::Full), "the copy was not put back");
            });
        }
    });
}

/// Opens all parts of a store and reads every document and every token.
fn read_store(root: &Path) -> Result<()> {
    let store = Store::open(root)?;
    for entry in fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        if !entry.file_type().unwrap().is_dir() {
            continue;
        }
        for part in store.parts(entry.file_name().to_str().unwrap())? {
            part.documents()?;
            let mut tokens = vec![0; part.header().n_tokens as usize];
            part.tokens()?.read(0, &mut tokens)?;
        }
    }
    Ok(())
}

#[test]
fn the_store_refuses_every_flipped_bit_and_every_cut() {
    let scratch = small("");
    read_store(&scratch.path("store")).unwrap();
    let files = files_below(&scratch.path("store"));
    let parts = files
        .iter()
        .filter(|p| p.extension().is_some_and(|e| e == "arrow"));
    let n_parts = parts
        .map(|part| {
            let store = scratch.path(&format!("copy-{}", part.as_os_str().len()));
            copy(&scratch.path("store"), &store);
            let part = store.join(part.strip_prefix(scratch.path("store")).unwrap());
            let n_bytes = fs::metadata(&part).unwrap().len();
            for bit in bits(0..n_bytes, 3000, &mut Random(2)) {
                let refused = with_flip(&part, bit, || read_store(&store).is_err());
                assert!(refused, "{}, bit {bit}", part.display());
            }
            let whole = fs::read(&part).unwrap();
            for keep in cuts(whole.len()) {
                fs::write(&part, &whole[..keep]).unwrap();
                assert!(read_store(&store).is_err(), "{}, {keep} bytes", part.display());
            }
        })
        .count();
    assert_eq!(n_parts, 2);
}

/// Many lengths shorter than `n`, all of the shortest and longest among them.
fn cuts(n: usize) -> impl Iterator<Item = usize> {
    (0..n).filter(move |keep| *keep < 64 || n - *keep < 64 || *keep % (1 + n / 128) == 0)
}

#[test]
fn verify_finds_every_cut_and_every_byte_too_many() {
    let scratch = small("");
    let dataset = scratch.path("copy");
    copy(&scratch.path("out"), &dataset);
    for path in files_below(&dataset) {
        if path.ends_with("LOCK") || path.ends_with("run.json") {
            continue;
        }
        let whole = fs::read(&path).unwrap();
        for keep in cuts(whole.len()) {
            fs::write(&path, &whole[..keep]).unwrap();
            assert!(
                is_found(&dataset, Level::Quick),
                "{}, {keep} bytes",
                path.display()
            );
        }
        fs::write(&path, [whole.as_slice(), b"\n"].concat()).unwrap();
        assert!(
            is_found(&dataset, Level::Quick),
            "{}, one byte more",
            path.display()
        );
        fs::remove_file(&path).unwrap();
        assert!(is_found(&dataset, Level::Quick), "{} is missing", path.display());
        fs::write(&path, whole).unwrap();
    }
    fs::write(dataset.join("shard-00001.arrow"), "").unwrap();
    assert_eq!(codes(&dataset), ["V011"]);
}

/// The codes that `verify` gives, each once.
fn codes(dataset: &Path) -> Vec<&'static str> {
    let report = verify(dataset, Level::Full, &Default::default()).unwrap();
    let mut codes: Vec<_> = report.findings.iter().map(|f| f.code).collect();
    codes.dedup();
    codes
}

/// Writes a manifest with the right id for its content.
fn write_sealed(dataset: &Path, manifest: Manifest) {
    overwrite(&dataset.join("manifest.json"), manifest.seal().1);
}

/// JSON pointers of everything in `value` that is not a list or a mapping.
fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, value)| leaves(value, &format!("{at}/{}", key.replace('/', "~1")), found)),
        Value::Array(items) => (0..)
            .zip(items)
            .for_each(|(index, value)| leaves(value, &format!("{at}/{index}"), found)),
        _ => found.push(at.to_owned()),
    }
}

/// Another value of the same type.
fn other(at: &str, value: &Value) -> Value {
    match (at, value) {
        ("/format_version", _) => json!("1.1"),
        ("/boundary", _) => json!("hybrid"),
        ("/position_mode", _) => json!("document"),
        (_, Value::Null) => json!(1),
        (_, Value::Bool(truth)) => json!(!truth),
        (_, Value::Number(number)) => match number.as_u64() {
            Some(n) => json!(n ^ 1),
            None => json!(number.as_f64().unwrap() * 1.001 + 0.001),
        },
        (_, Value::String(text)) => {
            let last = if text.ends_with('0') { '1' } else { '0' };
            json!(format!(
                "{}{last}",
                &text[..text.len() - usize::from(!text.is_empty())]
            ))
        }
        _ => unreachable!("not a leaf"),
    }
}

/// What only the sources, the store or planning again can contradict: `verify --deep` does.
const ONLY_DEEP: [&str; 3] = ["/inputs/", "/store/", "/statistics/"];

/// What nothing can contradict: a dataset of a later minor version is a dataset.
const NEVER: [&str; 1] = ["/format_version"];

#[test]
fn verify_finds_a_change_of_any_single_field_of_the_manifest() {
    let scratch = small(", align: 8");
    let dataset = scratch.path("out");
    let loaded = recipe::load(&scratch.path("recipe.yaml"), false).unwrap();
    let manifest: Value = serde_json::from_slice(&fs::read(dataset.join("manifest.json")).unwrap()).unwrap();
    let mut fields = Vec::new();
    leaves(&manifest, "", &mut fields);
    fields.retain(|at| at != "/dataset");
    let (mut n_deep, n_fields) = (0, fields.len());
    for at in fields {
        let mut changed = manifest.clone();
        let value = changed.pointer_mut(&at).unwrap();
        *value = other(&at, value);
        // Some changes cannot even be read; the reader says so.
        let Ok(changed) = serde_json::from_value::<Manifest>(changed) else {
            continue;
        };
        write_sealed(&dataset, changed);
        if is_found(&dataset, Level::Full) {
            continue;
        }
        if NEVER.contains(&at.as_str()) {
            continue;
        }
        assert!(
            ONLY_DEEP.iter().any(|prefix| at.starts_with(prefix)),
            "{at} was not found"
        );
        assert!(is_found_deep(&scratch, &loaded), "{at} was not found by --deep");
        n_deep += 1;
    }
    println!("{n_fields} fields, {n_deep} of them found by --deep only");
    assert!(n_fields > 150);
}

fn is_found_deep(scratch: &Scratch, loaded: &recipe::LoadedRecipe) -> bool {
    let options = DeepOptions {
        directory: scratch.path("out"),
        store: scratch.path("store"),
        threads: 1,
        n_documents: 1000,
    };
    let mut report = Report {
        dataset: None,
        n_shards: 0,
        n_rows: 0,
        n_bytes: 0,
        findings: Vec::new(),
    };
    verify_deep(loaded, &options, &Monitor::default(), &mut report).unwrap();
    !report.findings.is_empty()
}

/// The columns of a shard's only batch, by name, and how to put changed ones back with checksums
/// that are right.
struct Forged<'a> {
    dataset: &'a Path,
    batch: RecordBatch,
    footer: Vec<(&'static str, String)>,
}

impl<'a> Forged<'a> {
    fn open(dataset: &'a Path) -> Self {
        let path = dataset.join("shard-00000.arrow");
        let file = CheckedFile::open(&path, "shard", |found| Ok(found.clone())).unwrap();
        assert_eq!(file.n_batches(), 1);
        let keys = ["ultrapack.n_rows", "ultrapack.n_tokens", "ultrapack.n_segments"];
        Self {
            dataset,
            batch: file.batch(0).unwrap(),
            footer: keys
                .map(|key| (key, file.metadata(key).unwrap().to_owned()))
                .into(),
        }
    }

    fn set(&mut self, column: &str, array: impl Array + 'static) {
        let index = self.batch.schema().index_of(column).unwrap();
        let mut columns = self.batch.columns().to_vec();
        columns[index] = Arc::new(array);
        self.batch = RecordBatch::try_new(self.batch.schema(), columns).unwrap();
    }

    /// Changes the values of a list column; `offsets`, if any, replace where the rows begin.
    fn lists<T: ArrowPrimitiveType>(&mut self, column: &str, change: impl FnOnce(&mut Vec<Vec<T::Native>>)) {
        let lists = self
            .batch
            .column_by_name(column)
            .unwrap()
            .as_list::<i32>()
            .clone();
        let mut rows: Vec<Vec<T::Native>> = (0..lists.len())
            .map(|row| lists.value(row).as_primitive::<T>().values().to_vec())
            .collect();
        change(&mut rows);
        let field = match lists.data_type() {
            arrow::datatypes::DataType::List(field) => Arc::clone(field),
            other => panic!("{other}"),
        };
        let offsets = OffsetBuffer::from_lengths(rows.iter().map(Vec::len));
        let values = arrow::array::PrimitiveArray::<T>::from_iter_values(rows.into_iter().flatten());
        self.set(column, ListArray::new(field, offsets, Arc::new(values), None));
    }

    /// Changes the tokens, all rows back to back.
    fn tokens(&mut self, change: impl FnOnce(&mut [u32])) {
        let tokens = self
            .batch
            .column_by_name("tokens")
            .unwrap()
            .as_fixed_size_list()
            .clone();
        let mut values = tokens.values().as_primitive::<UInt32Type>().values().to_vec();
        change(&mut values);
        let field = match tokens.data_type() {
            arrow::datatypes::DataType::FixedSizeList(field, _) => Arc::clone(field),
            other => panic!("{other}"),
        };
        let values = Arc::new(arrow::array::UInt32Array::from(values));
        self.set(
            "tokens",
            FixedSizeListArray::new(field, tokens.value_length(), values, None),
        );
    }

    /// Writes shard and manifest as if the change had been there from the start.
    fn write(self) {
        let path = self.dataset.join("shard-00000.arrow");
        let mut writer = Writer::create(&path, &self.batch.schema(), Hashes::Whole).unwrap();
        writer.write(&self.batch).unwrap();
        let (file, digest) = writer.finish(&self.footer).unwrap();
        file.commit().unwrap();
        let mut manifest = Manifest::read(self.dataset).unwrap();
        let entry = &mut manifest.shards[0];
        entry.n_bytes = digest.n_bytes;
        entry.blake3 = digest.blake3;
        entry.frame_xxh3 = format!("{:016x}", digest.frame_xxh3);
        write_sealed(self.dataset, manifest);
    }
}

/// Rows of `cu_seqlens` with at least `n` segments: the first of them.
fn row_of(rows: &[Vec<i32>], n: usize) -> usize {
    rows.iter()
        .position(|row| row.len() > n)
        .expect("a row with so many segments")
}

#[test]
fn a_shard_that_lies_with_right_checksums_is_found_by_its_own_code() {
    type Forgery = fn(&mut Forged<'_>);
    let plain: [(&str, Forgery); 17] = [
        ("V006 descending", |f| {
            f.lists::<Int32Type>("cu_seqlens", |rows| {
                let row = row_of(rows, 2);
                rows[row].swap(1, 2);
            });
        }),
        ("V006 not from 0", |f| {
            f.lists::<Int32Type>("cu_seqlens", |rows| rows[0][0] = 1)
        }),
        ("V006 negative", |f| {
            f.lists::<Int32Type>("cu_seqlens", |rows| rows[0][0] = -1)
        }),
        ("V006 beyond seq_len", |f| {
            f.lists::<Int32Type>("cu_seqlens", |rows| *rows[0].last_mut().unwrap() = 257);
        }),
        ("V006 empty", |f| {
            f.lists::<Int32Type>("cu_seqlens", |rows| rows[0].clear())
        }),
        ("V006 a segment too few", |f| {
            f.lists::<Int32Type>("cu_seqlens", |rows| {
                let row = row_of(rows, 2);
                rows[row].remove(1);
            });
        }),
        ("V006 start before its document", |f| {
            f.lists::<Int64Type>("segment_start", |rows| rows[0][0] = -1);
        }),
        ("V009 another start", |f| {
            f.lists::<Int64Type>("segment_start", |rows| rows[0][0] += 1)
        }),
        ("V009 another document", |f| {
            f.lists::<UInt64Type>("segment_document", |rows| rows[0][0] += 1);
        }),
        ("V009 no document", |f| {
            f.lists::<UInt64Type>("segment_document", |rows| rows[0][0] = u64::MAX);
        }),
        ("V009 a boundary moved", |f| {
            f.lists::<Int32Type>("cu_seqlens", |rows| {
                let row = row_of(rows, 2);
                rows[row][1] += 1;
            });
        }),
        ("V009 everything attends to everything", |f| {
            let n = f.batch.num_rows();
            f.set("full_attention", BooleanArray::from(vec![true; n]));
        }),
        ("V007 an id of no token", |f| f.tokens(|ids| ids[7] = 8192)),
        ("V007 the largest id", |f| f.tokens(|ids| ids[7] = u32::MAX)),
        ("V008 padding that is text", |f| {
            let mut end = 0;
            let mut row = 0;
            f.lists::<Int32Type>("cu_seqlens", |rows| {
                row = rows.iter().position(|row| *row.last().unwrap() < 256).unwrap();
                end = *rows[row].last().unwrap() as usize;
            });
            f.tokens(|ids| ids[row * 256 + end] = 5);
        }),
        ("V006 a row too few", |f| {
            f.batch = f.batch.slice(1, f.batch.num_rows() - 1)
        }),
        ("V010 another count", |f| f.footer[1].1 += "0"),
    ];
    let aligned: [(&str, Forgery); 3] = [
        ("V006 segments that overlap", |f| {
            f.lists::<Int32Type>("cu_seqlens_padded", |rows| {
                let row = row_of(rows, 2);
                rows[row][1] -= 8;
            });
        }),
        ("V006 segments where no tokens are", |f| {
            f.lists::<Int32Type>("cu_seqlens_padded", |rows| {
                let has_room = |r: &&mut Vec<i32>| r.len() > 2 && *r.last().unwrap() <= 248;
                let row = rows.iter_mut().find(has_room).expect("a row with room");
                let n = row.len();
                row[n - 2..].iter_mut().for_each(|at| *at += 8);
            });
        }),
        ("V006 a place off the grid", |f| {
            f.lists::<Int32Type>("cu_seqlens_padded", |rows| {
                let row = row_of(rows, 2);
                rows[row][1] += 1;
            });
        }),
    ];
    for (more, forgeries) in [("", plain.as_slice()), (", align: 8", aligned.as_slice())] {
        let scratch = small(more);
        for (index, (name, forge)) in forgeries.iter().enumerate() {
            let dataset = scratch.path(&format!("copy-{index}"));
            copy(&scratch.path("out"), &dataset);
            let mut forged = Forged::open(&dataset);
            forge(&mut forged);
            forged.write();
            assert_eq!(codes(&dataset), [&name[..4]], "{name}{more}");
        }
    }
}

#[test]
fn tokens_that_are_others_everywhere_but_in_the_sources_are_found_by_deep() {
    let scratch = small("");
    let dataset = scratch.path("out");
    let loaded = recipe::load(&scratch.path("recipe.yaml"), false).unwrap();
    assert!(!is_found_deep(&scratch, &loaded));
    let mut forged = Forged::open(&dataset);
    forged.tokens(|ids| ids[7] ^= 1);
    forged.write();
    assert!(!is_found(&dataset, Level::Full));
    assert!(is_found_deep(&scratch, &loaded));
}

#[test]
fn a_shard_with_another_schema_is_refused() {
    let scratch = small("");
    let dataset = scratch.path("out");
    let mut forged = Forged::open(&dataset);
    let mut metadata = forged.batch.schema().metadata().clone();
    metadata.insert("ultrapack.pad_id".to_owned(), "0".to_owned());
    let schema = forged.batch.schema().as_ref().clone().with_metadata(metadata);
    forged.batch = RecordBatch::try_new(Arc::new(schema), forged.batch.columns().to_vec()).unwrap();
    forged.write();
    assert_eq!(codes(&dataset), ["V003"]);
}

#[test]
fn names_in_a_manifest_cannot_leave_the_directory() {
    let scratch = small("");
    let dataset = scratch.path("out");
    let outside = scratch.path("shard-00000.arrow");
    fs::copy(dataset.join("shard-00000.arrow"), &outside).unwrap();
    let manifest = Manifest::read(&dataset).unwrap();
    let absolute = outside.to_str().unwrap();
    let names = [
        "../shard-00000.arrow",
        absolute,
        "a\0b",
        "a/b",
        "..",
        "",
        "a\nb",
        "C:x",
        "manifest.json",
    ];
    for name in names {
        let changes: [fn(&mut Manifest) -> &mut String; 4] = [
            |m| &mut m.shards[0].name,
            |m| &mut m.plan.name,
            |m| &mut m.documents.name,
            |m| &mut m.tokenizer.name,
        ];
        for change in changes {
            let mut hostile = manifest.clone();
            *change(&mut hostile) = name.into();
            write_sealed(&dataset, hostile);
            assert_eq!(codes(&dataset), ["V001"], "{name:?}");
            assert!(Dataset::open(&dataset).is_err(), "{name:?}");
        }
    }
}

#[test]
fn links_pipes_and_directories_in_place_of_files_are_refused_at_once() {
    let scratch = small("");
    for name in [
        "shard-00000.arrow",
        "plan.arrow",
        "documents.parquet",
        "tokenizer.json",
        "manifest.json",
    ] {
        type Replace<'a> = &'a dyn Fn(&Path);
        let replacements: [(&str, Replace<'_>); 4] = [
            ("link", &|path| {
                std::os::unix::fs::symlink(scratch.path("out").join(name), path).unwrap()
            }),
            ("pipe", &|path| {
                let status = std::process::Command::new("mkfifo").arg(path).status().unwrap();
                assert!(status.success());
            }),
            ("device", &|path| {
                std::os::unix::fs::symlink("/dev/zero", path).unwrap()
            }),
            ("directory", &|path| fs::create_dir(path).unwrap()),
        ];
        for (kind, replace) in replacements {
            let dataset = scratch.path(&format!("{kind}-{name}"));
            copy(&scratch.path("out"), &dataset);
            fs::remove_file(dataset.join(name)).unwrap();
            replace(&dataset.join(name));
            for level in [Level::Quick, Level::Full] {
                assert!(is_found(&dataset, level), "a {kind} as {name}");
            }
        }
    }
}

#[test]
fn repair_brings_back_the_recorded_bytes_of_a_shard() {
    let scratch = Scratch::packed(600, "shards: { bytes: 1048576 }\npack: { seq_len: 64 }\n");
    let expected = hashes(&scratch.path("out"));
    let shard = scratch.path("out/shard-00000.arrow");
    let damage: [&dyn Fn(); 3] = [
        &|| {
            let mut bytes = fs::read(&shard).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            overwrite(&shard, bytes);
        },
        &|| overwrite(&shard, ""),
        &|| fs::remove_file(&shard).unwrap(),
    ];
    for damage in damage {
        damage();
        scratch.ultrapack(&["verify", "out"]).expect_code(4);
        scratch
            .ultrapack(&["repair", "out", "--shard", "0"])
            .expect_code(0);
        scratch.ultrapack(&["verify", "out"]).expect_code(0);
        assert_eq!(hashes(&scratch.path("out")), expected);
    }
    scratch
        .ultrapack(&["repair", "out", "--shard", "1"])
        .expect_code(2);
}

#[test]
fn repair_from_a_damaged_plan_or_store_leaves_everything_as_it_was() {
    let scratch = small("");
    overwrite(&scratch.path("out/shard-00000.arrow"), "damaged");
    let tokens = files_below(&scratch.path("store"));
    let tokens = tokens
        .iter()
        .find(|p| p.to_string_lossy().ends_with(".tokens.arrow"))
        .unwrap();
    for path in [tokens.clone(), scratch.path("out/plan.arrow")] {
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        overwrite(&path, bytes);
        let before = hashes(&scratch.path("out"));
        scratch
            .ultrapack(&["repair", "out", "--shard", "0"])
            .expect_code(4);
        assert_eq!(hashes(&scratch.path("out")), before);
        overwrite(&path, whole);
    }
    fs::create_dir(scratch.path("empty")).unwrap();
    scratch
        .ultrapack(&["repair", "out", "--shard", "0", "--store", "empty"])
        .expect_code(5);
    scratch
        .ultrapack(&["repair", "out", "--shard", "0", "--store", "none"])
        .expect_code(2);
    scratch
        .ultrapack(&["repair", "out", "--shard", "0"])
        .expect_code(0);
    assert_eq!(codes(&scratch.path("out")), [""; 0]);
}

#[test]
fn a_shard_that_is_cut_while_it_is_read_is_an_error() {
    let scratch = small("");
    let (dataset, copied) = (scratch.path("out"), scratch.path("copy"));
    copy(&dataset, &copied);
    let file = CheckedFile::open(&copied.join("shard-00000.arrow"), "shard", |found| {
        Ok(found.clone())
    })
    .unwrap();
    File::options()
        .write(true)
        .open(copied.join("shard-00000.arrow"))
        .unwrap()
        .set_len(100)
        .unwrap();
    assert!(file.batch(0).is_err());
    assert!(file.frame_xxh3().is_err());
}
