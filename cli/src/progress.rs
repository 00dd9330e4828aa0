//! A spinner for whatever takes more than a second: on standard error, and only if that is a terminal.

use std::io::{IsTerminal, stderr};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const DELAY: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(100);

/// Appears after a second, and disappears when it is dropped.
pub(crate) struct Progress {
    spinner: ProgressBar,
    /// Absent where there is no terminal. The thread ends at the latest when the sender is dropped.
    waiting: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// For work of unknown duration.
    pub(crate) fn spinner(what: &'static str) -> Self {
        let spinner = ProgressBar::no_length();
        spinner.set_draw_target(ProgressDrawTarget::hidden());
        if !stderr().is_terminal() {
            return Self { spinner, waiting: None };
        }
        let style = ProgressStyle::with_template("{spinner} {msg}, {elapsed}");
        spinner.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        spinner.set_message(what);
        let (done, wait) = mpsc::channel();
        let shown = spinner.clone();
        let thread = thread::spawn(move || {
            if wait.recv_timeout(DELAY) == Err(RecvTimeoutError::Timeout) {
                shown.set_draw_target(ProgressDrawTarget::stderr());
                shown.enable_steady_tick(TICK);
            }
        });
        Self { spinner, waiting: Some((done, thread)) }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((done, thread)) = self.waiting.take() {
            drop(done); // ends the wait
            let _ = thread.join(); // it cannot panic
        }
        self.spinner.finish_and_clear();
    }
}
