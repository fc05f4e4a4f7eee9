//! The address of a request's caller behind trusted proxies.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::access::network;
use crate::access::peer::Peer;

/// The header field in which proxies write the addresses for which they forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`: a list of addresses, to which each proxy appends one.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239): the `for` parameters.
    Forwarded,
}

impl ForwardedHeader {
    /// Returns the name of the field.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "X-Forwarded-For",
            Self::Forwarded => "Forwarded",
        }
    }
}

/// The most addresses of a request that the store reads, from the end.
const MAX_HOPS: usize = 32;

/// The trusted proxies, and the header into which they write. By default there are none.
#[derive(Debug, Clone, Default)]
pub(super) struct Proxies {
    pub(super) trusted: Vec<IpNet>,
    pub(super) header: ForwardedHeader,
    /// Whether a proxy that names no address is the caller.
    pub(super) may_call: bool,
}

impl Proxies {
    /// Returns the peer of a request: the socket's peer, unless that is a trusted proxy.
    pub(crate) fn peer<'a, V: IntoIterator<Item = &'a [u8]>>(
        &self,
        socket: Option<IpAddr>,
        values: impl FnOnce(&'static str) -> V,
    ) -> Peer {
        let Some(socket) = socket else { return Peer::Unknown };
        let socket = socket.to_canonical();
        if !self.trust(socket) {
            return Peer::Known(socket);
        }
        let lines: Vec<&[u8]> = values(self.header.name()).into_iter().collect();
        self.caller(socket, &lines).map_or(Peer::Behind(socket), Peer::Known)
    }

    pub(super) fn trust(&self, address: IpAddr) -> bool {
        network::contains(&self.trusted, address)
    }

    /// The rightmost address that is not a trusted proxy's.
    ///
    /// The caller sent whatever is to the left of it, and may send anything. So this splits bytes from the right, and
    /// decodes only the entries that count. Returns `None` if such an entry cannot be read, or there is no other
    /// address: a missing header must not give the caller the address of the proxy.
    fn caller(&self, socket: IpAddr, lines: &[&[u8]]) -> Option<IpAddr> {
        let entries = lines.iter().rev().flat_map(|line| rsplit_unquoted(line, b','));
        // RFC 9110 section 5.6.1: a recipient ignores empty elements of a list.
        let entries = entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty());
        let mut nearest = socket;
        for (hop, entry) in entries.enumerate() {
            if hop == MAX_HOPS {
                return None;
            }
            nearest = match self.header {
                ForwardedHeader::XForwardedFor => node(entry)?,
                ForwardedHeader::Forwarded => forwarded_for(entry)?,
            };
            if !self.trust(nearest) {
                return Some(nearest);
            }
        }
        self.may_call.then_some(nearest)
    }
}

/// Splits a text at separators outside of quotes, the last part first. A proxy repeats the `host` that the caller sent,
/// which may contain separators (RFC 3986 section 3.2.2).
///
/// This reads quotes from the right, too, so that nothing that the caller wrote to the left changes how a proxy's
/// addition is read.
fn rsplit_unquoted(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut left = Some(text);
    std::iter::from_fn(move || {
        let text = left?;
        let (before, part) =
            rsplit_once_unquoted(text, separator).map_or((None, text), |(before, part)| (Some(before), part));
        left = before;
        Some(part)
    })
}

fn rsplit_once_unquoted(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let mut quoted = false;
    let mut left = text;
    while let Some((byte, before)) = left.split_last() {
        if *byte == b'"' {
            // Within quotes, a quote after an odd number of backslashes is part of the text.
            let escapes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
            quoted = !quoted || escapes % 2 == 1;
        } else if *byte == separator && !quoted {
            return text.split_at_checked(left.len()).map(|(_, part)| (before, part));
        }
        left = before;
    }
    None
}

/// The `for` of one element, such as `for="[2001:db8::1]:4711";proto=https`. Returns `None` if it is missing or occurs
/// twice. This does not decode the other parameters, which the caller may have sent (`host`).
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    for pair in rsplit_unquoted(element, b';').map(<[u8]>::trim_ascii) {
        let (name, value) = pair.split_at(pair.iter().position(|byte| *byte == b'=')?);
        if !name.eq_ignore_ascii_case(b"for") {
            continue;
        }
        let value = value.strip_prefix(b"=")?;
        let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        // An IPv6 address has colons, so it must be quoted.
        let address = node(quoted.unwrap_or(value)).filter(|_| quoted.is_some() || !value.contains(&b':'))?;
        if found.replace(address).is_some() {
            return None;
        }
    }
    found
}

/// An address, with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
/// It has no zone, no name, and nothing obfuscated.
fn node(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
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

/// A port as digits, or obfuscated (RFC 7239 section 6): the address is clear in both cases.
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
        Proxies { trusted: trusted.into(), header, may_call: false }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// The peer of a request that came from a socket with these header lines; empty if only the proxy is known.
    fn peer(proxies: &Proxies, socket: &str, lines: &[&[u8]]) -> String {
        let found = proxies.peer(Some(address(socket)), |name| {
            assert_eq!(name, proxies.header.name());
            lines.iter().copied()
        });
        match found {
            Peer::Known(found) => found.to_string(),
            found => {
                assert_eq!(found, Peer::Behind(address(socket).to_canonical()), "the socket is known");
                String::new()
            }
        }
    }

    fn bytes<'a>(lines: &[&'a str]) -> Vec<&'a [u8]> {
        lines.iter().map(|line| line.as_bytes()).collect()
    }

    fn xff(socket: &str, lines: &[&str]) -> String {
        peer(&proxies(ForwardedHeader::XForwardedFor), socket, &bytes(lines))
    }

    fn forwarded(lines: &[&str]) -> String {
        peer(&proxies(ForwardedHeader::Forwarded), "10.0.0.1", &bytes(lines))
    }

    #[test]
    fn only_a_trusted_socket_is_believed() {
        assert_eq!(xff("203.0.113.9", &["192.0.2.1"]), "203.0.113.9");
        assert_eq!(xff("10.0.0.1", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(xff("::ffff:10.0.0.1", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(xff("::1", &["192.0.2.1"]), "192.0.2.1");
        let never = |_| -> [&[u8]; 0] { panic!("nobody is trusted, so nothing is read") };
        assert_eq!(Proxies::default().peer(Some(address("127.0.0.1")), never), Peer::Known(address("127.0.0.1")));
        assert_eq!(Proxies::default().peer(None, never), Peer::Unknown);
        assert_eq!(proxies(ForwardedHeader::Forwarded).peer(None, never), Peer::Unknown);
    }

    #[test]
    fn the_rightmost_untrusted_address() {
        assert_eq!(xff("10.0.0.1", &["127.0.0.1, 192.0.2.1, 10.0.0.2"]), "192.0.2.1");
        assert_eq!(xff("10.0.0.1", &["127.0.0.1", "192.0.2.1", "10.0.0.2"]), "192.0.2.1", "several lines");
        assert_eq!(xff("10.0.0.1", &["nonsense, 192.0.2.1"]), "192.0.2.1", "what he wrote himself");
        assert_eq!(xff("10.0.0.1", &["2001:db8::7, [2001:db8:1::5]:443"]), "2001:db8::7");
        assert_eq!(xff("10.0.0.1", &["\t192.0.2.1 ,, 10.0.0.2,"]), "192.0.2.1", "empty elements");
    }

    /// (header lines; the peer if proxies may be callers). Without that option no peer is known in any of them.
    #[test]
    fn a_proxy_is_no_caller_unless_it_may_be() {
        for (lines, caller) in [
            (&[][..], "10.0.0.1"),
            (&["", " ,\t,"], "10.0.0.1"),
            (&["10.0.0.2"], "10.0.0.2"),
            (&["10.9.9.9, 10.0.0.2"], "10.9.9.9"),
            (&["nonsense, 10.0.0.2"], ""),
        ] {
            assert_eq!(xff("10.0.0.1", lines), "", "{lines:?}");
            let trusting = Proxies { may_call: true, ..proxies(ForwardedHeader::XForwardedFor) };
            assert_eq!(peer(&trusting, "10.0.0.1", &bytes(lines)), caller, "{lines:?}");
        }
        assert_eq!(forwarded(&[]), "");
        assert_eq!(forwarded(&["for=10.0.0.2"]), "");
    }

    #[test]
    fn bytes_that_do_not_count_are_not_decoded() {
        let list = proxies(ForwardedHeader::XForwardedFor);
        for lines in [&[&b"\xff, 192.0.2.1"[..]][..], &[b"\xff", b"192.0.2.1"], &[b"\xc3(,192.0.2.1, 10.0.0.2"]] {
            assert_eq!(peer(&list, "10.0.0.1", lines), "192.0.2.1", "{lines:?}");
        }
        let parameters = proxies(ForwardedHeader::Forwarded);
        for line in [&b"for=\xff, for=192.0.2.1"[..], b"host=\xff;for=192.0.2.1", b"for=192.0.2.1;by=\xff\xfe"] {
            assert_eq!(peer(&parameters, "10.0.0.1", &[line]), "192.0.2.1", "{line:?}");
        }
        for line in [&b"192.0.2.1, \xff"[..], b"192.0.2.1\xff", b"192.0.2.1, 10.0.0.2\xff, 10.0.0.3"] {
            assert_eq!(peer(&list, "10.0.0.1", &[line]), "", "{line:?}");
        }
        for line in [&b"for=192.0.2.1\xff"[..], b"for=192.0.2.1;\xff", b"f\xffr=192.0.2.1"] {
            assert_eq!(peer(&parameters, "10.0.0.1", &[line]), "", "{line:?}");
        }
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

    /// A name of RFC 3986 may have commas, semicolons and equals signs, so the `Host` that a proxy repeats may, too.
    #[test]
    fn what_is_in_quotes_is_one_value() {
        for line in [
            r#"for=192.0.2.1;host="a,for=10.1.1.1;for=203.0.113.9;x=""#,
            r#"for=192.0.2.1;host="a,for=203.0.113.9;x=""#,
            r#"for=192.0.2.1;host="a,for=203.0.113.9;x=";proto=https"#,
            r#"for=192.0.2.1;host="a;for=203.0.113.9;x=""#,
            r#"host="a,b;c,for=203.0.113.9;x=";for=192.0.2.1"#,
            r#"for=192.0.2.1;host="\\\",for=203.0.113.9;x=\"""#,
            r#"for=192.0.2.1;host="a\\";proto=https, for=10.0.0.2;host=",""#,
            r#"for="203.0.113.9, for=192.0.2.1;host="a,for=203.0.113.9;x=""#,
            r#"", \", for=192.0.2.1;host="a,for=203.0.113.9;x=""#,
        ] {
            assert_eq!(forwarded(&[line]), "192.0.2.1", "{line}");
        }
    }

    proptest! {
        /// Whatever bytes a client sends, its proxy appends the client's own address, and that is the peer.
        #[test]
        fn a_client_cannot_choose(
            sent in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..4),
            client in any::<u32>(),
            may_call in any::<bool>(),
        ) {
            let client = IpAddr::V4((client | 0x8000_0000).into()).to_string();
            let mut lines: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
            lines.push(client.as_bytes());
            let list = Proxies { may_call, ..proxies(ForwardedHeader::XForwardedFor) };
            prop_assert_eq!(&peer(&list, "10.0.0.1", &lines), &client);
            prop_assert_eq!(&peer(&list, "10.0.0.1", &[&lines.join(&b", "[..])]), &client);
        }

        /// Nor by what a proxy repeats in quotes.
        #[test]
        fn a_client_cannot_choose_by_its_host(
            sent in "[ -~]{0,40}",
            host in r#"([a-z:;,="\\\\ ]|,for=203\.0\.113\.9|;for=203\.0\.113\.9){0,12}"#,
            client in any::<u32>(),
        ) {
            let client = IpAddr::V4((client | 0x8000_0000).into()).to_string();
            let escaped = host.replace('\\', r"\\").replace('"', "\\\"");
            for own in [format!("for={client};host=\"{escaped}\""), format!("host=\"{escaped}\";for={client};proto=https")] {
                for lines in [vec![format!("{sent}, {own}")], vec![sent.clone(), own]] {
                    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
                    prop_assert_eq!(&forwarded(&lines), &client, "{:?}", lines);
                }
            }
        }

        #[test]
        fn bytes_do_no_harm(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..4)) {
            for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
                let _ = proxies(header).peer(Some(address("10.0.0.1")), |_| lines.iter().map(Vec::as_slice));
            }
        }
    }
}
