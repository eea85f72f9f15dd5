//! What code may not do: give up, wait blindly, leave tests out.

use crate::Violation;
use crate::source::{self, Place, TestModules, Thing};
use crate::tree::Tree;

/// Ways to wait for a time instead of for a thing.
const SLEEPS: [&str; 2] = ["sleep", "sleep_until"];

/// The law.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    let test_modules = TestModules::of(tree);
    for (path, text) in tree.ending(".rs") {
        let tests = source::is_test_file(path) || test_modules.hold(path);
        let lines: Vec<&str> = text.lines().collect();
        // What is not Rust is reported by the law of sizes.
        let _ = source::walk(text, tests, &mut |thing, line, place| {
            if let Some(reason) = refuse(path, &lines, thing, line, place) {
                found.push(Violation::new(path, line, reason));
            }
        });
    }
    found
}

fn refuse(path: &str, lines: &[&str], thing: &Thing, line: usize, place: Place<'_>) -> Option<String> {
    match thing {
        Thing::Attribute(name) => (name == "ignore")
            .then(|| "#[ignore]: a test that does not run proves nothing; repair or remove it".to_owned()),
        Thing::Macro(name) => refuse_macro(name, place),
        Thing::Method(name) => refuse_method(name, lines, line, place),
        Thing::Call(call) => refuse_call(call, path, place),
        Thing::Function(..) | Thing::Module(_) => None,
    }
}

fn refuse_macro(name: &str, place: Place<'_>) -> Option<String> {
    match name {
        "todo" | "unimplemented" | "dbg" => Some(format!("{name}!: finish it, or leave it out")),
        "panic" if !place.in_test => Some("panic! outside tests: return an error".to_owned()),
        _ => None,
    }
}

fn refuse_method(name: &str, lines: &[&str], line: usize, place: Place<'_>) -> Option<String> {
    let explained = || {
        let from = line.saturating_sub(4);
        lines[from..line.min(lines.len())].iter().any(|line| line.contains("//"))
    };
    match name {
        _ if place.in_test => None,
        "unwrap" | "unwrap_err" => Some(format!("{name}() outside tests: return an error")),
        "expect" if !explained() => {
            Some("expect() outside tests: return an error, or prove above it why it cannot fail".to_owned())
        }
        _ => None,
    }
}

fn refuse_call(call: &str, path: &str, place: Place<'_>) -> Option<String> {
    let name = call.rsplit("::").next().unwrap_or_default();
    let waits = SLEEPS.contains(&name) && !source::is_simulator(path);
    let blocking = call.ends_with("thread::sleep");
    if waits && place.in_test && !place.paused && !waits_for_something(place.function) {
        let advice =
            "look for the thing itself in a function called eventually… or within…, or pause the clock";
        return Some(format!("{call} in a test: {advice}"));
    }
    (waits && blocking && !place.in_test)
        .then(|| format!("{call} blocks a worker: wait on the thing itself with a deadline"))
}

/// True in the functions that look again and again until a deadline: they are named so.
fn waits_for_something(function: &str) -> bool {
    function.contains("eventually") || function.starts_with("within")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, text: &str) -> Vec<usize> {
        let found = check(&Tree::sample(&[(path, text)]));
        found.iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn a_test_that_is_left_out_is_found() {
        assert_eq!(broken("a/tests/x.rs", "#[test]\n#[ignore]\nfn t() {}"), [2]);
        assert_eq!(broken("a/tests/x.rs", "#[test]\n#[ignore = \"slow\"]\nfn t() {}"), [2]);
    }

    #[test]
    fn unfinished_code_is_found_in_tests_too() {
        assert_eq!(broken("a/tests/x.rs", "fn t() {\ntodo!()\n}"), [2]);
        assert_eq!(broken("a/src/x.rs", "fn t() {\ndbg!(1);\nunimplemented!()\n}"), [2, 3]);
    }

    #[test]
    fn giving_up_outside_tests_is_found_and_inside_is_not() {
        let text = "fn t() {\nx.unwrap();\nx.expect(\"y\");\npanic!()\n}";
        assert_eq!(broken("a/src/x.rs", text), [2, 3, 4]);
        assert_eq!(broken("a/src/x/tests.rs", text), [0; 0]);
        assert_eq!(broken("a/src/x.rs", &format!("#[cfg(test)]\nmod t {{ {text} }}")), [0; 0]);
    }

    #[test]
    fn an_expect_with_its_proof_is_tolerated() {
        assert_eq!(
            broken("a/src/x.rs", "fn t() {\n// The constant is well-formed.\nx.expect(\"y\");\n}"),
            [0; 0]
        );
    }

    #[test]
    fn sleeping_in_a_test_is_found_except_in_eventually_and_under_a_paused_clock() {
        let test = "#[tokio::test]\nasync fn t() {\ntokio::time::sleep(d).await;\n}";
        assert_eq!(broken("a/tests/x.rs", test), [3]);
        assert_eq!(broken("a/src/x.rs", test), [3]);
        assert_eq!(broken("a/tests/x.rs", &test.replace("tokio::time", "std::thread")), [3]);
        assert_eq!(broken("a/tests/x.rs", &test.replace("fn t", "fn eventually_ready")), [0; 0]);
        assert_eq!(broken("a/tests/x.rs", &test.replace("test]", "test(start_paused = true)]")), [0; 0]);
    }

    #[test]
    fn blocking_a_worker_is_found_in_product_code() {
        assert_eq!(broken("a/src/x.rs", "fn t() {\nstd::thread::sleep(d);\n}"), [2]);
        assert_eq!(broken("a/src/x.rs", "async fn t() {\ntokio::time::sleep(d).await;\n}"), [0; 0]);
    }
}
