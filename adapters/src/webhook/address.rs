//! Which addresses a target may have (SSRF): the program sits inside a network that a name from outside must not reach into.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not connected to, as words before "address"; nothing when it may be.
///
/// With `allow_private`, loopback, private and link-local addresses may be; those that are no host's never.
pub fn refuse(ip: IpAddr, allow_private: bool) -> Option<&'static str> {
    let (why, private) = match ip {
        IpAddr::V4(ip) => of_v4(ip)?,
        IpAddr::V6(ip) => of_v6(ip)?,
    };
    (!(private && allow_private)).then_some(why)
}

/// What is special about an address, and whether `allow_private` covers it. After the IANA special-purpose registries.
fn of_v4(ip: Ipv4Addr) -> Option<(&'static str, bool)> {
    match ip.octets() {
        [127, ..] => Some(("a loopback", true)),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some(("a private", true)),
        [100, 64..=127, ..] => Some(("a carrier's private", true)),
        [169, 254, ..] => Some(("a link-local", true)),
        [0, ..] => Some(("an unspecified", false)),
        [224..=239, ..] => Some(("a multicast", false)),
        [240..=255, ..] | [192, 0, 0, _] | [192, 88, 99, _] | [198, 18..=19, ..] => Some(("a reserved", false)),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Some(("a documentation", false)),
        _ => None,
    }
}

fn of_v6(ip: Ipv6Addr) -> Option<(&'static str, bool)> {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        of_v4(Ipv4Addr::new(a, b, c, d))
    };
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some(("an unspecified", false)),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(("a loopback", true)),
        // What is an IPv4 address in other clothes is judged as that: mapped, compatible, NAT64, 6to4.
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        [0x64, 0xff9b, 1, ..] => Some(("a private", true)),
        [0xfc00..=0xfdff, ..] => Some(("a private", true)),
        [0xfe80..=0xfebf, ..] => Some(("a link-local", true)),
        [0xfec0..=0xfeff, ..] => Some(("a private", true)),
        [0xff00..=0xffff, ..] => Some(("a multicast", false)),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some(("a documentation", false)),
        [0x2001, 0, ..] | [0x100, 0, 0, 0, ..] => Some(("a reserved", false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(ip: &str, guarded: bool, permitted: bool) {
        let ip: IpAddr = ip.parse().unwrap();
        assert_eq!((refuse(ip, false).is_none(), refuse(ip, true).is_none()), (guarded, permitted), "{ip}");
    }

    #[test]
    fn addresses_inside_are_reached_only_where_that_is_allowed() {
        let inside = [
            "127.0.0.1",
            "127.9.9.9",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "64:ff9b:1::1",
        ];
        for ip in inside {
            check(ip, false, true);
        }
    }

    #[test]
    fn addresses_of_no_host_are_never_reached() {
        for ip in [
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "198.18.0.1",
            "::",
            "ff02::1",
            "2001:db8::1",
            "::ffff:0.0.0.0",
            "2001::1",
        ] {
            check(ip, false, false);
        }
    }

    #[test]
    fn public_addresses_are_reached() {
        for ip in [
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "192.167.1.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            check(ip, true, true);
        }
    }

    proptest! {
        #[test]
        fn an_ipv4_address_is_judged_the_same_in_every_dress(bits in any::<u32>()) {
            let ip = Ipv4Addr::from(bits);
            let [a, b, c, d] = ip.octets();
            let mapped = IpAddr::V6(ip.to_ipv6_mapped());
            prop_assert_eq!(refuse(IpAddr::V4(ip), false), refuse(mapped, false));
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            let nat64 = IpAddr::V6(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low));
            prop_assert_eq!(refuse(IpAddr::V4(ip), true), refuse(nat64, true));
        }
    }
}
