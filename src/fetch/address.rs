//! Which network addresses a responder may have.
//!
//! A certificate's OCSP URL is foreign input: the author of a certificate chooses where the agent
//! connects. So an address that names this machine, its link, a cloud's metadata service or no
//! single host is refused unless the operator allowed it, also when an IPv4 address is dressed up
//! as IPv6 (RFC 4291 §2.5.5, RFC 3056, RFC 6052). URLs that the operator wrote himself need no
//! permission. Private addresses and all ports are allowed unless he narrows that: private CAs are
//! there, and what is sent cannot form another protocol's command (`wire`, `acquaintance`). This
//! module only judges; it resolves nothing and connects nowhere.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

/// Addresses at which clouds hand out credentials to requests from inside: the link-local one most
/// of them use, Alibaba, Oracle, Azure's wire server, and Google's IPv6 one.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];
/// fd00:ec2::/32: EC2's services of this kind over IPv6, metadata and credentials of containers
/// among them.
const METADATA_OF_EC2: [u16; 2] = [0xfd00, 0xec2];

/// Whose word a URL is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Author {
    /// A certificate's, or a responder's that redirects.
    Stranger,
    /// The operator's, in the configuration.
    Operator,
}

/// What an address is for, as far as the rules tell addresses apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressKind {
    /// 127.0.0.0/8, ::1: this machine.
    Loopback,
    /// An address of one of this machine's interfaces.
    ThisMachine,
    /// 169.254.0.0/16, fe80::/10: this network segment.
    LinkLocal,
    /// A cloud's metadata service.
    Metadata,
    /// 0.0.0.0/8, ::: no address; Linux connects to this machine.
    Unspecified,
    /// 224.0.0.0/4, ff00::/8.
    Multicast,
    /// 255.255.255.255.
    Broadcast,
    /// RFC 1918, shared (RFC 6598), unique local (RFC 4193) and site-local addresses.
    Private,
    /// Everything else.
    Global,
}

impl fmt::Display for AddressKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            AddressKind::Loopback => "a loopback address",
            AddressKind::ThisMachine => "an address of this machine",
            AddressKind::LinkLocal => "a link-local address",
            AddressKind::Metadata => "a cloud metadata address",
            AddressKind::Unspecified => "an unspecified address",
            AddressKind::Multicast => "a multicast address",
            AddressKind::Broadcast => "the broadcast address",
            AddressKind::Private => "a private address",
            AddressKind::Global => "a global address",
        })
    }
}

/// The rules: what is refused by default, and what the operator allowed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddressRules {
    allow_loopback: bool,
    allow_private: bool,
    networks: Vec<IpNet>,
    endpoints: Vec<SocketAddr>,
    /// All ports where it is empty.
    ports: Vec<RangeInclusive<u16>>,
    remedy: Remedy,
}

/// How the command at hand lets the operator allow an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Remedy {
    /// By an option.
    #[default]
    Option,
    /// By a key of the configuration file only.
    Key,
}

/// An address the rules do not let the agent connect to.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RefusedAddress {
    /// It is of a kind that certificates may not point to.
    #[error("{} is {kind}; {} would allow it", destination.ip(), self.remedy())]
    Kind {
        /// Where the URL leads to.
        destination: SocketAddr,
        /// What is there.
        kind: AddressKind,
        /// How it can be allowed.
        by_key: bool,
    },
    /// The operator allows other ports only.
    #[error("port {0} is not among allow_ports")]
    Port(u16),
    /// HAProxy takes commands there.
    #[error("{0} is a control socket of HAProxy, which is never asked")]
    ControlSocket(SocketAddr),
    /// HAProxy takes commands at this port of some address, and a proxy would resolve the name.
    #[error(
        "port {0} is that of a control socket of HAProxy, which a proxy could find by this name"
    )]
    ControlPort(u16),
    /// This program listens there.
    #[error("{0} is this program's own responder, which certificates may not point to")]
    OwnResponder(SocketAddr),
}

impl RefusedAddress {
    fn remedy(&self) -> String {
        let RefusedAddress::Kind {
            destination,
            kind,
            by_key,
        } = self
        else {
            return String::new();
        };
        let word = match kind {
            AddressKind::Loopback => "loopback".to_owned(),
            AddressKind::Private => "private".to_owned(),
            AddressKind::ThisMachine => destination.to_string(),
            _ => destination.ip().to_string(),
        };
        match by_key {
            false => format!("--allow-addresses {word}"),
            true => format!("'allow_addresses: [\"{word}\"]' in the configuration file"),
        }
    }
}

/// A word of the allowed addresses that is neither a network nor a known word.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "'{word}' is no network such as 10.0.0.0/8, no address, with a port or without, nor 'loopback' \
     or 'private'"
)]
pub struct InvalidNetwork {
    /// The word as it was given.
    pub word: String,
}

impl Default for AddressRules {
    /// Private addresses are allowed, because private CAs live there; loopback is not.
    fn default() -> Self {
        AddressRules {
            allow_loopback: false,
            allow_private: true,
            networks: Vec::new(),
            endpoints: Vec::new(),
            ports: Vec::new(),
            remedy: Remedy::Option,
        }
    }
}

impl AddressRules {
    /// The default rules, widened by `words`: networks (`10.0.0.0/8`), single addresses
    /// (`127.0.0.1`), addresses with a port (`127.0.0.1:8080`, `[::1]:8080`), `loopback` and
    /// `private`.
    ///
    /// # Errors
    /// [`InvalidNetwork`] names the first word that is none of these.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Self, InvalidNetwork> {
        let mut rules = AddressRules::default();
        for word in words.iter().map(|word| word.as_ref().trim()) {
            match word {
                "loopback" => rules.allow_loopback = true,
                "private" => rules.allow_private = true,
                _ => match word.parse::<SocketAddr>() {
                    Ok(endpoint) if endpoint.port() != 0 => rules.endpoints.push(endpoint),
                    _ => {
                        let network = word
                            .parse::<IpNet>()
                            .or_else(|_| word.parse::<IpAddr>().map(IpNet::from));
                        rules.networks.push(network.map_err(|_| InvalidNetwork {
                            word: word.to_owned(),
                        })?);
                    }
                },
            }
        }
        Ok(rules)
    }

    /// The same rules, but private addresses are refused unless a listed network holds them.
    #[must_use]
    pub fn refuse_private(mut self) -> Self {
        self.allow_private = false;
        self
    }

    /// The same rules, but only these ports may be asked, and those of addresses that are allowed
    /// with their port. All of them where there is none.
    #[must_use]
    pub fn only_ports(mut self, ports: Vec<RangeInclusive<u16>>) -> Self {
        self.ports = ports;
        self
    }

    /// The same rules, for a command that has no option for them: refusals name the key.
    #[must_use]
    pub fn by_key(mut self) -> Self {
        self.remedy = Remedy::Key;
        self
    }

    /// Whether `destination` is allowed by its address and its port.
    pub(super) fn names(&self, destination: SocketAddr) -> bool {
        let inner = SocketAddr::new(inner(destination.ip()), destination.port());
        self.endpoints
            .iter()
            .any(|endpoint| [destination, inner].contains(endpoint))
    }

    /// Whether a stranger's URL may have `port`, where its address is not known.
    ///
    /// # Errors
    /// [`RefusedAddress::Port`].
    pub(super) fn check_port(&self, port: u16) -> Result<(), RefusedAddress> {
        let ports = &self.ports;
        match ports.is_empty() || ports.iter().any(|ports| ports.contains(&port)) {
            true => Ok(()),
            false => Err(RefusedAddress::Port(port)),
        }
    }

    /// Whether a stranger's URL may lead to `destination`; `is_own` says whether that is an address
    /// of one of this machine's interfaces.
    ///
    /// # Errors
    /// [`RefusedAddress`] says what the address is and how to allow it.
    pub fn check(&self, destination: SocketAddr, is_own: bool) -> Result<(), RefusedAddress> {
        if self.names(destination) {
            return Ok(());
        }
        self.check_port(destination.port())?;
        let address = destination.ip();
        let inner = inner(address);
        let kind = match kind_of(inner) {
            AddressKind::Global => kind_of(address),
            kind => kind,
        };
        let kind = match kind {
            AddressKind::Global | AddressKind::Private if is_own => AddressKind::ThisMachine,
            kind => kind,
        };
        let listed = self.networks.iter().any(|network| {
            // Credentials are never allowed by a range that happens to hold them, only by name.
            let wide_enough =
                kind != AddressKind::Metadata || network.prefix_len() == network.max_prefix_len();
            wide_enough && (network.contains(&address) || network.contains(&inner))
        });
        let allowed = match kind {
            AddressKind::Global => true,
            AddressKind::Loopback => self.allow_loopback || listed,
            AddressKind::Private => self.allow_private || listed,
            _ => listed,
        };
        if allowed {
            Ok(())
        } else {
            Err(RefusedAddress::Kind {
                destination,
                kind,
                by_key: self.remedy == Remedy::Key,
            })
        }
    }
}

/// The address itself, or the IPv4 address that it is a dress of.
pub(super) fn inner(address: IpAddr) -> IpAddr {
    embedded_ipv4(address).map_or(address, IpAddr::V4)
}

/// Whether it is this machine with any set of interfaces.
pub(super) fn is_loopback(address: IpAddr) -> bool {
    matches!(
        kind_of(inner(address)),
        AddressKind::Loopback | AddressKind::Unspecified
    )
}

/// The IPv4 address that `address` leads to when a host or a translator on the way unwraps it.
fn embedded_ipv4(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else {
        return None;
    };
    let segments = address.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match segments {
        // :: and ::1 are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // IPv4-compatible ::a.b.c.d, IPv4-mapped ::ffff:a.b.c.d (RFC 4291 §2.5.5).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => Some(join(high, low)),
        // IPv4-translated ::ffff:0:a.b.c.d (RFC 2765).
        [0, 0, 0, 0, 0xffff, 0, high, low] => Some(join(high, low)),
        // 6to4 2002:a.b.c.d:: (RFC 3056).
        [0x2002, high, low, ..] => Some(join(high, low)),
        // NAT64 64:ff9b::a.b.c.d (RFC 6052) and 64:ff9b:1::/48 (RFC 8215).
        [0x64, 0xff9b, 0 | 1, _, _, _, high, low] => Some(join(high, low)),
        _ => None,
    }
}

fn kind_of(address: IpAddr) -> AddressKind {
    match address {
        _ if METADATA.contains(&address) => AddressKind::Metadata,
        IpAddr::V6(address) if address.segments().starts_with(&METADATA_OF_EC2) => {
            AddressKind::Metadata
        }
        IpAddr::V4(address) => kind_of_ipv4(address),
        IpAddr::V6(address) => kind_of_ipv6(address),
    }
}

fn kind_of_ipv4(address: Ipv4Addr) -> AddressKind {
    let [first, second, ..] = address.octets();
    if address.is_loopback() {
        AddressKind::Loopback
    } else if address.is_link_local() {
        AddressKind::LinkLocal
    } else if first == 0 {
        AddressKind::Unspecified
    } else if address.is_multicast() {
        AddressKind::Multicast
    } else if address.is_broadcast() {
        AddressKind::Broadcast
    } else if address.is_private() || (first == 100 && second & 0xc0 == 64) {
        AddressKind::Private
    } else {
        AddressKind::Global
    }
}

fn kind_of_ipv6(address: Ipv6Addr) -> AddressKind {
    let [first, ..] = address.segments();
    if address.is_loopback() {
        AddressKind::Loopback
    } else if address.is_unspecified() {
        AddressKind::Unspecified
    } else if address.is_multicast() {
        AddressKind::Multicast
    } else if first & 0xffc0 == 0xfe80 {
        AddressKind::LinkLocal
    } else if first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfec0 {
        AddressKind::Private
    } else {
        AddressKind::Global
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_dress_makes_a_refused_ipv4_address_acceptable(
            octets in prop_oneof![
                any::<[u8; 4]>(),
                any::<[u8; 3]>().prop_map(|[b, c, d]| [127, b, c, d]),
                any::<[u8; 2]>().prop_map(|[c, d]| [169, 254, c, d]),
                any::<[u8; 2]>().prop_map(|[c, d]| [10, 0, c, d]),
            ],
            fill in any::<u16>(),
        ) {
            let rules = AddressRules::default().refuse_private();
            let bare = Ipv4Addr::from(octets);
            let [a, b, c, d] = octets;
            let high = u16::from_be_bytes([a, b]);
            let low = u16::from_be_bytes([c, d]);
            let dressed = [
                [0, 0, 0, 0, 0, 0xffff, high, low],
                [0, 0, 0, 0, 0xffff, 0, high, low],
                [0x2002, high, low, fill, fill, fill, fill, fill],
                [0x64, 0xff9b, 0, 0, 0, 0, high, low],
                [0x64, 0xff9b, 1, fill, fill, fill, high, low],
            ];
            if let Some(kind) = kind_refused(&rules, IpAddr::V4(bare)) {
                for segments in dressed {
                    let address = IpAddr::V6(Ipv6Addr::from(segments));
                    prop_assert_eq!(kind_refused(&rules, address), Some(kind));
                }
            }
        }
    }

    fn at(address: IpAddr) -> SocketAddr {
        SocketAddr::new(address, 80)
    }

    fn kind_refused(rules: &AddressRules, address: IpAddr) -> Option<AddressKind> {
        match rules.check(at(address), false) {
            Ok(()) => None,
            Err(RefusedAddress::Kind { kind, .. }) => Some(kind),
            Err(other) => panic!("{other}"),
        }
    }

    fn refused(rules: &AddressRules, address: &str) -> Option<AddressKind> {
        kind_refused(rules, address.parse().unwrap())
    }

    #[test]
    fn by_default_only_private_and_global_addresses_may_be_connected_to() {
        use AddressKind::*;
        let rules = AddressRules::default();
        for (address, kind) in [
            ("127.0.0.1", Some(Loopback)),
            ("127.255.0.3", Some(Loopback)),
            ("::1", Some(Loopback)),
            ("169.254.1.1", Some(LinkLocal)),
            ("fe80::1", Some(LinkLocal)),
            ("febf::1", Some(LinkLocal)),
            ("169.254.169.254", Some(Metadata)),
            ("100.100.100.200", Some(Metadata)),
            ("fd00:ec2::254", Some(Metadata)),
            ("fd00:ec2::23", Some(Metadata)),
            ("fd00:ec2:ffff::1", Some(Metadata)),
            ("fd20:ce::254", Some(Metadata)),
            ("fd00:ec3::1", None),
            ("0.0.0.0", Some(Unspecified)),
            ("0.1.2.3", Some(Unspecified)),
            ("::", Some(Unspecified)),
            ("224.0.0.1", Some(Multicast)),
            ("ff02::1", Some(Multicast)),
            ("255.255.255.255", Some(Broadcast)),
            ("10.1.2.3", None),
            ("172.16.0.1", None),
            ("192.168.1.1", None),
            ("100.64.0.1", None),
            ("fd12::1", None),
            ("93.184.215.14", None),
            ("2606:2800:21f:cb07::1", None),
        ] {
            assert_eq!(refused(&rules, address), kind, "{address}");
        }
    }

    #[test]
    fn an_ipv4_address_dressed_up_as_ipv6_is_judged_as_what_it_leads_to() {
        use AddressKind::*;
        let rules = AddressRules::default();
        for (address, kind) in [
            ("::ffff:127.0.0.1", Some(Loopback)),
            ("::127.0.0.1", Some(Loopback)),
            ("::ffff:0:127.0.0.1", Some(Loopback)),
            ("2002:7f00:1::", Some(Loopback)),
            ("64:ff9b::127.0.0.1", Some(Loopback)),
            ("64:ff9b:1::169.254.169.254", Some(Metadata)),
            ("::ffff:169.254.169.254", Some(Metadata)),
            ("::ffff:0.0.0.0", Some(Unspecified)),
            ("2002:e000:1::", Some(Multicast)),
            ("::ffff:10.0.0.1", None),
            ("::ffff:93.184.215.14", None),
        ] {
            assert_eq!(refused(&rules, address), kind, "{address}");
        }
    }

    #[test]
    fn private_addresses_can_be_refused_and_single_networks_let_in_again() {
        let rules = AddressRules::parse(&["10.2.0.0/16"])
            .unwrap()
            .refuse_private();
        for address in [
            "10.1.0.1",
            "192.168.0.1",
            "172.31.0.1",
            "100.64.0.1",
            "fd12::1",
        ] {
            assert_eq!(
                refused(&rules, address),
                Some(AddressKind::Private),
                "{address}"
            );
        }
        assert_eq!(refused(&rules, "10.2.0.1"), None);
        assert_eq!(refused(&rules, "::ffff:10.2.0.1"), None);
    }

    #[test]
    fn words_and_networks_widen_the_rules() {
        let loopback = AddressRules::parse(&["loopback"]).unwrap();
        assert_eq!(refused(&loopback, "127.0.0.1"), None);
        assert_eq!(refused(&loopback, "::1"), None);
        assert_eq!(refused(&loopback, "::ffff:127.0.0.1"), None);
        assert_eq!(
            refused(&loopback, "0.0.0.0"),
            Some(AddressKind::Unspecified)
        );

        let one = AddressRules::parse(&["127.0.0.2", "fe80::/10"]).unwrap();
        assert_eq!(refused(&one, "127.0.0.2"), None);
        assert_eq!(refused(&one, "127.0.0.1"), Some(AddressKind::Loopback));
        assert_eq!(refused(&one, "fe80::7"), None);
    }

    #[test]
    fn a_metadata_address_is_allowed_by_name_only() {
        let wide = AddressRules::parse(&["169.254.0.0/16", "private", "fd00::/8"]).unwrap();
        assert_eq!(refused(&wide, "169.254.0.1"), None);
        assert_eq!(
            refused(&wide, "169.254.169.254"),
            Some(AddressKind::Metadata)
        );
        assert_eq!(refused(&wide, "fd00:ec2::254"), Some(AddressKind::Metadata));
        let named = AddressRules::parse(&["169.254.169.254"]).unwrap();
        assert_eq!(refused(&named, "169.254.169.254"), None);
    }

    #[test]
    fn a_refusal_says_how_to_allow_the_address() {
        let rules = AddressRules::default();
        let refusal = |rules: &AddressRules, address: &str, is_own| {
            let refusal = rules.check(at(address.parse().unwrap()), is_own);
            refusal.unwrap_err().to_string()
        };
        let text = |address: &str| refusal(&rules, address, false);
        assert_eq!(
            text("127.0.0.1"),
            "127.0.0.1 is a loopback address; --allow-addresses loopback would allow it"
        );
        assert_eq!(
            text("169.254.7.7"),
            "169.254.7.7 is a link-local address; --allow-addresses 169.254.7.7 would allow it"
        );
        assert_eq!(
            refusal(&rules, "10.0.0.5", true),
            "10.0.0.5 is an address of this machine; --allow-addresses 10.0.0.5:80 would allow it"
        );
        assert_eq!(
            refusal(&rules.clone().by_key(), "127.0.0.1", false),
            "127.0.0.1 is a loopback address; 'allow_addresses: [\"loopback\"]' in the \
             configuration file would allow it"
        );
    }

    #[test]
    fn an_address_of_this_machine_is_refused_unless_it_is_allowed() {
        let refused = |words: &[&str], address: &str| {
            let rules = AddressRules::parse(words).unwrap();
            rules.check(address.parse().unwrap(), true).is_err()
        };
        assert!(refused(&[], "10.0.0.5:8080"));
        assert!(refused(&[], "[2606:2800::5]:80"));
        assert!(refused(&["private", "loopback"], "10.0.0.5:8080"));
        assert!(!refused(&["10.0.0.0/8"], "10.0.0.5:8080"));
        assert!(!refused(&["10.0.0.5"], "10.0.0.5:8080"));
        assert!(!refused(&["10.0.0.5:8080"], "10.0.0.5:8080"));
        assert!(!refused(&["10.0.0.5:8080"], "[::ffff:10.0.0.5]:8080"));
        assert!(refused(&["10.0.0.5:8080"], "10.0.0.5:8081"));
    }

    #[test]
    fn an_address_with_a_port_allows_that_port_only() {
        let rules = AddressRules::parse(&["127.0.0.1:8080", "[::1]:8081"]).unwrap();
        for (address, is_allowed) in [
            ("127.0.0.1:8080", true),
            ("127.0.0.1:8081", false),
            ("127.0.0.2:8080", false),
            ("[::1]:8081", true),
            ("[::1]:8080", false),
        ] {
            let allowed = rules.check(address.parse().unwrap(), false).is_ok();
            assert_eq!(allowed, is_allowed, "{address}");
        }
        assert!(AddressRules::parse(&["127.0.0.1:0"]).is_err());
        assert!(AddressRules::parse(&["127.0.0.1:80800"]).is_err());
    }

    #[test]
    fn ports_can_be_narrowed() {
        let rules = AddressRules::parse(&["10.0.0.5:9000"]).unwrap();
        let rules = rules.only_ports(vec![80..=80, 8000..=8100]);
        let refused = |address: &str| {
            let checked = rules.check(address.parse().unwrap(), false);
            checked.err().map(|refusal| refusal.to_string())
        };
        assert_eq!(refused("10.0.0.5:80"), None);
        assert_eq!(refused("10.0.0.5:8100"), None);
        assert_eq!(refused("10.0.0.5:9000"), None);
        assert_eq!(
            refused("10.0.0.5:443"),
            Some("port 443 is not among allow_ports".to_owned())
        );
    }

    #[test]
    fn a_word_that_is_no_network_is_named() {
        let error = AddressRules::parse(&["10.0.0.0/8", "localhost"]).unwrap_err();
        assert!(error.to_string().contains("'localhost'"));
    }
}
