//! What RouterOS, or a script of ours, said when it refused. The only place where errors are told apart by text.
//!
//! Texts were seen on real devices. A text that is not known stays a text: it is never guessed into a class.

use std::fmt;

/// Prefix of errors that our own scripts raise.
pub(crate) const OURS: &str = "RDSE-";

/// Codes that our scripts raise with `:error "RDSE-<CODE> …"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// The row lacks our mark for this cluster, or is not the disk the handle names.
    Foreign,
    /// The row carries our mark, but its comment was damaged.
    Damaged,
    /// More than one row has the slot.
    Ambiguous,
    /// The volume is attached or exported, so it is not removed. The detail is its comment.
    Attached,
    /// The pool is missing, not mounted or not healthy. The detail says which.
    Pool,
    /// The pool has not enough room. The detail is the free space in bytes.
    Space,
    /// The counter of owners is used up.
    Epoch,
    /// An image could not be removed. The detail is what the appliance said.
    Left,
    /// What it is to be made from is not there.
    Source,
    /// The pool cannot copy what it is to be made from. The detail says why.
    Copy,
    /// What it is to be made from is larger than allowed. The detail is its size in bytes.
    Range,
}

/// The code of a command that began after its time.
pub(crate) const LATE: &str = "LATE";

const CODES: [(&str, Code); 11] = [
    ("FOREIGN", Code::Foreign),
    ("DAMAGED", Code::Damaged),
    ("AMBIGUOUS", Code::Ambiguous),
    ("ATTACHED", Code::Attached),
    ("POOL", Code::Pool),
    ("SPACE", Code::Space),
    ("EPOCH", Code::Epoch),
    ("LEFT", Code::Left),
    ("SOURCE", Code::Source),
    ("COPY", Code::Copy),
    ("RANGE", Code::Range),
];

impl Code {
    /// The code as scripts write it.
    pub(crate) fn as_str(self) -> &'static str {
        CODES.iter().find(|(_, code)| *code == self).map_or("UNKNOWN", |(text, _)| text)
    }
}

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// A script of ours stopped itself.
    Ours {
        /// Which rule.
        code: Code,
        /// What it found.
        detail: String,
    },
    /// A script of ours began after its time and did nothing. The uptime at which it began.
    Late(String),
    /// `failure: already have …`
    AlreadyExists(String),
    /// `no such item`
    NoSuchItem(String),
    /// `not enough permissions (9)` and `std failure: not allowed (9)`
    NotAllowed(String),
    /// `expected end of command …`, `syntax error …`: this RouterOS does not understand the script.
    Syntax(String),
    /// `bad command name X …`, `bad parameter X …`: this RouterOS lacks a command or a property.
    Unsupported(String),
    /// `invalid value for argument X`, `input does not match any value of X`
    InvalidValue(String),
    /// `failure: …` of a kind not listed here.
    Failure(String),
    /// Any other text.
    Unknown(String),
}

impl Rejection {
    /// Reads an error text.
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.trim();
        if let Some(ours) = Self::parse_ours(text) {
            return ours;
        }
        let whole = text.to_owned();
        let has = |part: &str| text.contains(part);
        if has("already have") {
            Self::AlreadyExists(whole)
        } else if has("no such item") {
            Self::NoSuchItem(whole)
        } else if has("not enough permissions") || has("not allowed (9)") {
            Self::NotAllowed(whole)
        } else if has("expected end of command") || has("syntax error") {
            Self::Syntax(whole)
        } else if has("bad command name") || has("bad parameter") {
            Self::Unsupported(whole)
        } else if has("invalid value for argument") || has("input does not match any value of") {
            Self::InvalidValue(whole)
        } else if has("failure:") {
            Self::Failure(whole)
        } else {
            Self::Unknown(whole)
        }
    }

    fn parse_ours(text: &str) -> Option<Self> {
        // RouterOS appends where the error was raised: ` (:error; line 1)`.
        let text = text.rfind(" (:error").map_or(text, |at| &text[..at]);
        let (code, detail) = match text.strip_prefix(OURS)?.split_once(' ') {
            Some((code, detail)) => (code, detail),
            None => (text.strip_prefix(OURS)?, ""),
        };
        if code == LATE {
            return Some(Self::Late(detail.to_owned()));
        }
        let (_, code) = CODES.iter().find(|(known, _)| *known == code)?;
        Some(Self::Ours { code: *code, detail: detail.to_owned() })
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours { code, detail } => write!(f, "{OURS}{} {detail}", code.as_str()),
            Self::Late(uptime) => write!(f, "it began too late, at an uptime of {uptime}, and did nothing"),
            Self::AlreadyExists(text)
            | Self::NoSuchItem(text)
            | Self::NotAllowed(text)
            | Self::Syntax(text)
            | Self::Unsupported(text)
            | Self::InvalidValue(text)
            | Self::Failure(text)
            | Self::Unknown(text) => f.write_str(if text.is_empty() { "no text" } else { text }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_text_seen_on_a_device_has_its_class() {
        type Class = fn(String) -> Rejection;
        let seen: [(&str, Class); 12] = [
            ("failure: already have such item", Rejection::AlreadyExists),
            ("no such item", Rejection::NoSuchItem),
            ("no such item (4)", Rejection::NoSuchItem),
            ("not enough permissions (9)", Rejection::NotAllowed),
            ("std failure: not allowed (9)", Rejection::NotAllowed),
            ("expected end of command (line 1 column 5)", Rejection::Syntax),
            ("syntax error (line 1 column 5)", Rejection::Syntax),
            ("bad command name x (line 1 column 5)", Rejection::Unsupported),
            ("bad parameter nvme-tcp-server-nqn (line 1 column 5)", Rejection::Unsupported),
            ("invalid value for argument size", Rejection::InvalidValue),
            ("input does not match any value of type", Rejection::InvalidValue),
            ("failure: out of space", Rejection::Failure),
        ];
        for (text, class) in seen {
            assert_eq!(Rejection::parse(text), class(text.to_owned()));
        }
        assert_eq!(Rejection::parse("the disk sulks"), Rejection::Unknown("the disk sulks".to_owned()));
    }

    #[test]
    fn our_own_errors_are_found_with_and_without_their_place() {
        for text in ["RDSE-SPACE 1024", "RDSE-SPACE 1024 (:error; line 1)"] {
            assert_eq!(
                Rejection::parse(text),
                Rejection::Ours { code: Code::Space, detail: "1024".to_owned() }
            );
        }
        assert!(matches!(Rejection::parse("RDSE-TOMORROW x"), Rejection::Unknown(_)));
    }

    proptest! {
        #[test]
        fn any_text_is_kept(text in "[a-z]{1,20}( [a-z(){};:]{1,20}){0,5}") {
            prop_assert!(!Rejection::parse(&text).to_string().is_empty());
        }
    }
}
