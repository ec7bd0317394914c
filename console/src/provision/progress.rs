//! What set-up tells the person who waits: a line per step, on a terminal with a running count.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// One thing worth telling during set-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<'a> {
    /// A part is being worked on; `bytes` is its size where it is known beforehand.
    Begin {
        /// The part.
        what: &'a str,
        /// Expected bytes.
        bytes: Option<u64>,
    },
    /// Still at it; `done` bytes have arrived.
    Tick {
        /// The part.
        what: &'a str,
        /// Bytes so far.
        done: u64,
        /// Expected bytes.
        bytes: Option<u64>,
    },
    /// The part is in place.
    Done {
        /// The part.
        what: &'a str,
        /// Where it is, which version.
        note: &'a str,
    },
    /// Something is left out or odd, and set-up goes on.
    Warn {
        /// The sentence.
        text: &'a str,
    },
}

/// Receives the steps of set-up.
pub trait Progress: Send {
    /// Is told one step.
    fn step(&mut self, step: Step<'_>);
}

/// Says nothing.
#[derive(Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn step(&mut self, _: Step<'_>) {}
}

/// Writes lines to standard error: rewritten in place on a terminal, one every five seconds elsewhere.
pub struct Lines<W: Write + Send = std::io::Stderr> {
    out: W,
    tty: bool,
    began: Instant,
    last_tick: Instant,
    open: bool,
}

/// How often a log (not a terminal) hears that a download still runs.
const LOG_TICK: Duration = Duration::from_secs(5);

impl Lines {
    /// Lines on standard error.
    pub fn stderr() -> Self {
        let tty = std::io::stderr().is_terminal();
        Lines::new(std::io::stderr(), tty)
    }
}

impl<W: Write + Send> Lines<W> {
    /// Lines on any writer; `tty`: whether a carriage return rewrites the line.
    pub fn new(out: W, tty: bool) -> Self {
        let now = Instant::now();
        Self { out, tty, began: now, last_tick: now, open: false }
    }

    fn close(&mut self) {
        if self.open {
            self.put("\r\x1b[2K");
            self.open = false;
        }
    }

    /// A closed terminal must not stop set-up, so a failed write is dropped.
    fn put(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

impl<W: Write + Send> Progress for Lines<W> {
    fn step(&mut self, step: Step<'_>) {
        let now = Instant::now();
        match step {
            Step::Begin { what, bytes } => {
                self.began = now;
                self.last_tick = now;
                let size = bytes.map(|b| format!(" ({})", megabytes(b))).unwrap_or_default();
                if self.tty {
                    self.close();
                    self.put(&format!("  ... {what}{size}"));
                    self.open = true;
                } else {
                    self.put(&format!("  ... {what}{size}\n"));
                }
            }
            Step::Tick { what, done, bytes } => {
                let elapsed = now.duration_since(self.began).as_secs_f32();
                let of = bytes.map(|b| format!(" of {}", megabytes(b))).unwrap_or_default();
                let line = format!("  ... {what}: {}{of}, {elapsed:.0} s", megabytes(done));
                if self.tty {
                    self.put(&format!("\r\x1b[2K{line}"));
                    self.open = true;
                } else if now.duration_since(self.last_tick) >= LOG_TICK {
                    self.last_tick = now;
                    self.put(&format!("{line}\n"));
                }
            }
            Step::Done { what, note } => {
                self.close();
                let elapsed = now.duration_since(self.began).as_secs_f32();
                self.put(&format!("  ok  {what}: {note} ({elapsed:.1} s)\n"));
                self.began = now;
            }
            Step::Warn { text } => {
                self.close();
                self.put(&format!("  !   {text}\n"));
            }
        }
    }
}

fn megabytes(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "a size for a human, one decimal")]
    let mb = bytes as f64 / 1e6;
    format!("{mb:.1} MB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(tty: bool) -> String {
        let mut out = Vec::new();
        let mut lines = Lines::new(&mut out, tty);
        lines.step(Step::Begin { what: "models", bytes: Some(9_636_957) });
        lines.step(Step::Tick { what: "models", done: 1_000_000, bytes: Some(9_636_957) });
        lines.step(Step::Done { what: "models", note: "8 files" });
        lines.step(Step::Warn { text: "portraits left out" });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_log_gets_whole_lines_and_no_escape_codes() {
        let text = shown(false);
        assert!(!text.contains('\x1b') && !text.contains('\r'));
        assert!(text.starts_with("  ... models (9.6 MB)\n  ok  models: 8 files ("), "{text}");
        assert!(text.ends_with("  !   portraits left out\n"));
    }

    #[test]
    fn a_terminal_sees_the_count_run_in_place() {
        let text = shown(true);
        assert!(text.contains("\r\x1b[2K  ... models: 1.0 MB of 9.6 MB, 0 s"), "{text:?}");
        assert_eq!(text.matches('\n').count(), 2);
    }
}
