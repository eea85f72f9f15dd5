//! Text that must never be printed: it has no `Display`, its `Debug` shows nothing, and it is wiped when dropped.

pub use secrecy::{ExposeSecret, SecretString};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_in_no_debug_text_and_is_handed_out_only_when_asked_for() {
        #[derive(Debug)]
        struct Login {
            passphrase: SecretString,
        }
        let login = Login { passphrase: SecretString::from("canary-7731") };
        assert!(!format!("{login:?} {login:#?}").contains("canary"));
        assert_eq!(login.passphrase.expose_secret(), "canary-7731");
    }
}
