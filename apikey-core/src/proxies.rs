//! From which address a request came, behind proxies that are trusted to say so.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::network;

/// The header field in which proxies write down for whom they forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`: addresses, each proxy's addition behind those before it.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239): the `for` parameters.
    Forwarded,
}

impl ForwardedHeader {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "X-Forwarded-For",
            Self::Forwarded => "Forwarded",
        }
    }
}

/// Most addresses of a request that are looked at, from the end.
const MAX_HOPS: usize = 32;

/// Which proxies are trusted, and where they write. Nobody is, if nothing is set.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies {
    pub(crate) trusted: Vec<IpNet>,
    pub(crate) header: ForwardedHeader,
}

impl Proxies {
    /// The rightmost address that is not a trusted proxy's.
    ///
    /// What stands left of it was sent by that one, who may write what he likes. `None` if an entry that counts cannot be
    /// read: then nobody knows. If all are trusted, the leftmost: it is in the operator's own networks.
    pub(crate) fn peer<'a, V: IntoIterator<Item = &'a [u8]>>(
        &self,
        socket: Option<IpAddr>,
        values: impl FnOnce(&'static str) -> V,
    ) -> Option<IpAddr> {
        let mut peer = socket?.to_canonical();
        if !network::contain(&self.trusted, peer) {
            return Some(peer);
        }
        let values: Vec<&[u8]> = values(self.header.name()).into_iter().collect();
        let mut hops = 0;
        for value in values.iter().rev() {
            let value = std::str::from_utf8(value).ok()?;
            // Of an entry in quotes with a comma in it, the parts are no addresses.
            for entry in value.rsplit(',').map(|entry| entry.trim_matches([' ', '\t'])) {
                // RFC 9110 section 5.6.1: empty elements of a list count for nothing.
                if entry.is_empty() {
                    continue;
                }
                hops += 1;
                if hops > MAX_HOPS {
                    return None;
                }
                peer = match self.header {
                    ForwardedHeader::XForwardedFor => node(entry)?,
                    ForwardedHeader::Forwarded => forwarded_for(entry)?,
                };
                if !network::contain(&self.trusted, peer) {
                    return Some(peer);
                }
            }
        }
        Some(peer)
    }
}

/// The `for` of one element, such as `for="[2001:db8::1]:4711";proto=https`. One that is missing, or there twice, is none.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in element.split(';') {
        let (name, value) = pair.trim_matches([' ', '\t']).split_once('=')?;
        if !name.eq_ignore_ascii_case("for") {
            continue;
        }
        let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        // An address of IPv6 has colons, and so must be quoted.
        let address = node(quoted.unwrap_or(value)).filter(|_| quoted.is_some() || !value.contains(':'))?;
        if found.replace(address).is_some() {
            return None;
        }
    }
    found
}

/// An address, with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`. No
/// zone, no name, and nothing obfuscated.
fn node(text: &str) -> Option<IpAddr> {
    let address = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            if !port.is_empty() {
                is_port(port.strip_prefix(':')?)?;
            }
            IpAddr::V6(address.parse().ok()?)
        }
        None => match text.split_once(':') {
            Some((address, port)) if !port.contains(':') => {
                is_port(port)?;
                IpAddr::V4(address.parse().ok()?)
            }
            _ => text.parse().ok()?,
        },
    };
    Some(address.to_canonical())
}

/// A port as digits, or obfuscated (RFC 7239 section 6): who is meant is clear in both cases.
fn is_port(text: &str) -> Option<()> {
    let obfuscated = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let fits = digits && text.parse::<u16>().is_ok();
    let hidden = text.strip_prefix('_').is_some_and(|rest| !rest.is_empty() && obfuscated(rest));
    (fits || hidden).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn proxies(header: ForwardedHeader) -> Proxies {
        let trusted = ["10.0.0.0/8", "::1", "2001:db8:1::/48"].map(|net| network::parse(net).unwrap());
        Proxies { trusted: trusted.into(), header }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// The peer of a request that came from a socket with these header lines; empty for none.
    fn peer(header: ForwardedHeader, socket: &str, lines: &[&str]) -> String {
        let lines = lines.iter().map(|line| line.as_bytes());
        let found = proxies(header).peer(Some(address(socket)), |name| {
            assert_eq!(name, header.name());
            lines
        });
        found.map_or_else(String::new, |found| found.to_string())
    }

    fn xff(socket: &str, lines: &[&str]) -> String {
        peer(ForwardedHeader::XForwardedFor, socket, lines)
    }

    fn forwarded(lines: &[&str]) -> String {
        peer(ForwardedHeader::Forwarded, "10.0.0.1", lines)
    }

    #[test]
    fn only_a_trusted_socket_is_believed() {
        assert_eq!(xff("203.0.113.9", &["192.0.2.1"]), "203.0.113.9");
        assert_eq!(xff("10.0.0.1", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(xff("::ffff:10.0.0.1", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(xff("::1", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(xff("10.0.0.1", &[]), "10.0.0.1");
        let never = |_| -> [&[u8]; 0] { panic!("nobody is trusted, so nothing is read") };
        assert_eq!(Proxies::default().peer(Some(address("127.0.0.1")), never), Some(address("127.0.0.1")));
        assert_eq!(Proxies::default().peer(None, never), None);
        assert_eq!(proxies(ForwardedHeader::Forwarded).peer(None, never), None);
    }

    #[test]
    fn the_rightmost_untrusted_address() {
        assert_eq!(xff("10.0.0.1", &["127.0.0.1, 192.0.2.1, 10.0.0.2"]), "192.0.2.1");
        assert_eq!(xff("10.0.0.1", &["127.0.0.1", "192.0.2.1", "10.0.0.2"]), "192.0.2.1", "several lines");
        assert_eq!(xff("10.0.0.1", &["nonsense, 192.0.2.1"]), "192.0.2.1", "what he wrote himself");
        assert_eq!(xff("10.0.0.1", &["10.9.9.9, 10.0.0.2"]), "10.9.9.9", "all of them are trusted");
        assert_eq!(xff("10.0.0.1", &["2001:db8::7, [2001:db8:1::5]:443"]), "2001:db8::7");
        assert_eq!(xff("10.0.0.1", &["\t192.0.2.1 ,, 10.0.0.2,"]), "192.0.2.1", "empty elements");
        assert_eq!(xff("10.0.0.1", &["", " "]), "10.0.0.1");
    }

    #[test]
    fn what_cannot_be_read_is_nobody() {
        for entry in [
            "unknown",
            "_hidden",
            "192.0.2.1:",
            "192.0.2.1:x",
            "192.0.2.1:99999",
            "192.0.2.1:80:80",
            "192.0.2",
            "0192.0.2.1",
            "[192.0.2.1]",
            "[::2",
            "::2]",
            "[::2]80",
            "[::2]:",
            "fe80::2%eth0",
            "[fe80::2%25eth0]",
            "example.com",
            "192.0.2.1/8",
            "for=192.0.2.1",
            "\"192.0.2.1\"",
            "192.0.2.1 192.0.2.2",
            "192.0.2.1;",
            "\u{661}92.0.2.1",
            "-",
            "*",
            "0x7f.1",
        ] {
            assert_eq!(xff("10.0.0.1", &[entry]), "", "{entry}");
            assert_eq!(xff("10.0.0.1", &["192.0.2.1", entry, "10.0.0.2"]), "", "{entry}");
        }
        let bytes: &[u8] = b"192.0.2.1, \xff";
        assert_eq!(proxies(ForwardedHeader::XForwardedFor).peer(Some(address("10.0.0.1")), |_| [bytes]), None);
        let long = ["10.0.0.2"; MAX_HOPS + 1].join(",");
        assert_eq!(xff("10.0.0.1", &[&long]), "", "no end of proxies");
    }

    #[test]
    fn with_ports_and_brackets() {
        for entry in ["192.0.2.1:80", "192.0.2.1:_x", "::ffff:192.0.2.1", "[::ffff:192.0.2.1]:1"] {
            assert_eq!(xff("10.0.0.1", &[entry]), "192.0.2.1", "{entry}");
        }
        for entry in ["2001:db8::1", "[2001:db8::1]", "[2001:DB8::1]:4711"] {
            assert_eq!(xff("10.0.0.1", &[entry]), "2001:db8::1", "{entry}");
        }
    }

    #[test]
    fn the_forwarded_header() {
        assert_eq!(forwarded(&["for=192.0.2.1"]), "192.0.2.1");
        assert_eq!(forwarded(&["For=\"192.0.2.1:80\"; proto=https;by=10.0.0.1"]), "192.0.2.1");
        assert_eq!(forwarded(&["for=127.0.0.1, for=\"[2001:db8::1]:4711\";host=x, for=10.0.0.2"]), "2001:db8::1");
        assert_eq!(forwarded(&["for=127.0.0.1", "proto=http;for=192.0.2.1"]), "192.0.2.1");
        for bad in [
            "for=unknown",
            "for=_gazonk",
            "for=\"_gazonk\"",
            "proto=https",
            "for",
            "192.0.2.1",
            "for=",
            "for=\"\"",
            "for=[2001:db8::1]",
            "for=2001:db8::1",
            "for=192.0.2.1:80",
            "for=\"192.0.2.1",
            "for=192.0.2.1\"",
            "for=192.0.2.1;for=127.0.0.1",
            "for = 192.0.2.1",
            "for=192.0.2.1;;",
            "for=\"192.0.2.1,x\"",
            "for=\"\\192.0.2.1\"",
        ] {
            assert_eq!(forwarded(&[bad]), "", "{bad}");
        }
    }

    proptest! {
        /// Whatever a client sends, its proxy appends the client's own address, and that is the peer.
        #[test]
        fn a_client_cannot_choose(sent in proptest::collection::vec("[ -~]{0,40}", 0..4), client in any::<u32>()) {
            let client = IpAddr::V4((client | 0x8000_0000).into());
            let mut lines = sent;
            lines.push(client.to_string());
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            prop_assert_eq!(xff("10.0.0.1", &lines), client.to_string());
            let joined = lines.join(", ");
            prop_assert_eq!(xff("10.0.0.1", &[&joined]), client.to_string());
        }

        #[test]
        fn bytes_do_no_harm(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..4)) {
            for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
                let _ = proxies(header).peer(Some(address("10.0.0.1")), |_| lines.iter().map(Vec::as_slice));
            }
        }
    }
}
