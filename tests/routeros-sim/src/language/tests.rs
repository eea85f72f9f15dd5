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
    fn any_chain_of_operators_is_answered(ops in prop::collection::vec(prop::sample::select(vec!["+", ".", "->", "&&", ",", "=(1", "-", "!"]), 0..6000)) {
        run(format!(":put (1 {} 1)", ops.join(" 1 ")).as_bytes());
        run(format!("/disk/print where a {} 1", ops.join(" 1 ")).as_bytes());
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

#[test]
fn elements_are_set_in_place_and_in_depth() {
    assert_eq!(
        says(
            ":local zA {\"k\"={1;2}}; :set ($zA->\"k\"->1) 9; :set ($zA->\"new\") x; :put ($zA->\"k\"->1); :put ($zA->\"new\")"
        ),
        "9|x"
    );
    assert_eq!(says(":local zA {1}; :set ($zA->1) 2; :put [:len $zA]; :set ($zA->7) 1"), "2|no such element");
    assert_eq!(says(":local zA \"text\"; :set ($zA->0) 2"), "cannot set an element of str");
}

#[test]
fn loops_count_walk_keys_and_repeat() {
    assert_eq!(says(":for i from=3 to=1 do={ :put $i }"), "3|2|1");
    assert_eq!(says(":for i from=1 to=9 step=4 do={ :put $i }"), "1|5|9");
    assert_eq!(says(":foreach zK,zV in={\"a\"=1;\"b\"=2} do={ :put \"$zK is $zV\" }"), "a is 1|b is 2");
    assert_eq!(says(":foreach zK,zV in={7;8} do={ :put \"$zK is $zV\" }"), "0 is 7|1 is 8");
    assert_eq!(says(":local zN 0; :do { :set zN ($zN + 1) } while=($zN < 3); :put $zN"), "3");
    assert_eq!(says(":do { :error boom } on-error={ :put saved }"), "saved");
}

#[test]
fn words_bits_lists_and_addresses_are_operators_too() {
    assert_eq!(says(":put (true and not false); :put (false or(1 = 1))"), "true|true");
    assert_eq!(
        says(":put (6 & 3); :put (6 | 3); :put (6 ^ 3); :put (1 << 4); :put (~0); :put (7 % 4)"),
        "2|7|5|16|-1|3"
    );
    assert_eq!(says(":put [:len ({1;2},3)]; :put (({1;2},{3;4})->3)"), "3|4");
    assert_eq!(says(":put (10.1.2.3 in 10.0.0.0/8); :put (11.1.2.3 in 10.0.0.0/8)"), "true|false");
    assert_eq!(says(":put (\"abc\" ~ \"bc\")"), "true");
    assert!(says(":put (\"abc\" ~ \"^a\")").contains("no patterns"));
}

#[test]
fn times_compare_and_calculate_and_nothing_else_is_a_time() {
    assert_eq!(says(":put (1m > 59s); :put (1w2d3h4m5s - 1w)"), "true|2d03:04:05");
    assert_eq!(says(":put [:typeof 10]; :put [:typeof 10s]; :put [:typeof \"10s\"]"), "num|time|str");
    assert_eq!(
        says(":put [:totime \"00:01:00\"]; :put [:tonum 00:01:00]; :put (00:00:01.5 + 1s)"),
        "00:01:00|60|00:00:02.500"
    );
    assert_eq!(says(":if (5s > \"x\") do={}"), "cannot compare time with str");
    assert_eq!(says(":put ([:timestamp] > 2000w)"), "true");
    assert_eq!(says(":put [:serialize to=json value={\"t\"=90s}]"), r#"{"t":"00:01:30"}"#);
}

#[test]
fn a_line_goes_on_after_a_backslash() {
    assert_eq!(says(":put \\\n  one; :put \"two\\\n   three\""), "one|twothree");
    assert_eq!(says(":put one\n:put ("), "syntax error (line 2 column 7)");
    assert_eq!(says(":put one\n:error two"), "one|two (:error; line 2)");
}

#[test]
fn a_return_says_what_it_would_do_instead_of_doing_it() {
    assert!(says(":return 1").contains("hangs a device"));
}

#[test]
fn json_comes_back_as_values() {
    assert_eq!(
        says(":put ([:deserialize from=json value=\"{\\\"a\\\":[1,\\\"2\\\",1.5]}\"]->\"a\"->1)"),
        "2"
    );
    assert_eq!(says(":put [:deserialize from=json value=\"{\"]"), "failure: invalid json");
    assert_eq!(
        says(":put [:tobool 1]; :put [:toip 1.2.3.4]; :put [:typeof [:toip x]]"),
        "true|1.2.3.4|nothing"
    );
}

#[test]
fn a_loop_that_doubles_does_not_eat_the_memory() {
    let doubled = ":local zA \"0123456789abcdef\"; :while (true) do={ :set zA ($zA.$zA) }";
    assert_eq!(says(doubled), "failure: out of memory");
    let listed = ":local zA {1}; :while (true) do={ :set zA ($zA,$zA) }";
    assert_eq!(says(listed), "failure: out of memory");
    let deep = ":local zA {1}; :while (true) do={ :set zA {$zA} }";
    assert_eq!(says(deep), "failure: array is nested too deeply");
    let inside = ":local zA {1}; :while (true) do={ :set ($zA->0) $zA }";
    assert_eq!(says(inside), "failure: array is nested too deeply");
    let nested = ":local zA {1;2}; :while (true) do={ :set zA {$zA;$zA} }";
    assert_eq!(says(nested), "failure: out of memory");
}
