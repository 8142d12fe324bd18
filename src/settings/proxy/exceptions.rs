//! `NO_PROXY`: what is spoken to without a proxy.

use std::net::IpAddr;

/// The entries of `NO_PROXY`, separated by commas:
/// * `example.org`: the name itself and all names below it; `.example.org` and `*.example.org`: only those below it;
/// * an address of IPv4 or IPv6, or a range of them (`10.0.0.0/8`): what is *written* as an address in the URL, for no
///   name is looked up;
/// * each but a range with `:port` at its end: that port only;
/// * `*`: everything.
///
/// What is none of these excepts nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exceptions(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    All,
    Range {
        of: IpAddr,
        bits: u32,
    },
    Address {
        address: IpAddr,
        port: Option<u16>,
    },
    Name {
        name: String,
        itself: bool,
        port: Option<u16>,
    },
}

impl Exceptions {
    pub(super) fn parse(text: &str) -> Self {
        Self(text.split(',').filter_map(Entry::parse).collect())
    }

    /// Whether a server is among them; `host` without brackets, and as an address too where it is one.
    pub(super) fn hold(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        self.0.iter().any(|entry| entry.holds(host, address, port))
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if text == "*" {
            return Some(Self::All);
        }
        if let Some((of, bits)) = text.split_once('/') {
            let (of, bits) = (of.parse::<IpAddr>().ok()?, bits.parse().ok()?);
            return (bits <= width(of)).then_some(Self::Range { of, bits });
        }
        let (host, port) = match text.parse::<IpAddr>() {
            Ok(_) => (text.as_str(), ""),
            Err(_) => text.rsplit_once(':').unwrap_or((&text, "")),
        };
        let port = match port {
            "" => None,
            port => Some(port.parse().ok()?),
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            let address = address.to_canonical();
            return Some(Self::Address { address, port });
        }
        let name = host.strip_prefix('*').filter(|rest| rest.starts_with('.'));
        let name = name.unwrap_or(host);
        let itself = !name.starts_with('.');
        let name = name.trim_start_matches('.');
        // URLs have names of other alphabets in this form.
        let name = match url::Host::parse(name) {
            Ok(url::Host::Domain(name)) => name,
            _ => name.to_owned(),
        };
        (!name.is_empty()).then_some(Self::Name { name, itself, port })
    }

    fn holds(&self, host: &str, address: Option<IpAddr>, at: u16) -> bool {
        match (self, address) {
            (Self::All, _) => true,
            (Self::Range { of, bits }, Some(address)) => {
                width(*of) == width(address) && first(*of, *bits) == first(address, *bits)
            }
            (Self::Address { address: of, port }, Some(address)) => {
                *of == address && port.is_none_or(|port| port == at)
            }
            (Self::Name { name, itself, port }, None) => {
                let is_below = host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
                (is_below || (*itself && host == name)) && port.is_none_or(|port| port == at)
            }
            _ => false,
        }
    }
}

fn width(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The first bits of an address.
fn first(address: IpAddr, bits: u32) -> u128 {
    let whole = match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    // Nothing of it for /0: then the shift is as wide as the number.
    whole.checked_shr(width(address) - bits).unwrap_or(0)
}
