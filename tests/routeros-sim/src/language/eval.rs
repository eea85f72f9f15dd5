//! Running a parsed line.

use std::collections::HashMap;

use super::ast::{Arg, Command, Expr, Op, Part};
use super::builtin;
use super::json;
use super::scan::SyntaxError;
use super::value::Value;

/// Why running stopped; the text is what RouterOS prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) String);

impl Failure {
    pub(crate) fn new<T>(text: impl Into<String>) -> Result<T, Self> {
        Err(Self(text.into()))
    }
}

pub(crate) type Outcome = Result<Value, Failure>;

/// Arguments of a menu command, evaluated.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arguments {
    pub named: Vec<(String, Value)>,
    pub positional: Vec<Value>,
    pub conditions: Vec<Expr>,
}

/// Whether a row, seen through its properties, meets a condition.
pub(crate) type Holds<'a> = dyn FnMut(&Expr, &dyn Fn(&str) -> Value) -> Outcome + 'a;

/// What the commands of menus do. The language knows no menu.
pub(crate) trait Menus {
    /// Compile-time check of a menu command: its words and parameter names.
    fn check(&self, command: &Command) -> Result<(), SyntaxError>;
    /// Runs it. `holds` decides whether a row meets the conditions.
    fn run(
        &mut self,
        words: &[&str],
        arguments: Arguments,
        holds: &mut Holds<'_>,
        output: &mut Vec<u8>,
    ) -> Outcome;
}

/// Checks every command of a line, also those in blocks and brackets: the whole line is compiled before it runs.
pub(crate) fn check(commands: &[Command], menus: &dyn Menus) -> Result<(), SyntaxError> {
    for command in commands {
        match command.words.first() {
            Some((word, column)) if word.starts_with(':') => {
                if !builtin::NAMES.contains(&&word[1..]) {
                    return Err(SyntaxError(format!(
                        "bad command name {} (line 1 column {column})",
                        &word[1..]
                    )));
                }
            }
            Some((word, _)) if command.words.len() == 1 && builtin::NAMES.contains(&word.as_str()) => {}
            _ => menus.check(command)?,
        }
        for arg in &command.args {
            match arg {
                Arg::Named(_, _, expr) | Arg::Positional(expr) => check_expr(expr, menus)?,
                Arg::Where(all) => all.iter().try_for_each(|expr| check_expr(expr, menus))?,
            }
        }
    }
    Ok(())
}

fn check_expr(expr: &Expr, menus: &dyn Menus) -> Result<(), SyntaxError> {
    match expr {
        Expr::Run(commands) | Expr::Block(commands) => check(commands, menus),
        Expr::Not(inner) | Expr::Neg(inner) => check_expr(inner, menus),
        Expr::Binary(_, left, right) => check_expr(left, menus).and_then(|()| check_expr(right, menus)),
        Expr::Array(items) => items.iter().try_for_each(|(key, item)| {
            key.as_ref().map_or(Ok(()), |key| check_expr(key, menus))?;
            check_expr(item, menus)
        }),
        Expr::Text(parts) => parts.iter().try_for_each(|part| match part {
            Part::Expr(inner) => check_expr(inner, menus),
            Part::Bytes(_) => Ok(()),
        }),
        Expr::Num(_) | Expr::Word(_) | Expr::Var(_) => Ok(()),
    }
}

/// Commands one line may run: an endless loop must end.
const MAX_STEPS: u32 = 200_000;

pub(crate) struct Machine<'a> {
    menus: &'a mut dyn Menus,
    pub(crate) output: Vec<u8>,
    scopes: Vec<HashMap<String, Value>>,
    steps: u32,
}

impl<'a> Machine<'a> {
    pub(crate) fn new(menus: &'a mut dyn Menus) -> Self {
        Self { menus, output: Vec::new(), scopes: vec![HashMap::new()], steps: 0 }
    }

    /// Runs commands in the current scope; the value of the last one is the result.
    pub(crate) fn run(&mut self, commands: &[Command]) -> Outcome {
        let mut last = Value::Nothing;
        for command in commands {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return Failure::new("failure: script runs too long");
            }
            last = self.command(command)?;
        }
        Ok(last)
    }

    /// Runs a block in a scope of its own, with `names` set in it.
    pub(crate) fn block(&mut self, code: &Expr, names: HashMap<String, Value>) -> Outcome {
        let Expr::Block(commands) = code else {
            return self.value(code);
        };
        self.scopes.push(names);
        let result = self.run(commands);
        self.scopes.pop();
        result
    }

    pub(crate) fn declare(&mut self, name: String, value: Value) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name, value);
        }
    }

    /// Sets a variable that exists in some scope; false when there is none.
    pub(crate) fn assign(&mut self, name: &str, value: Value) -> bool {
        let found = self.scopes.iter_mut().rev().find_map(|scope| scope.get_mut(name));
        found.map(|slot| *slot = value).is_some()
    }

    fn command(&mut self, command: &Command) -> Outcome {
        let first = command.words.first().map_or("", |(word, _)| word.as_str());
        if let Some(name) = first.strip_prefix(':') {
            return builtin::run(self, name, &command.args);
        }
        if command.words.len() == 1 && builtin::NAMES.contains(&first) {
            return builtin::run(self, first, &command.args);
        }
        let mut arguments = Arguments::default();
        for arg in &command.args {
            match arg {
                Arg::Named(name, _, expr) => arguments.named.push((name.clone(), self.value(expr)?)),
                Arg::Positional(expr) => arguments.positional.push(self.value(expr)?),
                Arg::Where(all) => arguments
                    .conditions
                    .extend(all.iter().map(|expr| self.fixed(expr)).collect::<Result<Vec<_>, _>>()?),
            }
        }
        let words: Vec<&str> = command.words.iter().map(|(word, _)| word.as_str()).collect();
        let mut output = Vec::new();
        let result = self.menus.run(&words, arguments, &mut condition_holds, &mut output);
        self.output.append(&mut output);
        result
    }

    /// A condition with everything but its properties worked out: variables are looked up once, not per row.
    fn fixed(&mut self, expr: &Expr) -> Result<Expr, Failure> {
        Ok(match expr {
            Expr::Word(_) | Expr::Num(_) => expr.clone(),
            Expr::Binary(op, left, right) => {
                Expr::Binary(*op, Box::new(self.fixed(left)?), Box::new(self.fixed(right)?))
            }
            Expr::Not(inner) => Expr::Not(Box::new(self.fixed(inner)?)),
            other => match self.value(other)? {
                Value::Num(number) => Expr::Num(number),
                value => Expr::Text(vec![Part::Bytes(value.bytes())]),
            },
        })
    }

    pub(crate) fn value(&mut self, expr: &Expr) -> Outcome {
        match expr {
            Expr::Num(number) => Ok(Value::Num(*number)),
            Expr::Word(word) => Ok(match word.as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                other => Value::text(other),
            }),
            Expr::Text(parts) => {
                let mut bytes = Vec::new();
                for part in parts {
                    match part {
                        Part::Bytes(more) => bytes.extend_from_slice(more),
                        Part::Expr(inner) => bytes.extend(self.value(inner)?.bytes()),
                    }
                }
                Ok(Value::Str(bytes))
            }
            Expr::Var(name) => {
                let found = self.scopes.iter().rev().find_map(|scope| scope.get(name));
                Ok(found.cloned().unwrap_or(Value::Nothing))
            }
            Expr::Run(commands) => {
                self.scopes.push(HashMap::new());
                let result = self.run(commands);
                self.scopes.pop();
                result
            }
            Expr::Block(_) => self.block(expr, HashMap::new()),
            Expr::Array(items) => {
                let mut array = Vec::with_capacity(items.len());
                for (key, item) in items {
                    let key = key.as_ref().map(|key| self.value(key)).transpose()?.map(|key| key.lossy());
                    array.push((key, self.value(item)?));
                }
                Ok(Value::Array(array))
            }
            Expr::Not(inner) => negate(&self.value(inner)?),
            Expr::Neg(inner) => minus(&self.value(inner)?),
            // Both sides are always evaluated: `&&` and `||` do not short-circuit (M).
            Expr::Binary(op, left, right) => binary(*op, &self.value(left)?, &self.value(right)?),
        }
    }

    /// Compiles a text without running it (M): what it compiles to, or the compiler's complaint.
    pub(crate) fn compile(&self, source: &[u8]) -> Value {
        let compiled = super::parse::parse(source).and_then(|commands| check(&commands, self.menus));
        Value::text(match compiled {
            Ok(()) => format!("(evl {})", String::from_utf8_lossy(source)),
            Err(SyntaxError(text)) => text,
        })
    }

    pub(crate) fn serialize(value: &Value, keep_strings: bool) -> Value {
        Value::Str(json::serialize(value, keep_strings))
    }
}

fn negate(value: &Value) -> Outcome {
    match value.truth() {
        Some(truth) => Ok(Value::Bool(!truth)),
        None => Failure::new(format!("cannot negate {}", value.type_name())),
    }
}

fn minus(value: &Value) -> Outcome {
    match value.number().and_then(i64::checked_neg) {
        Some(number) => Ok(Value::Num(number)),
        None => Failure::new(format!("cannot negate {}", value.type_name())),
    }
}

fn condition_holds(expr: &Expr, property: &dyn Fn(&str) -> Value) -> Outcome {
    match expr {
        Expr::Word(name) => Ok(property(name)),
        Expr::Num(number) => Ok(Value::Num(*number)),
        Expr::Not(inner) => negate(&condition_holds(inner, property)?),
        Expr::Binary(op, left, right) => {
            let left = condition_holds(left, property)?;
            // On the right a bare word is a text: `type=file`.
            let right = match &**right {
                Expr::Word(word) if !matches!(op, Op::And | Op::Or) => Value::text(word.as_str()),
                other => condition_holds(other, property)?,
            };
            binary(*op, &left, &right)
        }
        Expr::Text(parts) => Ok(Value::Str(
            parts
                .iter()
                .filter_map(|part| if let Part::Bytes(bytes) = part { Some(bytes.clone()) } else { None })
                .flatten()
                .collect(),
        )),
        Expr::Var(_) | Expr::Run(_) | Expr::Block(_) | Expr::Array(_) | Expr::Neg(_) => Ok(Value::Nothing),
    }
}

fn binary(op: Op, left: &Value, right: &Value) -> Outcome {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let arithmetic = |apply: fn(i64, i64) -> Option<i64>| match (left.number(), right.number()) {
        (Some(a), Some(b)) => match apply(a, b) {
            Some(number) => Ok(Value::Num(number)),
            None => Failure::new("division by zero or overflow"),
        },
        _ => Failure::new(format!("cannot compute with {} and {}", left.type_name(), right.type_name())),
    };
    let logic = |apply: fn(bool, bool) -> bool| match (left.truth(), right.truth()) {
        (Some(a), Some(b)) => Ok(Value::Bool(apply(a, b))),
        _ => Failure::new(format!("conditional not boolean: {} and {}", left.type_name(), right.type_name())),
    };
    Ok(match op {
        Op::Concat => return Ok(concat(left, right)),
        Op::Add => return arithmetic(i64::checked_add),
        Op::Sub => return arithmetic(i64::checked_sub),
        Op::Mul => return arithmetic(i64::checked_mul),
        Op::Div => return arithmetic(i64::checked_div),
        Op::And => return logic(|a, b| a && b),
        Op::Or => return logic(|a, b| a || b),
        Op::Eq => Value::Bool(left.same(right)),
        Op::Ne => Value::Bool(!left.same(right)),
        Op::Lt => Value::Bool(left.order(right) == Less),
        Op::Gt => Value::Bool(left.order(right) == Greater),
        Op::Le => Value::Bool(matches!(left.order(right), Less | Equal)),
        Op::Ge => Value::Bool(matches!(left.order(right), Greater | Equal)),
        Op::Index => index(left, right),
    })
}

fn concat(left: &Value, right: &Value) -> Value {
    Value::Str([left.bytes(), right.bytes()].concat())
}

/// `$a->0`, `$a->"key"`; what is not there is nothing.
fn index(array: &Value, key: &Value) -> Value {
    let Value::Array(items) = array else {
        return Value::Nothing;
    };
    let found = match key {
        Value::Num(at) => usize::try_from(*at).ok().and_then(|at| items.get(at)),
        other => {
            items.iter().find(|(name, _)| name.as_ref().is_some_and(|name| name.as_bytes() == other.bytes()))
        }
    };
    found.map_or(Value::Nothing, |(_, item)| item.clone())
}
