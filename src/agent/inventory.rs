//! What the agent knows: certificates, the files they lie in, the HAProxy processes they serve.
//!
//! Plain data with small questions over it; deciding is done in the modules beside this one. A
//! certificate is its content (leaf and CertID), not its file name: one certificate under several
//! names is fetched once, written beside each and delivered once to each HAProxy.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;

use super::Settings;
use super::failure::Failure;
use super::state::{Exclusion, Outdated, State};
use crate::ocsp::verify::{CLOCK_SKEW, SHORTEST_LIFE};
use crate::ocsp::{self, CertId, CertificateStatus, Policy, Standing, Staple};
use crate::schedule::{self, Life};
use crate::time::{Now, Timestamp};
use crate::x509::{Certificate, CertificateReference};

/// How long a certificate that has just been found may be without a staple before it counts as
/// expiring: a CA has to answer for a new one within 15 minutes of its issuance (BR 4.9.9), and
/// that has to reach all of its responders.
pub(super) const FIRST_STAPLE: Duration = Duration::from_secs(1800);
/// A certificate counts as new for so long after its notBefore, which CAs set back by hours.
const NEW_FOR: Duration = Duration::from_secs(2 * 86_400);

/// The agent's own handle for one certificate; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CertificateId(pub(super) u64);

impl CertificateId {
    /// The number, for rooms that tell certificates apart without knowing them.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

/// One HAProxy control socket, by its place in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TargetId(pub usize);

/// A certificate with the issuer that was found for it: all that a request and its validation need.
#[derive(Debug)]
pub struct IssuedCertificate {
    /// The certificate to be stapled for.
    pub certificate: Certificate,
    /// Its issuer, which is the trust anchor for its responses.
    pub issuer: Certificate,
    /// The CertID HAProxy looks a staple up by.
    pub cert_id: CertId,
    /// The URLs of the responders to ask, in this order.
    pub responders: Vec<String>,
    /// What is accepted of them.
    pub policy: Policy,
}

impl IssuedCertificate {
    /// Joins a certificate and its issuer. The operator decides which responders to ask and what to
    /// accept of them.
    pub fn new(
        certificate: Certificate,
        issuer: Certificate,
        responders: Vec<String>,
        policy: Policy,
    ) -> Self {
        let cert_id = CertId::new(&certificate, &issuer);
        IssuedCertificate {
            certificate,
            issuer,
            cert_id,
            responders,
            policy,
        }
    }

    /// The same, as the `ocsp` room wants it.
    pub fn as_ocsp(&self) -> ocsp::Subject<'_> {
        ocsp::Subject {
            certificate: &self.certificate,
            issuer: &self.issuer,
        }
    }

    /// What makes two files hold the same certificate.
    pub fn identity(&self) -> Identity {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&self.certificate.sha256_fingerprint());
        context.update(self.cert_id.der());
        let mut identity = [0; 32];
        for (octet, hashed) in identity.iter_mut().zip(context.finish().as_ref()) {
            *octet = *hashed;
        }
        Identity(identity)
    }
}

/// What a conditional request repeats (RFC 9110 §8.8).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CacheValidators {
    /// The URL that gave them: to others they are not repeated. Empty where there are none.
    pub url: String,
    /// `ETag` of the answer held.
    pub etag: Option<String>,
    /// `Last-Modified` of the answer held.
    pub last_modified: Option<String>,
}

/// What makes two files hold the same certificate: SHA-256 over the leaf's fingerprint and its
/// CertID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Identity(pub [u8; 32]);

/// What of a certificate has to outlive the process: a revocation is not to be forgotten, nor a
/// newer response that a HAProxy process may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recollection {
    /// Which certificate.
    pub identity: Identity,
    /// Its end: after it the staple is useless.
    pub not_after: Timestamp,
    /// What its last accepted response said.
    pub standing: Standing,
}

/// One certificate file as discovery found it.
#[derive(Clone, Debug)]
pub struct FoundFile {
    /// The certificate's file, as HAProxy names it.
    pub path: PathBuf,
    /// Where its staple belongs.
    pub staple_path: PathBuf,
    /// The HAProxy processes that load it.
    pub targets: Arc<[TargetId]>,
    /// What is in it.
    pub content: FileContent,
}

/// What lies in the place of a staple.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum StapleFile {
    /// Nothing.
    #[default]
    Missing,
    /// Something that is no staple for the certificate, or not any more.
    Useless,
    /// A valid staple for the certificate.
    Staple {
        /// The staple.
        staple: Arc<Staple>,
        /// Its permissions are those of the settings; otherwise it must be written again.
        is_right: bool,
    },
}

impl StapleFile {
    /// The same; what is held and was read once more is kept once.
    pub(super) fn shared(&self, held: Option<&Arc<Staple>>) -> Self {
        match (self, held) {
            (StapleFile::Staple { staple, is_right }, Some(held)) if held.der() == staple.der() => {
                StapleFile::Staple {
                    staple: Arc::clone(held),
                    is_right: *is_right,
                }
            }
            _ => self.clone(),
        }
    }
}

impl From<Option<Arc<Staple>>> for StapleFile {
    /// A staple that lies there as it should, or nothing.
    fn from(staple: Option<Arc<Staple>>) -> Self {
        staple.map_or(StapleFile::Missing, |staple| StapleFile::Staple {
            staple,
            is_right: true,
        })
    }
}

/// What a certificate file turned out to be.
#[derive(Clone, Debug)]
pub enum FileContent {
    /// A certificate that can be stapled for.
    Certificate {
        /// The certificate and its issuer.
        subject: Arc<IssuedCertificate>,
        /// What was found in its staple's place.
        staple: StapleFile,
    },
    /// Nothing to staple for, with the reason.
    Excluded(Exclusion),
}

/// A place a staple belongs to, on disk or in a HAProxy process, as the agent believes it to be.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// The staple that lies there, as far as is known.
    pub(super) holds: Option<Arc<Staple>>,
    /// The staple that is on its way there.
    pub(super) underway: Option<Arc<Staple>>,
    /// Failures in a row.
    pub(super) failures: u32,
    /// The last failure, until one succeeds.
    pub(super) last_failure: Option<Failure>,
    /// Since when it has failed, by the monotonic clock, as far as that matters.
    pub(super) failing_since: Option<Duration>,
    /// The operator is told of the failure.
    pub(super) is_alarm: bool,
}

impl Place {
    /// Whether this staple has to be sent there now.
    pub(super) fn lacks(&self, staple: &Staple) -> bool {
        self.underway.is_none()
            && self
                .holds
                .as_ref()
                .is_none_or(|held| held.der() != staple.der())
    }

    /// What was under way has arrived.
    pub(super) fn arrived(&mut self) {
        self.holds = self.underway.take();
        self.succeeded();
    }

    /// Failures before do not count any more.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.last_failure = None;
        self.failing_since = None;
        self.is_alarm = false;
    }

    /// What was under way has failed; whether that has been told for the same reason.
    pub(super) fn failed(&mut self, failure: &Failure, is_alarm: bool) -> bool {
        self.underway = None;
        self.failures = self.failures.saturating_add(1);
        let before = self.last_failure.replace(failure.clone());
        let was_alarm = std::mem::replace(&mut self.is_alarm, is_alarm);
        was_alarm && before.is_some_and(|before| before.kind == failure.kind)
    }
}

/// One file of a certificate.
#[derive(Debug)]
pub(super) struct FileEntry {
    pub(super) staple_path: PathBuf,
    pub(super) targets: Arc<[TargetId]>,
    pub(super) disk: Place,
    /// Something lies in the staple's place that is of no use.
    pub(super) is_littered: bool,
    /// The right staple lies there, but its permissions keep out users who should read it.
    pub(super) to_be_mended: Option<Arc<Staple>>,
    /// What lies there is on its way out.
    pub(super) is_being_cleared: bool,
    /// What lies there was seen while a staple was on its way: before it came, or after.
    pub(super) is_in_doubt: bool,
}

impl FileEntry {
    pub(super) fn new(found: &FoundFile) -> Self {
        FileEntry {
            staple_path: found.staple_path.clone(),
            targets: Arc::clone(&found.targets),
            disk: Place::default(),
            is_littered: false,
            to_be_mended: None,
            is_being_cleared: false,
            is_in_doubt: false,
        }
    }
}

/// One certificate and everything that is under way for it.
#[derive(Debug)]
pub(super) struct CertificateEntry {
    pub(super) subject: Arc<IssuedCertificate>,
    pub(super) files: BTreeMap<PathBuf, FileEntry>,
    /// What it is called where it has none any more.
    pub(super) former: PathBuf,
    /// The HAProxy processes that serve it still, where it has none any more.
    pub(super) served_by: BTreeSet<TargetId>,
    pub(super) live: BTreeMap<TargetId, Place>,
    /// The staple that belongs on disk and into the processes, as long as it is fit.
    pub(super) staple: Option<Arc<Staple>>,
    /// Its end was reported already.
    pub(super) lapsed: bool,
    /// That it has too little life left was reported already.
    pub(super) is_expiring: bool,
    /// When the certificate was found, by the monotonic clock.
    found_at: Duration,
    /// What the last accepted response said; kept beyond its end, because succession is judged by
    /// it.
    pub(super) standing: Option<Standing>,
    /// How that response can be asked for conditionally.
    pub(super) validators: CacheValidators,
    pub(super) requesting: bool,
    /// Failures in a row.
    pub(super) failures: u32,
    /// The last of them, until an attempt succeeds.
    pub(super) failure: Option<Failure>,
    /// That failure is what a responder says of a certificate that it does not know yet: no trouble
    /// while the certificate is new.
    pub(super) is_not_known_yet: bool,
    /// Why no request was sent, if the last request ended so.
    pub(super) postponed: Option<Failure>,
    /// The responder handed out the response that is held once more, when it was last asked.
    pub(super) has_nothing_newer: bool,
    /// That the response held is overdue was reported already.
    pub(super) is_overdue_told: bool,
    /// The request under way is of no use: another one follows at once.
    pub(super) ask_again: bool,
    /// This certificate's place in the spread of renewals, 0 to 1.
    pub(super) jitter: f64,
}

impl CertificateEntry {
    fn new(subject: Arc<IssuedCertificate>, found_at: Duration, jitter: f64) -> Self {
        CertificateEntry {
            subject,
            files: BTreeMap::new(),
            former: PathBuf::new(),
            served_by: BTreeSet::new(),
            live: BTreeMap::new(),
            staple: None,
            lapsed: false,
            is_expiring: false,
            found_at,
            standing: None,
            validators: CacheValidators::default(),
            requesting: false,
            failures: 0,
            failure: None,
            is_not_known_yet: false,
            postponed: None,
            has_nothing_newer: false,
            is_overdue_told: false,
            ask_again: false,
            jitter,
        }
    }

    /// The held staple, while it has enough life left to be written and delivered. One from the
    /// future, accepted when the clock was ahead, has not begun yet: HAProxy takes none of those.
    pub(super) fn fit_staple(&self, now: Timestamp) -> Option<&Arc<Staple>> {
        self.staple
            .as_ref()
            .filter(|_| self.begins_in(now).is_none())
            .filter(|staple| staple.expires().since(now) >= SHORTEST_LIFE)
    }

    /// How long until the held staple begins, if it is one from the future.
    pub(super) fn begins_in(&self, now: Timestamp) -> Option<Duration> {
        let this_update = self.staple.as_ref()?.this_update();
        let wait = this_update.saturating_sub(CLOCK_SKEW).since(now);
        is_from_the_future(this_update, now).then_some(wait)
    }

    /// The span in which this staple of the certificate is of use.
    pub(super) fn life(&self, staple: &Staple) -> Life {
        Life {
            this_update: staple.this_update(),
            start: staple
                .this_update()
                .max(self.subject.certificate.not_before()),
            end: staple.expires(),
        }
    }

    /// From when on it is to be said of this staple that its responder has nothing newer.
    pub(super) fn overdue(&self, staple: &Staple, settings: &Settings) -> Timestamp {
        let within = settings.expiring_within;
        schedule::overdue(self.life(staple), within, settings.schedule)
    }

    /// When the responder is to be asked next, which has just given this staple, or nothing newer.
    pub(super) fn next_request(
        &self,
        staple: &Staple,
        settings: &Settings,
        fresh_for: Option<Duration>,
        now: Timestamp,
    ) -> Duration {
        schedule::next_request(
            self.life(staple),
            now,
            self.jitter,
            settings.schedule,
            self.overdue(staple, settings),
            fresh_for,
        )
    }

    /// The staple that is held, if its successor is due for so long that this is to be said.
    pub(super) fn overdue_staple(&self, settings: &Settings, now: Timestamp) -> Option<&Staple> {
        let staple = self.fit_staple(now)?;
        (self.overdue(staple, settings) <= now).then_some(staple)
    }

    /// What there is to say of a staple of which the responder has nothing newer.
    pub(super) fn outdated(&self, settings: &Settings, now: Timestamp) -> Option<Outdated> {
        let staple = self.fit_staple(now)?;
        let this_update = staple.this_update();
        let refused_from = this_update.saturating_add(settings.schedule.maximum_age);
        let is_aging = schedule::aging(this_update, settings.schedule) <= now;
        let is_overdue = self.has_nothing_newer && self.overdue(staple, settings) <= now;
        (is_overdue || refused_from <= now).then_some(Outdated {
            this_update,
            refused_from: (is_aging && refused_from < staple.expires()).then_some(refused_from),
        })
    }

    /// Whether the certificate is so new that its responder need not know it yet.
    pub(super) fn is_new(&self, now: Now) -> bool {
        let issued = self.subject.certificate.not_before();
        self.standing.is_none()
            && now.monotonic < self.found_at + FIRST_STAPLE
            && now.wall < issued.saturating_add(NEW_FOR)
    }

    /// How long until the certificate counts as expiring; zero when it does. Never where a staple
    /// would not be handed out or could not last longer.
    pub(super) fn expiring_in(&self, within: Duration, now: Now) -> Option<Duration> {
        let status = self.standing.map(|standing| standing.status);
        if matches!(status, Some(CertificateStatus::Revoked { .. })) {
            return None;
        }
        match &self.staple {
            Some(staple) if staple.expires() >= self.not_after() => None,
            Some(staple) => {
                // What lives very short is of no use before its last third.
                let unfit = staple.expires().saturating_sub(SHORTEST_LIFE);
                let alarm = schedule::alarm(self.life(staple), within).min(unfit);
                Some(alarm.since(now.wall))
            }
            None => Some((self.found_at + FIRST_STAPLE).saturating_sub(now.monotonic)),
        }
    }

    /// How it stands with the certificate. What a person has to know first goes first.
    pub(super) fn state(&self, settings: &Settings, now: Timestamp) -> State {
        let not_after = self.not_after();
        if not_after <= now {
            return State::Expired { not_after };
        }
        if let Some(CertificateStatus::Revoked { at, reason }) =
            self.standing.map(|standing| standing.status)
        {
            return State::Revoked { at, reason };
        }
        let is_without = self.fit_staple(now).is_none();
        let failure = self.failure.as_ref().filter(|_| !self.is_not_known_yet);
        let postponed = self.postponed.as_ref().filter(|_| is_without);
        if let Some(failure) = failure.or(postponed) {
            return State::Failing(failure.clone());
        }
        if let Some(outdated) = self.outdated(settings, now) {
            return State::Outdated(outdated);
        }
        match (self.fit_staple(now), self.requesting) {
            (None, _) => State::Waiting,
            (Some(_), true) => State::Renewing,
            (Some(_), false) => State::Fresh,
        }
    }

    /// What the next response has to be a successor of. A response from the future was accepted
    /// when the clock was ahead and does not stand in the way of the present; a revocation does.
    pub(super) fn predecessor(&self, now: Timestamp) -> Option<Standing> {
        self.standing.filter(|standing| {
            !is_from_the_future(standing.this_update, now)
                || matches!(standing.status, CertificateStatus::Revoked { .. })
        })
    }

    /// Whether a response found on disk or in a process is better than what is held.
    pub(super) fn may_take_over(&self, found: &Standing, now: Timestamp) -> bool {
        let predecessor = self.predecessor(now);
        predecessor.is_none_or(|held| {
            let is_newer = found.this_update > held.this_update;
            // Of what is remembered only the bytes are missing.
            let is_the_same = self.staple.is_none() && held == *found;
            is_the_same || (is_newer && ocsp::check_succession(&held, found, now).is_ok())
        })
    }

    /// The first of the certificate's files: what log lines call it.
    pub(super) fn name(&self) -> &Path {
        self.files.keys().next().unwrap_or(&self.former)
    }

    /// When the certificate itself ends.
    pub(super) fn not_after(&self) -> Timestamp {
        self.subject.certificate.not_after()
    }

    /// Whether a file is for this HAProxy process; where there is none, whether it serves it still.
    pub(super) fn is_for(&self, target: TargetId) -> bool {
        let mut files = self.files.values();
        let is_served = self.files.is_empty() && self.served_by.contains(&target);
        is_served || files.any(|file| file.targets.contains(&target))
    }

    /// Sets the HAProxy processes to those that the files name, plus those that still serve the
    /// certificate. Where a delivery is under way its end is waited for: should the file come back
    /// meanwhile, there is no second one.
    pub(super) fn update_targets(&mut self) {
        let mut wanted: Vec<TargetId> = self
            .files
            .values()
            .flat_map(|file| file.targets.iter().copied())
            .collect();
        if self.files.is_empty() {
            wanted.extend(&self.served_by);
        }
        self.live
            .retain(|target, place| wanted.contains(target) || place.underway.is_some());
        for target in wanted {
            self.live.entry(target).or_default();
        }
    }
}

/// Whether a response of this thisUpdate can only have been accepted under a clock that was ahead.
pub(super) fn is_from_the_future(this_update: Timestamp, now: Timestamp) -> bool {
    this_update > now.saturating_add(CLOCK_SKEW)
}

/// So many certificates without a file are remembered, or as many as there are with one if these
/// are more; beyond it all of them are forgotten.
const REMEMBERED_MIN: usize = 4096;

/// What is kept of a certificate whose last file has gone: should it come back (half-written for a
/// moment, moved), it is not to fall behind what HAProxy holds, nor to be good after a revocation.
#[derive(Debug)]
struct Remembered {
    staple: Option<Arc<Staple>>,
    standing: Option<Standing>,
}

/// All certificates, found by number, by content and by file.
#[derive(Default, Debug)]
pub(super) struct Inventory {
    pub(super) entries: BTreeMap<CertificateId, CertificateEntry>,
    ids: HashMap<Identity, CertificateId>,
    /// By what HAProxy shows of a certificate, which need not be unique.
    references: HashMap<CertificateReference, BTreeSet<CertificateId>>,
    remembered: HashMap<Identity, Remembered>,
    files: HashMap<PathBuf, FileState>,
    next_id: u64,
}

/// What is known of one file path.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum FileState {
    Holds(CertificateId),
    Excluded(Exclusion),
}

impl Inventory {
    /// The entry of this certificate, made when it is new; `jitter` places a new one.
    pub(super) fn number_of(
        &mut self,
        subject: &Arc<IssuedCertificate>,
        now: Now,
        jitter: impl FnOnce() -> f64,
    ) -> CertificateId {
        let identity = subject.identity();
        if let Some(id) = self.ids.get(&identity) {
            return *id;
        }
        let id = CertificateId(self.next_id);
        self.next_id += 1;
        let mut entry = CertificateEntry::new(Arc::clone(subject), now.monotonic, jitter());
        if let Some(Remembered { staple, standing }) = self.remembered.remove(&identity) {
            entry.staple = staple;
            entry.standing = standing;
        }
        for reference in CertificateReference::all(&subject.certificate) {
            self.references.entry(reference).or_default().insert(id);
        }
        self.ids.insert(identity, id);
        self.entries.insert(id, entry);
        id
    }

    /// The certificates that this reference may stand for.
    pub(super) fn referred_to(&self, reference: &CertificateReference) -> Vec<CertificateId> {
        let ids = self.references.get(reference);
        ids.into_iter().flatten().copied().collect()
    }

    /// All files with what is known of them, in no order.
    pub(super) fn files(&self) -> impl ExactSizeIterator<Item = (&Path, &FileState)> {
        self.files
            .iter()
            .map(|(path, state)| (path.as_path(), state))
    }

    /// Takes in what an earlier process knew, for when the certificate is found.
    pub(super) fn recall(&mut self, known: Recollection) {
        let remembered = Remembered {
            staple: None,
            standing: Some(known.standing),
        };
        self.remembered.insert(known.identity, remembered);
    }

    /// How many certificates without a file are remembered.
    pub(super) fn remembered(&self) -> usize {
        self.remembered.len()
    }

    /// All staples that are held or on their way, one as often as it has places.
    pub(super) fn staples(&self) -> impl Iterator<Item = &Arc<Staple>> {
        let placed = self.entries.values().flat_map(|entry| {
            let files = entry.files.values();
            let mended = files.clone().map(|file| &file.to_be_mended);
            let places = files.map(|file| &file.disk).chain(entry.live.values());
            let there = places.flat_map(|place| [&place.holds, &place.underway]);
            there.chain(mended).chain([&entry.staple]).flatten()
        });
        let remembered = self.remembered.values();
        placed.chain(remembered.filter_map(|it| it.staple.as_ref()))
    }

    pub(super) fn file(&self, path: &Path) -> Option<&FileState> {
        self.files.get(path)
    }

    /// The same, with the path as it is kept here.
    pub(super) fn path_and_file(&self, path: &Path) -> Option<(&Path, &FileState)> {
        let (path, state) = self.files.get_key_value(path)?;
        Some((path, state))
    }

    pub(super) fn set_file(&mut self, path: PathBuf, state: FileState) {
        self.files.insert(path, state);
    }

    /// Forgets a file; the number of the certificate it held, and whether that was its last file.
    pub(super) fn remove_file(&mut self, path: &Path) -> Option<(CertificateId, bool)> {
        let FileState::Holds(id) = self.files.remove(path)? else {
            return None;
        };
        let entry = self.entries.get_mut(&id)?;
        entry.files.remove(path);
        let is_last = entry.files.is_empty();
        if !is_last {
            entry.update_targets();
        }
        Some((id, is_last))
    }

    /// Forgets a certificate; what is forgotten for good is added to `forgotten`.
    pub(super) fn remove(&mut self, id: CertificateId, forgotten: &mut Vec<Identity>) {
        let Some(mut entry) = self.entries.remove(&id) else {
            return;
        };
        let identity = entry.subject.identity();
        let remembered = Remembered {
            staple: entry.staple.take(),
            standing: entry.standing,
        };
        for reference in CertificateReference::all(&entry.subject.certificate) {
            if let Some(ids) = self.references.get_mut(&reference) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.references.remove(&reference);
                }
            }
        }
        if self.remembered.len() >= REMEMBERED_MIN.max(self.entries.len()) {
            forgotten.extend(self.remembered.drain().map(|(identity, _)| identity));
        }
        self.ids.remove(&identity);
        self.remembered.insert(identity, remembered);
    }
}
