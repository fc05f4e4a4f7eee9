//! Reads the lines that the example prints, so that the tests try what it prints.

use reqwest::{Client, Response};

/// A curl line with the statuses announced above it.
#[derive(Debug)]
pub(crate) struct Printed {
    /// Status, and with which key: `a key` (none is sent), `either key`, `the reader key` or `the writer key`.
    pub(crate) answers: Vec<(u16, String)>,
    words: Vec<String>,
}

/// All curl lines of a text.
pub(crate) fn requests(text: &str) -> Vec<Printed> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let announced = lines.windows(2).filter(|pair| pair[1].starts_with("curl "));
    announced.map(|pair| Printed { answers: answers(pair[0]), words: shlex::split(pair[1]).unwrap() }).collect()
}

/// The address after a word such as `page`.
pub(crate) fn origin(text: &str, tier: &str) -> String {
    after(text, tier).filter(|address| address.starts_with("http://127.0.0.1:")).unwrap()
}

/// The key after its name; nothing if only its hint is there.
pub(crate) fn key(text: &str, name: &str) -> Option<String> {
    after(text, name).filter(|key| key.starts_with("ak_") && key.len() == 63)
}

fn after(text: &str, first: &str) -> Option<String> {
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.find(|words| words.first() == Some(&first)).and_then(|words| words.get(1).map(ToString::to_string))
}

/// `403 with the reader key, 201 with the writer key: needs orders:write`
fn answers(line: &str) -> Vec<(u16, String)> {
    let (announced, _) = line.split_once(": ").unwrap_or_else(|| panic!("no status above a curl line: {line}"));
    let answer = |part: &str| {
        let (status, key) = part.split_once(" with").unwrap();
        (status.parse().unwrap(), key.trim_start_matches("out").trim().to_owned())
    };
    announced.split(", ").map(answer).collect()
}

impl Printed {
    /// Whether the line leaves the key to the shell.
    pub(crate) fn has_variable(&self) -> bool {
        self.words.iter().any(|word| word.contains("$KEY"))
    }

    /// The command line, for messages.
    pub(crate) fn line(&self) -> String {
        self.words.join(" ")
    }

    /// Sends the request that curl would send, with `$KEY` replaced.
    pub(crate) async fn send(&self, client: &Client, key: &str) -> Response {
        let mut words = self.words.iter();
        assert_eq!(words.next().map(String::as_str), Some("curl"));
        let (mut url, mut headers, mut body) = (None, Vec::new(), None);
        while let Some(word) = words.next() {
            match word.as_str() {
                "-i" => {}
                "-H" => headers.push(words.next().unwrap().replace("$KEY", key)),
                "-d" => body = words.next(),
                address => assert_eq!(url.replace(address), None, "two addresses"),
            }
        }
        let url = url.unwrap();
        let mut request = match body {
            Some(body) => client.post(url).body(body.clone()),
            None => client.get(url),
        };
        for header in headers {
            let (name, value) = header.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        request.send().await.unwrap()
    }
}

#[test]
fn lines_are_read_back() {
    let text = "x\n  403 with the reader key, 201 with the writer key: needs orders:write\n  curl -i -H \"X-API-Key: $KEY\" -d '{\"a\":\"b c\"}' http://127.0.0.1:1/orders\n";
    let [request] = &requests(text)[..] else { panic!("one request") };
    assert_eq!(request.answers, [(403, "the reader key".to_owned()), (201, "the writer key".to_owned())]);
    assert_eq!(request.words[3..6], ["X-API-Key: $KEY", "-d", "{\"a\":\"b c\"}"]);
    assert_eq!(answers("401 without a key: needs x"), [(401, "a key".to_owned())]);
}
