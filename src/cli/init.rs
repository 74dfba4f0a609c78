//! `ultrapack init [FILE]`: a commented recipe.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use super::output::Printer;
use crate::error::{Error, Result};
use crate::recipe;

#[derive(Debug, clap::Args)]
pub struct InitArguments {
    /// The file to write; `-` prints it. An existing file is never overwritten.
    #[arg(default_value = "recipe.yaml")]
    file: PathBuf,
}

pub fn run(arguments: &InitArguments, printer: &Printer) -> Result<()> {
    if arguments.file.as_os_str() == "-" {
        return printer.result(recipe::template());
    }
    let mut file = std::fs::File::create_new(&arguments.file).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::usage(format!(
            "`{}` exists and is not overwritten\nhint: name another file, or print the recipe with `init -`",
            arguments.file.display()
        )),
        _ => Error::io("create", &arguments.file)(error),
    })?;
    file.write_all(recipe::template().as_bytes())
        .map_err(Error::io("write", &arguments.file))?;
    printer.note(&format!(
        "wrote `{}`; edit its paths, then: ultrapack pack {0}",
        arguments.file.display()
    ));
    Ok(())
}
