//! A sign of life where something takes more than a second: on standard error, and only if that is a terminal.

use std::io::{IsTerminal, stderr};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const PATIENCE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(100);

/// Shown after a second, gone when it is dropped.
pub(crate) struct Progress {
    bar: ProgressBar,
    shown: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Something that takes nobody knows how long.
    pub(crate) fn spinner(what: &'static str) -> Self {
        Self::start(ProgressBar::no_length(), "{spinner} {msg}, {elapsed}", what)
    }

    /// Something of a known size.
    pub(crate) fn bar(what: &'static str, size: usize) -> Self {
        Self::start(ProgressBar::new(size as u64), "{msg} [{bar:30}] {pos}/{len}, {eta} left", what)
    }

    /// So much more is done.
    pub(crate) fn advance(&self, by: usize) {
        self.bar.inc(by as u64);
    }

    fn start(bar: ProgressBar, template: &str, what: &'static str) -> Self {
        bar.set_draw_target(ProgressDrawTarget::hidden());
        if !stderr().is_terminal() {
            return Self { bar, shown: None };
        }
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what);
        let (done, wait) = mpsc::channel();
        let shown = bar.clone();
        let thread = thread::spawn(move || {
            if wait.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                shown.set_draw_target(ProgressDrawTarget::stderr());
                shown.enable_steady_tick(TICK);
            }
        });
        Self { bar, shown: Some((done, thread)) }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((done, thread)) = self.shown.take() {
            drop(done); // which ends its patience
            let _ = thread.join(); // it cannot panic
        }
        self.bar.finish_and_clear();
    }
}
