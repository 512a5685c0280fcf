//! What systemd is told: ready, alive, stopping, and how it stands (sd_notify(3), `Type=notify`,
//! `WatchdogSec=`).
//!
//! Without a `NOTIFY_SOCKET` in the environment nothing happens. What could not be sent (no file
//! descriptor is left, say) is sent again: systemd ends a unit that never says that it is ready.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// The shortest interval of status lines: making one looks at every certificate.
const INTERVAL: Duration = Duration::from_secs(1);

/// Whether systemd waits to be told anything.
pub fn is_notified() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// The end takes up to so much longer, beyond `TimeoutStopSec=`.
pub fn stopping_takes(longer: Duration) {
    let microseconds = u32::try_from(longer.as_micros()).unwrap_or(u32::MAX);
    // If this is lost, the end comes too soon, and HAProxy is told the rest by the next start.
    let _ = sd_notify::notify(&[
        NotifyState::ExtendTimeoutUsec(microseconds),
        NotifyState::Watchdog,
    ]);
}

/// How often [`Notifier::alive`] has to be called, if systemd watches: half of its limit, as
/// sd_watchdog_enabled(3) recommends.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

/// The program is on its way out.
pub fn stopping() {
    // If this is lost, the end of the process says the same.
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
}

/// What systemd has been told, and what it is still to be told.
#[derive(Debug, Default)]
pub struct Notifier {
    /// Whether it knows that start-up is over.
    knows_ready: bool,
    /// The status line that it has.
    status: Option<String>,
    /// When it was last told one, or that was last tried.
    told_at: Option<Instant>,
    /// Whether the status line may be another by now.
    is_stale: bool,
    alive_at: Option<Instant>,
}

impl Notifier {
    /// Something has happened: the status line may be another.
    pub fn stale(&mut self) {
        self.is_stale = true;
    }

    /// In how long [`tell`](Self::tell) is to be called; none where there is nothing to tell.
    pub fn due_in(&self, now: Instant) -> Option<Duration> {
        let is_due = is_notified() && (self.is_stale || !self.knows_ready);
        is_due.then(|| remaining(self.told_at, INTERVAL, now))
    }

    /// Start-up is over, and this is how it stands: one line for `systemctl status`.
    pub fn tell(&mut self, status: String, now: Instant) {
        self.told_at = Some(now);
        if self.knows_ready && self.status.as_ref() == Some(&status) {
            self.is_stale = false;
            return;
        }
        // Ready again and again would do no harm, but be a message more.
        let sent = match self.knows_ready {
            true => sd_notify::notify(&[NotifyState::Status(&status)]),
            false => sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)]),
        };
        if sent.is_ok() {
            self.knows_ready = true;
            self.status = Some(status);
            self.is_stale = false;
        }
    }

    /// The agent's loop is alive: said twice within `interval`.
    pub fn alive(&mut self, interval: Duration, now: Instant) {
        if remaining(self.alive_at, interval / 2, now).is_zero()
            && sd_notify::notify(&[NotifyState::Watchdog]).is_ok()
        {
            self.alive_at = Some(now);
        }
    }
}

/// What is left of `interval` since then.
fn remaining(since: Option<Instant>, interval: Duration, now: Instant) -> Duration {
    since.map_or(Duration::ZERO, |since| {
        interval.saturating_sub(now.saturating_duration_since(since))
    })
}
