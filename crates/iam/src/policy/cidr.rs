//! Ranges of addresses.

use std::net::IpAddr;

/// A range: an address and how many of its first bits count. An IPv4 address in IPv6's notation is that IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl Cidr {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = width(address);
        let bits = match bits {
            None => most,
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                bits.parse().ok().filter(|bits| *bits <= most)?
            }
            Some(_) => return None,
        };
        // ::ffff:a.b.c.d/(96+n) is a.b.c.d/n.
        let canonical = address.to_canonical();
        let shorter = most - width(canonical);
        match bits.checked_sub(shorter) {
            Some(bits) => Some(Self { address: canonical, bits }),
            None => Some(Self { address, bits }),
        }
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(mine), IpAddr::V4(other)) => {
                (mine.to_bits() ^ other.to_bits()).checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(mine), IpAddr::V6(other)) => {
                (mine.to_bits() ^ other.to_bits()).checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    /// Whether it has so many addresses that it hardly limits anybody: more than a sixteenth of a class A network's parent, a
    /// quarter of which is one provider. Private ranges are small enough.
    pub(super) fn is_wide(&self) -> bool {
        match self.address {
            IpAddr::V4(_) => self.bits < 8,
            IpAddr::V6(_) => self.bits < 32,
        }
    }
}

fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(range: &str, address: &str) -> bool {
        Cidr::parse(range).unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn range_has_the_addresses_that_share_its_first_bits() {
        for (range, address) in [
            ("10.1.2.0/24", "10.1.2.255"),
            ("10.1.2.3", "10.1.2.3"),
            ("10.1.2.3/32", "::ffff:10.1.2.3"),
            ("10.1.2.99/24", "10.1.2.1"),
            ("0.0.0.0/0", "255.1.1.1"),
            ("2001:db8::/32", "2001:db8:ffff::1"),
            ("::/0", "1::"),
            ("::ffff:10.0.0.0/104", "10.9.9.9"),
        ] {
            assert!(contains(range, address), "{range} {address}");
        }
        for (range, address) in [
            ("10.1.2.0/24", "10.1.3.0"),
            ("0.0.0.0/0", "2001::1"),
            ("::/0", "10.0.0.1"),
            ("2001:db8::/32", "2001:db9::"),
            ("10.1.2.3", "10.1.2.2"),
        ] {
            assert!(!contains(range, address), "{range} {address}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "10.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "::/129", "10.0.0.0/8/8", "x/8"]
        {
            assert_eq!(Cidr::parse(text), None, "{text}");
        }
    }
}
