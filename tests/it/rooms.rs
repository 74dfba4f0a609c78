//! The rooms of the crate: each may use only those before it.

use std::fs;
use std::path::Path;

use regex::Regex;

use crate::scratch::files_below;

/// The rooms from the ground up.
const ORDER: [&str; 21] = [
    "error",
    "numbers",
    "guard",
    "disk",
    "ipc",
    "sequence",
    "recipe",
    "source",
    "tokenize",
    "store",
    "pack",
    "shard",
    "dataset",
    "build",
    "inspect",
    "kernel",
    "model",
    "train",
    "eval",
    "gpu_check",
    "cli",
];

/// What a room may not use although its place in the order would allow it: packing is a function of
/// lengths, so it knows neither files nor columns.
const FORBIDDEN: [(&str, &[&str]); 1] = [(
    "pack",
    &[
        "crate::disk",
        "crate::ipc",
        "crate::source",
        "crate::store",
        "arrow::",
        "parquet::",
    ],
)];

/// Room, file and code (without comments) of every source file below a room.
fn sources() -> Vec<(String, String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rust = |path: &Path| path.extension().is_some_and(|e| e == "rs");
    let read = |path: &Path| {
        let name = path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
        let room = name.split(['/', '.']).next().unwrap().to_owned();
        let code = fs::read_to_string(path).unwrap();
        let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        (room, name, code.collect::<Vec<_>>().join("\n"))
    };
    let files = files_below(&src);
    let files = files.iter().filter(|path| rust(path)).map(|path| read(path));
    files
        .filter(|(room, ..)| !["lib", "main"].contains(&room.as_str()))
        .collect()
}

/// The rooms that some code names: `crate::a::…`, and `crate::{a, b::{c, d}}`.
fn used_rooms(code: &str) -> Vec<String> {
    let plain = Regex::new(r"\bcrate::(\w+)").unwrap();
    let group = Regex::new(r"\bcrate::\{([^;]*)\};").unwrap();
    let mut rooms: Vec<String> = plain.captures_iter(code).map(|c| c[1].to_owned()).collect();
    for list in group.captures_iter(code) {
        let mut depth = 0;
        let top = list[1].replace(char::is_whitespace, "");
        let top = top.split_inclusive(['{', '}', ',']).filter_map(|part| {
            let at_top = depth == 0;
            depth += part.matches('{').count();
            depth -= part.matches('}').count();
            let name = part.split(':').next().unwrap().trim_matches([',', '}', '{']);
            (at_top && !name.is_empty()).then(|| name.to_owned())
        });
        rooms.extend(top);
    }
    rooms
}

#[test]
fn a_list_of_imports_is_taken_apart() {
    let code = "use crate::{recipe, shard::{Manifest, verify}, store};\nlet x = crate::pack::plan();";
    assert_eq!(used_rooms(code), ["pack", "recipe", "shard", "store"]);
}

#[test]
fn a_room_uses_only_the_rooms_before_it() {
    let place = |room: &str| ORDER.iter().position(|r| *r == room);
    let mut n_used = 0;
    let mut wrong = Vec::new();
    for (room, file, code) in sources() {
        let own = place(&room).unwrap_or_else(|| panic!("{file}: `{room}` has no place in the order"));
        for used in used_rooms(&code) {
            n_used += 1;
            // Anything else is an item of the crate's root; the crate has none but rooms.
            let used_place = place(&used).unwrap_or_else(|| panic!("{file}: `{used}` is no room"));
            if used_place > own {
                wrong.push(format!("{file} uses `{used}`"));
            }
        }
        let forbidden = FORBIDDEN
            .iter()
            .filter(|(r, _)| *r == room)
            .flat_map(|(_, names)| *names);
        wrong.extend(
            forbidden
                .filter(|name| code.contains(**name))
                .map(|name| format!("{file} uses `{name}`")),
        );
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(n_used > 100, "only {n_used} uses were found");
}

#[test]
fn unsafe_code_is_in_the_memory_map_and_where_a_gpu_is_called() {
    let word = Regex::new(r"\bunsafe\b").unwrap();
    let files: Vec<String> = sources()
        .into_iter()
        .filter(|(.., code)| word.is_match(code))
        .map(|(_, file, _)| file)
        .collect();
    assert_eq!(
        files,
        ["ipc/map.rs", "model/cuda/launch.rs", "model/cuda/products.rs"]
    );
    // The program sets one variable of its environment, before anything else runs.
    let main = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/main.rs");
    assert_eq!(word.find_iter(&fs::read_to_string(main).unwrap()).count(), 1);
}

#[test]
fn every_room_is_declared_and_has_a_place_in_the_order() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let declared = Regex::new(r"(?m)^(?:pub )?mod (\w+);").unwrap();
    let mut declared: Vec<&str> = declared
        .captures_iter(&lib)
        .map(|c| c.get(1).unwrap().as_str())
        .collect();
    let mut order = ORDER.to_vec();
    declared.sort_unstable();
    order.sort_unstable();
    assert_eq!(declared, order);
}
