use std::time::Duration;

use proptest::prelude::*;

use super::ast::Command;
use super::check::check;
use super::eval::{Arguments, Failure, Holds, Limits, Machine, Menus, Outcome};
use super::parse::parse;
use super::scan::SyntaxError;

/// Enough for a test, and quickly used up.
const LIMITS: Limits = Limits { steps: 20_000, time: Duration::from_secs(5), memory: 16 << 20 };

/// No menus at all.
struct None_;

impl Menus for None_ {
    fn check(&self, command: &Command) -> Result<(), SyntaxError> {
        let (name, place) = &command.words[0];
        Err(SyntaxError(format!("bad command name {name} {place}")))
    }

    fn run(&mut self, _: &[&str], _: Arguments, _: &mut Holds<'_>, _: &mut Vec<u8>) -> Outcome {
        Failure::new("no menus here")
    }

    fn version(&self) -> (u32, u32) {
        (7, 24)
    }
}

fn run(line: &[u8]) -> Vec<u8> {
    let mut menus = None_;
    match parse(line).and_then(|commands| check(&commands, &menus).map(|()| commands)) {
        Err(SyntaxError(text)) => format!("{text}\r\n").into_bytes(),
        Ok(commands) => {
            let mut machine = Machine::new(&mut menus, LIMITS);
            let result = machine.run(&commands);
            let mut output = machine.output;
            if let Err(Failure::Raised(text)) = result {
                output.extend(format!("{text}\r\n").bytes());
            }
            output
        }
    }
}

fn says(line: &str) -> String {
    String::from_utf8_lossy(&run(line.as_bytes())).trim_end_matches("\r\n").replace("\r\n", "|")
}

proptest! {
    #[test]
    fn any_bytes_escaped_in_hex_come_back_unchanged(bytes: Vec<u8>) {
        let escaped: String = bytes.iter().map(|byte| format!("\\{byte:02X}")).collect();
        let mut expected = bytes;
        expected.extend(b"\r\n");
        prop_assert_eq!(run(format!(":put \"{escaped}\"").as_bytes()), expected);
    }

    #[test]
    fn any_line_is_answered(line: Vec<u8>) {
        run(&line);
    }

    #[test]
    fn any_nesting_is_answered(open in prop::collection::vec(prop::sample::select(vec!["[", "(", "{", "\"$(", "\"$[", ":put ", "!"]), 0..200)) {
        run(open.concat().as_bytes());
    }
}

#[test]
fn a_dollar_in_a_string_is_evaluated_unless_it_is_escaped() {
    assert_eq!(says(":local zA 7; :put \"a $zA b\""), "a 7 b");
    assert_eq!(says(":put \"$[:put inner]done\""), "inner|done");
    assert_eq!(says(":put \"$(1 + 2)\""), "3");
    assert_eq!(says(":put \"\\24[:put inner]\""), "$[:put inner]");
    assert_eq!(says(":put \"\\$zA\""), "$zA");
}

#[test]
fn the_envelope_answers_between_its_sentinels() {
    let envelope = |body: &str| {
        format!(
            ":onerror zErr in={{ :local zRes; {body}; :put ((\"RDS1-N\".\"-OK \").[:serialize to=json value=$zRes \
             options=json.no-string-conversion].(\" RDS1-N\".\"-END\")) }} do={{ :put ((\"RDS1-N\".\"-ERR \").\
             [:serialize to=json value=$zErr options=json.no-string-conversion].(\" RDS1-N\".\"-END\")) }}"
        )
    };
    assert_eq!(
        says(&envelope(":set zRes {\"a\"=1;\"b\"={true;\"7\"}}")),
        r#"RDS1-N-OK {"a":1,"b":[true,"7"]} RDS1-N-END"#
    );
    assert_eq!(
        says(&envelope(":error \"RDSE-FOREIGN x\"")),
        r#"RDS1-N-ERR "RDSE-FOREIGN x (:error; line 1)" RDS1-N-END"#
    );
    assert_eq!(says(&envelope(":bogus")), "bad command name bogus (line 1 column 33)");
}

#[test]
fn a_syntax_error_runs_nothing_and_is_never_caught() {
    assert_eq!(
        says(":put before; :onerror zE in={ :put ( } do={ :put caught }"),
        "syntax error (line 1 column 38)"
    );
    assert_eq!(says(":put a] :put b"), "expected end of command (line 1 column 7)");
}

#[test]
fn conditions_do_not_short_circuit() {
    assert_eq!(says(":if (false && [:error boom]) do={ :put no }"), "boom (:error; line 1)");
    assert_eq!(says(":if (1 = 1 || false) do={ :put yes } else={ :put no }"), "yes");
    assert_eq!(says(":if (\"x\") do={}"), "conditional not boolean");
}

#[test]
fn an_inner_block_sees_and_sets_the_variables_of_the_outer_one() {
    assert_eq!(
        says(":local zA 1; :if (true) do={ :local zB 2; :set zA ($zA + $zB) }; :put $zA; :put $zB"),
        "3",
        "what an inner block declares ends with it"
    );
    assert_eq!(says(":set zNever 1"), "no such variable zNever");
}

#[test]
fn arrays_are_indexed_walked_and_picked() {
    assert_eq!(
        says(
            ":local zA {\"k\"=1;\"l\"={5;6}}; :put ($zA->\"k\"); :put (($zA->\"l\")->1); :put [:typeof ($zA->\"m\")]"
        ),
        "1|6|nothing"
    );
    assert_eq!(says(":foreach zI in={1;2;3} do={ :put ($zI * 2) }"), "2|4|6");
    assert_eq!(
        says(":put [:pick \"abcdef\" 1 3]; :put [:pick \"ab\" 1 9]; :put [:len [:pick \"ab\" 5 9]]"),
        "bc|b|0"
    );
    assert_eq!(
        says(
            ":put [:find \"a;b;c\" \";\"]; :put [:find \"a;b;c\" \";\" 1]; :put [:typeof [:find \"a\" \"x\"]]"
        ),
        "1|3|nothing"
    );
    assert_eq!(
        says(":put [:tonum \"007\"]; :put [:typeof [:tonum x]]; :put [:len [:tostr $zNone]]"),
        "7|nothing|0"
    );
}

#[test]
fn parse_compiles_without_running() {
    assert!(says(":put [:parse \":put hello\"]").starts_with("(evl "));
    assert_eq!(says(":put [:parse \":hello\"]"), "bad command name hello (line 1 column 1)");
}

#[test]
fn a_loop_without_end_ends() {
    assert_eq!(
        says(":while (true) do={ :put [:nothing] }").rsplit('|').next(),
        Some("failure: script runs too long")
    );
}
