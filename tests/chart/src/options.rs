//! The options of the programs, read where they are declared: the `#[arg(…)]` attributes of their sources. What the
//! chart sets, and what docs/configuration.md says, is held against them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::in_tree;

/// The programs, and the sources that declare their options.
pub const PROGRAMS: [(&str, &[&str]); 5] = [
    ("csi-front", &["services/csi-front/src", CHASSIS]),
    ("rds-backend", &["services/rds-backend/src", CHASSIS]),
    ("nvme-agent", &["services/nvme-agent/src", CHASSIS]),
    ("event-relay", &["services/event-relay/src", CHASSIS]),
    ("rdsctl", &["services/rdsctl/src", CHASSIS]),
];
const CHASSIS: &str = "services/chassis/src/options.rs";

/// An option that can be set by the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramOption {
    /// `RDS_…`
    pub variable: String,
    /// `--name`
    pub flag: String,
    /// As the source has it; `None` when there is none.
    pub default: Option<String>,
    /// The first paragraph of its documentation.
    pub about: String,
}

/// Every option of a program that has a variable, in the order of declaration, its own first.
pub fn of_program(program: &str) -> Result<Vec<ProgramOption>> {
    let known = PROGRAMS.iter().find(|(name, _)| *name == program);
    let (_, sources) = known.with_context(|| format!("no program {program}"))?;
    let mut found: Vec<ProgramOption> = Vec::new();
    for source in *sources {
        for file in rust_files(&in_tree(source))? {
            let text = std::fs::read_to_string(&file).context("a source cannot be read")?;
            // Options of a subcommand may share a variable.
            for mut option in declared(&text) {
                // rdsctl is no service: of their options it has those of certificates only.
                if *source == CHASSIS && program == "rdsctl" && !option.variable.starts_with("RDS_TLS_") {
                    continue;
                }
                option.default = option.default.map(|text| constant(&text)).transpose()?;
                if !found.iter().any(|other| other.variable == option.variable) {
                    found.push(option);
                }
            }
        }
    }
    if found.is_empty() {
        bail!("{program} has no options: they are declared elsewhere now");
    }
    Ok(found)
}

fn rust_files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).with_context(|| format!("no folder {}", path.display()))? {
        let path = entry.context("a folder cannot be read")?.path();
        if path.is_dir() || path.extension().is_some_and(|ending| ending == "rs") {
            found.extend(rust_files(&path)?);
        }
    }
    found.sort();
    Ok(found)
}

/// The options a source declares: doc comment, `#[arg(…)]`, field.
fn declared(source: &str) -> Vec<ProgramOption> {
    let mut found = Vec::new();
    let (mut about, mut attribute) = (Vec::new(), String::new());
    let mut inside = false;
    for line in source.lines().map(str::trim) {
        if let Some(doc) = line.strip_prefix("///") {
            about.push(doc.trim().to_owned());
        } else if inside || line.starts_with("#[arg(") {
            attribute.push_str(line);
            inside = !line.ends_with(")]");
        } else if !line.starts_with("#[") {
            found.extend(option(line, &attribute, &about));
            about.clear();
            attribute.clear();
        }
    }
    found
}

fn option(field: &str, attribute: &str, about: &[String]) -> Option<ProgramOption> {
    let variable = between(attribute, "env = \"", "\"")?;
    let name = field.trim_start_matches("pub ").trim_start_matches("pub(crate) ").split(':').next()?;
    let typed = between(attribute, "default_value_t = ", ",")
        .or_else(|| between(attribute, "default_value_t = ", ")]"));
    let named =
        between(attribute, "default_value = ", ",").or_else(|| between(attribute, "default_value = ", ")]"));
    let default = between(attribute, "default_value = \"", "\"").or(named).or(typed).map(last_segment);
    let paragraph: Vec<&str> = about.iter().map(String::as_str).take_while(|line| !line.is_empty()).collect();
    Some(ProgramOption {
        variable: variable.to_owned(),
        flag: between(attribute, "long = \"", "\"")
            .map_or_else(|| format!("--{}", name.trim().replace('_', "-")), |long| format!("--{long}")),
        default: default.filter(|text| !text.is_empty()).map(|text| plain(text.trim_end_matches(")]"))),
        about: paragraph.join(" "),
    })
}

/// A constant's name without its path; other text as it is.
fn last_segment(default: &str) -> &str {
    let name = default.rsplit("::").next().unwrap_or(default);
    if name.chars().all(|c| c.is_ascii_uppercase() || c == '_') { name } else { default }
}

/// `LogFormat::Text` is `text` on a command line.
fn plain(default: &str) -> String {
    match default.rsplit_once("::") {
        Some((_, variant)) => variant.to_lowercase(),
        None => default.to_owned(),
    }
}

/// The value of a constant whose name is written as a default; anything else as it is.
fn constant(default: &str) -> Result<String> {
    let is_name = default.len() > 1 && default.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    if !is_name {
        return Ok(default.to_owned());
    }
    let declaration = format!("const {default}: &str = \"");
    let sources = rust_files(&in_tree("services"))?.into_iter().chain(rust_files(&in_tree("proto/src"))?);
    for file in sources {
        let text = std::fs::read_to_string(&file).context("a source cannot be read")?;
        if let Some(value) = between(&text, &declaration, "\"") {
            return Ok(value.to_owned());
        }
    }
    bail!("no source declares {default}")
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let rest = &text[text.find(start)? + start.len()..];
    Some(&rest[..rest.find(end)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_read_with_its_default_and_its_first_paragraph() {
        let source = "/// What it\n/// is.\n///\n/// More.\n#[arg(\n long,\n env = \"RDS_A_B\",\n default_value = \"x\"\n)]\n\
            pub a_b: String,\n/// No variable.\n#[arg(long)]\npub c: u8,\n";
        let wanted = ProgramOption {
            variable: "RDS_A_B".to_owned(),
            flag: "--a-b".to_owned(),
            default: Some("x".to_owned()),
            about: "What it is.".to_owned(),
        };
        assert_eq!(declared(source), [wanted]);
    }
}
