//! Reading a dataset for training: nothing is copied, the order is exact, damage is an error.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ultrapack::dataset::{Dataset, Order, Progress};
use ultrapack::error::Error;
use ultrapack::ipc::CheckedFile;

use crate::scratch::{Scratch, jsonl, overwrite, passages, recipe_of};

/// The system's allocator, with a count of this thread's allocations.
struct Counting;

thread_local! {
    static N_ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        N_ALLOCATIONS.try_with(|n| n.set(n.get() + 1)).ok();
        // SAFETY: the caller keeps the contract of `alloc`, which is the same one.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: `at` comes from `alloc` above.
        unsafe { System.dealloc(at, layout) }
    }
}

/// A dataset of two record batches: the first holds 2,048 sequences.
fn two_batches() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("corpus.jsonl", jsonl(passages(1000, 400, 1)));
    let recipe = recipe_of(&["{ name: a, paths: [corpus.jsonl], epochs: 10 }"], "");
    scratch.pack_here(&recipe, "out", 2).unwrap();
    let dataset = scratch.open("out");
    assert_eq!(dataset.manifest().rows_per_batch, 2048);
    let n_rows = dataset.len();
    assert!((2049..4096).contains(&n_rows), "{n_rows} rows");
    scratch
}

/// The addresses at which this process has a file mapped, and the place in the file of the first.
fn mappings(file: &Path) -> Vec<(std::ops::Range<usize>, usize)> {
    let hex = |text: &str| usize::from_str_radix(text, 16).unwrap();
    let file = fs::canonicalize(file).unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let of_file = maps.lines().filter(|line| line.ends_with(file.to_str().unwrap()));
    let parse = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (from, to) = fields.next().unwrap().split_once('-').unwrap();
        (hex(from)..hex(to), hex(fields.nth(1).unwrap()))
    };
    of_file.map(parse).collect()
}

#[test]
fn a_row_is_a_slice_of_the_mapped_shard() {
    let scratch = two_batches();
    let dataset = scratch.open("out");
    let shard = scratch.path("out/shard-00000.arrow");
    let file = fs::read(&shard).unwrap();
    let mappings = mappings(&shard);
    for row in 0..dataset.len() {
        let row = dataset.row(row).unwrap();
        let columns = [
            bytemuck::cast_slice::<_, u8>(row.tokens),
            bytemuck::cast_slice(row.cu_seqlens),
            bytemuck::cast_slice(row.segment_document),
            bytemuck::cast_slice(row.segment_start),
        ];
        for column in columns {
            let at = column.as_ptr() as usize;
            let (range, offset) = mappings.iter().find(|(range, _)| range.contains(&at)).unwrap();
            assert!(at + column.len() <= range.end);
            let in_file = at - range.start + offset;
            assert!(file[in_file..in_file + column.len()] == *column);
        }
        assert_eq!(row.tokens.as_ptr().align_offset(64), 0);
    }
}

#[test]
fn rows_are_read_without_allocating() {
    let scratch = two_batches();
    let dataset = scratch.open("out");
    let (order, n) = (Order::new(&dataset, 1, 0), dataset.len());
    let rows_per_batch = u64::from(dataset.manifest().rows_per_batch);
    let allocations = |work: &dyn Fn() -> u64| {
        let before = N_ALLOCATIONS.get();
        std::hint::black_box(work());
        N_ALLOCATIONS.get() - before
    };
    let first_of_each = || {
        (0..n)
            .step_by(rows_per_batch as usize)
            .map(|r| u64::from(dataset.row(r).unwrap().tokens[0]))
            .sum()
    };
    let all = || {
        let rows = order
            .positions(0, 1, 0)
            .map(|position| dataset.row(order.row(position)).unwrap());
        rows.map(|row| u64::from(row.tokens[0]) + row.cu_seqlens.len() as u64)
            .sum()
    };
    assert!(allocations(&first_of_each) > 0, "decoding a batch allocates");
    assert_eq!(allocations(&all), 0);
}

#[test]
fn an_epoch_visits_every_row_once_and_ranks_share_it_exactly() {
    let scratch = Scratch::packed(
        200,
        "pack: { seq_len: 256 }\nbalance: { ranks: 3, accumulate: 2 }\n",
    );
    let dataset = scratch.open("out");
    let n = dataset.len();
    assert!(n > 100 && !n.is_multiple_of(6), "{n} rows");
    for epoch in 0..3 {
        let order = Order::new(&dataset, 7, epoch);
        let rows: Vec<u64> = (0..n).map(|position| order.row(position)).collect();
        assert_eq!(rows.iter().copied().collect::<BTreeSet<_>>(), (0..n).collect());
        // What `balance` made equal stays together: ranks × accumulate rows, in order.
        for batch in rows.chunks_exact(6) {
            assert_eq!(batch[0] % 6, 0);
            assert!(batch.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        }
        for world in [1, 2, 3, 8] {
            for from in [0, 1, 50, n - 1, n] {
                let ranks: Vec<Vec<u64>> = (0..world)
                    .map(|rank| order.positions(from, world, rank).collect())
                    .collect();
                let mut all = ranks.concat();
                all.sort_unstable();
                assert_eq!(all, (from..n).collect::<Vec<_>>(), "{world} ranks from {from}");
                let (least, most) = (ranks.iter().map(Vec::len).min(), ranks.iter().map(Vec::len).max());
                assert!(most.unwrap() - least.unwrap() <= 1);
            }
        }
    }
    let epoch = |seed, epoch| -> Vec<u64> {
        let order = Order::new(&dataset, seed, epoch);
        (0..n).map(|position| order.row(position)).collect()
    };
    assert_eq!(epoch(7, 0), epoch(7, 0));
    assert_ne!(epoch(7, 0), epoch(7, 1));
    assert_ne!(epoch(7, 0), epoch(8, 0));
}

#[test]
fn a_run_resumes_from_its_progress_on_another_number_of_ranks() {
    let scratch = Scratch::packed(200, "pack: { seq_len: 256 }\n");
    let dataset = scratch.open("out");
    let order = Order::new(&dataset, 3, 2);
    let tokens = |position| dataset.row(order.row(position)).unwrap().tokens;
    let straight: Vec<&[u32]> = order.positions(0, 1, 0).map(tokens).collect();
    // Two ranks take 20 steps, then three go on.
    let mut resumed: Vec<&[u32]> = Vec::new();
    let mut steps = [order.positions(0, 2, 0), order.positions(0, 2, 1)];
    (0..20).for_each(|_| resumed.extend(steps.each_mut().map(|rank| tokens(rank.next().unwrap()))));
    let progress = Progress {
        epoch: 2,
        position: resumed.len() as u64,
    };
    let saved = serde_json::to_string(&progress).unwrap();
    let loaded: Progress = serde_json::from_str(&saved).unwrap();
    assert_eq!(loaded, progress);
    let mut ranks = [0, 1, 2].map(|rank| order.positions(loaded.position, 3, rank));
    let rest = (loaded.position..).map_while(|at| ranks[(at % 3) as usize].next());
    resumed.extend(rest.map(tokens));
    assert!(resumed == straight);
    assert!(serde_json::from_str::<Progress>(r#"{"epoch":0,"position":0,"rank":1}"#).is_err());
}

#[test]
fn a_damaged_batch_is_an_error_at_its_first_row_and_leaves_the_others_readable() {
    let scratch = two_batches();
    let shard = scratch.path("out/shard-00000.arrow");
    let file = CheckedFile::open(&shard, "shard", |schema| Ok(schema.clone())).unwrap();
    let from = file.batch_offset(0) as usize;
    let to = from + file.batch_n_bytes(0) as usize;
    let right = fs::read(&shard).unwrap();
    // The message, the tokens, and what comes behind the tokens: the boundaries.
    let body = to - (to - from) % 64;
    let damage: [(&str, std::ops::Range<usize>, u8); 3] = [
        ("message", from..from + 64, 0),
        ("message length", from + 4..from + 8, 0xff),
        ("boundaries", body - 4096..body, 0xff),
    ];
    for (what, range, byte) in damage {
        let mut bytes = right.clone();
        bytes[range].fill(byte);
        overwrite(&shard, &bytes);
        let dataset = Dataset::open(&scratch.path("out")).unwrap();
        for _ in 0..2 {
            let error = dataset.row(0).unwrap_err();
            let is_damage = matches!(&error, Error::Damaged { kind: "shard", path, .. } if *path == shard);
            assert!(is_damage, "{what}: {error}");
        }
        dataset.row(dataset.len() - 1).unwrap();
    }
    overwrite(&shard, &right[..right.len() - 1]);
    assert!(matches!(
        Dataset::open(&scratch.path("out")),
        Err(Error::Damaged { .. })
    ));
}
