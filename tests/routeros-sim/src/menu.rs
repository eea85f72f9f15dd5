//! The menus: what `/disk`, `/file` and `/system` answer.

mod btrfs;
mod disk;
mod file;
pub(crate) mod print;
mod selection;
pub(crate) mod spec;
mod system;

use crate::appliance::{Appliance, Row};
use crate::language::eval::{Arguments, Failure, Holds, Outcome};
use crate::language::value::Value;

/// What a command of a menu has done besides answering.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// It changed something.
    pub(crate) changed: bool,
    /// The appliance is to start anew.
    pub(crate) reboot: bool,
}

/// One command of a menu, with what surrounds it.
pub(crate) struct Call<'a, 'b> {
    pub(crate) appliance: &'a mut Appliance,
    pub(crate) arguments: Arguments,
    pub(crate) holds: &'a mut Holds<'b>,
    pub(crate) output: &'a mut Vec<u8>,
    pub(crate) done: &'a mut Done,
    /// Columns of the terminal.
    pub(crate) width: usize,
}

/// Runs the verb of a menu; both are known to exist.
pub(crate) fn run(words: &[&str], call: &mut Call<'_, '_>) -> Outcome {
    match words {
        ["disk", verb] => disk::run(verb, call),
        ["disk", "btrfs", "subvolume", verb] => btrfs::subvolumes(verb, call),
        ["disk", "btrfs", "filesystem", verb] => btrfs::filesystems(verb, call),
        ["file", verb] => file::run(verb, call),
        ["system", "reboot"] => {
            call.done.reboot = true;
            Ok(Value::Nothing)
        }
        ["system", menu, verb] => system::run(menu, verb, call),
        _ => Failure::new("no such command"),
    }
}

/// A row as a keyed array; with a list of properties, only those.
pub(crate) fn as_value(row: &Row, only: Option<&[String]>) -> Value {
    let wanted = |key: &String| only.is_none_or(|only| only.contains(key));
    Value::array(
        row.iter()
            .filter(|(key, _)| wanted(key))
            .map(|(key, value)| (Some(key.clone()), value.clone()))
            .collect(),
    )
}

#[cfg(test)]
mod tests;
