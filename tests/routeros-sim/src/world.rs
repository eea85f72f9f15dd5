//! What all parts of the simulated appliance share.

use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::appliance::Appliance;
use crate::faults::Script;
use crate::language::eval::{self, Failure, Machine};
use crate::language::scan::SyntaxError;
use crate::language::{json, parse};
use crate::menu;
use crate::portal::PortalSession;

pub(crate) struct World {
    appliance: Mutex<Appliance>,
    script: Mutex<Script>,
    sessions: Mutex<Vec<(u64, PortalSession)>>,
    pub(crate) ssh_sessions: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new(appliance: Appliance) -> Self {
        Self {
            appliance: Mutex::new(appliance),
            script: Mutex::default(),
            sessions: Mutex::default(),
            ssh_sessions: AtomicUsize::new(0),
        }
    }

    pub(crate) fn appliance(&self) -> MutexGuard<'_, Appliance> {
        lock(&self.appliance)
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        lock(&self.script)
    }

    /// Runs one line and gives what a terminal would show.
    pub(crate) fn run(&self, line: &str) -> Vec<u8> {
        let mut appliance = self.appliance();
        let compiled = parse::parse(line.as_bytes())
            .and_then(|commands| eval::check(&commands, &*appliance).map(|()| commands));
        match compiled {
            Err(SyntaxError(text)) => format!("{text}\r\n").into_bytes(),
            Ok(commands) => {
                let mut machine = Machine::new(&mut *appliance);
                let result = machine.run(&commands);
                let mut output = machine.output;
                if let Err(Failure(text)) = result {
                    output.extend(format!("{text}\r\n").bytes());
                }
                output
            }
        }
    }

    /// Every disk row as JSON.
    pub(crate) fn disks(&self) -> Vec<serde_json::Value> {
        let appliance = self.appliance();
        let rows = appliance.ids().into_iter().filter_map(|id| appliance.row(id));
        rows.filter_map(|row| {
            serde_json::from_slice(&json::serialize(&menu::as_value(&row, None), true)).ok()
        })
        .collect()
    }

    pub(crate) fn sessions(&self) -> Vec<PortalSession> {
        lock(&self.sessions).iter().map(|(_, session)| session.clone()).collect()
    }

    /// Lists a session until the guard is dropped.
    pub(crate) fn enter(&self, session: PortalSession) -> Entered<'_> {
        let mut sessions = lock(&self.sessions);
        let number = sessions.last().map_or(0, |(number, _)| number + 1);
        sessions.push((number, session));
        Entered { world: self, number }
    }
}

pub(crate) struct Entered<'a> {
    world: &'a World,
    number: u64,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        lock(&self.world.sessions).retain(|(number, _)| *number != self.number);
    }
}
