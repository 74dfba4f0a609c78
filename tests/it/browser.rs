//! The page in a real browser: `tests/browser/inspect.test.mjs`, on a page of hostile and of ordinary
//! text. Needs Node.js, `npm ci` in `tests/browser`, and Chromium; says so when it is skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::inspect::hostile;
use crate::scratch::{Finished, Scratch};

/// Names under which Debian, Ubuntu and others install it.
const BROWSERS: [&str; 4] = [
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
];

fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

/// The directory of the browser test and the browser, or what is missing.
fn equipment() -> Result<(PathBuf, PathBuf), String> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let given = std::env::var_os("ULTRAPACK_BROWSER").map(PathBuf::from);
    let browser = given.or_else(|| BROWSERS.iter().find_map(|name| on_path(name)));
    let browser = browser.ok_or("there is no Chromium")?;
    on_path("node").ok_or("there is no Node.js")?;
    match tests.join("node_modules/playwright-core").is_dir() {
        true => Ok((tests, browser)),
        false => Err(format!("run `npm ci` in {} first", tests.display())),
    }
}

#[test]
fn the_page_works_in_a_browser() {
    let (tests, browser) = match equipment() {
        Ok(found) => found,
        Err(missing) => return eprintln!("SKIPPED: the browser tests of the page: {missing}"),
    };
    let kinds = "pack: { seq_len: 2048, boundary: hybrid, align: 16 }\n";
    for scratch in [hostile(), Scratch::packed(60, kinds)] {
        let json = scratch
            .ultrapack(&["inspect", "out", "--html", "page.html", "--json"])
            .expect_code(0);
        fs::write(scratch.path("page.json"), &json.stdout).unwrap();
        let page: Value = serde_json::from_slice(&json.stdout).unwrap();
        let mut seams = Vec::new();
        for sequence in page["inspect"]["sequences"].as_array().unwrap().iter().take(2) {
            let number = sequence["sequence"].to_string();
            let seq_len = sequence["seq_len"].as_u64().unwrap();
            for at in [0, 1, seq_len / 3, seq_len - 1] {
                let at = at.to_string();
                let args = [
                    "inspect",
                    "out",
                    "--seq",
                    &number,
                    "--at",
                    &at,
                    "--context",
                    "16",
                    "--json",
                ];
                let seam: Value =
                    serde_json::from_slice(&scratch.ultrapack(&args).expect_code(0).stdout).unwrap();
                seams.push(seam["inspect"]["seam"].clone());
            }
        }
        fs::write(scratch.path("seams.json"), serde_json::to_vec(&seams).unwrap()).unwrap();
        let output = Command::new("node")
            .arg("--test")
            .arg(tests.join("inspect.test.mjs"))
            .current_dir(&tests)
            .env("ULTRAPACK_BROWSER", &browser)
            .env("ULTRAPACK_PAGE", scratch.path("page.html"))
            .env("ULTRAPACK_PAGE_JSON", scratch.path("page.json"))
            .env("ULTRAPACK_SEAMS", scratch.path("seams.json"))
            .output()
            .unwrap();
        output.expect_code(0);
    }
}
