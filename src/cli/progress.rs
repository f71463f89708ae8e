//! Progress on stderr: bars on a terminal, a line every few seconds elsewhere.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use pgrecast::engine::Engine;
use pgrecast::run::events::{Event, Observer};
use uuid::Uuid;

use super::args::{Args, LogFormat};
use super::terminal::tell;
use super::units::{clock, grouped, short};

/// Elsewhere than on a terminal, how often a long step says how far it is.
const EVERY: Duration = Duration::from_secs(5);

/// Whoever fits where stderr goes.
pub(crate) fn observer(args: &Args) -> Arc<dyn Observer> {
    if args.log_format == LogFormat::Json {
        Arc::new(Events)
    } else if std::io::stderr().is_terminal() {
        Arc::new(Bars(Mutex::default()))
    } else {
        Arc::new(Lines(Mutex::default()))
    }
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

/// As `tracing` events.
struct Events;

impl Observer for Events {
    fn take(&self, event: Event) {
        match event {
            Event::Begin(step) => tracing::info!(step, "begin"),
            Event::Progress { done, total, unit, detail } => {
                tracing::info!(done, total, unit, detail, "progress");
            }
            Event::End(words) => tracing::info!(result = words, "end"),
            Event::Note(_) => {} // already an event
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
    fn progressed(&mut self, done: i64, total: i64, unit: &str, detail: &str) -> String {
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

impl Observer for Lines {
    fn take(&self, event: Event) {
        let Ok(mut step) = self.0.lock() else { return };
        match event {
            Event::Begin(name) => step.begin(name),
            Event::Progress { done, total, unit, detail } => {
                let text = step.progressed(done, total, unit, &detail);
                if step.said.or(step.began).is_none_or(|said| said.elapsed() >= EVERY) {
                    step.said = Some(Instant::now());
                    tell(&format!("  {:<11} {text}", step.name));
                }
            }
            Event::End(words) => tell(&step.ended(&words)),
            Event::Note(words) => tell(&format!("  note: {words}")),
        }
    }
}

/// One bar, replaced by a line when its step is done.
struct Bars(Mutex<Step>);

impl Observer for Bars {
    fn take(&self, event: Event) {
        let Ok(mut step) = self.0.lock() else { return };
        match event {
            Event::Begin(name) => {
                step.begin(name);
                let bar = ProgressBar::new(0);
                let style = ProgressStyle::with_template("  {prefix:<11} {bar:25}  {msg}");
                if let Ok(style) = style {
                    bar.set_style(style.progress_chars("##-"));
                }
                bar.set_prefix(name);
                bar.tick();
                step.bar = Some(bar);
            }
            Event::Progress { done, total, unit, detail } => {
                let text = step.progressed(done, total, unit, &detail);
                if let Some(bar) = &step.bar {
                    bar.set_length(total.max(1).cast_unsigned());
                    bar.set_position(done.max(0).cast_unsigned());
                    bar.set_message(text);
                }
            }
            Event::End(words) => {
                if let Some(bar) = step.bar.take() {
                    bar.finish_and_clear();
                }
                tell(&step.ended(&words));
            }
            Event::Note(words) => match &step.bar {
                Some(bar) => bar.println(format!("  note: {words}")),
                None => tell(&format!("  note: {words}")),
            },
        }
    }
}
