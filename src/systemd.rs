//! What systemd is told: ready, alive, stopping (sd_notify(3), `Type=notify`, `WatchdogSec=`).
//!
//! Without a `NOTIFY_SOCKET` in the environment nothing happens. A message that cannot be sent is
//! dropped: systemd itself notices a missing one, and nobody else could be told.

use std::time::Duration;

use sd_notify::NotifyState;

/// Start-up is over: everything on disk has been looked at.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// One line for `systemctl status`.
pub fn status(status: &str) {
    send(&[NotifyState::Status(status)]);
}

/// The program is on its way out.
pub fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// The end takes up to so much longer, whatever `TimeoutStopSec=` says.
pub fn stopping_takes(longer: Duration) {
    let microseconds = u32::try_from(longer.as_micros()).unwrap_or(u32::MAX);
    send(&[
        NotifyState::ExtendTimeoutUsec(microseconds),
        NotifyState::Watchdog,
    ]);
}

/// The agent's loop is alive.
pub fn alive() {
    send(&[NotifyState::Watchdog]);
}

/// How often [`alive`] has to be called, if systemd watches: half of its limit, as
/// sd_watchdog_enabled(3) recommends.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

fn send(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}
