//! The `ultrapack` program: the library does the work.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(ultrapack::cli::main() as u8)
}
