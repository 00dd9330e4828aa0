//! `bpos completions` and `bpos man`: made from the command line's own definition.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{print, tell};

pub(crate) fn completions(shell: Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "bpos", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// One page to standard output, or all pages to a folder.
pub(crate) fn manual(folder: Option<&Path>) -> Outcome {
    let command = Arguments::command();
    let Some(folder) = folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        return print(&String::from_utf8_lossy(&page));
    };
    clap_mangen::generate_to(command, folder)
        .map_err(|error| Failure::new(Exit::Io, format!("{folder:?}: {error}")))?;
    tell(&format!("wrote bpos.1 and a page for each command to {}", folder.display()));
    Ok(())
}
