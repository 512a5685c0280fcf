//! Finds a responder's addresses, within time, and lets only permitted ones through.
//!
//! Every connection is made to an address that came out of here, so the address rules hold on the
//! resolved address itself, on each redirect, and for every way to write a host (`[::1]`,
//! `2130706433`, a name that points inwards). What the operator wrote himself is only kept off
//! HAProxy's control sockets. Answers of the system's resolver are kept for [`ADDRESSES_KEPT`];
//! failures are not kept. A lookup runs in a thread of its own because it cannot be interrupted;
//! callers that ask for the same host share it. Their number is bounded: a lookup that comes when
//! there are too many waits, which is no failure. A lookup that takes long makes room for others,
//! and names that hung before never take more than [`SUSPECTS_MAX`] places. Hosts behind a proxy
//! are resolved by the proxy: for them only literal addresses can be judged here.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::address::{AddressRules, Author, RefusedAddress, inner};
use super::off_limits::OffLimits;
use super::proxy::{Proxies, Route};
use super::url::parse_url;
use super::{Error, Settings, this_machine};

/// How long the addresses of a host are used without asking again.
pub const ADDRESSES_KEPT: Duration = Duration::from_secs(60);
/// Hosts whose addresses are kept.
pub const HOSTS_KEPT_MAX: usize = 1024;
/// Lookups under way at a time, but for those that take longer than `LOOKUP_USUAL`.
pub const LOOKUPS_MAX: usize = 32;
/// A lookup that takes longer hangs, and others need not wait for it.
const LOOKUP_USUAL: Duration = Duration::from_secs(2);
/// Lookups under way at a time, those included that hang and whose callers have given up.
const LOOKUPS_HELD_MAX: usize = 128;
/// The same for hosts that were found before: strangers' names do not keep them waiting.
const LOOKUPS_OF_KNOWN_MAX: usize = LOOKUPS_HELD_MAX + LOOKUPS_MAX;
/// Lookups under way at a time of names that hung last time.
const SUSPECTS_MAX: usize = 16;
/// How often a waiting lookup looks for room: a lookup that begins to hang does not say so.
const ROOM_INTERVAL: Duration = Duration::from_millis(250);
/// Addresses of one host that are tried.
pub const ADDRESSES_MAX: usize = 8;

/// Asks the system for the addresses of a host name; may block.
pub type Lookup = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// The system's own lookup (getaddrinfo: hosts file, DNS, and the rest of nsswitch.conf).
pub fn system_lookup() -> Lookup {
    Arc::new(|host| {
        let found = (host, 0).to_socket_addrs()?;
        Ok(found.map(|address| address.ip()).collect())
    })
}

/// The addresses of hosts, shared by all exchanges.
pub(super) struct AddressBook {
    lookup: Lookup,
    rules: AddressRules,
    off_limits: OffLimits,
    hosts: Mutex<HashMap<String, Host>>,
    /// A lookup has ended.
    room: Condvar,
}

enum Host {
    /// Found; looked up again when it is asked for after that time.
    Known {
        addresses: Vec<IpAddr>,
        until: Instant,
    },
    LookedUp(Arc<Pending>),
    /// Its last lookup hung.
    Suspect,
}

/// A lookup under way, and those who wait for it.
struct Pending {
    begun: Instant,
    is_suspect: bool,
    outcome: Mutex<Option<Result<Vec<IpAddr>, String>>>,
    done: Condvar,
}

impl Pending {
    fn hangs(&self) -> bool {
        self.begun.elapsed() >= LOOKUP_USUAL
    }
}

/// Whether another lookup, of this host, may begin.
fn has_room(hosts: &HashMap<String, Host>, host: &str) -> bool {
    let (mut usual, mut suspects, mut all) = (0, 0, 0);
    for known in hosts.values() {
        if let Host::LookedUp(pending) = known {
            all += 1;
            suspects += usize::from(pending.is_suspect);
            usual += usize::from(!pending.is_suspect && !pending.hangs());
        }
    }
    match hosts.get(host) {
        Some(Host::Known { .. }) => all < LOOKUPS_OF_KNOWN_MAX,
        Some(Host::Suspect) => suspects < SUSPECTS_MAX && all < LOOKUPS_HELD_MAX,
        _ => usual < LOOKUPS_MAX && all < LOOKUPS_HELD_MAX,
    }
}

impl AddressBook {
    pub(super) fn new(lookup: Lookup, rules: AddressRules, off_limits: OffLimits) -> Arc<Self> {
        Arc::new(AddressBook {
            lookup,
            rules,
            off_limits,
            hosts: Mutex::new(HashMap::new()),
            room: Condvar::new(),
        })
    }

    /// Whether a URL of this author may lead to `destination`.
    fn check(&self, destination: SocketAddr, author: Author) -> Result<(), RefusedAddress> {
        let is_named = |destination| self.rules.names(destination);
        self.off_limits
            .check(destination, author, this_machine::has, is_named)?;
        match author {
            Author::Operator => Ok(()),
            Author::Stranger => {
                let address = destination.ip();
                // Dressed up as IPv6 it is still here.
                let is_own = [address, inner(address)].into_iter().any(this_machine::has);
                self.rules.check(destination, is_own)
            }
        }
    }

    /// The permitted addresses of a responder's `host`, in the order they are to be tried.
    fn permitted(
        self: &Arc<Self>,
        host: &str,
        port: u16,
        author: Author,
        patience: Duration,
    ) -> Result<Vec<IpAddr>, Error> {
        let check = |address| self.check(SocketAddr::new(address, port), author);
        let (permitted, refused): (Vec<_>, Vec<_>) = self
            .addresses(host, patience)?
            .into_iter()
            .map(|address| check(address).map(|()| address))
            .partition(Result::is_ok);
        match refused.into_iter().find_map(Result::err) {
            Some(refusal) if permitted.is_empty() => Err(Error::AddressRefused(refusal)),
            _ => Ok(permitted.into_iter().flatten().collect()),
        }
    }

    /// All addresses of `host`: literal, kept, or looked up within `patience`.
    fn addresses(self: &Arc<Self>, host: &str, patience: Duration) -> Result<Vec<IpAddr>, Error> {
        if let Some(address) = literal(host) {
            return Ok(vec![address]);
        }
        let failed = |reason: String| Error::Resolve {
            host: host.to_owned(),
            reason,
        };
        let deadline = Instant::now() + patience;
        let waits = || Error::LookupWaits {
            host: host.to_owned(),
        };
        let mut has_waited = false;
        let mut hosts = lock(&self.hosts);
        let pending = loop {
            match hosts.get(host) {
                Some(Host::Known { addresses, until }) if Instant::now() < *until => {
                    return Ok(addresses.clone());
                }
                Some(Host::LookedUp(pending)) => break pending.clone(),
                _ => {}
            }
            if has_room(&hosts, host) {
                let started = self.start_lookup(host, &mut hosts);
                break started.map_err(|error| failed(error.to_string()))?;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(waits());
            }
            has_waited = true;
            let woken = self.room.wait_timeout(hosts, left.min(ROOM_INTERVAL));
            (hosts, _) = woken.unwrap_or_else(PoisonError::into_inner);
        };
        drop(hosts);
        let left = deadline.saturating_duration_since(Instant::now());
        let outcome = lock(&pending.outcome);
        let (outcome, _) = pending
            .done
            .wait_timeout_while(outcome, left, |outcome| outcome.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        match outcome.as_ref() {
            Some(Ok(addresses)) => Ok(addresses.clone()),
            Some(Err(reason)) => Err(failed(reason.clone())),
            // It had less time than others.
            None if has_waited => Err(waits()),
            None => Err(failed("no answer in time".to_owned())),
        }
    }

    fn start_lookup(
        self: &Arc<Self>,
        host: &str,
        hosts: &mut HashMap<String, Host>,
    ) -> io::Result<Arc<Pending>> {
        if hosts.len() >= HOSTS_KEPT_MAX {
            hosts.retain(|_, host| matches!(host, Host::LookedUp(_)));
        }
        let pending = Arc::new(Pending {
            begun: Instant::now(),
            is_suspect: matches!(hosts.get(host), Some(Host::Suspect)),
            outcome: Mutex::default(),
            done: Condvar::new(),
        });
        let (book, name, for_thread) = (self.clone(), host.to_owned(), pending.clone());
        std::thread::Builder::new()
            .name("lookup".to_owned())
            .spawn(move || book.look_up(name, &for_thread))?;
        hosts.insert(host.to_owned(), Host::LookedUp(pending.clone()));
        Ok(pending)
    }

    fn look_up(&self, host: String, pending: &Pending) {
        let outcome = match (self.lookup)(&host) {
            Ok(addresses) if addresses.is_empty() => Err("it has no address".to_owned()),
            Ok(mut addresses) => {
                addresses.dedup();
                let mut addresses = families_in_turn(addresses);
                addresses.truncate(ADDRESSES_MAX);
                Ok(addresses)
            }
            Err(error) => Err(error.to_string()),
        };
        let mut hosts = lock(&self.hosts);
        match &outcome {
            Ok(addresses) => {
                let known = Host::Known {
                    addresses: addresses.clone(),
                    until: Instant::now() + ADDRESSES_KEPT,
                };
                hosts.insert(host, known);
            }
            Err(_) if pending.hangs() => {
                hosts.insert(host, Host::Suspect);
            }
            Err(_) => {
                hosts.remove(&host);
            }
        }
        drop(hosts);
        self.room.notify_all();
        *lock(&pending.outcome) = Some(outcome);
        pending.done.notify_all();
    }

    /// Remembers which address of `host` accepted a connection: it is tried first from now on, so
    /// that one dead address (IPv6 without a route, mostly) costs its patience only once.
    pub(super) fn prefer(&self, host: &str, address: IpAddr) {
        if let Some(Host::Known { addresses, .. }) = lock(&self.hosts).get_mut(host)
            && let Some(place) = addresses.iter().position(|known| *known == address)
        {
            addresses[..=place].rotate_right(1);
        }
    }
}

/// The addresses in the system's order, but no family twice in a row while both are left
/// (RFC 8305 §4): one that is dead as a whole costs one attempt, not all of its addresses.
fn families_in_turn(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let of_first = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == of_first);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered = Vec::new();
    while let Some(address) = first.next().or_else(|| second.next()) {
        ordered.push(address);
        ordered.extend(second.next());
    }
    ordered
}

/// A poisoned lock only means that another thread panicked between two whole updates.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The address a URL's host is, if it is written as one.
fn literal(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
        .parse()
        .ok()
}

/// ureq's way into the address book.
pub(super) struct ResponderResolver {
    pub(super) book: Arc<AddressBook>,
    pub(super) proxies: Arc<Proxies>,
    /// Whose URLs are resolved here.
    pub(super) author: Author,
}

impl fmt::Debug for ResponderResolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ResponderResolver").finish()
    }
}

impl Resolver for ResponderResolver {
    fn resolve(
        &self,
        uri: &Uri,
        _config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let addresses = self.destination(uri, *timeout.after);
        let mut resolved = self.empty();
        for address in addresses.map_err(as_ureq_error)? {
            resolved.push(address);
        }
        Ok(resolved)
    }
}

impl ResponderResolver {
    /// Where a request for `uri` is sent to: the responder, or the proxy on the way to it.
    fn destination(&self, uri: &Uri, patience: Duration) -> Result<Vec<SocketAddr>, Error> {
        let (addresses, port) = match self.proxies.route(uri)? {
            Route::Direct { host, port } => {
                let permitted = self.book.permitted(host, port, self.author, patience)?;
                (permitted, port)
            }
            Route::Proxied { proxy, host, port } => {
                self.judge_unresolved(host, port)?;
                (self.book.addresses(&proxy.host, patience)?, proxy.port)
            }
        };
        let addresses = addresses.into_iter();
        Ok(addresses
            .map(|address| SocketAddr::new(address, port))
            .collect())
    }

    /// What can be said about a host that a proxy will resolve.
    fn judge_unresolved(&self, host: &str, port: u16) -> Result<(), Error> {
        let name = host.to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        let local = name == "localhost" || name.ends_with(".localhost");
        let address = if local {
            Some(IpAddr::from([127, 0, 0, 1]))
        } else {
            literal(name)
        };
        match address {
            Some(address) => Ok(self
                .book
                .check(SocketAddr::new(address, port), self.author)?),
            // 2130706433, 0x7f.1: addresses to some, names to others; the proxy is not to guess.
            None if name.rsplit('.').next().is_none_or(looks_numeric) => Err(Error::InvalidUrl {
                url: host.to_owned(),
                reason: "the host is neither a name nor a usual address",
            }),
            None => {
                self.book.off_limits.check_port(port)?;
                match self.author {
                    Author::Stranger => Ok(self.book.rules.check_port(port)?),
                    Author::Operator => Ok(()),
                }
            }
        }
    }
}

/// Where requests would be sent to, without sending any: by the same rules, proxies and lookups.
pub struct Destinations {
    book: Arc<AddressBook>,
    settings: Settings,
}

impl Destinations {
    /// By these settings.
    pub fn new(settings: &Settings) -> Self {
        Destinations {
            book: settings.address_book(),
            settings: settings.clone(),
        }
    }

    /// The addresses for `url`; blocks, for as long as `patience` if need be. Beyond
    /// [`LOOKUPS_MAX`] at a time, lookups wait for each other.
    ///
    /// # Errors
    /// Every error that would keep a request to it from being sent.
    pub fn of(&self, url: &str, patience: Duration) -> Result<Vec<SocketAddr>, Error> {
        let resolver = ResponderResolver {
            book: Arc::clone(&self.book),
            proxies: Arc::new(self.settings.proxies.clone()),
            author: self.settings.author_of(url),
        };
        resolver.destination(&parse_url(url)?, patience)
    }
}

fn looks_numeric(label: &str) -> bool {
    label.is_empty() || label.starts_with(|first: char| first.is_ascii_digit())
}

/// ureq carries foreign errors unchanged; `client` takes them out again.
pub(super) fn as_ureq_error(error: Error) -> ureq::Error {
    ureq::Error::Other(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const PATIENCE: Duration = Duration::from_secs(10);

    fn book(lookup: Lookup) -> Arc<AddressBook> {
        AddressBook::new(lookup, AddressRules::default(), OffLimits::default())
    }

    fn answering(addresses: &'static [&'static str]) -> Lookup {
        Arc::new(|_| Ok(addresses.iter().map(|text| text.parse().unwrap()).collect()))
    }

    #[test]
    fn destinations_are_those_of_a_request() {
        let of = |url: &str, lookup: Lookup, proxy: Option<&str>| {
            let settings = Settings {
                lookup,
                proxies: Proxies::parse(proxy, None, "").unwrap(),
                ..Settings::default()
            };
            let found = Destinations::new(&settings).of(url, PATIENCE);
            found.map_err(|error| error.kind())
        };
        let url = "http://ocsp.example:81/x";
        let address = |text: &str| Ok(vec![text.parse::<SocketAddr>().unwrap()]);
        let outward = answering(&["93.184.215.14"]);
        assert_eq!(of(url, outward.clone(), None), address("93.184.215.14:81"));
        assert_eq!(
            of(url, answering(&["127.0.0.1"]), None),
            Err("address_refused")
        );
        assert_eq!(of("ftp://x", outward.clone(), None), Err("invalid_url"));
        let proxy = Some("http://proxy.example:3128");
        assert_eq!(of(url, outward, proxy), address("93.184.215.14:3128"));
    }

    #[test]
    fn forbidden_addresses_are_left_out_and_a_host_without_others_is_refused() {
        let mixed = book(answering(&["127.0.0.1", "93.184.215.14", "::1"]));
        let permitted = mixed
            .permitted("mixed.example", 80, Author::Stranger, PATIENCE)
            .unwrap();
        assert_eq!(permitted, ["93.184.215.14".parse::<IpAddr>().unwrap()]);

        let inward = book(answering(&["127.0.0.1"]));
        let error = inward
            .permitted("rebound.example", 80, Author::Stranger, PATIENCE)
            .unwrap_err();
        assert_eq!(error.kind(), "address_refused");
    }

    #[test]
    fn literal_addresses_are_judged_without_a_lookup() {
        let book = book(Arc::new(|_| panic!("no lookup for a literal")));
        for host in [
            "127.0.0.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "169.254.169.254",
        ] {
            let error = book
                .permitted(host, 80, Author::Stranger, PATIENCE)
                .unwrap_err();
            assert_eq!(error.kind(), "address_refused", "{host}");
        }
        assert!(
            book.permitted("[2606:2800:21f::1]", 80, Author::Stranger, PATIENCE)
                .is_ok()
        );
    }

    #[test]
    fn addresses_in_numbers_that_the_system_understands_are_judged_too() {
        let book = book(system_lookup());
        for host in ["2130706433", "0x7f.1", "017700000001", "127.1"] {
            // Some systems do not read such numbers at all; then there is nothing to connect to.
            let kind = book
                .permitted(host, 80, Author::Stranger, PATIENCE)
                .unwrap_err()
                .kind();
            assert!(
                ["address_refused", "resolve"].contains(&kind),
                "{host}: {kind}"
            );
        }
    }

    #[test]
    fn answers_are_kept_and_failures_are_not() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let book = book(Arc::new(|host| {
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            match host {
                "good.example" => Ok(vec![IpAddr::from([93, 184, 215, 14])]),
                _ => Err(io::Error::other("no such host")),
            }
        }));
        for _ in 0..3 {
            book.permitted("good.example", 80, Author::Stranger, PATIENCE)
                .unwrap();
        }
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 1);
        for _ in 0..3 {
            let error = book
                .permitted("bad.example", 80, Author::Stranger, PATIENCE)
                .unwrap_err();
            assert_eq!(error.kind(), "resolve");
        }
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 4);
    }

    #[test]
    fn a_lookup_that_hangs_is_shared_and_given_up_in_time() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Mutex::new(held);
        let book = book(Arc::new(move |_| {
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            let _ = lock(&held).recv();
            Err(io::Error::other("released"))
        }));
        for _ in 0..3 {
            let error = book
                .permitted(
                    "slow.example",
                    80,
                    Author::Stranger,
                    Duration::from_millis(5),
                )
                .unwrap_err();
            assert_eq!(
                error.to_string(),
                "'slow.example' cannot be resolved: no answer in time"
            );
        }
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 1);
        drop(release);
    }

    #[test]
    fn lookups_under_way_are_bounded() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Mutex::new(held);
        let book = book(Arc::new(move |_| {
            let _ = lock(&held).recv();
            Err(io::Error::other("released"))
        }));
        for number in 0..LOOKUPS_MAX {
            let _ = book.permitted(
                &format!("slow-{number}.example"),
                80,
                Author::Stranger,
                Duration::ZERO,
            );
        }
        let error = book
            .permitted("one-more.example", 80, Author::Stranger, Duration::ZERO)
            .unwrap_err();
        assert!(error.is_postponement(), "{error}");
        drop(release);
    }

    #[test]
    fn a_lookup_waits_for_room_which_names_that_hang_do_not_take_for_ever() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Mutex::new(held);
        let book = book(Arc::new(move |host| {
            if host.starts_with("slow") {
                let _ = lock(&held).recv();
            }
            Ok(vec![IpAddr::from([93, 184, 215, 14])])
        }));
        for number in 0..LOOKUPS_MAX {
            let _ = book.addresses(&format!("slow-{number}.example"), Duration::ZERO);
        }
        assert!(book.addresses("good.example", PATIENCE).is_ok());
        drop(release);
    }

    #[test]
    fn names_that_hung_take_few_places_and_known_hosts_always_have_some() {
        let begun = Instant::now();
        let long_ago = begun.checked_sub(2 * LOOKUP_USUAL).unwrap_or(begun);
        let under_way = |count: usize, begun: Instant, is_suspect: bool| {
            (0..count).map(move |number| {
                let pending = Pending {
                    begun,
                    is_suspect,
                    outcome: Mutex::default(),
                    done: Condvar::new(),
                };
                let name = format!("{number}-{is_suspect}-{begun:?}");
                (name, Host::LookedUp(Arc::new(pending)))
            })
        };
        let known = Host::Known {
            addresses: Vec::new(),
            until: begun,
        };
        let mut hosts: HashMap<String, Host> = under_way(SUSPECTS_MAX, long_ago, true).collect();
        hosts.insert("suspect".to_owned(), Host::Suspect);
        hosts.insert("known".to_owned(), known);
        let room = |hosts: &HashMap<String, Host>| {
            ["suspect", "new", "known"].map(|host| has_room(hosts, host))
        };
        assert_eq!(room(&hosts), [false, true, true]);
        // So many new ones at once that others have to wait a moment.
        hosts.extend(under_way(LOOKUPS_MAX, begun, false));
        assert_eq!(room(&hosts), [false, false, true]);
        hosts.extend(under_way(LOOKUPS_HELD_MAX, long_ago, false));
        assert_eq!(room(&hosts), [false, false, false]);
    }

    #[test]
    fn the_families_take_turns_and_the_systems_first_choice_stays_first() {
        let sorted = |addresses: &[&str]| {
            let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
            let sorted = families_in_turn(addresses);
            sorted.iter().map(IpAddr::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            sorted(&["2001::1", "2001::2", "2001::3", "1.1.1.1", "1.1.1.2"]),
            ["2001::1", "1.1.1.1", "2001::2", "1.1.1.2", "2001::3"]
        );
        assert_eq!(
            sorted(&["1.1.1.1", "2001::1", "2001::2"]),
            ["1.1.1.1", "2001::1", "2001::2"]
        );
        assert!(sorted(&[]).is_empty());
    }

    #[test]
    fn the_address_that_worked_is_tried_first() {
        let book = book(answering(&[
            "2606:2800:21f::1",
            "2606:2800:21f::2",
            "93.184.215.14",
        ]));
        let order = |book: &Arc<AddressBook>| {
            book.permitted("two.example", 80, Author::Stranger, PATIENCE)
                .unwrap()
        };
        let before = order(&book);
        book.prefer("two.example", before[2]);
        assert_eq!(order(&book), [before[2], before[0], before[1]]);
    }

    #[test]
    fn literal_addresses_are_judged_although_a_proxy_would_connect() {
        let resolver = ResponderResolver {
            book: book(Arc::new(|_| panic!("the proxy resolves"))),
            proxies: Arc::new(Proxies::parse(Some("http://10.0.0.1:3128"), None, "").unwrap()),
            author: Author::Stranger,
        };
        for (host, kind) in [
            ("127.0.0.1", "address_refused"),
            ("LocalHost.", "address_refused"),
            ("127.0.0.1.", "address_refused"),
            ("[::1]", "address_refused"),
            ("2130706433", "invalid_url"),
            ("0x7f.1", "invalid_url"),
        ] {
            assert_eq!(
                resolver.judge_unresolved(host, 80).unwrap_err().kind(),
                kind,
                "{host}"
            );
        }
        assert!(resolver.judge_unresolved("ocsp.example", 80).is_ok());
    }
}
