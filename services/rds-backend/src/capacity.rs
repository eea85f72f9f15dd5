//! Pools: what the appliance says of them, as messages carry it.

use proto::rds::volume::v1::Pool;
use proto::size::ByteSize;

use crate::config::ApplianceConfig;
use crate::routeros::disk::PoolRow;
use crate::routeros::script::Place;

/// One entry per configured folder, in the order of the configuration. A pool that is not there is unhealthy and says so.
pub(crate) fn pools(config: &ApplianceConfig, places: &[Place], rows: &[PoolRow]) -> Vec<Pool> {
    places
        .iter()
        .map(|place| match rows.iter().find(|row| row.slot == place.pool) {
            Some(row) => Pool {
                directory: place.directory.clone(),
                slot: row.slot.clone(),
                filesystem: row.filesystem.clone(),
                size_bytes: row.size.bytes(),
                free_bytes: row.free.bytes(),
                reserve_bytes: config.reserve.bytes(),
                healthy: row.is_healthy(),
                state: row.state.clone(),
            },
            None => Pool {
                directory: place.directory.clone(),
                slot: place.pool.clone(),
                reserve_bytes: config.reserve.bytes(),
                state: "missing".to_owned(),
                ..Pool::default()
            },
        })
        .collect()
}

/// Bytes a new volume can take of a pool: what is free without the reserve, in whole MiB.
pub(crate) fn room(pool: &Pool) -> u64 {
    if !pool.healthy {
        return 0;
    }
    let free = pool.free_bytes.saturating_sub(pool.reserve_bytes);
    free - free % ByteSize::MIB.bytes()
}

/// Less than a tenth is free after the reserve.
pub(crate) fn is_nearly_full(pool: &Pool) -> bool {
    pool.healthy && pool.free_bytes.saturating_sub(pool.reserve_bytes) < pool.size_bytes / 10
}
