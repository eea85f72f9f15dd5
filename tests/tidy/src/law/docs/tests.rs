use super::*;

const MAKEFILE: &str = "TOOLS := x\ndemo: ## see it work\ntest: a b ## every test\n";
const README: &str = "`make demo` and `make test`";

fn broken(path: &str, text: &str) -> Vec<String> {
    let mut files =
        vec![("Makefile", MAKEFILE), ("README.md", README), ("docs/there.md", "# A heading: of it\n")];
    files.retain(|(other, _)| *other != path);
    files.push((path, text));
    check(&Tree::sample(&files)).iter().map(ToString::to_string).collect()
}

#[test]
fn a_module_that_does_not_explain_itself_is_found() {
    assert_eq!(broken("a/src/x.rs", "use y;\n").len(), 1);
    assert_eq!(broken("a/src/x.rs", "//! Owns y.\nuse y;\n").len(), 0);
    assert_eq!(broken("a/src/x/tests.rs", "use y;\n").len(), 0);
    assert_eq!(broken("tests/a/src/x.rs", "use y;\n").len(), 1);
}

#[test]
fn a_field_without_a_comment_is_found_with_its_line() {
    let good = "// M.\nmessage M {\n  // Bytes.\n  uint64 size = 1;\n}\nenum E {\n  E_UNSPECIFIED = 0;\n}\n";
    assert_eq!(broken("proto/rds/x/v1/x.proto", good).len(), 0);
    for bad in [
        "message M {\n  uint64 size = 1;\n}",
        "enum E {\n  E_X = 1;\n}",
        "service S {\n  rpc A(B) returns (C);\n}",
    ] {
        let found = broken("proto/rds/x/v1/x.proto", bad);
        assert!(found.len() == 1 && found[0].starts_with("proto/rds/x/v1/x.proto:2:"), "{found:?}");
    }
}

#[test]
fn a_verb_without_an_explanation_and_a_missing_verb_are_found() {
    assert_eq!(broken("Makefile", &format!("{MAKEFILE}bench:\n")).len(), 1);
    assert_eq!(broken("Makefile", "demo: ## see it work\n").len(), 2, "missing, and named in the README");
    assert_eq!(broken("README.md", "`make demo`").len(), 1);
    assert_eq!(broken("docs/x.md", "call `make nothing`").len(), 1);
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    for good in [
        "[a](there.md)",
        "[a](../README.md)",
        "[a](there.md#a-heading-of-it)",
        "[a](https://example.com/x)",
        "[a](../docs)",
    ] {
        assert_eq!(broken("docs/x.md", good).len(), 0, "{good}");
    }
    for bad in ["[a](nowhere.md)", "[a](../../outside.md)", "[a](there.md#nothing)", "[a](#nothing)"] {
        assert_eq!(broken("docs/x.md", bad).len(), 1, "{bad}");
    }
    assert_eq!(broken("docs/x.md", "```\n[a](nowhere.md)\n```\n").len(), 0);
}
