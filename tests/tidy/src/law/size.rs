//! Files of at most 450 lines, functions of at most 80, `main.rs` of at most 40.

use crate::Violation;
use crate::source::{self, Thing};
use crate::tree::Tree;

const FILE: usize = 450;
const MAIN: usize = 40;
const FUNCTION: usize = 80;

/// The law.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in tree.ending(".rs") {
        let lines = text.lines().count();
        let limit = if path.ends_with("/main.rs") { MAIN } else { FILE };
        if lines > limit {
            let reason = format!("{lines} lines, at most {limit}: split it by nouns");
            found.push(Violation::new(path, limit + 1, reason));
        }
        let walked = source::walk(text, false, &mut |thing, line, _| {
            if let Thing::Function(name, lines) = thing
                && *lines > FUNCTION
            {
                let reason = format!("fn {name} has {lines} lines, at most {FUNCTION}: name its parts");
                found.push(Violation::new(path, line, reason));
            }
        });
        if let Err(error) = walked {
            found.push(Violation::new(path, error.span().start().line, format!("is not Rust: {error}")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, text: &str) -> Vec<usize> {
        let found = check(&Tree::sample(&[(path, text)]));
        found.iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(broken("a/src/b.rs", &"//\n".repeat(451)), [451]);
        assert_eq!(broken("a/src/b.rs", &"//\n".repeat(450)), [0; 0]);
        assert_eq!(broken("a/src/main.rs", &"//\n".repeat(41)), [41]);
    }

    #[test]
    fn a_long_function_is_found_wherever_it_stands() {
        let body = "let _ = 1;\n".repeat(80);
        assert_eq!(broken("a/src/b.rs", &format!("\nfn f() {{\n{body}}}\n")), [2]);
        assert_eq!(broken("a/src/b.rs", &format!("impl A {{\nfn f() {{\n{body}}}\n}}\n")), [2]);
        assert_eq!(broken("a/src/b.rs", &format!("trait A {{\nfn f() {{\n{body}}}\n}}\n")), [2]);
    }

    #[test]
    fn what_is_not_rust_is_found() {
        assert_eq!(broken("a/src/b.rs", "fn f( {"), [1]);
    }
}
