//! What all parts of the simulated appliance share.

use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::appliance::{Appliance, Row, yes};
use crate::config::{Config, Costs};
use crate::execution::Execution;
use crate::faults::{Faults, Flaky};
use crate::journal::Journal;
use crate::language::json;
use crate::menu;
use crate::portal::PortalSession;

/// What can be changed while it runs, besides rows.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) costs: Costs,
    pub(crate) policies: String,
    pub(crate) max_sessions: usize,
    pub(crate) max_line: usize,
    pub(crate) flaky: Flaky,
}

pub(crate) struct World {
    appliance: Mutex<Appliance>,
    faults: Mutex<Faults>,
    journal: Mutex<Journal>,
    settings: Mutex<Settings>,
    sessions: Mutex<Vec<(u64, PortalSession)>>,
    /// Cancelled when the power goes: scripts stop where they are.
    power: Mutex<CancellationToken>,
    /// Where a reboot is asked for, with the seconds it takes.
    pub(crate) reboots: mpsc::UnboundedSender<u64>,
    /// Held by a change while changes wait for each other.
    pub(crate) serial: tokio::sync::Mutex<()>,
    /// Held for reading by each command of a user until its end is in the journal; a reboot waits for them to stop.
    pub(crate) running: tokio::sync::RwLock<()>,
    pub(crate) ssh_sessions: AtomicUsize,
    pub(crate) connections: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new(appliance: Appliance, config: &Config, reboots: mpsc::UnboundedSender<u64>) -> Self {
        Self {
            appliance: Mutex::new(appliance),
            faults: Mutex::default(),
            journal: Mutex::default(),
            settings: Mutex::new(Settings {
                costs: config.costs,
                policies: config.policies.clone(),
                max_sessions: config.max_sessions,
                max_line: config.max_line,
                flaky: Flaky { every: 0, after: 0 },
            }),
            sessions: Mutex::default(),
            power: Mutex::default(),
            reboots,
            serial: tokio::sync::Mutex::default(),
            running: tokio::sync::RwLock::default(),
            ssh_sessions: AtomicUsize::new(0),
            connections: AtomicU64::new(0),
        }
    }

    pub(crate) fn appliance(&self) -> MutexGuard<'_, Appliance> {
        lock(&self.appliance)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        lock(&self.journal)
    }

    pub(crate) fn settings(&self) -> MutexGuard<'_, Settings> {
        lock(&self.settings)
    }

    /// Cancelled when the power goes next.
    pub(crate) fn power(&self) -> CancellationToken {
        lock(&self.power).clone()
    }

    pub(crate) fn cut_power(&self) {
        lock(&self.power).cancel();
    }

    pub(crate) fn restore_power(&self) {
        *lock(&self.power) = CancellationToken::new();
    }

    /// Runs one line as at the console, and gives what a terminal would show: nothing costs anything there, nothing is
    /// forbidden, nothing goes wrong.
    pub(crate) fn run(&self, line: &str) -> Vec<u8> {
        Execution::at_console(self).run(line).output
    }

    /// Every disk row as JSON.
    pub(crate) fn disks(&self) -> Vec<serde_json::Value> {
        let appliance = self.appliance();
        appliance.disks.ids().into_iter().filter_map(|id| as_json(&appliance.row(id)?)).collect()
    }

    /// Every subvolume that somebody made, as JSON: the roots of filesystems are left out.
    pub(crate) fn subvolumes(&self) -> Vec<serde_json::Value> {
        let appliance = self.appliance();
        let ids = appliance.subvolumes.ids().into_iter();
        let made = ids.filter_map(|id| appliance.subvolume_row(id)).filter(|row| !yes(row, "default"));
        made.filter_map(|row| as_json(&row)).collect()
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

fn as_json(row: &Row) -> Option<serde_json::Value> {
    serde_json::from_slice(&json::serialize(&menu::as_value(row, None), true).ok()?).ok()
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
