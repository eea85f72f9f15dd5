//! Conversations with devices, replayed against the simulator: see `tests/transcripts`.

use std::path::{Path, PathBuf};

use routeros_sim::{Pool, Simulator};

use crate::client::{exec, login, start_with};

/// One conversation: what the header says, and commands with their answers.
struct Transcript {
    header: Vec<(String, String)>,
    turns: Vec<(String, String)>,
}

impl Transcript {
    fn parse(text: &str) -> Self {
        let mut transcript = Self { header: Vec::new(), turns: Vec::new() };
        for line in text.lines() {
            if let Some(command) = line.strip_prefix("> ") {
                transcript.turns.push((command.to_owned(), String::new()));
            } else if let Some((_, answer)) = transcript.turns.last_mut() {
                if !line.starts_with("# ") {
                    answer.push_str(line);
                    answer.push('\n');
                }
            } else if let Some((key, value)) = line.trim_start_matches("# ").split_once(": ") {
                transcript.header.push((key.to_owned(), value.to_owned()));
            }
        }
        transcript
    }

    fn says(&self, key: &str) -> Option<&str> {
        self.header.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// `raid1:xfs:64, flash:btrfs:8`: slot, filesystem, GiB.
    fn pools(&self) -> Vec<Pool> {
        let pool = |text: &str| {
            let parts: Vec<&str> = text.trim().split(':').collect();
            Pool::new(parts[0], parts[1], parts[2].parse::<u64>().unwrap() << 30)
        };
        self.says("pools").map(|pools| pools.split(',').map(pool).collect()).unwrap_or_default()
    }
}

/// `<id>` stands for an id of a row, `<…>` with any other word for one word of an answer.
fn matches(expected: &str, said: &str) -> bool {
    let Some((before, rest)) = expected.split_once('<') else {
        return expected == said;
    };
    let Some((name, after)) =
        rest.split_once('>').filter(|(name, _)| name.chars().all(char::is_alphanumeric))
    else {
        return expected == said;
    };
    let Some(said) = said.strip_prefix(before) else { return false };
    let is_part = |c: char| if name == "id" { c == '*' || c.is_ascii_hexdigit() } else { !c.is_whitespace() };
    let longest = said.find(|c| !is_part(c)).unwrap_or(said.len());
    (1..=longest).filter(|end| said.is_char_boundary(*end)).any(|end| matches(after, &said[end..]))
}

fn all() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../transcripts");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|ending| ending == "txt")).collect();
    paths.sort();
    paths
}

#[tokio::test]
async fn the_simulator_answers_as_every_transcript_says() {
    assert!(all().len() >= 8);
    for path in all() {
        let transcript = Transcript::parse(&std::fs::read_to_string(&path).unwrap());
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        replay(&name, &transcript).await;
    }
}

async fn replay(name: &str, transcript: &Transcript) {
    let (_folder, simulator, key) = start_with(|config| {
        config.pools = transcript.pools();
        config.version = transcript.says("routeros").unwrap().to_owned();
        if let Some(policies) = transcript.says("policies") {
            policies.clone_into(&mut config.policies);
        }
    })
    .await;
    let session = login(&simulator, &key).await.unwrap();
    for (command, expected) in &transcript.turns {
        let (said, status) = exec(&session, command).await.unwrap();
        assert_eq!(status, 0, "{name}: {command}");
        assert_answer(name, command, expected.trim_end_matches('\n'), &said, &simulator);
    }
}

fn assert_answer(name: &str, command: &str, expected: &str, said: &str, simulator: &Simulator) {
    let lines: Vec<&str> = said.strip_suffix("\r\n").unwrap_or(said).split("\r\n").collect();
    let wanted: Vec<&str> = expected.split('\n').collect();
    let same =
        lines.len() == wanted.len() && lines.iter().zip(&wanted).all(|(line, wanted)| matches(wanted, line));
    assert!(same, "{name}: {command}\nexpected:\n{expected}\nsaid:\n{said}\nrows: {:?}", simulator.disks());
}

#[test]
fn every_transcript_says_where_it_comes_from() {
    const KINDS: [&str; 4] = ["documentation", "forum report", "schema", "real hardware"];
    for path in all() {
        let transcript = Transcript::parse(&std::fs::read_to_string(&path).unwrap());
        let says = |key: &str| transcript.says(key).unwrap_or_else(|| panic!("{}: no {key}", path.display()));
        assert!(KINDS.contains(&says("kind")), "{}", path.display());
        assert!(["M", "D", "C", "I"].contains(&says("grade")), "{}", path.display());
        assert!(!says("source").is_empty() && says("routeros").starts_with('7'), "{}", path.display());
        assert!(!transcript.turns.is_empty(), "{}", path.display());
    }
}

#[test]
fn a_placeholder_stands_for_one_word_and_no_more() {
    assert!(matches("added <id>", "added *1F") && !matches("added <id>", "added v1"));
    assert!(matches("<time> up", "00:00:17 up") && !matches("<time> up", "00:00:17 now up"));
    assert!(!matches("a", "b") && matches("1 < 2", "1 < 2"));
}
