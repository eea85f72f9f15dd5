//! What helm makes of good values, and that it refuses bad ones.

use chart::{Rendering, helm, hold, yaml_files};
use cluster::tools::needs;

const HELM: [&str; 1] = ["helm"];

#[test]
fn every_value_set_is_linted_without_complaint() {
    if !needs(&HELM, "helm lint", "that the chart is well-formed") {
        return;
    }
    for (set, values) in yaml_files("tests/chart/values").expect("value sets") {
        let said = helm("lint", &values).unwrap_or_else(|error| panic!("{set}: {error:#}"));
        assert!(!said.contains("[WARNING]") && !said.contains("[ERROR]"), "{set}: {said}");
    }
}

#[test]
fn every_value_set_renders_what_was_reviewed() {
    if !needs(&HELM, "golden renderings", "that the chart renders what was reviewed") {
        return;
    }
    let renderings = Rendering::all().expect("renderings");
    assert!(renderings.len() >= 10, "only {} value sets", renderings.len());
    for Rendering { set, text, objects } in &renderings {
        assert!(objects.len() > 10, "{set} renders {} objects", objects.len());
        let file = format!("tests/chart/golden/{set}.yaml");
        hold(&file, text, "UPDATE_GOLDEN").unwrap_or_else(|error| panic!("{error}"));
    }
    let sets = yaml_files("tests/chart/values").expect("value sets").into_iter().map(|(set, _)| set);
    let golden = yaml_files("tests/chart/golden").expect("goldens").into_iter().map(|(set, _)| set);
    assert!(sets.eq(golden), "each value set has one golden, and each golden a value set");
}

#[test]
fn every_bad_value_is_refused_with_a_message_that_names_it() {
    if !needs(&HELM, "bad values", "that bad values are refused") {
        return;
    }
    let bad = yaml_files("tests/chart/bad").expect("bad values");
    assert!(bad.len() >= 30, "only {} files", bad.len());
    let mut wrong = Vec::new();
    for (name, values) in bad {
        let text = std::fs::read_to_string(&values).expect("a readable file");
        let wanted =
            text.lines().next().and_then(|line| line.strip_prefix("# refused: ")).unwrap_or_default();
        assert!(!wanted.trim().is_empty(), "{name}: the first line is not `# refused: TEXT`");
        match helm("template", &values) {
            Ok(_) => wrong.push(format!("{name}: accepted")),
            Err(error) if error.to_string().contains(wanted) => {}
            Err(error) => wrong.push(format!("{name}: {wanted:?} is not in: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
