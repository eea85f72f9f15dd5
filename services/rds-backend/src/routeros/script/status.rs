//! Commands about the appliance itself.

use std::collections::BTreeSet;

use super::guard::Place;
use super::{Script, Verb};
use crate::mark;
use crate::routeros::quote::quote;

/// Asks for the version and whether uptimes can be compared: the first command on every new connection.
pub(crate) fn hello() -> Script {
    let comparable = ":local zComparable false; :onerror zE in={ :local zUp [/system/resource/get uptime]; \
                      :if (($zUp > 0s) && ($zUp < 5000w) && ($zUp <= ($zUp + 1s))) do={ :set zComparable true } } do={}";
    Script::new(
        Verb::Hello,
        None,
        &[
            comparable.to_owned(),
            ":set zRes {\"resource\"=[/system/resource/print as-value];\"comparable\"=$zComparable}"
                .to_owned(),
        ],
    )
}

/// Asks for the pools.
pub(crate) fn pools(places: &[Place]) -> Script {
    Script::new(Verb::Pools, None, &[format!(":set zRes {{\"pools\"={}}}", pool_rows(places))])
}

/// What is needed of a disk.
const PROPERTIES: &str = "slot,type,file-path,file-size,comment,nvme-tcp-export,nvme-tcp-server-nqn";

/// Asks for every file disk and the pools.
pub(crate) fn census(places: &[Place]) -> Script {
    Script::new(
        Verb::List,
        None,
        &[format!(
            ":set zRes {{\"disks\"=[/disk/print as-value proplist={PROPERTIES} where type=file];\"pools\"={}}}",
            pool_rows(places)
        )],
    )
}

/// An expression: the rows of all pools, by their slots.
fn pool_rows(places: &[Place]) -> String {
    let pools: BTreeSet<&str> = places.iter().map(|place| place.pool.as_str()).collect();
    let row = |pool: &str| format!("{0}=[/disk/print as-value where slot={0}]", quote(pool));
    format!("{{{}}}", pools.into_iter().map(row).collect::<Vec<_>>().join(";"))
}

/// Asks for the version, the pools, and how many rows begin with our mark.
pub(crate) fn status(places: &[Place], head: &str) -> Script {
    let count = format!(
        ":foreach zI in=[/disk/find where type=file] do={{ :if ([:pick [:tostr [/disk/get $zI comment]] 0 {}] = {}) \
         do={{ :set zCount ($zCount + 1) }} }}",
        mark::HEAD.end,
        quote(head)
    );
    Script::new(
        Verb::Status,
        None,
        &[
            ":local zCount 0".to_owned(),
            count,
            format!(
                ":set zRes {{\"resource\"=[/system/resource/print as-value];\"volumes\"=$zCount;\"pools\"={}}}",
                pool_rows(places)
            ),
        ],
    )
}

/// Asks for everything the appliance says of its own health.
pub(crate) fn health(places: &[Place]) -> Script {
    let hardware = "[/disk/print as-value proplist=slot,model,serial,size,state where type=hardware]";
    Script::new(
        Verb::Health,
        None,
        &[format!(
            ":set zRes {{\"resource\"=[/system/resource/print as-value];\"mode\"=[/system/device-mode/print as-value];\
             \"sensors\"=[/system/health/print as-value];\"drives\"={hardware};\"pools\"={}}}",
            pool_rows(places)
        )],
    )
}

/// Asks for the files in the folders, and for the subvolumes if there is a btrfs pool. Slow: any look at files walks all
/// of them.
pub(crate) fn files(places: &[Place]) -> Script {
    let files: Vec<String> = places
        .iter()
        .map(|place| {
            let path = quote(super::guard::file_name(&place.directory));
            format!("{path}=[/file/print as-value proplist=name,type,size path={path}]")
        })
        .collect();
    let subvolumes = if places.iter().any(|place| place.btrfs) {
        "[/disk/btrfs/subvolume/print as-value proplist=name,fs]"
    } else {
        "\"\""
    };
    Script::new(
        Verb::Files,
        None,
        &[format!(":set zRes {{\"files\"={{{}}};\"subvolumes\"={subvolumes}}}", files.join(";"))],
    )
}
