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

    /// The simulated appliance reads the language on its own: two readings must agree about every byte.
    #[tokio::test]
    async fn a_hundred_thousand_texts_come_back_unchanged_from_an_interpreter_that_is_not_ours() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = routeros_sim::Config::new(folder.path().to_owned(), "csi", Vec::new());
        let simulator = routeros_sim::Simulator::start(config).await.expect("a simulator");
        let seed: u64 = rand::random();
        let mut state = seed;
        let mut roll = |sides: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % sides
        };
        // Many a line, told apart by a text that no other holds.
        for _ in 0..1000 {
            let texts: Vec<String> = (0..100)
                .map(|_| {
                    let length = roll(12);
                    let nasty = [
                        "$", "\"", "\\", "[", "]", "(", ")", ";", "{", "}", "\n", "\r", "\0", "é", "?", "#",
                        "a",
                    ];
                    let pick = |roll: &mut dyn FnMut(u64) -> u64| match roll(3) {
                        0 => char::from_u32(u32::try_from(roll(0x11_0000)).unwrap_or(0))
                            .unwrap_or('x')
                            .to_string(),
                        1 => char::from(u8::try_from(roll(128)).unwrap_or(0)).to_string(),
                        _ => nasty[usize::try_from(roll(nasty.len() as u64)).unwrap_or(0)].to_owned(),
                    };
                    (0..length).map(|_| pick(&mut roll)).collect()
                })
                .collect();
            let line: Vec<String> =
                texts.iter().map(|text| format!(":put ({}.\"<|>\")", quote(text))).collect();
            let printed = simulator.console(&line.join("; "));
            let wanted: String = texts.iter().map(|text| format!("{text}<|>\r\n")).collect();
            assert_eq!(printed, wanted, "seed {seed}");
        }
    }
}
