//! The one place where a text becomes a RouterOS string literal.
//!
//! Inside double quotes RouterOS evaluates `$name`, `$(expr)` and `$[command]`: an unescaped `$` would be remote code
//! execution. So everything but a short list of harmless bytes is written as `\XX`.

/// Bytes that mean themselves inside a quoted string.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" _./:@,+=-".contains(&byte)
}

/// `text` as a RouterOS string literal, quotes included.
pub(crate) fn quote(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for byte in text.bytes() {
        if is_plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push('\\');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a literal back as RouterOS would: `\XX` is a byte, everything else is itself.
    fn unquote(literal: &str) -> Vec<u8> {
        let inner = literal.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).expect("quoted");
        let mut bytes = inner.bytes();
        let mut out = Vec::new();
        while let Some(byte) = bytes.next() {
            if byte == b'\\' {
                let digits = [bytes.next().expect("digit"), bytes.next().expect("digit")];
                let digits = std::str::from_utf8(&digits).expect("ascii");
                out.push(u8::from_str_radix(digits, 16).expect("hex"));
            } else {
                out.push(byte);
            }
        }
        out
    }

    proptest! {
        #[test]
        fn any_text_reads_back_and_nothing_in_it_can_end_the_string_or_be_evaluated(text in any::<String>()) {
            let literal = quote(&text);
            prop_assert_eq!(unquote(&literal), text.as_bytes());
            let inner = &literal[1..literal.len() - 1];
            let ends = inner.contains(['"', '$', '[', ']', '(', ')', '{', '}', ';', '#', '\n', '\r', '?', '*']);
            prop_assert!(!ends);
            prop_assert!(inner.bytes().all(|b| is_plain(b) || b == b'\\'));
        }
    }

    #[test]
    fn an_attempt_to_inject_is_only_text() {
        assert_eq!(
            quote("a\"; /system/reset; :put \"$[x]"),
            "\"a\\22\\3B /system/reset\\3B :put \\22\\24\\5Bx\\5D\""
        );
    }
}
