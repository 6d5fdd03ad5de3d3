//! Networks, as allow and deny lists write them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

/// A network: `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net(IpNet);

/// A list of networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nets(pub Vec<Net>);

/// Why a text is no network, and what was probably meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadNet {
    /// The network that its address lies in, if the address has more bits than the prefix.
    pub meant: Option<Net>,
}

/// Bits of an IPv6 address in front of an IPv4 address that is written as one.
const MAPPED_BITS: u8 = 96;
/// An IPv6 host is given this much and may use any address in it, so it counts as one sender.
const HOST_BITS_V6: u32 = 64;

impl Nets {
    /// Whether an address lies in one of them. `::ffff:10.0.0.1` is `10.0.0.1`.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|net| net.0.contains(&address))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What counts as one sender: an IPv4 address, or the /64 of an IPv6 address.
pub fn sender_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let host = u128::MAX << (Ipv6Addr::BITS - HOST_BITS_V6);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & host))
        }
        v4 => v4,
    }
}

impl FromStr for Net {
    type Err = BadNet;

    fn from_str(text: &str) -> Result<Self, BadNet> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.to_canonical().into()));
        }
        let net: IpNet = text.parse().map_err(|_| BadNet { meant: None })?;
        let net = canonical(net);
        if net.trunc() == net {
            Ok(Self(net))
        } else {
            Err(BadNet { meant: Some(Self(net.trunc())) })
        }
    }
}

/// A network of IPv4 addresses that is written as one of IPv6 is one of IPv4.
fn canonical(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let bits = v6.prefix_len().checked_sub(MAPPED_BITS);
    match (v6.addr().to_ipv4_mapped(), bits) {
        (Some(v4), Some(bits)) => IpNet::new(v4.into(), bits).unwrap_or(net),
        _ => net,
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            return self.0.addr().fmt(f);
        }
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Nets {
        Nets(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[track_caller]
    fn check(texts: &[&str], inside: &[&str], outside: &[&str]) {
        let nets = nets(texts);
        for address in inside {
            assert!(nets.contain(address.parse().unwrap()), "{address} in {texts:?}");
        }
        for address in outside {
            assert!(!nets.contain(address.parse().unwrap()), "{address} in {texts:?}");
        }
    }

    #[test]
    fn networks_end_where_their_prefix_says() {
        check(&["10.0.0.0/8"], &["10.0.0.0", "10.255.255.255"], &["9.255.255.255", "11.0.0.0"]);
        check(&["10.1.2.3"], &["10.1.2.3"], &["10.1.2.2", "10.1.2.4"]);
        check(&["fd00::/8"], &["fd00::", "fdff::1"], &["fc00::", "fe00::", "10.0.0.1"]);
        check(&["0.0.0.0/0"], &["1.2.3.4"], &["::1"]);
        check(&[], &[], &["127.0.0.1", "::1"]);
    }

    #[test]
    fn an_ipv4_address_is_the_same_however_it_is_written() {
        check(&["10.0.0.0/8"], &["::ffff:10.0.0.1"], &["::ffff:11.0.0.1", "::10.0.0.1"]);
        check(&["::ffff:10.0.0.0/104", "::ffff:1.2.3.4"], &["10.0.0.1", "1.2.3.4"], &["11.0.0.1"]);
        // All of IPv6 is not all of IPv4.
        check(&["::/0"], &["::1"], &["10.0.0.1", "::ffff:10.0.0.1"]);
    }

    #[test]
    fn what_is_no_network_is_refused_with_what_was_meant() {
        let meant = |text: &str| text.parse::<Net>().unwrap_err().meant.map(|net| net.to_string());

        assert_eq!(meant("10.1.0.0/8").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(meant("fd00::1/64").as_deref(), Some("fd00::/64"));
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "a/8", "10.0.0.0/", "fd00::/129"] {
            assert_eq!(meant(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_host_with_many_addresses_is_one_sender() {
        let sender = |text: &str| sender_of(text.parse().unwrap()).to_string();

        assert_eq!(sender("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(sender("::ffff:10.0.0.1"), "10.0.0.1");
        assert_eq!(sender("10.0.0.1"), "10.0.0.1");
    }
}
