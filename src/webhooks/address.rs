//! Which addresses are public. An address chosen by a stranger must not lead into the network the server stands in.

use super::Reach;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Whether anyone on the internet could reach it: in none of the blocks of the IANA special-purpose registries
/// (RFC 6890), among which are loopback, private networks, link-local ones and with them the metadata services of
/// cloud machines.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_public_v4(mapped),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match a {
        0 | 10 | 127 | 224..=255 => true,
        100 => (64..128).contains(&b),
        169 => b == 254,
        172 => (16..32).contains(&b),
        192 => matches!((b, c), (168, _) | (0, 0 | 2) | (88, 99)),
        198 => matches!((b, c), (18 | 19, _) | (51, 100)),
        203 => (b, c) == (0, 113),
        _ => false,
    };
    !special
}

/// Of the space given out (2000::/3) what leads neither to nothing nor, inside, to an IPv4 address.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let special = match a {
        // protocol assignments with Teredo, documentation
        0x2001 => b < 0x200 || b == 0xdb8,
        // 6to4
        0x2002 => true,
        // documentation
        0x3fff => b < 0x1000,
        _ => false,
    };
    (0x2000..0x4000).contains(&a) && !special
}

/// A name leads to an address that is not public.
#[derive(Clone, Debug)]
pub(super) struct NotPublic(pub(super) IpAddr);

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its address {} is not public", self.0)
    }
}

impl std::error::Error for NotPublic {}

/// Looks names up and lets only allowed addresses through. Connections are made to what it returned, so there is no
/// second look-up that could say something else.
#[derive(Debug)]
pub(super) struct Resolver(pub(super) Reach);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            allowed(reach, &found)?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// All of them must be allowed: a name with one address inside is not to be trusted with the others.
fn allowed(reach: Reach, found: &[SocketAddr]) -> Result<(), NotPublic> {
    let inside = found.iter().map(SocketAddr::ip).find(|&address| !is_public(address));
    match (reach, inside) {
        (Reach::Public, Some(address)) => Err(NotPublic(address)),
        (Reach::Public, None) | (Reach::Anywhere, _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_are_not_public() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "100::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "4000::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn addresses_outside_are_public() {
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "169.253.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.3.1",
            "192.167.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn one_address_inside_spoils_a_name() {
        let outside: SocketAddr = "1.1.1.1:0".parse().unwrap();
        let inside: SocketAddr = "10.0.0.7:0".parse().unwrap();
        assert!(allowed(Reach::Public, &[outside]).is_ok());
        let refused = allowed(Reach::Public, &[outside, inside]).unwrap_err();
        assert_eq!(refused.to_string(), "its address 10.0.0.7 is not public");
        assert!(allowed(Reach::Anywhere, &[inside]).is_ok());
    }
}
