//! Everything that can go wrong, in one enum.
//!
//! A variant names the object it happened to (a path, a shard, a record) and keeps the cause.
//! Messages are lower case, without a full stop, and say what was attempted, on what, and what was
//! found instead; a second line that starts with `hint:` says what to do. [`Error::exit_code`] maps
//! every variant to one of the documented exit codes.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Exit codes of the `ultrapack` binary. They are stable: scripts may rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// It worked.
    Ok = 0,
    /// A bug in Ultrapack (a Rust panic exits with 101).
    Bug = 1,
    /// The command line, the recipe or the tokenizer file is wrong.
    Usage = 2,
    /// An input document or file is damaged or breaks the recipe's limits.
    Input = 3,
    /// `verify` found damage.
    Damaged = 4,
    /// The output directory belongs to another recipe or other inputs.
    Conflict = 5,
    /// The directory holds no dataset.
    NoDataset = 10,
    /// Another process holds the lock.
    Locked = 11,
    /// The operating system refused a read or a write.
    Io = 74,
    /// Stopped by SIGINT.
    Interrupted = 130,
    /// Stopped by SIGTERM.
    Terminated = 143,
}

/// Where a record came from, as precise as the format allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The input file as the user named it.
    pub path: PathBuf,
    /// Zero-based record (document) number in the file.
    pub record: Option<u64>,
    /// One-based line number, for line-oriented formats.
    pub line: Option<u64>,
    /// Byte offset in the decompressed file.
    pub byte: Option<u64>,
}

impl Place {
    /// A place that is a whole file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            ..Self::default()
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", shown(&self.path))?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        } else if let Some(record) = self.record {
            write!(f, ", record {record}")?;
        }
        if let Some(byte) = self.byte {
            write!(f, ", byte {byte}")?;
        }
        Ok(())
    }
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation.
    #[error("failed to {action} `{}`: {source}{}", shown(path), io_hint(source))]
    Io {
        /// What was attempted: `read`, `write`, `rename`, …
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },

    /// The recipe has one or more errors; `report` is the rendered list with spans.
    #[error("{report}")]
    Recipe {
        /// The recipe file.
        path: PathBuf,
        /// How many errors there are.
        n_errors: usize,
        /// All of them, rendered with file, line, column and caret.
        report: String,
    },

    /// A command-line argument is wrong.
    #[error("{message}")]
    Usage {
        /// What is wrong and what to do.
        message: String,
    },

    /// The tokenizer file cannot be used.
    #[error("tokenizer `{}`: {message}", shown(path))]
    Tokenizer {
        /// The `tokenizer.json`.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },

    /// An input file or record is damaged, or breaks a limit of the recipe.
    #[error("{place}: {message}")]
    Input {
        /// Where.
        place: Place,
        /// What was expected, what was found, what to do.
        message: String,
    },

    /// A file of ours (shard, part, plan, manifest) is damaged.
    #[error("{} `{}`: {message}", .kind, shown(path))]
    Damaged {
        /// The kind of file: `shard`, `store part`, `plan`, `manifest`, `documents`.
        kind: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },

    /// `verify` found `n_findings` problems; they have been printed.
    #[error("{n_findings} problem(s) found in `{}`", shown(path))]
    VerifyFailed {
        /// The dataset.
        path: PathBuf,
        /// How many problems were found.
        n_findings: usize,
    },

    /// The output directory holds something that this run must not overwrite.
    #[error("`{}` {message}", shown(path))]
    Conflict {
        /// The output directory.
        path: PathBuf,
        /// What differs and what to do.
        message: String,
    },

    /// The directory is not a dataset.
    #[error("`{}` is not a dataset: {message}", shown(path))]
    NoDataset {
        /// The directory.
        path: PathBuf,
        /// What is missing.
        message: String,
    },

    /// Another process works on the directory.
    #[error(
        "`{}` is locked by {holder}\nhint: wait for it or stop it; a killed process leaves no lock behind",
        shown(path)
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// Process id and host of the holder, as it wrote them.
        holder: String,
    },

    /// The account does not balance: a bug here, and the reason why there is no manifest.
    #[error("the ledger does not balance: {equation}\nhint: this is a bug; no manifest was written")]
    Ledger {
        /// The equation that fails, with its numbers.
        equation: String,
    },

    /// A tensor operation failed: the device is out of memory, missing or broken.
    #[error("tensor operation failed: {source}")]
    Compute {
        /// What candle says.
        source: Box<candle_core::Error>,
    },

    /// A training run met a number that is not finite. Weights are as they were before the step.
    #[error(
        "step {step}: {what} is not finite\n{address}\nhint: lower `optimizer.lr`, or look at the sequence with `inspect --seq`; the last checkpoint is from before"
    )]
    Diverged {
        /// The step, from 1.
        step: u64,
        /// Which number.
        what: &'static str,
        /// The sequences that gave it: epoch, position, row, shard, documents.
        address: String,
    },

    /// A signal asked the run to stop.
    #[error("stopped by {}", if *signal == 2 { "SIGINT" } else { "SIGTERM" })]
    Interrupted {
        /// The signal's number.
        signal: i32,
    },
}

impl Error {
    /// Wraps an operating-system error with what was attempted and on what.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// A record or file of the input that cannot be used.
    pub fn input(place: Place, message: impl Into<String>) -> Self {
        Self::Input {
            place,
            message: message.into(),
        }
    }

    /// A file of ours that is damaged.
    pub fn damaged(kind: &'static str, path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self::Damaged {
            kind,
            path: path.into(),
            message: message.into(),
        }
    }

    /// A wrong command-line argument.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
        }
    }

    /// The exit code of the process when this error ends it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Io { .. } | Self::Compute { .. } => ExitCode::Io,
            Self::Recipe { .. } | Self::Usage { .. } | Self::Tokenizer { .. } => ExitCode::Usage,
            Self::Input { .. } | Self::Diverged { .. } => ExitCode::Input,
            Self::Damaged { .. } | Self::VerifyFailed { .. } => ExitCode::Damaged,
            Self::Conflict { .. } => ExitCode::Conflict,
            Self::NoDataset { .. } => ExitCode::NoDataset,
            Self::Locked { .. } => ExitCode::Locked,
            Self::Ledger { .. } => ExitCode::Bug,
            Self::Interrupted { signal: 2 } => ExitCode::Interrupted,
            Self::Interrupted { .. } => ExitCode::Terminated,
        }
    }
}

impl From<candle_core::Error> for Error {
    fn from(source: candle_core::Error) -> Self {
        Self::Compute {
            source: Box::new(source),
        }
    }
}

/// A path as it may be shown: control characters visible, credentials of a URL removed.
pub fn shown(path: &Path) -> String {
    shown_text(&path.to_string_lossy())
}

/// Text from outside as it may be shown on a terminal: control and bidirectional characters become
/// visible escapes, and `scheme://user:secret@` loses its credentials.
pub fn shown_text(text: &str) -> String {
    let text = match text.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let rest = match rest[..end].rfind('@') {
                Some(at) => format!("…@{}", &rest[at + 1..]),
                None => rest.to_owned(),
            };
            let rest = rest
                .split_once('?')
                .map_or(rest.clone(), |(path, _)| format!("{path}?…"));
            format!("{scheme}://{rest}")
        }
        None => text.to_owned(),
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let hidden = c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if hidden {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

fn io_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull => {
            "\nhint: free space and run the same command again; finished work is kept"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_credentials() {
        assert_eq!(
            shown_text("s3://key:secret@bucket/a?sig=abc"),
            "s3://…@bucket/a?…"
        );
        assert_eq!(shown_text("plain/path"), "plain/path");
    }

    #[test]
    fn control_characters_of_a_path_are_shown_as_escapes() {
        assert_eq!(shown_text("a\u{1b}[31mb"), "a\\u{1b}[31mb");
    }

    #[test]
    fn a_place_names_file_line_and_byte() {
        let place = Place {
            path: "a.jsonl".into(),
            record: Some(3),
            line: Some(4),
            byte: Some(120),
        };
        assert_eq!(place.to_string(), "`a.jsonl`, line 4, byte 120");
    }
}
