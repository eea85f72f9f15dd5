//! What a transcript must not give away: names, serial numbers, addresses, identities.
//!
//! What is known is replaced wherever it stands as a word of its own; the rest is recognised by its form, or by the key
//! before it. Placeholders are in angle brackets, as in tests/transcripts. Better one word too many than one too few.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Keys whose value says which device it is. `host-name` and `identity` are names people gave it.
const TELLING_KEYS: [(&str, &str); 9] = [
    ("serial-number", "<serial>"),
    ("serial", "<serial>"),
    ("software-id", "<serial>"),
    ("wwn", "<serial>"),
    ("eui64", "<serial>"),
    ("nguid", "<serial>"),
    ("identity", "<name>"),
    ("host-name", "<name>"),
    ("hostname", "<name>"),
];

/// Commands whose whole answer says which device it is.
const TELLING_COMMANDS: [(&str, &str); 5] = [
    ("system/identity", "<name>\n"),
    ("system identity", "<name>\n"),
    ("get serial", "<serial>\n"),
    ("get software-id", "<serial>\n"),
    ("system/license", "<serial>\n"),
];

/// Words that are known to be secret, the longest first, and what stands for each.
#[derive(Debug, Clone, Default)]
pub(super) struct Secrets(Vec<(String, &'static str)>);

impl Secrets {
    /// Those of one appliance: its name, its management address `host:port`, its serial numbers.
    pub(super) fn of(name: &str, address: &str, serials: impl IntoIterator<Item = String>) -> Self {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let kind = if host.parse::<IpAddr>().is_ok() { "<address>" } else { "<name>" };
        let short = host.split('.').next().unwrap_or(host);
        let mut words = vec![(host.to_owned(), kind), (name.to_owned(), "<name>")];
        if kind == "<name>" {
            words.push((short.to_owned(), kind));
        }
        words.extend(serials.into_iter().map(|serial| (serial, "<serial>")));
        // One or two letters would stand in every second word.
        words.retain(|(word, _)| word.len() > 2);
        words.sort_by(|(one, _), (other, _)| other.len().cmp(&one.len()).then(one.cmp(other)));
        Self(words)
    }

    /// What came back on a command. One that asks for an identity gives away all it answers.
    pub(super) fn redact_output(&self, command: &str, output: &str) -> String {
        let Some((_, stand_in)) = TELLING_COMMANDS.iter().find(|(word, _)| command.contains(word)) else {
            return self.redact(output);
        };
        output.lines().map(|line| if line.trim().is_empty() { "\n" } else { stand_in }).collect()
    }

    /// The text without what tells which device it came from.
    pub(super) fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (word, stand_in) in &self.0 {
            text = replace_word(&text, word, stand_in);
        }
        text = replace_prompt(&text);
        for (key, stand_in) in TELLING_KEYS {
            text = replace_value(&text, key, stand_in);
        }
        let text = replace_runs(&text, |c| c.is_ascii_hexdigit() || c == '-', identity);
        replace_runs(&text, |c| c.is_ascii_hexdigit() || c == '.' || c == ':', address)
    }
}

const fn joins(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// Replaces `word` where it is not part of a longer one. Case does not matter.
fn replace_word(text: &str, word: &str, stand_in: &str) -> String {
    let (lower, wanted) = (text.to_ascii_lowercase(), word.to_ascii_lowercase());
    let mut out = String::new();
    let mut from = 0;
    while let Some(at) = lower[from..].find(&wanted).map(|at| from + at) {
        let end = at + wanted.len();
        let free = !text[..at].chars().next_back().is_some_and(joins)
            && !text[end..].chars().next().is_some_and(joins);
        out += &text[from..at];
        out += if free { stand_in } else { &text[at..end] };
        from = end;
    }
    out + &text[from..]
}

/// `[admin@Storage] >`: the name in a prompt.
fn replace_prompt(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('@') {
        let inside =
            before.rsplit_once('[').is_some_and(|(_, user)| user.chars().all(joins) && !user.is_empty());
        let end = after.find([']', '\n']).filter(|end| after[*end..].starts_with(']'));
        out += before;
        out += "@";
        rest = match (inside, end) {
            (true, Some(end)) => {
                out += "<name>";
                &after[end..]
            }
            (true, None) | (false, _) => after,
        };
    }
    out + rest
}

/// Replaces the value after `key:` or `key=`, up to the next space, `;` or quote.
fn replace_value(text: &str, key: &str, stand_in: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.to_ascii_lowercase().find(key) {
        let (before, after) = rest.split_at(at);
        let (name, after) = after.split_at(key.len());
        out += before;
        out += name;
        rest = after;
        if before.chars().next_back().is_some_and(joins) {
            continue;
        }
        // `"serial": "x"` of JSON, `serial="x"`, `serial: x`.
        let value = after.trim_start_matches(['"', ' ']);
        let Some(value) = value.strip_prefix([':', '=']) else { continue };
        let value = value.trim_start_matches(' ');
        // What is in quotes may have spaces in it.
        let (value, end) = match value.strip_prefix('"') {
            Some(value) => (value, value.find('"').unwrap_or(value.len())),
            None => {
                let ends = |c: char| c.is_whitespace() || ";\",".contains(c);
                (value, value.find(ends).unwrap_or(value.len()))
            }
        };
        out += &after[..after.len() - value.len()];
        out += if end == 0 { "" } else { stand_in };
        rest = &value[end..];
    }
    out + rest
}

/// Looks at each longest run of such characters; `judge` says what stands for its beginning, and how long that is.
fn replace_runs(
    text: &str,
    belongs: impl Fn(char) -> bool,
    judge: impl Fn(&str) -> Option<(usize, &'static str)>,
) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(&belongs) {
        let (before, run) = rest.split_at(at);
        let length = run.find(|c| !belongs(c)).unwrap_or(run.len());
        let (run, after) = run.split_at(length);
        out += before;
        match judge(run) {
            Some((taken, stand_in)) => {
                out += stand_in;
                out += &run[taken..];
            }
            None => out += run,
        }
        rest = after;
    }
    out + rest
}

/// A UUID, or a hardware address written with hyphens.
fn identity(run: &str) -> Option<(usize, &'static str)> {
    let run = run.trim_end_matches('-');
    let groups: Vec<usize> = run.split('-').map(str::len).collect();
    match groups.as_slice() {
        [8, 4, 4, 4, 12] => Some((run.len(), "<uuid>")),
        [2, 2, 2, 2, 2, 2] => Some((run.len(), "<address>")),
        _ => None,
    }
}

/// An IP address, with a port or without, or a hardware address.
fn address(run: &str) -> Option<(usize, &'static str)> {
    let run = run.trim_end_matches(['.', ':']);
    let host = run.split(':').next().unwrap_or(run);
    if host.parse::<Ipv4Addr>().is_ok() {
        return Some((host.len(), "<address>"));
    }
    let groups: Vec<&str> = run.split(':').collect();
    let hardware = groups.len() == 6 && groups.iter().all(|group| group.len() == 2);
    let ip = run.len() > 2 && run.parse::<Ipv6Addr>().is_ok();
    (hardware || ip).then_some((run.len(), "<address>"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn redact(text: &str) -> String {
        let serials = ["ABC123XYZ".to_owned(), String::new()];
        Secrets::of("rds1", "storage.berlin.example.org:22", serials).redact(text)
    }

    #[test]
    fn what_tells_the_device_is_left_out() {
        for (text, expected) in [
            ("ping 10.0.0.1 ok", "ping <address> ok"),
            ("addr=192.168.88.1:4420,x", "addr=<address>:4420,x"),
            ("10.1.0.0/24.", "<address>/24."),
            ("via fe80::1%ether1", "via <address>%ether1"),
            ("2001:db8:0:1:2:3:4:5 up", "<address> up"),
            ("mac 48:A9:8A:01:02:03", "mac <address>"),
            ("48-a9-8a-01-02-03", "<address>"),
            ("serial-number: HEX9F2", "serial-number: <serial>"),
            ("serial=\"HE X\" a", "serial=\"<serial>\" a"),
            ("serial=\"HE X", "serial=\"<serial>"),
            ("{\"serial\": \"HE1\", \"a\": 1}", "{\"serial\": \"<serial>\", \"a\": 1}"),
            ("slot=nvme1;serial=S1;size=5", "slot=nvme1;serial=<serial>;size=5"),
            ("disk abc123xyz in nvme3", "disk <serial> in nvme3"),
            ("[admin@My Storage] > x", "[admin@<name>] > x"),
            ("identity: my-box", "identity: <name>"),
            ("rds1: storage.berlin.example.org storage", "<name>: <name> <name>"),
            ("uuid:0b5f4a52-6a0e-4f0d-9f55-0d5c6ddb7a11.", "uuid:<uuid>."),
        ] {
            assert_eq!(redact(text), expected, "{text}");
        }
    }

    #[test]
    fn what_tells_nothing_stays() {
        for text in [
            "7.24.4 (stable)",
            "uptime: 1w2d10:22:33",
            "12:30:45",
            "/disk/add type=file file-path=raid1/volumes/csi-0123456789abcdef0123456789ab.img",
            "nqn.2000-02.com.mikrotik:csi-0123456789abcdef0123456789ab.e1",
            "failure: already have disk with such slot (6)",
            "*1F rds10 rds1-a storages",
            "2026-01-15 size=1 073 741 824",
            "serial",
            "serial=",
            "a@b and [find where x]",
            "::",
            "",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn a_command_that_asks_who_the_device_is_gives_nothing_away() {
        let redact = |command: &str| Secrets::default().redact_output(command, "box of Anna\r\n\r\nB2\r\n");
        assert_eq!(redact(":put [/system/identity/get name]"), "<name>\n\n<name>\n");
        assert_eq!(redact(":put [/system/routerboard get serial-number]"), "<serial>\n\n<serial>\n");
        assert_eq!(redact("/disk/print"), "box of Anna\r\n\r\nB2\r\n");
    }

    proptest! {
        #[test]
        fn any_text_is_survived_and_what_is_known_is_never_in_it(
            before in "[ -~äé\\n]{0,40}",
            secret in "[A-Z0-9]{6,12}",
            after in "[ :=;\"\\[\\]@\\n]{0,1}[ -~äé\\n]{0,40}",
        ) {
            let secrets = Secrets::of("rds1", "10.0.0.1:22", [secret.clone()]);
            let text = format!("{before} {secret} {after}");
            let redacted = secrets.redact(&text);
            let expected = format!(" {secret} ");
            prop_assert!(!redacted.contains(&expected), "{redacted}");
        }

        #[test]
        fn an_address_is_never_in_it(octets in any::<[u8; 4]>(), words in any::<[u16; 8]>()) {
            let (old, new) = (Ipv4Addr::from(octets), Ipv6Addr::from(words));
            let redacted = Secrets::default().redact(&format!("a={old}:22 b [{new}]:22 {old},{new}."));
            prop_assert_eq!(redacted, "a=<address>:22 b [<address>]:22 <address>,<address>.");
        }
    }
}
