//! `bpos completions` and `bpos man`, generated from the definition of the command line.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::failure::{Failure, Outcome};
use crate::output::{print, tell};

pub(crate) fn completions(shell: Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "bpos", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Writes one page to standard output, or all pages to a folder.
pub(crate) fn manual(folder: Option<&Path>) -> Outcome {
    let command = Arguments::command();
    let Some(folder) = folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).map_err(Failure::io("the manual page"))?;
        return print(&String::from_utf8_lossy(&page));
    };
    clap_mangen::generate_to(command, folder).map_err(Failure::io(format_args!("{folder:?}")))?;
    tell(&format!("wrote bpos.1 and a page for each command to {}", folder.display()));
    Ok(())
}
