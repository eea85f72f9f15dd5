//! Values of the language.

use std::cmp::Ordering;
use std::sync::Arc;

use super::span::Span;

/// Elements with an optional key, in order.
pub(crate) type Items = Vec<(Option<String>, Value)>;

/// A value. Copies of an array share it: a list of ten thousand rows is handed around for nothing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Nothing,
    Bool(bool),
    Num(i64),
    Time(Span),
    /// Bytes: a string is not necessarily UTF-8.
    Str(Vec<u8>),
    Array(Arc<Items>),
}

impl Value {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Str(text.into().into_bytes())
    }

    pub(crate) fn list(items: impl IntoIterator<Item = Value>) -> Self {
        Self::array(items.into_iter().map(|item| (None, item)).collect())
    }

    pub(crate) fn array(items: Items) -> Self {
        Self::Array(Arc::new(items))
    }

    /// What `:typeof` says (D).
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Bool(_) => "bool",
            Self::Num(_) => "num",
            Self::Time(_) => "time",
            Self::Str(_) => "str",
            Self::Array(_) => "array",
        }
    }

    /// The value as text, as `:put` and `.` see it. Arrays are joined with `;` (D).
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Bool(value) => value.to_string().into_bytes(),
            Self::Num(value) => value.to_string().into_bytes(),
            Self::Time(span) => span.to_string().into_bytes(),
            Self::Str(bytes) => bytes.clone(),
            Self::Array(items) => {
                let texts: Vec<Vec<u8>> = items
                    .iter()
                    .map(|(key, item)| match key {
                        Some(key) => [key.as_bytes(), b"=", &item.bytes()].concat(),
                        None => item.bytes(),
                    })
                    .collect();
                texts.join(&b';')
            }
        }
    }

    /// The value as text, with what is not UTF-8 replaced.
    pub(crate) fn lossy(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Array(items) => items.len(),
            Self::Str(bytes) => bytes.len(),
            other => other.bytes().len(),
        }
    }

    /// Bytes of memory it stands for, about.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Str(bytes) => bytes.len() + 32,
            Self::Array(items) => {
                let one = |(key, item): &(Option<String>, Value)| {
                    key.as_ref().map_or(0, String::len) + item.weight()
                };
                32 + items.iter().map(one).sum::<usize>()
            }
            Self::Nothing | Self::Bool(_) | Self::Num(_) | Self::Time(_) => 32,
        }
    }

    pub(crate) fn is_deeper_than(&self, levels: usize) -> bool {
        match self {
            Self::Array(items) => {
                levels == 0 || items.iter().any(|(_, item)| item.is_deeper_than(levels - 1))
            }
            _ => false,
        }
    }

    /// A condition; only a boolean is one (D).
    pub(crate) fn truth(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            Self::Str(text) if text == b"true" || text == b"yes" => Some(true),
            Self::Str(text) if text == b"false" || text == b"no" => Some(false),
            _ => None,
        }
    }

    pub(crate) fn number(&self) -> Option<i64> {
        match self {
            Self::Num(value) => Some(*value),
            Self::Str(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// A time, or a text that reads as one.
    pub(crate) fn span(&self) -> Option<Span> {
        match self {
            Self::Time(span) => Some(*span),
            Self::Str(text) => Span::parse(std::str::from_utf8(text).ok()?),
            _ => None,
        }
    }

    /// Equality across types: by number where both are numbers, by time where one is a time, else by text.
    pub(crate) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            // `"007"` is not `"7"` (I).
            (Self::Str(a), Self::Str(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Bool(a), b) | (b, Self::Bool(a)) => b.truth() == Some(*a),
            (Self::Time(a), b) | (b, Self::Time(a)) => b.span() == Some(*a),
            (Self::Nothing, Self::Str(_)) | (Self::Str(_), Self::Nothing) => false,
            _ => match (self.number(), other.number()) {
                (Some(a), Some(b)) => a == b,
                _ => self.bytes() == other.bytes(),
            },
        }
    }

    /// Order of numbers, of times and of texts; `None` where one is a time and the other cannot be read as one (I).
    pub(crate) fn order(&self, other: &Self) -> Option<Ordering> {
        if matches!(self, Self::Time(_)) || matches!(other, Self::Time(_)) {
            return Some(self.span()?.cmp(&other.span()?));
        }
        Some(match (self.number(), other.number()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => self.bytes().cmp(&other.bytes()),
        })
    }
}
