//! Measures single rooms in one process, for `benches/pack`: one JSON line per figure.
//!
//! ```text
//! cargo bench --bench rooms -- stages RECIPE     CPU seconds of each stage over a corpus, one thread
//! cargo bench --bench rooms -- encode RECIPE N   CPU seconds of encoding alone, N threads
//! cargo bench --bench rooms -- plan N            planning N log-normal documents
//! cargo bench --bench rooms -- rows DATASET      warm random row access
//! cargo bench --bench rooms -- verify DATASET    checking every byte, one thread
//! cargo bench --bench rooms -- attention         32K tokens in one document and in 32, forward and backward
//! cargo bench --bench rooms -- step N [DOC]      forward and backward of the tiny model over N tokens, peak memory
//! ```

use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use ultrapack::dataset::{Dataset, Order};
use ultrapack::model::{Config, Gradients, Model, RopeScaling, attention as attend};
use ultrapack::pack::{Corpus, PartLens, Rules, SourceRules, plan, seed::Rng};
use ultrapack::recipe::{self, LoadedRecipe};
use ultrapack::shard::{Level, verify};
use ultrapack::source::{Position, Reader, Rules as SourceReading, discover};
use ultrapack::store::{DocumentRow, PartWriter};
use ultrapack::tokenize::Tokenizer;
use xxhash_rust::xxh3::xxh3_128;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let figure = match words[..] {
        ["stages", recipe] => stages(&load(recipe)),
        ["encode", recipe, threads] => encode(&load(recipe), threads.parse().expect("a number of threads")),
        ["plan", n] => planning(n.parse().expect("a number of documents")),
        ["rows", dataset] => rows(Path::new(dataset)),
        ["verify", dataset] => verifying(Path::new(dataset)),
        ["attention"] => attention(),
        ["step", n] => step(number(n), number(n)),
        ["step", n, document] => step(number(n), number(document)),
        // `cargo test --benches` and a bare `cargo bench` must not need a corpus.
        _ => planning(100_000),
    };
    println!("{figure}");
}

fn number(text: &str) -> u32 {
    text.parse().expect("a number of tokens")
}

fn load(path: &str) -> LoadedRecipe {
    recipe::load(Path::new(path), false).unwrap_or_else(|e| panic!("{e}"))
}

fn tokenizer(loaded: &LoadedRecipe) -> Tokenizer {
    let recipe = &loaded.recipe.tokenizer;
    Tokenizer::load(&loaded.base.join(&recipe.file), recipe).unwrap_or_else(|e| panic!("{e}"))
}

/// CPU time of the whole process.
fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Runs `work` and adds the CPU seconds it took to `total`.
fn timed<T>(total: &mut f64, work: impl FnOnce() -> T) -> T {
    let before = cpu();
    let result = work();
    *total += (cpu() - before).as_secs_f64();
    result
}

/// Every stage before the plan, one after another on one thread, so that the shares add up.
fn stages(loaded: &LoadedRecipe) -> Value {
    let mut secs = [0.0; 7];
    let [load, hash, read, parse, encode, text_hash, store] = &mut secs;
    let tokenizer = timed(load, || tokenizer(loaded));
    let directory = std::env::temp_dir().join(format!("ultrapack-rooms-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a temporary directory");
    let mut part = PartWriter::create(&directory, "bench", 0).expect("a part");
    let (mut n_bytes, mut n_documents, mut n_tokens) = (0usize, 0u64, 0usize);
    one_thread().install(|| {
        for source in &loaded.recipe.sources {
            let rules =
                SourceReading::new(source, &loaded.recipe.text, &loaded.recipe.limits).expect("valid rules");
            for file in discover(source, &loaded.base).expect("input files") {
                timed(hash, || {
                    blake3::hash(&std::fs::read(&file.path).expect("a readable file"))
                });
                let mut reader = Reader::open(&file, &rules, Position::default()).expect("a readable file");
                while let Some(chunk) = timed(read, || reader.next_chunk()).expect("good input") {
                    let parsed = timed(parse, || chunk.parse(&rules)).expect("good input");
                    for record in &parsed.records {
                        let mut ids = Vec::new();
                        timed(encode, || tokenizer.encode(&record.text, &mut ids)).expect("text");
                        let hash = timed(text_hash, || xxh3_128(record.text.as_bytes()));
                        let row = DocumentRow {
                            file: 0,
                            record: record.record,
                            bytes: record.bytes.clone(),
                            text_bytes: record.text.len() as u64,
                            hash,
                            n_tokens: ids.len() as u32,
                            metadata: String::new(),
                        };
                        timed(store, || part.push(&row, &ids)).expect("space");
                        n_bytes += record.text.len();
                        n_documents += 1;
                        n_tokens += ids.len();
                    }
                }
            }
        }
    });
    timed(store, || part.finish(0, Position::default(), true)).expect("space");
    std::fs::remove_dir_all(&directory).ok();
    let names = [
        "load",
        "hash_files",
        "read",
        "parse",
        "encode",
        "hash_texts",
        "store",
    ];
    let shares: serde_json::Map<String, Value> = names
        .iter()
        .map(|n| n.to_string())
        .zip(secs.map(Value::from))
        .collect();
    json!({ "stages": shares, "text_bytes": n_bytes, "documents": n_documents, "tokens": n_tokens })
}

/// Encoding alone, of text that is already in memory, on `threads` threads.
fn encode(loaded: &LoadedRecipe, threads: usize) -> Value {
    let tokenizer = tokenizer(loaded);
    let mut texts = Vec::new();
    for source in &loaded.recipe.sources {
        let rules =
            SourceReading::new(source, &loaded.recipe.text, &loaded.recipe.limits).expect("valid rules");
        for file in discover(source, &loaded.base).expect("input files") {
            let mut reader = Reader::open(&file, &rules, Position::default()).expect("a readable file");
            while let Some(chunk) = reader.next_chunk().expect("good input") {
                let parsed = chunk.parse(&rules).expect("good input");
                texts.extend(parsed.records.iter().map(|r| r.text.to_string()));
            }
        }
    }
    let n_bytes: usize = texts.iter().map(String::len).sum();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .expect("threads");
    let (wall, before) = (Instant::now(), cpu());
    let n_tokens: usize = pool.install(|| {
        let count = |text: &String| {
            let mut ids = Vec::new();
            tokenizer.encode(text, &mut ids).expect("text");
            ids.len()
        };
        texts.par_iter().map(count).sum()
    });
    let cpu_secs = (cpu() - before).as_secs_f64();
    json!({ "text_bytes": n_bytes, "tokens": n_tokens, "cpu_secs": cpu_secs, "wall_secs": wall.elapsed().as_secs_f64() })
}

/// Documents per part, as the store cuts them.
const PART: usize = 128 << 10;

/// Plans `n` documents with log-normal lengths of mean 1,080 tokens (sigma 1.1).
fn planning(n: usize) -> Value {
    let mut random = Rng::new(7);
    let mut normal = || {
        (0..12)
            .map(|_| random.next_u64() as f64 / u64::MAX as f64)
            .sum::<f64>()
            - 6.0
    };
    let mean = 1080f64.ln() - 1.1 * 1.1 / 2.0;
    let mut part = |n: usize| PartLens {
        source: 0,
        lens: (0..n)
            .map(|_| (mean + 1.1 * normal()).exp().round().max(1.0) as u32)
            .collect(),
        duplicates: Vec::new(),
    };
    let parts = (0..n)
        .step_by(PART)
        .map(|first| part(PART.min(n - first)))
        .collect();
    let corpus = Corpus {
        sources: vec![SourceRules {
            name: "synthetic".into(),
            ..Default::default()
        }],
        parts,
    };
    let text = "version: 1\nsources:\n  - name: a\n    paths: [a]\ntokenizer: {file: t, eod: 0}\n";
    let loaded = recipe::parse(text, Path::new("bench.yaml"), false).unwrap_or_else(|e| panic!("{e}"));
    let rules = Rules::new(&loaded.recipe, 131_072);
    let before = cpu();
    let summary = plan(&corpus, &rules, &mut |sequence| {
        black_box(sequence);
        Ok(())
    })
    .unwrap_or_else(|e| panic!("{e}"));
    let secs = (cpu() - before).as_secs_f64();
    let statistics = &summary.statistics;
    json!({
        "documents": n, "cpu_secs": secs, "ns_per_document": secs * 1e9 / n as f64,
        "sequences": statistics.n_sequences, "ideal": statistics.ideal_sequences, "fill": statistics.fill_ratio
    })
}

/// Rows in a random order, warm: the time to get a row, not to read its tokens.
fn rows(directory: &Path) -> Value {
    let dataset = Dataset::open(directory).unwrap_or_else(|e| panic!("{e}"));
    let order = Order::new(&dataset, 1, 0);
    let order: Vec<u64> = (0..dataset.len()).map(|position| order.row(position)).collect();
    let mut sum = 0u64;
    for &row in &order {
        sum += u64::from(dataset.row(row).expect("a good row").tokens[0]);
    }
    let rounds = 4_000_000 / order.len().max(1);
    let started = Instant::now();
    for _ in 0..rounds {
        for &row in &order {
            let row = dataset.row(black_box(row)).expect("a good row");
            sum += row.tokens.len() as u64 + row.cu_seqlens.len() as u64;
        }
    }
    let n = rounds * order.len();
    black_box(sum);
    json!({ "rows": dataset.len(), "accesses": n, "ns_per_row": started.elapsed().as_secs_f64() * 1e9 / n as f64 })
}

fn verifying(directory: &Path) -> Value {
    let before = cpu();
    let report = one_thread()
        .install(|| verify(directory, Level::Full, &AtomicU64::new(0)))
        .unwrap_or_else(|e| panic!("{e}"));
    let secs = (cpu() - before).as_secs_f64();
    assert!(report.findings.is_empty(), "the dataset is damaged");
    let files = std::fs::read_dir(directory).expect("a dataset");
    let n_bytes: u64 = files
        .filter_map(|f| f.ok()?.metadata().ok())
        .map(|m| m.len())
        .sum();
    json!({ "bytes": n_bytes, "cpu_secs": secs, "bytes_per_cpu_sec": n_bytes as f64 / secs })
}

/// Boundaries of documents of one length.
fn documents(n: u32, document: u32) -> Vec<u32> {
    (0..n).step_by(document as usize).chain([n]).collect()
}

/// CPU seconds of attention over 32K tokens, forward and backward, and the ratio to the share of the work.
fn attention() -> Value {
    const N: u32 = 32 << 10;
    const DOCUMENT: u32 = 1 << 10;
    let (heads, d) = (2, 64);
    let random = || Tensor::randn(0f32, 1.0, (N as usize, heads, d), &Device::Cpu).expect("a tensor");
    let (q, k, v, d_o) = (random(), random(), random(), random());
    let scale = 1.0 / (d as f64).sqrt();
    let run = |cu: &[u32]| {
        let mut secs = 0.0;
        timed(&mut secs, || {
            let (o, lse) = attend::varlen_attention(&q, &k, &v, cu, scale).expect("attention");
            attend::varlen_attention_backward(&q, &k, &v, &o, &lse, &d_o, cu, scale).expect("gradients")
        });
        secs
    };
    run(&documents(N, DOCUMENT)); // warms the allocator
    let (packed, dense) = (run(&documents(N, DOCUMENT)), run(&[0, N]));
    // Products of forward and backward: 4 and 10 operations per pair and element.
    let flop = |pairs: f64| 14.0 * (heads * d) as f64 * pairs;
    let pairs = f64::from(N) * f64::from(N);
    json!({
        "dense_cpu_secs": dense,
        "dense_gflop_per_cpu_sec": flop(pairs) / dense / 1e9,
        "packed_cpu_secs": packed,
        "packed_over_its_share_of_dense": packed / (dense / f64::from(N / DOCUMENT)),
    })
}

/// One training forward and backward, with half of the tokens masked.
fn step(n: u32, document: u32) -> Value {
    let config = Config::named("tiny", 8192, 8191, 8190).expect("a size");
    let model = Model::init(config, &RopeScaling::NONE, 1, &Device::Cpu, DType::F32).expect("a model");
    let mut grads = Gradients::zeros(&model).expect("memory");
    let ids: Vec<u32> = (0..n)
        .map(|i| if i % 2 == 0 { 8191 } else { i * 7 % 8000 })
        .collect();
    let rows: Vec<u32> = (0..n).step_by(2).collect();
    let targets: Vec<u32> = rows.iter().map(|i| i * 7 % 8000).collect();
    let weights = vec![1.0 / n as f32; rows.len()];
    let positions: Vec<u32> = (0..n).collect();
    let cu = documents(n, document);
    let started = Instant::now();
    let mut work = || -> ultrapack::error::Result<f64> {
        let cx = model.context(&positions, &cu)?;
        let mut inputs = vec![model.embed(&ids)?];
        for layer in 0..model.config().n_layers {
            inputs.push(model.block(layer, &inputs[layer], &cx)?);
        }
        let hidden = inputs.pop().expect("the last block's output");
        let loss = model.head_loss(&hidden, &rows, &targets, &weights, &cu, Some(&mut grads))?;
        let mut dx = loss.d_hidden.expect("gradients were asked for");
        for (layer, x) in inputs.iter().enumerate().rev() {
            dx = model.block_backward(layer, x, &dx, &cx, &mut grads)?;
        }
        model.embed_backward(&ids, &dx, &mut grads)?;
        Ok(loss.loss)
    };
    let loss = work().unwrap_or_else(|e| panic!("{e}"));
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel's account of the process");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    json!({ "tokens": n, "document": document, "loss": loss, "secs": started.elapsed().as_secs_f64(), "peak": peak.map(str::trim) })
}

fn one_thread() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .expect("one thread")
}
