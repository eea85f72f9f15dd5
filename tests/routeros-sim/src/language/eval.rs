//! Running a parsed line.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::ast::{Arg, Command, Expr, Op, Part};
use super::check::check;
use super::operate::{self, MAX_TEXT, binary};
use super::scan::SyntaxError;
use super::span::Span;
use super::value::Value;
use super::{builtin, parse};

/// Why running stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The text is what RouterOS prints; `:onerror` catches it.
    Raised(String),
    /// The appliance lost its power, or the script is held for ever: nothing catches it and nothing more runs.
    Stopped,
}

impl Failure {
    pub(crate) fn new<T>(text: impl Into<String>) -> Result<T, Self> {
        Err(Self::Raised(text.into()))
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::Raised(text)
    }
}

impl From<&str> for Failure {
    fn from(text: &str) -> Self {
        Self::Raised(text.to_owned())
    }
}

pub(crate) type Outcome = Result<Value, Failure>;

/// Arguments of a menu command, evaluated.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arguments {
    pub named: Vec<(String, Value)>,
    pub positional: Vec<Value>,
    pub conditions: Vec<Expr>,
    /// It stands in brackets: its value is used.
    pub nested: bool,
}

impl Arguments {
    pub(crate) fn named(&self, name: &str) -> Option<&Value> {
        self.named.iter().find(|(given, _)| given == name).map(|(_, value)| value)
    }

    /// `as-value`, `detail`, `once`, ….
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.positional.iter().any(|value| value.lossy() == flag)
    }
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
    /// Version of the appliance.
    fn version(&self) -> (u32, u32);
    /// Called before every command: a script may have to stop.
    fn tick(&mut self) -> Result<(), Failure> {
        Ok(())
    }
    /// How long the script has waited so far, for costs and delays.
    fn waited(&self) -> Duration {
        Duration::ZERO
    }
    /// `:delay`.
    fn wait(&mut self, _span: Span) -> Result<(), Failure> {
        Ok(())
    }
}

/// Arrays within arrays.
const MAX_NESTING: usize = 100;

/// What one line may use (I: a device has its own limits, nobody has measured them).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Commands: an endless loop must end.
    pub steps: u32,
    /// Time spent on computing.
    pub time: Duration,
    /// Bytes held in variables.
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps: 1_000_000, time: Duration::from_secs(60), memory: 256 << 20 }
    }
}

pub(crate) struct Machine<'a> {
    pub(super) menus: &'a mut dyn Menus,
    pub(crate) output: Vec<u8>,
    scopes: Vec<HashMap<String, Value>>,
    limits: Limits,
    steps: u32,
    started: Instant,
    held: usize,
    brackets: usize,
}

impl<'a> Machine<'a> {
    pub(crate) fn new(menus: &'a mut dyn Menus, limits: Limits) -> Self {
        let scopes = vec![HashMap::new()];
        Self {
            menus,
            output: Vec::new(),
            scopes,
            limits,
            steps: 0,
            started: Instant::now(),
            held: 0,
            brackets: 0,
        }
    }

    /// Runs commands in the current scope; the value of the last one is the result.
    pub(crate) fn run(&mut self, commands: &[Command]) -> Outcome {
        let mut last = Value::Nothing;
        for command in commands {
            self.step()?;
            last = self.command(command)?;
        }
        Ok(last)
    }

    fn computed(&self) -> Duration {
        self.started.elapsed().saturating_sub(self.menus.waited())
    }

    fn step(&mut self) -> Result<(), Failure> {
        self.steps += 1;
        if self.steps > self.limits.steps || self.computed() > self.limits.time {
            return Failure::new("failure: script runs too long");
        }
        self.menus.tick()
    }

    pub(super) fn print(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.output.len() + bytes.len() > MAX_TEXT {
            return Failure::new("failure: out of memory");
        }
        self.output.extend_from_slice(bytes);
        Ok(())
    }

    /// Runs a block in a scope of its own, with `names` set in it.
    pub(crate) fn block(&mut self, code: &Expr, names: HashMap<String, Value>) -> Outcome {
        let Expr::Block(commands) = code else {
            return self.value(code);
        };
        for value in names.values() {
            self.hold(value)?;
        }
        self.scopes.push(names);
        let result = self.step().and_then(|()| self.run(commands));
        for value in self.scopes.pop().unwrap_or_default().values() {
            self.held = self.held.saturating_sub(value.weight());
        }
        result
    }

    fn hold(&mut self, value: &Value) -> Result<(), Failure> {
        self.held += value.weight();
        if self.held > self.limits.memory { Failure::new("failure: out of memory") } else { Ok(()) }
    }

    pub(crate) fn declare(&mut self, name: String, value: Value) -> Result<(), Failure> {
        self.hold(&value)?;
        if let Some(scope) = self.scopes.last_mut()
            && let Some(before) = scope.insert(name, value)
        {
            self.held = self.held.saturating_sub(before.weight());
        }
        Ok(())
    }

    fn slot(&mut self, name: &str) -> Result<&mut Value, Failure> {
        let found = self.scopes.iter_mut().rev().find_map(|scope| scope.get_mut(name));
        found.ok_or_else(|| Failure::Raised(format!("no such variable {name}")))
    }

    /// Sets a variable that exists in some scope.
    pub(crate) fn assign(&mut self, name: &str, value: Value) -> Result<(), Failure> {
        self.hold(&value)?;
        let before = std::mem::replace(self.slot(name)?, value);
        self.held = self.held.saturating_sub(before.weight());
        Ok(())
    }

    /// Sets one element of a variable: `:set ($a->"k") v`.
    pub(super) fn assign_element(&mut self, target: &Expr, value: Value) -> Result<(), Failure> {
        let mut keys = Vec::new();
        let mut inner = target;
        while let Expr::Binary(Op::Index, array, key) = inner {
            keys.push(self.value(key)?);
            inner = array;
        }
        let (Expr::Var(name), Some(first)) = (inner, keys.first()) else {
            return Failure::new("invalid value for argument name");
        };
        // An element of an element: the inner arrays are taken out, changed and put back.
        let mut value = value;
        for at in 1..keys.len() {
            let mut array = self.slot(name)?.clone();
            for key in keys[at..].iter().rev() {
                array = binary(Op::Index, &array, key)?;
            }
            operate::put(&mut array, &keys[at - 1], value)?;
            value = array;
        }
        self.hold(&value)?;
        let last = keys.last().unwrap_or(first).clone();
        let slot = self.slot(name)?;
        let before = operate::put(slot, &last, value)?;
        shallow(slot)?;
        self.held = self.held.saturating_sub(before.weight());
        Ok(())
    }

    fn command(&mut self, command: &Command) -> Outcome {
        let first = command.words.first().map_or("", |(word, _)| word.as_str());
        if let Some(name) = builtin::name(first, command.words.len()) {
            let line = command.words.first().map_or(1, |(_, place)| place.line);
            return builtin::run(self, name, line, &command.args);
        }
        let mut arguments = Arguments { nested: self.brackets > 0, ..Arguments::default() };
        for arg in &command.args {
            match arg {
                // What a bare word means is the parameter's affair: `slot=5s` is no time.
                Arg::Named(name, _, Expr::Word(word)) => {
                    arguments.named.push((name.clone(), Value::text(word.as_str())));
                }
                Arg::Named(name, _, expr) => arguments.named.push((name.clone(), self.value(expr)?)),
                Arg::Positional(Expr::Word(word)) => arguments.positional.push(Value::text(word.as_str())),
                Arg::Positional(expr) => arguments.positional.push(self.value(expr)?),
                Arg::Where(all) => arguments
                    .conditions
                    .extend(all.iter().map(|expr| self.fixed(expr)).collect::<Result<Vec<_>, _>>()?),
            }
        }
        let words: Vec<&str> = command.words.iter().map(|(word, _)| word.as_str()).collect();
        let mut output = Vec::new();
        let result = self.menus.run(&words, arguments, &mut super::condition::holds, &mut output);
        self.print(&output)?;
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
            Expr::Any(inner) => Expr::Any(Box::new(self.fixed(inner)?)),
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
                other => Span::parse(other).map_or_else(|| Value::text(other), Value::Time),
            }),
            Expr::Text(parts) => {
                let mut bytes = Vec::new();
                for part in parts {
                    match part {
                        Part::Bytes(more) => bytes.extend_from_slice(more),
                        Part::Expr(inner) => bytes.extend(self.value(inner)?.bytes()),
                    }
                    if bytes.len() > MAX_TEXT {
                        return Failure::new("failure: out of memory");
                    }
                }
                Ok(Value::Str(bytes))
            }
            Expr::Var(name) => {
                let found = self.scopes.iter().rev().find_map(|scope| scope.get(name));
                Ok(found.cloned().unwrap_or(Value::Nothing))
            }
            Expr::Run(commands) => self.nested(commands),
            Expr::Block(_) => self.block(expr, HashMap::new()),
            Expr::Array(items) => self.array(items),
            Expr::Not(inner) => operate::negate(&self.value(inner)?),
            Expr::Neg(inner) => operate::minus(&self.value(inner)?),
            Expr::Invert(inner) => operate::invert(&self.value(inner)?),
            Expr::Any(inner) => Ok(Value::Bool(!matches!(self.value(inner)?, Value::Nothing))),
            // Both sides are always evaluated: `&&` and `||` do not short-circuit (M).
            Expr::Binary(op, left, right) => binary(*op, &self.value(left)?, &self.value(right)?),
        }
    }

    fn nested(&mut self, commands: &[Command]) -> Outcome {
        self.scopes.push(HashMap::new());
        self.brackets += 1;
        let result = self.run(commands);
        self.brackets -= 1;
        for value in self.scopes.pop().unwrap_or_default().values() {
            self.held = self.held.saturating_sub(value.weight());
        }
        result
    }

    fn array(&mut self, items: &[(Option<Expr>, Expr)]) -> Outcome {
        let (mut array, mut weight) = (Vec::with_capacity(items.len()), 0);
        for (key, item) in items {
            let key = key.as_ref().map(|key| self.value(key)).transpose()?.map(|key| key.lossy());
            let item = self.value(item)?;
            weight += item.weight();
            if weight > self.limits.memory {
                return Failure::new("failure: out of memory");
            }
            array.push((key, item));
        }
        let array = Value::array(array);
        shallow(&array)?;
        Ok(array)
    }

    /// Compiles a text without running it (M): what it compiles to, or the compiler's complaint.
    pub(crate) fn compile(&self, source: &[u8]) -> Value {
        let compiled = parse::parse(source).and_then(|commands| check(&commands, self.menus));
        Value::text(match compiled {
            Ok(()) => format!("(evl {})", String::from_utf8_lossy(source)),
            Err(SyntaxError(text)) => text,
        })
    }
}

/// A list in a list in a list … must end somewhere: it is walked by functions that call themselves.
fn shallow(value: &Value) -> Result<(), Failure> {
    if value.is_deeper_than(MAX_NESTING) {
        Failure::new("failure: array is nested too deeply")
    } else {
        Ok(())
    }
}
