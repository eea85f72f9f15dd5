//! The storage addresses this node may connect to. What a request says is checked against this list: a publish context
//! that was tampered with must not make a privileged process talk to a stranger.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

/// One entry: `<ip or cidr>[:<port>]`; an IPv6 network with a port is written `[<cidr>]:<port>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedAddress {
    network: IpNet,
    port: Option<u16>,
}

/// The text is no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an address or network with an optional port, such as 10.42.0.0/16:4420 or [fd00::/64]:4420"
)]
pub struct AddressError(String);

impl FromStr for AllowedAddress {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError(text.chars().take(80).collect());
        if let Some(network) = parse_network(text) {
            return Ok(Self { network, port: None });
        }
        let (network, port) = text.rsplit_once(':').ok_or_else(error)?;
        let bracketed = network.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let network = parse_network(bracketed.unwrap_or(network)).ok_or_else(error)?;
        // Without brackets the last group of an IPv6 address would be read as a port.
        if bracketed.is_none() && network.addr().is_ipv6() {
            return Err(error());
        }
        let port: u16 = port.parse().ok().filter(|port| *port != 0).ok_or_else(error)?;
        Ok(Self { network, port: Some(port) })
    }
}

fn parse_network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

impl AllowedAddress {
    fn admits(&self, address: SocketAddr) -> bool {
        self.network.contains(&address.ip()) && self.port.is_none_or(|port| port == address.port())
    }
}

impl fmt::Display for AllowedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "[{}]:{port}", self.network),
            None => self.network.fmt(f),
        }
    }
}

/// True when one of the entries admits the address.
pub(crate) fn admitted(allowed: &[AllowedAddress], address: SocketAddr) -> bool {
    allowed.iter().any(|entry| entry.admits(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(entry: &str, address: &str) -> bool {
        admitted(&[entry.parse().expect("an entry")], address.parse().expect("an address"))
    }

    #[test]
    fn an_address_outside_the_list_or_at_another_port_is_not_admitted() {
        assert!(admits("10.0.0.0/8:4420", "10.1.2.3:4420"));
        assert!(!admits("10.0.0.0/8:4420", "10.1.2.3:4421"));
        assert!(!admits("10.0.0.0/8", "11.0.0.1:4420"));
        assert!(admits("127.0.0.1", "127.0.0.1:9"));
        assert!(admits("[fd00::/64]:4420", "[fd00::7]:4420"));
        assert!(admits("fd00::/64", "[fd00::7]:1"));
        assert!(!admits("[fd00::/64]:4420", "[fd00:0:0:1::7]:4420"));
        assert!(!admitted(&[], "127.0.0.1:4420".parse().expect("an address")));
    }

    #[test]
    fn a_text_that_is_no_entry_is_refused() {
        for text in ["", ":4420", "rds1:4420", "10.0.0.0/33", "10.0.0.1:0", "10.0.0.1:x", "[fd00::1:4420"] {
            assert!(text.parse::<AllowedAddress>().is_err(), "{text:?}");
        }
    }
}
