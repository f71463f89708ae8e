//! Progress on stderr: bars on a terminal, otherwise a line every few seconds.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use pgrecast::engine::Engine;
use pgrecast::run::events::{Event, Listener, Progress};
use uuid::Uuid;

use super::args::{Args, LogFormat};
use super::terminal::{clean, tell};
use super::units::{clock, grouped, short};
use super::words;

/// How often a long step prints its progress if stderr is not a terminal.
const EVERY: Duration = Duration::from_secs(5);

/// The listeners for log events, and for bars or lines.
pub(crate) fn listeners(args: &Args) -> Vec<Box<dyn Listener>> {
    let mut all: Vec<Box<dyn Listener>> = vec![Box::new(Log { is_all: args.log_format == LogFormat::Json })];
    if args.log_format == LogFormat::Text {
        if std::io::stderr().is_terminal() {
            all.push(Box::new(Bars(Mutex::default())));
        } else {
            all.push(Box::new(Lines(Mutex::default())));
        }
    }
    all
}

/// `migration 7f3a0c11  public.orders`.
pub(crate) async fn headline(args: &Args, engine: &Engine, id: Uuid) {
    if args.log_format == LogFormat::Text
        && let Ok(status) = engine.status(id).await
    {
        let id = id.simple().to_string();
        tell(&format!("migration {}  {}", &id[..8], status.tables.join(", ")));
    }
}

/// Writes `tracing` events: notes only, or everything if there is no other listener.
struct Log {
    is_all: bool,
}

impl Listener for Log {
    fn take(&self, event: &Event) {
        match event {
            Event::Noted(note) => tracing::info!(note = words::note(note), "note"),
            _ if !self.is_all => {}
            Event::Began(work) => tracing::info!(step = work.as_str(), "begin"),
            Event::Progressed(Progress { done, total, unit, detail }) => {
                tracing::info!(done, total, unit = unit.as_str(), detail = words::detail(detail), "progress");
            }
            Event::Ended(outcome) => tracing::info!(result = words::outcome(outcome), "end"),
        }
    }
}

#[derive(Default)]
struct Step {
    name: &'static str,
    began: Option<Instant>,
    said: Option<Instant>,
    first_done: Option<(Instant, i64)>,
    bar: Option<ProgressBar>,
}

impl Step {
    fn begin(&mut self, name: &'static str) {
        *self = Step { name, began: Some(Instant::now()), ..Step::default() };
    }

    /// `  copy        ok   5.2 s   ...`
    fn ended(&self, words: &str) -> String {
        let took = self.began.map_or(0.0, |began| began.elapsed().as_secs_f64());
        format!("  {:<11} ok {took:>7.1} s   {words}", self.name).trim_end().to_owned()
    }

    /// `71 %  29.1 M rows  412 k/s  ETA 0:29`
    fn progressed(&mut self, progress: &Progress) -> String {
        let Progress { done, total, unit, .. } = *progress;
        let (unit, detail) = (unit.as_str(), words::detail(&progress.detail));
        let (since, at) = *self.first_done.get_or_insert((Instant::now(), done));
        let seconds = since.elapsed().as_secs_f64();
        let mut text = if total > 0 {
            format!("{:>3} %  {} {unit}", (done * 100 / total).clamp(0, 100), grouped(done))
        } else {
            format!("{} {unit}", grouped(done))
        };
        let rate = (done - at) as f64 / seconds.max(0.001);
        if seconds > 1.0 && rate > 0.0 {
            text.push_str(&format!("  {}/s", short(rate)));
            if total > done {
                text.push_str(&format!("  ETA {}", clock((total - done) as f64 / rate)));
            }
        }
        if !detail.is_empty() {
            text.push_str(&format!("  {detail}"));
        }
        text
    }
}

/// Plain lines.
struct Lines(Mutex<Step>);

impl Listener for Lines {
    fn take(&self, event: &Event) {
        let Ok(mut step) = self.0.lock() else { return };
        match event {
            Event::Began(work) => step.begin(work.as_str()),
            Event::Progressed(progress) => {
                let text = step.progressed(progress);
                if step.said.or(step.began).is_none_or(|said| said.elapsed() >= EVERY) {
                    step.said = Some(Instant::now());
                    tell(&format!("  {:<11} {text}", step.name));
                }
            }
            Event::Ended(outcome) => tell(&step.ended(&words::outcome(outcome))),
            Event::Noted(note) => tell(&format!("  note: {}", words::note(note))),
        }
    }
}

/// One bar, replaced by a line when its step is done.
struct Bars(Mutex<Step>);

impl Listener for Bars {
    fn take(&self, event: &Event) {
        let Ok(mut step) = self.0.lock() else { return };
        match event {
            Event::Began(work) => {
                step.begin(work.as_str());
                let bar = ProgressBar::new(0);
                let style = ProgressStyle::with_template("  {prefix:<11} {bar:25}  {msg}");
                if let Ok(style) = style {
                    bar.set_style(style.progress_chars("##-"));
                }
                bar.set_prefix(work.as_str());
                bar.tick();
                step.bar = Some(bar);
            }
            Event::Progressed(progress) => {
                let text = step.progressed(progress);
                if let Some(bar) = &step.bar {
                    bar.set_length(progress.total.max(1).cast_unsigned());
                    bar.set_position(progress.done.max(0).cast_unsigned());
                    bar.set_message(clean(&text).into_owned());
                }
            }
            Event::Ended(outcome) => {
                if let Some(bar) = step.bar.take() {
                    bar.finish_and_clear();
                }
                tell(&step.ended(&words::outcome(outcome)));
            }
            Event::Noted(note) => {
                let line = format!("  note: {}", words::note(note));
                match &step.bar {
                    Some(bar) => bar.println(clean(&line)),
                    None => tell(&line),
                }
            }
        }
    }
}
