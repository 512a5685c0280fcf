//! Durations as operators write and read them.
//!
//! Pure. The grammar is ocspbot's: numbers with units, together or apart (`1w 3d 5h`,
//! `2 hours 5 minutes 10 seconds`); a bare number means seconds, as on stapled's command line.

use std::time::Duration;

/// Each unit with its names and its length in seconds.
const UNITS: &[(&[&str], u64)] = &[
    (&["s", "sec", "second", "seconds"], 1),
    (&["m", "min", "minute", "minutes"], 60),
    (&["h", "hour", "hours"], 3600),
    (&["d", "day", "days"], 86_400),
    (&["w", "week", "weeks"], 604_800),
];

/// The words that say what a duration looks like.
pub const DURATION: &str = "a duration such as 90, 2h, '1w 3d 5h' or '2 hours 5 minutes'";

/// Reads a duration; `None` where the text is none.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if let Ok(seconds) = rest.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let mut seconds: u64 = 0;
    while !rest.is_empty() {
        let (number, after) = split_at(rest, |character| !character.is_ascii_digit());
        let (name, after) = split_at(after.trim_start(), |character| !character.is_alphabetic());
        let number: u64 = number.parse().ok()?;
        let (_, length) = UNITS.iter().find(|(names, _)| names.contains(&name))?;
        seconds = seconds.checked_add(number.checked_mul(*length)?)?;
        rest = after.trim_start();
    }
    (!text.trim().is_empty()).then(|| Duration::from_secs(seconds))
}

fn split_at(text: &str, end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(end).unwrap_or(text.len()))
}

/// A duration in its largest whole unit.
pub fn shown_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let mut units = [("d", 86_400), ("h", 3600), ("m", 60)].into_iter();
    match units.find(|(_, length)| seconds > 0 && seconds.is_multiple_of(*length)) {
        Some((unit, length)) => format!("{}{unit}", seconds / length),
        None => format!("{seconds}s"),
    }
}

/// A duration in its two largest units: `3d 4h`, `4h 12m`, `12m 5s`, `5s`.
pub fn brief(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {seconds}s"),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_have_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (65, "1m 5s"),
            (3_660, "1h 1m"),
            (90_061, "1d 1h"),
        ] {
            assert_eq!(brief(Duration::from_secs(seconds)), text);
        }
    }

    fn seconds(text: &str) -> Option<u64> {
        parse_duration(text).map(|duration| duration.as_secs())
    }

    #[test]
    fn every_form_of_the_ancestors_is_read() {
        assert_eq!(seconds("7200"), Some(7200));
        assert_eq!(seconds("2 hours 5 minutes 10 seconds"), Some(7510));
        assert_eq!(seconds("1w 3d 5h"), Some(604_800 + 3 * 86_400 + 5 * 3600));
        assert_eq!(seconds("1 d 2min3s"), Some(86_400 + 123));
        assert_eq!(seconds(" 5 sec "), Some(5));
    }

    #[test]
    fn a_duration_is_shown_in_its_largest_whole_unit() {
        for (seconds, shown) in [
            (0, "0s"),
            (90, "90s"),
            (120, "2m"),
            (7200, "2h"),
            (86_400, "1d"),
        ] {
            assert_eq!(shown_duration(Duration::from_secs(seconds)), shown);
        }
    }

    #[test]
    fn what_is_no_duration_is_none() {
        for text in [
            "",
            " ",
            "h",
            "2 parsecs",
            "-5",
            "1.5h",
            "2h 3",
            "99999999999999999999w",
            "9999999999999999999w",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}") {
            let _ = parse_duration(&text);
        }

        #[test]
        fn numbers_and_units_add_up(weeks in 0u64..1000, hours in 0u64..1000) {
            let expected = weeks * 604_800 + hours * 3600;
            prop_assert_eq!(seconds(&format!("{weeks}w {hours} hours")), Some(expected));
        }
    }
}
