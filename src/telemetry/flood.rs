//! Keeps one event that meets ten thousand certificates from filling the journal, which drops what
//! is too much, and the one line that matters with it (journald.conf(5), `RateLimitBurst=`).
//!
//! Of each kind of line at level info (each place in the source that logs), the first
//! [`LET_THROUGH`] within [`WINDOW`] are let through. The rest is counted, and told of as a number
//! once that time is over. Warnings and errors always get through.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata};
use tracing_subscriber::layer::{Context, Filter};

/// Lines of one kind that are let through within [`WINDOW`].
const LET_THROUGH: usize = 100;
/// The time within which lines are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// What was held back, for [`tell_held_back`].
static SHARED: OnceLock<Flood> = OnceLock::new();

/// Logs in one line how many lines were held back, if the time for that has come; with `at_once`
/// also if it has not. To be called now and then.
pub fn tell_held_back(at_once: bool) {
    let Some(flood) = SHARED.get() else {
        return;
    };
    let held_back = flood.take(Instant::now(), at_once);
    if !held_back.is_empty() {
        tracing::info!(
            "many at once: {}; with -v each has its line",
            held_back.join(", ")
        );
    }
}

/// The lines that were let through and held back of late.
#[derive(Clone, Debug, Default)]
pub(super) struct Flood(Arc<Mutex<HashMap<Identifier, Window>>>);

/// What became of the lines of one kind.
#[derive(Debug)]
struct Window {
    since: Instant,
    let_through: usize,
    held_back: usize,
    /// What they are about, from the first that was held back.
    about: String,
}

impl Flood {
    /// The one that [`tell_held_back`] tells of.
    pub(super) fn shared() -> Flood {
        SHARED.get_or_init(Flood::default).clone()
    }

    /// Whether this line is let through.
    fn lets_through(&self, kind: Identifier, about: impl FnOnce() -> String, now: Instant) -> bool {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = match windows.entry(kind) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Window::begun(now)),
        };
        // What was held back is told of before anything new is let through.
        if window.held_back == 0 && now.saturating_duration_since(window.since) >= WINDOW {
            *window = Window::begun(now);
        }
        if window.let_through < LET_THROUGH {
            window.let_through += 1;
            return true;
        }
        if window.held_back == 0 {
            window.about = about();
        }
        window.held_back += 1;
        false
    }

    /// What was held back until now, in words: `19900 more renewed`.
    fn take(&self, now: Instant, at_once: bool) -> Vec<String> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told = Vec::new();
        for window in windows.values_mut().filter(|window| window.held_back > 0) {
            if at_once || now.saturating_duration_since(window.since) >= WINDOW {
                told.push(format!("{} more '{}'", window.held_back, window.about));
                *window = Window::begun(now);
            }
        }
        told.sort();
        told
    }
}

impl Window {
    fn begun(now: Instant) -> Self {
        Window {
            since: now,
            let_through: 0,
            held_back: 0,
            about: String::new(),
        }
    }
}

impl<S> Filter<S> for Flood {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        *metadata.level() != Level::INFO
            || self.lets_through(metadata.callsite(), || about(event), Instant::now())
    }
}

/// What a line is about: its first words.
fn about(event: &Event<'_>) -> String {
    let mut message = Message(String::new());
    event.record(&mut message);
    let end = message.0.find([',', ':', ';']).unwrap_or(message.0.len());
    message.0.truncate(end);
    message.0
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::mpsc::{Sender, channel};

    use tracing_subscriber::layer::{Layer, SubscriberExt};

    use super::*;

    #[derive(Clone)]
    struct Lines(Sender<String>);

    impl io::Write for Lines {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(String::from_utf8_lossy(line).into_owned());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn ten_thousand_lines_of_a_kind_become_a_number_and_no_other_line_is_lost() {
        let flood = Flood::default();
        let (sender, lines) = channel();
        let output = tracing_subscriber::fmt::layer()
            .with_writer(move || Lines(sender.clone()))
            .with_ansi(false)
            .with_filter(flood.clone());
        let subscriber = tracing_subscriber::registry().with(output);
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..10_000 {
                tracing::info!(certificate = number, "renewed: good until {number}");
                tracing::warn!("no response: {number}");
            }
            tracing::info!("ready");
        });
        let lines: Vec<String> = lines.try_iter().collect();
        let count = |words: &str| lines.iter().filter(|line| line.contains(words)).count();
        assert_eq!(count("renewed"), LET_THROUGH);
        assert_eq!(count("no response"), 10_000);
        assert_eq!(count("ready"), 1);
        assert!(flood.take(Instant::now(), false).is_empty(), "not yet");
        assert_eq!(flood.take(Instant::now(), true), ["9900 more 'renewed'"]);
        assert!(flood.take(Instant::now(), true).is_empty(), "told once");
    }

    #[test]
    fn every_line_is_let_through_or_counted_once_whatever_the_times() {
        let flood = Flood::default();
        let start = Instant::now();
        let kind = tracing::callsite::Identifier(&CALLSITE);
        let (mut let_through, mut held_back) = (0, 0);
        // A line each 50 ms for a minute and a half, and a look now and then.
        for tick in 0..1_800 {
            let now = start + Duration::from_millis(50) * tick;
            let_through += usize::from(flood.lets_through(kind.clone(), || "x".into(), now));
            if tick % 90 == 0 {
                held_back += flood
                    .take(now, false)
                    .iter()
                    .map(|it| number(it))
                    .sum::<usize>();
            }
        }
        held_back += flood
            .take(start, true)
            .iter()
            .map(|it| number(it))
            .sum::<usize>();
        assert_eq!(let_through + held_back, 1_800);
        assert!(
            held_back > 0 && let_through >= 7 * LET_THROUGH,
            "{let_through}"
        );
    }

    fn number(told: &str) -> usize {
        told.split(' ').next().unwrap().parse().unwrap()
    }

    struct NoCallsite;
    static CALLSITE: NoCallsite = NoCallsite;

    impl tracing::Callsite for NoCallsite {
        fn set_interest(&self, _: tracing::subscriber::Interest) {}

        fn metadata(&self) -> &Metadata<'_> {
            unreachable!("only its identity counts")
        }
    }
}
