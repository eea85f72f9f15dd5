//! `rdsctl appliance pools`: room for new volumes; and the rows of pools that other commands show too.

use proto::rds::volume::v1::{ApplianceStatus, GetCapacityRequest, GetCapacityResponse, Pool};
use serde_json::Value;

use crate::backend::{Backend, SHORT};
use crate::cli::ApplianceArguments;
use crate::message;
use crate::outcome::Failure;
use crate::table::{Table, paragraphs, rough, visible};

/// One appliance and its room, or why it cannot be asked.
struct Room {
    appliance: String,
    answer: Result<Capacity, String>,
}

/// Room on one appliance, and in each of its folders, in the order of its pools.
struct Capacity {
    whole: GetCapacityResponse,
    folders: Vec<GetCapacityResponse>,
}

/// Asks each appliance by itself, for the answer does not say which pool is whose. A pool that is not healthy, or an
/// appliance that cannot be reached, is bad news.
pub(super) async fn pools(arguments: ApplianceArguments) -> Result<(), Failure> {
    let backend = Backend::of(arguments.backend, SHORT)?;
    let alone = arguments.name.is_some();
    let wanted = match arguments.name {
        Some(name) => vec![ApplianceStatus { name, reachable: true, ..ApplianceStatus::default() }],
        None => backend.status("").await?,
    };
    let mut rooms = Vec::new();
    for ApplianceStatus { name: appliance, reachable, problem, .. } in wanted {
        let answer =
            if reachable { capacity(&backend, &appliance).await } else { Err(Failure::Refused(problem)) };
        let answer = match answer {
            Ok(capacity) => Ok(capacity),
            // One that does not answer does not hide the others.
            Err(Failure::Refused(problem)) => Err(problem),
            Err(Failure::Answer(status)) if !alone => Err(status.message().to_owned()),
            Err(failure) => return Err(failure),
        };
        rooms.push(Room { appliance, answer });
    }
    arguments.output.show(|| text(&rooms), || rooms.iter().map(value).collect());
    let well = |room: &Room| {
        room.answer.as_ref().is_ok_and(|capacity| capacity.whole.pools.iter().all(|pool| pool.healthy))
    };
    if rooms.iter().all(well) { Ok(()) } else { Err(Failure::BadNews) }
}

/// The largest volume of a folder is known only when it is asked for alone.
async fn capacity(backend: &Backend, appliance: &str) -> Result<Capacity, Failure> {
    let whole = ask(backend, appliance, "").await?;
    let folders = match whole.pools.as_slice() {
        [_] => vec![whole.clone()],
        pools => {
            let mut folders = Vec::new();
            for pool in pools {
                folders.push(ask(backend, appliance, &pool.directory).await?);
            }
            folders
        }
    };
    Ok(Capacity { whole, folders })
}

async fn ask(backend: &Backend, appliance: &str, directory: &str) -> Result<GetCapacityResponse, Failure> {
    let (appliance, directory) = (appliance.to_owned(), directory.to_owned());
    let message = GetCapacityRequest { appliance, directory };
    backend.call("GetCapacity", message, async |m| backend.appliances().get_capacity(m).await).await
}

/// The answer of the whole appliance; each of its pools also with what its folder has room for.
fn value(room: &Room) -> Value {
    let name = room.appliance.as_str();
    match &room.answer {
        Ok(Capacity { whole, folders }) => {
            let mut value = message::value_with(whole, &[("appliance", name.into()), ("problem", "".into())]);
            let pools = value.get_mut("pools").and_then(Value::as_array_mut);
            for (pool, folder) in pools.into_iter().flatten().zip(folders) {
                pool["available_bytes"] = folder.available_bytes.into();
                pool["maximum_volume_bytes"] = folder.maximum_volume_bytes.into();
            }
            value
        }
        Err(problem) => {
            let more = [("appliance", name.into()), ("problem", problem.as_str().into())];
            message::value_with(&GetCapacityResponse::default(), &more)
        }
    }
}

fn text(rooms: &[Room]) -> String {
    let mut pools = Table::new([
        "APPLIANCE",
        "FOLDER",
        "SLOT",
        "FS",
        "SIZE",
        "FREE",
        "RESERVE",
        "AVAILABLE",
        "LARGEST VOLUME",
        "STATE",
    ]);
    let mut remarks = String::new();
    for Room { appliance: name, answer } in rooms {
        let shown = visible(name);
        match answer {
            Ok(Capacity { whole, folders }) => {
                for (pool, folder) in whole.pools.iter().zip(folders) {
                    let [appliance, directory, slot, filesystem, size, free, reserve, state] =
                        row(name, pool);
                    let (available, largest) = (folder.available_bytes, folder.maximum_volume_bytes);
                    let (available, largest) = (rough(available), rough(largest));
                    pools.row([
                        appliance, directory, slot, filesystem, size, free, reserve, available, largest,
                        state,
                    ]);
                }
                let (available, smallest) = (rough(whole.available_bytes), rough(whole.minimum_volume_bytes));
                remarks += &format!("{shown}: {available} available, volumes have at least {smallest}\n");
            }
            Err(problem) => remarks += &format!("{shown}: problem: {}\n", visible(problem)),
        }
    }
    let pools = if pools.is_empty() { String::new() } else { pools.to_string() };
    paragraphs(&[pools, remarks])
}

/// A table for [`row`].
pub(super) fn table() -> Table<8> {
    Table::new(["APPLIANCE", "FOLDER", "SLOT", "FS", "SIZE", "FREE", "RESERVE", "STATE"])
}

/// The table, or nothing when it has no rows.
pub(super) fn shown(table: &Table<8>) -> String {
    if table.is_empty() { String::new() } else { table.to_string() }
}

/// A pool of an appliance.
pub(super) fn row(appliance: &str, pool: &Pool) -> [String; 8] {
    let state = match (pool.healthy, pool.state.as_str()) {
        (true, "") => "healthy".to_owned(),
        (true, state) => format!("healthy ({state})"),
        (false, "") => "UNHEALTHY".to_owned(),
        (false, state) => format!("UNHEALTHY ({state})"),
    };
    [
        appliance.to_owned(),
        pool.directory.clone(),
        pool.slot.clone(),
        pool.filesystem.clone(),
        rough(pool.size_bytes),
        rough(pool.free_bytes),
        rough(pool.reserve_bytes),
        state,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_appliance_that_was_not_asked_is_said_and_not_shown_as_full() {
        let room = Room { appliance: "rds2".to_owned(), answer: Err("no route".to_owned()) };
        assert_eq!(text(std::slice::from_ref(&room)), "rds2: problem: no route\n");
        assert_eq!(value(&room)["problem"], "no route");
    }
}
