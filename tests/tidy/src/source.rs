//! Rust sources as the laws see them: which of it is test code, and what stands where.

use std::collections::BTreeSet;

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use crate::tree::Tree;

/// True for a file that holds nothing but test code, judged by where it lies.
pub fn is_test_file(path: &str) -> bool {
    // Harness and suite are tests all through; of any other crate, everything outside src but its build script.
    let (_, inside) = match path.split_once("/src/") {
        None => return !path.ends_with("build.rs"),
        Some(parts) => parts,
    };
    path.starts_with("tests/harness/")
        || path.starts_with("tests/suite/")
        || inside.split('/').any(|part| part == "tests" || part == "tests.rs")
}

/// Modules that are declared under `#[cfg(test)]` in one file and written in another.
#[derive(Debug, Default)]
pub struct TestModules(BTreeSet<String>);

impl TestModules {
    /// Those of a tree, as paths without `.rs`.
    pub fn of(tree: &Tree) -> Self {
        let mut modules = BTreeSet::new();
        for (path, text) in tree.ending(".rs") {
            let Ok(file) = syn::parse_file(text) else { continue };
            let folder = match path.rsplit_once('/') {
                Some((folder, "lib.rs" | "main.rs")) => folder,
                _ => path.trim_end_matches(".rs"),
            };
            for item in &file.items {
                if let syn::Item::Mod(module) = item
                    && module.content.is_none()
                    && module.attrs.iter().any(is_cfg_test)
                {
                    modules.insert(format!("{folder}/{}", module.ident));
                }
            }
        }
        Self(modules)
    }

    /// True for a file of such a module.
    pub fn hold(&self, path: &str) -> bool {
        let name = path.trim_end_matches(".rs");
        self.0.iter().any(|module| {
            name.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

/// True for a file of a simulator: a product, not a test, but one that may wait on purpose.
pub fn is_simulator(path: &str) -> bool {
    path.starts_with("tests/routeros-sim/src/")
}

/// What a law may want to know about a place in the code.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place<'a> {
    /// In a test function or module, or in a file of tests.
    pub in_test: bool,
    /// In a test whose clock is paused: waiting there takes no time.
    pub paused: bool,
    /// Name of the innermost function.
    pub function: &'a str,
}

/// Things in code that laws are about.
#[derive(Debug)]
pub enum Thing {
    /// An attribute, by its path.
    Attribute(String),
    /// A macro call, by its last name.
    Macro(String),
    /// A method call, by name.
    Method(String),
    /// A call of a function, by its full path as written.
    Call(String),
    /// A function with a body, and how many lines it has.
    Function(String, usize),
    /// A module, by name.
    Module(String),
}

/// Walks a file and shows each [`Thing`] with its line and its [`Place`]. `tests` says that it is known to be of tests.
///
/// # Errors
/// When the text is not Rust.
pub fn walk(text: &str, tests: bool, see: &mut dyn FnMut(&Thing, usize, Place<'_>)) -> syn::Result<()> {
    let file = syn::parse_file(text)?;
    let in_test = tests || file.attrs.iter().any(is_cfg_test);
    let mut walker = Walker { see, in_test, paused: false, functions: Vec::new() };
    walker.visit_file(&file);
    Ok(())
}

struct Walker<'a> {
    see: &'a mut dyn FnMut(&Thing, usize, Place<'_>),
    in_test: bool,
    paused: bool,
    functions: Vec<String>,
}

fn line(span: proc_macro2::Span) -> usize {
    span.start().line
}

fn path_text(path: &syn::Path) -> String {
    let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
    names.join("::")
}

fn attribute_text(attribute: &syn::Attribute) -> String {
    match &attribute.meta {
        syn::Meta::List(list) => list.tokens.to_string(),
        syn::Meta::Path(_) | syn::Meta::NameValue(_) => String::new(),
    }
}

fn is_cfg_test(attribute: &syn::Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute_text(attribute).split(|c: char| !c.is_alphanumeric()).any(|word| word == "test")
}

fn is_test(attribute: &syn::Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|last| last.ident == "test")
}

fn is_paused(attribute: &syn::Attribute) -> bool {
    is_test(attribute) && attribute_text(attribute).contains("start_paused")
}

impl Walker<'_> {
    fn show(&mut self, thing: Thing, line: usize) {
        let place = Place {
            in_test: self.in_test,
            paused: self.paused,
            function: self.functions.last().map_or("", String::as_str),
        };
        (self.see)(&thing, line, place);
    }

    fn function(
        &mut self,
        attributes: &[syn::Attribute],
        signature: &syn::Signature,
        block: &syn::Block,
        inner: impl FnOnce(&mut Self),
    ) {
        let (in_test, paused) = (self.in_test, self.paused);
        self.in_test |= attributes.iter().any(|attribute| is_cfg_test(attribute) || is_test(attribute));
        self.paused |= attributes.iter().any(is_paused);
        let first = line(signature.span());
        let lines = block.span().end().line + 1 - first;
        let name = signature.ident.to_string();
        self.show(Thing::Function(name.clone(), lines), first);
        self.functions.push(name);
        inner(self);
        self.functions.pop();
        (self.in_test, self.paused) = (in_test, paused);
    }
}

impl<'ast> Visit<'ast> for Walker<'_> {
    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        self.show(Thing::Attribute(path_text(attribute.path())), line(attribute.span()));
        visit::visit_attribute(self, attribute);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let name = call.path.segments.last().map(|last| last.ident.to_string());
        self.show(Thing::Macro(name.unwrap_or_default()), line(call.span()));
        visit::visit_macro(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.show(Thing::Method(call.method.to_string()), line(call.method.span()));
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let syn::Expr::Path(path) = call.func.as_ref() {
            self.show(Thing::Call(path_text(&path.path)), line(path.span()));
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.show(Thing::Module(module.ident.to_string()), line(module.ident.span()));
        let in_test = self.in_test;
        self.in_test |= module.attrs.iter().any(is_cfg_test);
        visit::visit_item_mod(self, module);
        self.in_test = in_test;
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let in_test = self.in_test;
        self.in_test |= item.attrs.iter().any(is_cfg_test);
        visit::visit_item_impl(self, item);
        self.in_test = in_test;
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.attrs, &item.sig, &item.block, |walker| visit::visit_item_fn(walker, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.attrs, &item.sig, &item.block, |walker| visit::visit_impl_item_fn(walker, item));
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        match &item.default {
            Some(block) => self
                .function(&item.attrs, &item.sig, block, |walker| visit::visit_trait_item_fn(walker, item)),
            None => visit::visit_trait_item_fn(self, item),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_what_is_test_code() {
        for test in [
            "services/x/tests/publish.rs",
            "services/x/src/event/tests.rs",
            "services/x/src/event/tests/deep.rs",
            "tests/harness/src/lib.rs",
        ] {
            assert!(is_test_file(test), "{test}");
        }
        for product in
            ["services/x/src/event.rs", "proto/build.rs", "proto/src/lib.rs", "tests/routeros-sim/src/lib.rs"]
        {
            assert!(!is_test_file(product), "{product}");
        }
    }

    #[test]
    fn a_module_declared_for_tests_in_another_file_is_test_code() {
        let tree = Tree::sample(&[
            ("services/x/src/lib.rs", "#[cfg(test)]\nmod testing;\nmod event;"),
            ("services/x/src/event.rs", "#[cfg(test)]\npub(crate) mod fake;"),
        ]);
        let modules = TestModules::of(&tree);
        for test in
            ["services/x/src/testing.rs", "services/x/src/event/fake.rs", "services/x/src/event/fake/deep.rs"]
        {
            assert!(modules.hold(test), "{test}");
        }
        assert!(!modules.hold("services/x/src/event.rs") && !modules.hold("services/x/src/event/faker.rs"));
    }

    #[test]
    fn a_cfg_test_module_and_a_test_function_are_test_code_and_the_rest_of_the_file_is_not() {
        let text = "fn a() { x() }\n#[cfg(test)]\nmod t { fn b() { x() } }\n#[tokio::test(start_paused = true)]\nasync fn c() { x() }\n";
        let mut seen = Vec::new();
        walk(text, false, &mut |thing, line, place| {
            if let Thing::Call(_) = thing {
                seen.push((line, place.in_test, place.paused, place.function.to_owned()));
            }
        })
        .unwrap();
        let expected = [(1, false, false, "a"), (3, true, false, "b"), (5, true, true, "c")];
        assert_eq!(seen, expected.map(|(line, test, paused, name)| (line, test, paused, name.to_owned())));
    }
}
