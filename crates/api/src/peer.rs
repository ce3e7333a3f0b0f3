//! Who is at the other end of a connection.

use std::net::IpAddr;

/// The other end of a connection; every request has it as an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The socket in the data directory: only who runs the server, or root, can connect there.
    Door,
    /// A TCP connection.
    Network {
        /// Its address.
        address: IpAddr,
        /// Whether it is TLS.
        secure: bool,
        /// Which version of it, as policies write it.
        tls_version: Option<&'static str>,
    },
}

impl Peer {
    /// Whether nobody in between can read along.
    pub(crate) fn is_private(self) -> bool {
        match self {
            Self::Door => true,
            Self::Network { address, secure, .. } => secure || address.to_canonical().is_loopback(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tls_and_loopback_are_private() {
        let network = |address: &str, secure| Peer::Network {
            address: address.parse().unwrap(),
            secure,
            tls_version: None,
        };
        for peer in [
            Peer::Door,
            network("127.0.0.1", false),
            network("::1", false),
            network("::ffff:127.0.0.1", false),
            network("192.0.2.1", true),
        ] {
            assert!(peer.is_private(), "{peer:?}");
        }
        for peer in [network("192.0.2.1", false), network("::ffff:192.0.2.1", false)] {
            assert!(!peer.is_private(), "{peer:?}");
        }
    }
}
