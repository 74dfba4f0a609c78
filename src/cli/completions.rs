//! `ultrapack completions SHELL`.

use super::output::Printer;
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub struct CompletionsArguments {
    /// The shell.
    shell: clap_complete::Shell,
}

pub fn run(arguments: &CompletionsArguments, printer: &Printer) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::command(), "ultrapack", &mut script);
    printer.result(&String::from_utf8_lossy(&script))
}
