//! Finds the answer in what came back: everything up to the nonce is noise, what follows is `OK <json>` or
//! `ERR <json>`, and without either the command was not understood or not permitted.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::routeros::rejection::Rejection;

/// Most bytes kept of one command's output; more is drained and the answer counts as unreadable.
/// A list of 10,000 volumes has about 5 MiB.
pub(crate) const OUTPUT_LIMIT: usize = 16 << 20;
/// Most of a text that could not be understood that is kept for people, in characters.
const EXCERPT: usize = 300;

/// Everything one command printed, standard output and error together, in the order it came.
#[derive(Debug, Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    cut: bool,
}

impl Output {
    /// Adds what came; beyond [`OUTPUT_LIMIT`] it is only remembered that there was more.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let room = OUTPUT_LIMIT - self.bytes.len();
        self.cut |= bytes.len() > room;
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Bytes kept.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The lines for a person: without padding, colours and what is no text.
    pub(crate) fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let lines: Vec<String> =
            text.lines().map(|line| plain(line.as_bytes()).trim_end().to_owned()).collect();
        lines.join("\n").trim_end().to_owned()
    }

    /// True when the text is somewhere in it.
    pub(crate) fn contains(&self, text: &str) -> bool {
        plain(&self.bytes).contains(text)
    }
}

/// Why an output is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReplyError {
    /// The command was refused, before or while it ran.
    #[error("{0}")]
    Rejected(Rejection),
    /// What came is not what this version understands: nothing is known of what happened.
    #[error("the answer could not be read: {0}")]
    Unreadable(String),
}

/// Reads the answer that carries `nonce`.
pub(crate) fn read<A: DeserializeOwned>(output: &Output, nonce: &str) -> Result<A, ReplyError> {
    if output.cut {
        return Err(ReplyError::Unreadable(format!("it is longer than {OUTPUT_LIMIT} bytes")));
    }
    let text = plain(&output.bytes);
    if let Some(body) = between(&text, nonce, "OK") {
        return json(body?);
    }
    if let Some(body) = between(&text, nonce, "ERR") {
        let text = match json(body?)? {
            Value::String(text) => text,
            other => other.to_string(),
        };
        return Err(ReplyError::Rejected(Rejection::parse(&text)));
    }
    Err(match text.trim() {
        "" => ReplyError::Unreadable("nothing came back".to_owned()),
        text => ReplyError::Rejected(Rejection::parse(&excerpt(text))),
    })
}

fn json<A: DeserializeOwned>(text: &str) -> Result<A, ReplyError> {
    serde_json::from_str(text.trim())
        .map_err(|error| ReplyError::Unreadable(format!("{error} in {:?}", excerpt(text))))
}

/// What stands between `<nonce>-<kind> ` and ` <nonce>-END`.
fn between<'a>(text: &'a str, nonce: &str, kind: &str) -> Option<Result<&'a str, ReplyError>> {
    let start = format!("{nonce}-{kind} ");
    let (_, rest) = text.split_once(&start)?;
    Some(
        rest.rsplit_once(&format!(" {nonce}-END"))
            .map(|(body, _)| body)
            .ok_or_else(|| ReplyError::Unreadable("its end is missing".to_owned())),
    )
}

fn excerpt(text: &str) -> String {
    text.chars().take(EXCERPT).collect()
}

/// The text without NUL, CR, LF and ANSI sequences; bytes that are not UTF-8 become `U+FFFD`.
///
/// Long answers usually have none of it but their end: they are not copied.
fn plain(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes.trim_ascii_end());
    if !text.contains(['\0', '\r', '\n', '\u{1b}']) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\0' | '\r' | '\n' => {}
            '\u{1b}' => {
                if chars.next_if_eq(&'[').is_some() {
                    // Parameters and intermediates end at the first byte of 0x40..=0x7E.
                    while chars.next().is_some_and(|c| !('\u{40}'..='\u{7e}').contains(&c)) {}
                }
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn output(bytes: &[u8]) -> Output {
        let mut output = Output::default();
        output.push(bytes);
        output
    }

    const N: &str = "RDS1-0123456789abcdef";

    #[test]
    fn an_answer_is_found_among_noise_wrapped_lines_and_colours() {
        let text = format!(
            "\x1b[1;32mwelcome\x1b[0m\r\n\0{N}-OK {{\"rows\":[{{\"slot\":\r\n\"a\"}}]}} {N}-END   \r\n"
        );
        assert_eq!(read::<Value>(&output(text.as_bytes()), N), Ok(json!({"rows": [{"slot": "a"}]})));
    }

    #[test]
    fn an_error_is_typed_and_text_without_a_marker_is_a_rejection() {
        let text = format!("{N}-ERR \"no such item\" {N}-END\r\n");
        assert_eq!(
            read::<Value>(&output(text.as_bytes()), N),
            Err(ReplyError::Rejected(Rejection::NoSuchItem("no such item".to_owned())))
        );
        assert!(matches!(
            read::<Value>(&output(b"bad parameter nvme-tcp-server-nqn (line 1 column 90)\r\n"), N),
            Err(ReplyError::Rejected(Rejection::Unsupported(_)))
        ));
    }

    #[test]
    fn an_echo_of_the_command_is_not_an_answer() {
        let echo = ":put ((\"RDS1-0123456789abcdef\".\"-OK \").\"x\")";
        assert!(matches!(
            read::<Value>(&output(echo.as_bytes()), N),
            Err(ReplyError::Rejected(Rejection::Unknown(_)))
        ));
    }

    #[test]
    fn an_answer_of_another_command_or_without_its_end_is_not_taken() {
        let other = "RDS1-ffffffffffffffff-OK [] RDS1-ffffffffffffffff-END";
        assert!(read::<Value>(&output(other.as_bytes()), N).is_err());
        let torn = format!("{N}-OK [1, 2");
        assert!(matches!(read::<Value>(&output(torn.as_bytes()), N), Err(ReplyError::Unreadable(_))));
        assert!(matches!(read::<Value>(&output(b"\r\n"), N), Err(ReplyError::Unreadable(_))));
    }

    #[test]
    fn a_flood_is_cut_and_never_taken_for_an_answer() {
        let mut output = output(format!("{N}-OK [] {N}-END").as_bytes());
        for _ in 0..17 {
            output.push(&vec![b'x'; 1 << 20]);
        }
        assert!(output.bytes.len() <= OUTPUT_LIMIT);
        assert!(matches!(read::<Value>(&output, N), Err(ReplyError::Unreadable(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_a_clear_error(bytes in any::<Vec<u8>>()) {
            let _ = read::<Value>(&output(&bytes), N);
        }
    }
}
