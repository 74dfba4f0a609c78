//! From the patterns of a source to its files, in an order that does not depend on the file system.
//!
//! The order, and the name a file keeps in documents, come from the path below the literal part of
//! the pattern, so that a corpus may move. Nothing is left out in silence: a pattern that matches
//! nothing, an unreadable directory, a name that is not UTF-8 and a thing that is not a file are
//! errors. Only hidden files and, for patterns, directories are passed over.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use crate::error::{Error, Place, Result, shown};
use crate::recipe;

const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// One input file of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFile {
    /// The file.
    pub path: PathBuf,
    /// Path relative to the literal directory prefix of its pattern, `/`-separated: stable when the
    /// corpus moves.
    pub name: String,
    /// Size on disk in bytes.
    pub n_bytes: u64,
}

/// The files of a source in bytewise order of `name` (ties: by path), each once. Patterns are
/// relative to `base`; `**` stands for any number of directories; hidden files match only patterns
/// that name the dot.
///
/// # Errors
/// [`Error::Input`] for a pattern that matches nothing and for a match that is not a regular file,
/// [`Error::Usage`] for a malformed pattern, [`Error::Io`] for an unreadable directory.
pub fn discover(source: &recipe::Source, base: &Path) -> Result<Vec<InputFile>> {
    // By canonical path, so that a file that is reached twice is read once, under its first name.
    let mut files: BTreeMap<PathBuf, InputFile> = BTreeMap::new();
    for pattern in &source.paths {
        let mut found = Vec::new();
        let literal = base.join(pattern);
        if fs::symlink_metadata(&literal).is_ok() {
            let name = literal.file_name().map(PathBuf::from).unwrap_or_default();
            found.push((literal.clone(), utf8(&name)?.to_owned()));
        } else {
            let (prefix, parts) = split(pattern);
            expand(&base.join(prefix), "", &parts, &mut found)?;
        }
        if found.is_empty() {
            let message = format!("source `{}`: no file matches", source.name);
            return Err(Error::input(Place::file(literal), message));
        }
        for (path, name) in found {
            let metadata = fs::metadata(&path).map_err(Error::io("read", &path))?;
            if metadata.is_dir() {
                let message = "a directory, not a file\nhint: name the files in it, as in `DIR/**/*.jsonl`";
                return Err(Error::input(Place::file(path), message));
            }
            if !metadata.is_file() {
                return Err(Error::input(Place::file(path), "not a regular file"));
            }
            let canonical = fs::canonicalize(&path).map_err(Error::io("resolve", &path))?;
            let file = InputFile {
                path,
                name,
                n_bytes: metadata.len(),
            };
            let kept = files.entry(canonical).or_insert_with(|| file.clone());
            if (&file.name, &file.path) < (&kept.name, &kept.path) {
                *kept = file;
            }
        }
    }
    let mut files: Vec<_> = files.into_values().collect();
    files.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
    Ok(files)
}

/// The literal directory prefix of a pattern, and the parts below it.
fn split(pattern: &str) -> (PathBuf, Vec<&str>) {
    let parts: Vec<&str> = pattern
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    let n_literal = parts.iter().take_while(|part| !is_glob(part)).count();
    // The last part names a file, even when it is literal.
    let n_literal = n_literal.min(parts.len().saturating_sub(1));
    let mut prefix = PathBuf::from(if pattern.starts_with('/') { "/" } else { "" });
    prefix.extend(&parts[..n_literal]);
    (prefix, parts[n_literal..].to_vec())
}

fn is_glob(part: &str) -> bool {
    part.contains(['*', '?', '['])
}

/// Collects the files below `dir` that match `parts`, with their names.
fn expand(dir: &Path, name: &str, parts: &[&str], found: &mut Vec<(PathBuf, String)>) -> Result<()> {
    let Some((&part, rest)) = parts.split_first() else {
        return Ok(());
    };
    let named = |entry: &str| {
        if name.is_empty() {
            entry.to_owned()
        } else {
            format!("{name}/{entry}")
        }
    };
    if part == "**" {
        // `**` at the end stands for every file below.
        expand(dir, name, if rest.is_empty() { &["*"] } else { rest }, found)?;
        for (path, entry) in entries(dir)? {
            // Links are not followed here: a link to a parent would never end.
            let is_dir = fs::symlink_metadata(&path)
                .map_err(Error::io("read", &path))?
                .is_dir();
            if is_dir && !entry.to_string_lossy().starts_with('.') {
                expand(&path, &named(utf8(&entry)?), parts, found)?;
            }
        }
        return Ok(());
    }
    if !is_glob(part) {
        let path = dir.join(part);
        if rest.is_empty() && fs::symlink_metadata(&path).is_ok() {
            found.push((path, named(part)));
        } else if !rest.is_empty() && path.is_dir() {
            expand(&path, &named(part), rest, found)?;
        }
        return Ok(());
    }
    let pattern = Pattern::new(part).map_err(|error| {
        Error::usage(format!(
            "pattern `{part}`, character {}: {}",
            error.pos + 1,
            error.msg
        ))
    })?;
    for (path, entry) in entries(dir)? {
        if !pattern.matches_with(&entry.to_string_lossy(), OPTIONS) {
            continue;
        }
        let entry = utf8(&entry)?;
        // Asked only after the name matched: a broken link beside the corpus does no harm.
        let is_dir = fs::metadata(&path).map_err(Error::io("read", &path))?.is_dir();
        match (rest.is_empty(), is_dir) {
            (true, false) => found.push((path, named(entry))),
            (false, true) => expand(&path, &named(entry), rest, found)?,
            _ => {}
        }
    }
    Ok(())
}

/// Paths and names of what a directory holds. A directory that is not there holds nothing.
fn entries(dir: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let entry = entry.map_err(Error::io("list", dir))?;
        entries.push((entry.path(), PathBuf::from(entry.file_name())));
    }
    Ok(entries)
}

fn utf8(name: &Path) -> Result<&str> {
    name.to_str().ok_or_else(|| {
        let message = format!(
            "the file name `{}` is not UTF-8\nhint: rename the file",
            shown(name)
        );
        Error::input(Place::file(name), message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tests::source;

    fn names(base: &Path, patterns: &[&str]) -> Result<Vec<String>> {
        let mut source = source();
        source.paths = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        Ok(discover(&source, base)?
            .into_iter()
            .map(|file| file.name)
            .collect())
    }

    fn corpus() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "d/b.txt",
            "d/a.txt",
            "d/B.txt",
            "d/x/c.txt",
            "d/x/y/c.txt",
            "d/.h.txt",
            "d/.g/a.txt",
            "d/a[1].txt",
        ] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        dir
    }

    #[test]
    fn files_come_in_bytewise_order_with_names_below_the_literal_prefix() {
        let dir = corpus();
        assert_eq!(
            names(dir.path(), &["d/*.txt"]).unwrap(),
            ["B.txt", "a.txt", "a[1].txt", "b.txt"]
        );
        assert_eq!(
            names(dir.path(), &["d/**/c.txt"]).unwrap(),
            ["x/c.txt", "x/y/c.txt"]
        );
        assert_eq!(names(dir.path(), &["d/x/**"]).unwrap(), ["c.txt", "y/c.txt"]);
        assert_eq!(names(dir.path(), &["d/*/c.txt"]).unwrap(), ["x/c.txt"]);
        assert_eq!(names(dir.path(), &["./d/x/c.txt"]).unwrap(), ["c.txt"]);
    }

    #[test]
    fn a_base_with_glob_characters_is_taken_literally() {
        let dir = tempfile::Builder::new().prefix("ba[s]e*").tempdir().unwrap();
        fs::write(dir.path().join("a.txt"), "").unwrap();
        assert_eq!(names(dir.path(), &["*.txt"]).unwrap(), ["a.txt"]);
    }

    #[test]
    fn hidden_files_are_matched_only_when_named() {
        let dir = corpus();
        assert_eq!(names(dir.path(), &["d/.*.txt"]).unwrap(), [".h.txt"]);
        assert_eq!(names(dir.path(), &["d/.g/*"]).unwrap(), ["a.txt"]);
    }

    #[test]
    fn an_existing_name_with_glob_characters_is_taken_literally() {
        assert_eq!(names(corpus().path(), &["d/a[1].txt"]).unwrap(), ["a[1].txt"]);
    }

    #[test]
    fn a_file_reached_by_two_patterns_comes_once() {
        assert_eq!(
            names(corpus().path(), &["d/x/*.txt", "d/x/c.txt", "d/**/x/c.txt"]).unwrap(),
            ["c.txt"]
        );
    }

    #[test]
    fn what_cannot_be_read_as_a_file_is_an_error() {
        let dir = corpus();
        for (pattern, part) in [
            ("d/*.json", "no file matches"),
            ("nowhere/**", "no file matches"),
            ("d/x", "a directory"),
            ("d/[", "no file matches"),
        ] {
            let result = names(dir.path(), &[pattern]);
            let message = result.unwrap_err().to_string();
            assert!(
                message.contains(part) || message.contains("pattern"),
                "{pattern}: {message}"
            );
        }
        #[cfg(unix)]
        {
            std::os::unix::net::UnixListener::bind(dir.path().join("d/socket.txt")).unwrap();
            let message = names(dir.path(), &["d/*.txt"]).unwrap_err().to_string();
            assert!(
                message.contains("socket.txt") && message.contains("not a regular file"),
                "{message}"
            );
        }
    }
}
