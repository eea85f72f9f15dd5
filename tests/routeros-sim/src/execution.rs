//! One line running: what it may, what it costs, and where it is stopped.
//!
//! The appliance is locked for one command of a menu at a time, so lines of different channels interleave, as nothing
//! says they do not on a device (I: RouterOS has no transactions). Costs are waited for without the lock.

use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::config::Costs;
use crate::faults::Effect;
use crate::language::ast::Command;
use crate::language::check::check;
use crate::language::eval::{Arguments, Failure, Holds, Limits, Machine, Menus, Outcome};
use crate::language::parse;
use crate::language::scan::SyntaxError;
use crate::language::span::Span;
use crate::menu::{self, Call, Done, spec};
use crate::world::World;

/// How a line ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Finished,
    /// With an error text, which is in the output.
    Failed,
    /// Nothing more runs and nothing is answered.
    Stopped,
}

/// What running a line gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) output: Vec<u8>,
    pub(crate) end: End,
    pub(crate) changes: u32,
}

/// Waiting, for a line that runs in a thread where it may.
struct Clock {
    handle: Handle,
    power: CancellationToken,
    costs: Costs,
}

pub(crate) struct Execution<'a> {
    world: &'a World,
    clock: Option<Clock>,
    /// `None`: everything is allowed.
    policies: Option<String>,
    fault: Option<Effect>,
    /// Cuts the connection.
    cut: CancellationToken,
    limits: Limits,
    width: usize,
    /// The menu a line without a leading slash belongs to.
    menu: Vec<String>,
    changes: u32,
    waited: Duration,
}

impl<'a> Execution<'a> {
    pub(crate) fn at_console(world: &'a World) -> Self {
        Self {
            world,
            clock: None,
            policies: None,
            fault: None,
            cut: CancellationToken::new(),
            limits: Limits::default(),
            width: menu::print::WIDTH,
            menu: Vec::new(),
            changes: 0,
            waited: Duration::ZERO,
        }
    }

    /// As the user who is logged in. Must run in a thread that may wait.
    pub(crate) fn for_user(world: &'a World, handle: Handle, cut: CancellationToken) -> Self {
        let settings = world.settings().clone();
        let clock = Clock { handle, power: world.power(), costs: settings.costs };
        Self { clock: Some(clock), policies: Some(settings.policies), cut, ..Self::at_console(world) }
    }

    pub(crate) fn with_fault(self, fault: Option<Effect>) -> Self {
        Self { fault, ..self }
    }

    pub(crate) fn on_terminal(self, width: usize, menu: Vec<String>) -> Self {
        Self { width, menu, ..self }
    }

    #[cfg(test)]
    pub(crate) fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Runs a line and gives what a terminal would show.
    pub(crate) fn run(mut self, line: &str) -> Ran {
        let compiled = parse::parse_in(line.as_bytes(), &self.menu)
            .and_then(|commands| check(&commands, &self).map(|()| commands));
        let commands = match compiled {
            Ok(commands) => commands,
            Err(SyntaxError(text)) => {
                return Ran { output: format!("{text}\r\n").into_bytes(), end: End::Failed, changes: 0 };
            }
        };
        let limits = self.limits;
        let mut machine = Machine::new(&mut self, limits);
        let result = machine.run(&commands);
        let mut output = std::mem::take(&mut machine.output);
        let end = match result {
            Ok(_) => End::Finished,
            Err(Failure::Raised(text)) => {
                output.extend(format!("{text}\r\n").bytes());
                End::Failed
            }
            Err(Failure::Stopped) => End::Stopped,
        };
        Ran { output, end, changes: self.changes }
    }

    fn pause(&mut self, time: Duration) -> Result<(), Failure> {
        let Some(clock) = self.clock.as_ref().filter(|_| !time.is_zero()) else { return Ok(()) };
        let before = Instant::now();
        let went = clock.handle.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(time) => true,
                () = clock.power.cancelled() => false,
            }
        });
        self.waited += before.elapsed();
        if went { Ok(()) } else { Err(Failure::Stopped) }
    }

    /// The fault strikes when as many changes are made as it says.
    fn strike(&self) -> Result<(), Failure> {
        match self.fault {
            Some(Effect::StopAfter(changes) | Effect::HangAfter(changes)) if changes == self.changes => {
                Err(Failure::Stopped)
            }
            Some(Effect::DropAfter(changes)) if changes == self.changes => {
                self.cut.cancel();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What a command costs besides its effect.
    fn pay(&mut self, words: &[&str], changes: bool) -> Result<(), Failure> {
        let Some(costs) = self.clock.as_ref().map(|clock| clock.costs) else { return Ok(()) };
        let mut cost = Duration::from_millis(if changes { costs.change_ms } else { 0 });
        if matches!(words, ["file", "print" | "find"]) && costs.walk_us > 0 {
            let files = u64::try_from(self.world.appliance().file_count()).unwrap_or(u64::MAX);
            cost += Duration::from_micros(costs.walk_us.saturating_mul(files));
        }
        self.pause(cost)
    }
}

impl Menus for Execution<'_> {
    fn check(&self, command: &Command) -> Result<(), SyntaxError> {
        spec::check(command, &self.world.appliance().version)
    }

    fn version(&self) -> (u32, u32) {
        spec::version_of(&self.world.appliance().version)
    }

    fn run(
        &mut self,
        words: &[&str],
        arguments: Arguments,
        holds: &mut Holds<'_>,
        output: &mut Vec<u8>,
    ) -> Outcome {
        if self.policies.as_ref().is_some_and(|policies| !spec::policy(words).allows(policies)) {
            return Failure::new("not enough permissions (9)");
        }
        let changes = spec::changes(words);
        if changes && self.changes == 0 {
            self.strike()?;
        }
        let world = self.world;
        let clock = self.clock.as_ref().filter(|clock| changes && clock.costs.serial_changes);
        let turn = clock.map(|clock| clock.handle.block_on(world.serial.lock()));
        self.pay(words, changes)?;
        self.tick()?;
        let mut done = Done::default();
        let result = {
            let mut appliance = world.appliance();
            let width = self.width;
            let mut call =
                Call { appliance: &mut appliance, arguments, holds, output, done: &mut done, width };
            menu::run(words, &mut call)
        };
        drop(turn);
        if done.changed {
            self.changes += 1;
            self.strike()?;
        }
        if done.reboot {
            // Nobody listens only when the whole simulator ends.
            let _ = world.reboots.send(crate::device::REBOOT_SECONDS);
            return Err(Failure::Stopped);
        }
        result
    }

    fn tick(&mut self) -> Result<(), Failure> {
        let off = self.clock.as_ref().is_some_and(|clock| clock.power.is_cancelled());
        if off { Err(Failure::Stopped) } else { Ok(()) }
    }

    fn waited(&self) -> Duration {
        self.waited
    }

    fn wait(&mut self, span: Span) -> Result<(), Failure> {
        self.pause(Duration::from_millis(u64::try_from(span.0).unwrap_or(0)))
    }
}
