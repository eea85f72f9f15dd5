//! Commands about the appliance itself.

use std::collections::BTreeSet;

use super::guard::Place;
use super::{Script, Verb};
use crate::mark;
use crate::routeros::quote::quote;

/// Asks for the version: the first command on every new connection.
pub(crate) fn hello() -> Script {
    Script::new(Verb::Hello, None, &[":set zRes {\"resource\"=[/system/resource/print as-value]}".to_owned()])
}

/// Asks for the version, the pools, and how many rows begin with our mark.
pub(crate) fn status(places: &[Place], head: &str) -> Script {
    let pools: BTreeSet<&str> = places.iter().map(|place| place.pool.as_str()).collect();
    let pools: Vec<String> = pools
        .into_iter()
        .map(|pool| format!("{0}=[/disk/print as-value where slot={0}]", quote(pool)))
        .collect();
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
                ":set zRes {{\"resource\"=[/system/resource/print as-value];\"volumes\"=$zCount;\"pools\"={{{}}}}}",
                pools.join(";")
            ),
        ],
    )
}
