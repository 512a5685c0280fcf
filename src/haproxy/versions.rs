//! What HAProxy's versions can do and where they fail: the one table of it.
//!
//! Pure. A version is what `show info` says (`3.0.11-1+deb13u3`, `Release_date: 2026/05/20`): what
//! the upstream number does not tell, because distributions repair old numbers, the date may. Facts
//! that a reply shows by itself are not in here.

use super::level::Level;

/// A branch of HAProxy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Version {
    /// As in the 3 of 3.2.
    pub major: u16,
    /// As in the 2 of 3.2.
    pub minor: u16,
}

/// The first branch that shows a response, as OpenSSL prints it.
pub const SHOWS_TEXT: Version = branch(2, 5);

/// The first branch that shows a response in base64.
pub const SHOWS_BASE64: Version = branch(2, 8);

/// From here on `set ssl cert` is refused while a transaction of another store is open. Before, it
/// goes into that one: a client that replaces its certificate at that moment has this program
/// commit it into another store (seen on 2.5 to 2.8; not on 2.2, nor on 3.0.11, which is repaired).
pub const KEEPS_TRANSACTIONS_APART: Version = branch(3, 1);

/// The first branch seen to show a store whose name begins with `*`; 3.0 never does.
pub const SHOWS_STARS: Version = branch(3, 2);

/// The first branch seen to survive what follows a commit that failed. 2.2 frees the transaction
/// and keeps it: the next command that touches it, also an abort, ends the process ("double free").
pub const SURVIVES_FAILED_COMMIT: Version = branch(2, 6);

/// The branches that end over the description of a certificate whose names just fill the buffer,
/// each with its first release that does not: "fix chunk_appendf() to not write a zero if buffer is
/// full" (f7596209e). Older branches write that zero, too, and were not seen to end by it; later
/// ones never did.
const DESCRIPTIONS_FIXED_IN: &[(Version, u16)] =
    &[(branch(2, 6), 15), (branch(2, 7), 10), (branch(2, 8), 2)];

/// The branches that keep the CertID of a store's first staple, each with its first release that
/// does not: "Wrong OCSP CID after modifying an SSL certificate" (75f5977ff). Before, a certificate
/// that is deployed over the socket in another's place gets no staple until a reload, and one that
/// is deployed once more looks as if it had its place still.
const CERT_IDS_FIXED_IN: &[(Version, u16)] = &[(branch(2, 8), 5), (branch(2, 9), 1)];

/// The first branch in which every command about OCSP takes the level admin from its first release
/// on (66965a60b, "must be backported in 3.3").
const OCSP_IS_ADMINS: Version = branch(3, 4);

/// The branch in which that came with a later release, and its first day.
const OCSP_BECAME_ADMINS: (Version, Date) = (branch(3, 3), Date(2026, 3, 25));

/// The day of "lock the OCSP response around reads in the stapling callback" (26e74f140): nothing
/// built before has it.
const REPLACING_FIXED: Date = Date(2026, 7, 28);

/// The upstream releases that it came with.
const REPLACING_FIXED_IN: &[(Version, u16)] = &[(branch(3, 2), 22), (branch(3, 4), 3)];

/// The development version that it came with.
const REPLACING_FIXED_IN_DEVELOPMENT: (Version, u16) = (branch(3, 5), 4);

/// The last security releases of Debian that are known not to have it: `deb12u4` and `deb13u3`.
const REPLACING_NOT_FIXED_IN_DEBIAN: &[(u16, u16)] = &[(12, 4), (13, 3)];

const fn branch(major: u16, minor: u16) -> Version {
    Version { major, minor }
}

/// Year, month, day.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Date(u16, u16, u16);

/// Whether a staple can be replaced while clients ask for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replacing {
    /// It can.
    Safe,
    /// It is freed and copied at once: now and then a client gets bytes that are no response.
    Torn,
    /// This branch had the fault, and it is not known whether this build is repaired.
    PerhapsTorn,
}

/// Whether staples are pushed into running processes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Push {
    /// Into every one.
    #[default]
    Always,
    /// A certificate's first staple into every one; another in its place only where that is
    /// [`Replacing::Safe`].
    Fixed,
    /// Into none: staples are written, and a reload brings them in.
    Never,
}

impl Push {
    /// The words of the configuration.
    pub const WORDS: [(&str, Self); 3] = [
        ("always", Self::Always),
        ("fixed", Self::Fixed),
        ("never", Self::Never),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        let mut words = Self::WORDS.iter();
        words
            .find(|(_, it)| *it == self)
            .map_or("", |(word, _)| word)
    }
}

/// A release of HAProxy, as it names itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Release {
    version: Version,
    text: String,
    date: Option<Date>,
}

impl Release {
    /// Reads `Version:` and `Release_date:` of `show info`; `None` where it is no HAProxy's.
    pub fn read(version: &str, date: Option<&str>) -> Option<Self> {
        let mut numbers = version.split(['.', '-']);
        Some(Release {
            version: Version {
                major: numbers.next()?.parse().ok()?,
                minor: numbers.next()?.parse().ok()?,
            },
            text: version.to_owned(),
            date: date.and_then(read_date),
        })
    }

    /// Its branch.
    pub fn version(&self) -> Version {
        self.version
    }

    /// As HAProxy wrote it, such as `3.0.11-1+deb13u3`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The level that `set ssl ocsp-response` takes.
    pub fn level_for_pushes(&self) -> Level {
        let (branch, day) = OCSP_BECAME_ADMINS;
        let is_later = self.date.is_some_and(|date| date >= day);
        if self.version >= OCSP_IS_ADMINS || (self.version == branch && is_later) {
            Level::Admin
        } else {
            Level::User
        }
    }

    /// Whether it can end over the description of a certificate whose names just fill its buffer.
    pub fn ends_over_descriptions(&self) -> bool {
        self.is_before(DESCRIPTIONS_FIXED_IN)
    }

    /// Whether a store keeps the CertID of its first staple although it holds another certificate.
    pub fn keeps_cert_ids(&self) -> bool {
        self.is_before(CERT_IDS_FIXED_IN)
    }

    /// Whether it is of one of these branches, and older than the release named with it.
    fn is_before(&self, fixed_in: &[(Version, u16)]) -> bool {
        let mut branches = fixed_in.iter();
        let fixed = branches.find(|(version, _)| *version == self.version);
        fixed.is_some_and(|(_, patch)| self.patch().is_none_or(|own| own < *patch))
    }

    /// Whether what is shown of a store tells whether it has a place for a staple.
    pub fn shows_slots(&self) -> bool {
        self.version >= SHOWS_TEXT && !self.keeps_cert_ids()
    }

    /// Whether staples can be replaced in a process of it with so many threads.
    pub fn replacing(&self, threads: Option<u32>) -> Replacing {
        if threads == Some(1) || self.is_fixed() {
            Replacing::Safe
        } else if self.is_older_than_the_fix() {
            Replacing::Torn
        } else {
            Replacing::PerhapsTorn
        }
    }

    fn is_fixed(&self) -> bool {
        if let Some(number) = self.number_after("-dev") {
            return (self.version, number) >= REPLACING_FIXED_IN_DEVELOPMENT;
        }
        self.version >= REPLACING_FIXED_IN_DEVELOPMENT.0
            || REPLACING_FIXED_IN.iter().any(|(version, patch)| {
                self.version == *version && self.patch().is_some_and(|own| own >= *patch)
            })
    }

    fn is_older_than_the_fix(&self) -> bool {
        let is_known_of_debian = REPLACING_NOT_FIXED_IN_DEBIAN.iter().any(|(debian, last)| {
            let update = self.number_after(&format!("+deb{debian}u"));
            update.is_some_and(|update| update <= *last)
        });
        let is_upstreams = !self.text.contains(['-', '+', '~']);
        let is_upstreams_older = is_upstreams
            && REPLACING_FIXED_IN
                .iter()
                .any(|(version, _)| self.version == *version);
        is_known_of_debian
            || is_upstreams_older
            || self.date.is_some_and(|date| date < REPLACING_FIXED)
    }

    /// The 26 of 3.2.26; none in a development version.
    fn patch(&self) -> Option<u16> {
        leading_number(self.text.split('.').nth(2)?)
    }

    fn number_after(&self, mark: &str) -> Option<u16> {
        leading_number(self.text.split_once(mark)?.1)
    }
}

fn leading_number(text: &str) -> Option<u16> {
    let end = text.find(|character: char| !character.is_ascii_digit());
    text.get(..end.unwrap_or(text.len()))?.parse().ok()
}

fn read_date(text: &str) -> Option<Date> {
    let mut numbers = text.trim().split('/').map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some(Date(next()?, next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(version: &str, date: &str) -> Release {
        Release::read(version, Some(date)).unwrap()
    }

    #[test]
    fn it_is_known_which_builds_tear_a_staple_that_is_replaced() {
        use Replacing::{PerhapsTorn, Safe, Torn};
        for (version, date, expected) in [
            ("2.2.9-2+deb11u6", "2023/12/23", Torn),
            ("2.4.9", "2021/11/23", Torn),
            ("2.6.12-1+deb12u3", "2025/10/03", Torn),
            ("2.6.12-1+deb12u4", "2026/09/10", Torn),
            ("2.6.12-1+deb12u5", "2026/12/01", PerhapsTorn),
            ("2.8.14", "2024/01/01", Torn),
            ("2.8.99", "2026/12/01", PerhapsTorn),
            ("3.0.11-1+deb13u3", "2026/05/20", Torn),
            ("3.0.11-1+deb13u4", "2026/12/20", PerhapsTorn),
            ("3.2.21", "2026/07/29", Torn),
            ("3.2.21-1ubuntu1", "2026/09/01", PerhapsTorn),
            ("3.2.22", "2026/07/29", Safe),
            ("3.2.26-1", "2026/10/14", Safe),
            ("3.3.0", "2025/11/26", Torn),
            ("3.4.0", "2026/05/30", Torn),
            ("3.4.2", "2026/07/01", Torn),
            ("3.4.3", "2026/07/29", Safe),
            ("3.4.7-1", "2026/10/14", Safe),
            ("3.5-dev3", "2026/07/20", Torn),
            ("3.5-dev4", "2026/08/05", Safe),
            ("3.5-dev5-50872d-12", "2026/08/21", Safe),
            ("3.5.0", "2026/11/20", Safe),
        ] {
            let release = release(version, date);
            assert_eq!(release.replacing(Some(2)), expected, "{version}");
            assert_eq!(release.replacing(None), expected, "{version}");
            assert_eq!(release.replacing(Some(1)), Safe, "{version}");
        }
    }

    #[test]
    fn it_is_known_which_level_a_push_takes() {
        for (version, date, level) in [
            ("2.2.9-2+deb11u6", "2023/12/23", Level::User),
            ("3.2.26-1", "2026/10/14", Level::User),
            ("3.3.0", "2025/11/26", Level::User),
            ("3.3.15", "2026/09/24", Level::Admin),
            ("3.4.0", "2026/05/30", Level::Admin),
            ("3.5-dev5", "2026/08/21", Level::Admin),
        ] {
            assert_eq!(
                release(version, date).level_for_pushes(),
                level,
                "{version}"
            );
        }
    }

    #[test]
    fn it_is_known_which_releases_are_defective() {
        for (version, ends_over_descriptions, keeps_cert_ids, shows_slots) in [
            ("2.2.9-2+deb11u6", false, false, false),
            ("2.4.0", false, false, false),
            ("2.5.0", false, false, true),
            ("2.6.12-1+deb12u3", true, false, true),
            ("2.6.15", false, false, true),
            ("2.7.0-437fd289f", true, false, true),
            ("2.7.10", false, false, true),
            ("2.8.0-fdd8154ed", true, true, false),
            ("2.8.2", false, true, false),
            ("2.8-dev3", true, true, false),
            ("2.8.5-1ubuntu3", false, false, true),
            ("2.9.0", false, true, false),
            ("2.9.1", false, false, true),
            ("3.0.11-1+deb13u3", false, false, true),
        ] {
            let release = release(version, "2023/12/01");
            assert_eq!(
                (
                    release.ends_over_descriptions(),
                    release.keeps_cert_ids(),
                    release.shows_slots()
                ),
                (ends_over_descriptions, keeps_cert_ids, shows_slots),
                "{version}"
            );
        }
    }

    #[test]
    fn what_is_no_version_is_none() {
        for text in ["", "3", "HAProxy", "x.y"] {
            assert_eq!(Release::read(text, None), None, "{text}");
        }
        let text = "3.0.11-1+deb13u3";
        assert_eq!(Release::read(text, Some("soon")).unwrap().text(), text);
    }
}
