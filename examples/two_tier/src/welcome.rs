//! The text that the program prints at the start: the addresses, the keys, and requests to try.

use std::fmt::Write;
use std::path::Path;

use apikey::{CreatedKey, KeyInfo};

use crate::demo_keys::DemoKeys;

/// A request to try.
struct Try {
    path: &'static str,
    /// The body, which makes it a POST.
    body: Option<&'static str>,
    needs: &'static str,
    answers: Answers,
}

/// The status of the answer.
enum Answers {
    WithoutKey(u16),
    WithKey { reader: u16, writer: u16 },
}

const TRIES: [Try; 6] = [
    Try { path: "/health", body: None, needs: "open to everyone", answers: Answers::WithoutKey(200) },
    Try { path: "/orders", body: None, needs: "needs orders:read", answers: Answers::WithoutKey(401) },
    Try {
        path: "/whoami",
        body: None,
        needs: "needs a key, no matter which",
        answers: Answers::WithKey { reader: 200, writer: 200 },
    },
    Try {
        path: "/orders",
        body: None,
        needs: "needs orders:read",
        answers: Answers::WithKey { reader: 200, writer: 200 },
    },
    Try {
        path: "/orders",
        body: Some(r#"{"item":"Black tea, 250 g","quantity":2}"#),
        needs: "needs orders:write",
        answers: Answers::WithKey { reader: 403, writer: 201 },
    },
    Try {
        path: "/reports",
        body: None,
        needs: "needs any(reports:read, all(orders:read, customers:read))",
        answers: Answers::WithKey { reader: 403, writer: 200 },
    },
];

/// The header where the program does not know the secret any more: the shell inserts it.
const VARIABLE: &str = r#""X-API-Key: $KEY""#;

/// The whole text.
pub(crate) fn text(keys: &DemoKeys, store: &Path, page_origin: &str, api_origin: &str, link: &str) -> String {
    let store = store.display();
    let mut lines = vec![
        "Two tiers and a console are up. They answer on this machine only.".to_owned(),
        String::new(),
        format!("  page     {page_origin}   open this in a browser"),
        format!("  api      {api_origin}"),
        format!("  console  {link}"),
        String::new(),
        "The console makes, watches, rotates and revokes keys. Its link signs in once, within a minute:".to_owned(),
        "press Enter for another.".to_owned(),
        String::new(),
    ];
    match keys {
        DemoKeys::Created(made) => {
            lines.push(format!("Two keys were made in {store}. They are shown now and never again:"));
            lines.push("the store holds digests only.".to_owned());
            lines.extend(made.iter().map(|made| key_lines(&made.info, made.key.expose_secret())));
        }
        DemoKeys::Kept(kept) => {
            lines.push(format!("The keys in {store} were shown by the start that made them:"));
            lines.extend(kept.iter().map(|key| key_lines(key, key.hint())));
            lines.push(String::new());
            lines.push(
                "For the lines below set KEY='ak_...' to one of them. If they are lost, revoke them and make"
                    .to_owned(),
            );
            lines.push("new ones: cargo run -p two_tier -- --new-demo-keys".to_owned());
        }
    }
    lines.push(String::new());
    lines.push("Paste a key into the page, or try the API from another terminal.".to_owned());
    lines.push("Above each line is the status it will give.".to_owned());
    lines.extend(TRIES.iter().flat_map(|it| it.lines(keys, api_origin)));
    lines.push(String::new());
    lines.push("Ctrl-C stops.\n".to_owned());
    lines.join("\n")
}

fn key_lines(key: &KeyInfo, shown: &str) -> String {
    let name = key.name().unwrap_or("unnamed");
    let permissions = key.permissions().join(", ");
    let until = key.expires_at().map(|end| format!("; good until {}", end.format("%Y-%m-%d"))).unwrap_or_default();
    format!("\n  {name}  {shown}\n          {}'s key; may {permissions}{until}", key.owner())
}

fn secret_header(made: &CreatedKey) -> String {
    format!("'X-API-Key: {}'", made.key.expose_secret())
}

impl Try {
    /// One request for each key that gets an answer of its own; with `$KEY`, one for all.
    fn lines(&self, keys: &DemoKeys, api_origin: &str) -> Vec<String> {
        let line = |announced: String, key: Option<&str>| {
            format!("\n  {announced}: {}\n  {}", self.needs, self.curl(key, api_origin))
        };
        let (reader, writer) = match self.answers {
            Answers::WithoutKey(status) => return vec![line(format!("{status} without a key"), None)],
            Answers::WithKey { reader, writer } => (reader, writer),
        };
        let [reads, writes] = [format!("{reader} with the reader key"), format!("{writer} with the writer key")];
        let either = format!("{reader} with either key");
        match keys {
            DemoKeys::Kept(_) if reader == writer => vec![line(either, Some(VARIABLE))],
            DemoKeys::Kept(_) => vec![line(format!("{reads}, {writes}"), Some(VARIABLE))],
            DemoKeys::Created(made) => {
                let [reading, writing] = made.each_ref().map(secret_header);
                if reader == writer {
                    vec![line(either, Some(&reading))]
                } else {
                    vec![line(reads, Some(&reading)), line(writes, Some(&writing))]
                }
            }
        }
    }

    /// A line for a POSIX shell. No comment behind it: a shell may read that as arguments.
    fn curl(&self, key: Option<&str>, api_origin: &str) -> String {
        let mut line = "curl -i".to_owned();
        if let Some(header) = key {
            let _ = write!(line, " -H {header}");
        }
        if let Some(body) = self.body {
            let _ = write!(line, " -H 'Content-Type: application/json' -d '{body}'");
        }
        let _ = write!(line, " {api_origin}{}", self.path);
        line
    }
}
