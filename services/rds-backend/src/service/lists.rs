//! Lists and room: answers about a whole appliance, from reads that are shared.

use std::collections::BTreeSet;
use std::sync::Arc;

use chassis::deadline::Deadline;
use proto::fault::Fault;
use proto::rds::volume::v1::{
    GetCapacityRequest, GetCapacityResponse, ListSnapshotsRequest, ListSnapshotsResponse, ListVolumesRequest,
    ListVolumesResponse,
};
use proto::size::ByteSize;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::{Inner, Target, snapshots};
use crate::appliance::census::{Census, Listed};
use crate::appliance::{Appliance, RunError};
use crate::capacity;
use crate::fault::{About, Failure};
use crate::paging::page;

impl Inner {
    pub(super) async fn list_volumes(
        self: Arc<Self>,
        request: ListVolumesRequest,
        deadline: Deadline,
    ) -> Result<ListVolumesResponse, Fault> {
        let censuses = self.censuses(&request.appliance, deadline).await?;
        let found = self.ours(&censuses)?.filter(|own| !own.volume.slot.is_snapshot());
        let (page, next_page_token) = page(found, Own::handle, request.page_size, &request.page_token)?;
        let describe = |own: Own<'_>| {
            let target = Target {
                appliance: Arc::clone(own.appliance),
                slot: own.volume.slot.clone(),
                handle: own.volume.handle.clone(),
            };
            target.describe(&own.volume.volume)
        };
        Ok(ListVolumesResponse { volumes: page.into_iter().map(describe).collect(), next_page_token })
    }

    pub(super) async fn list_snapshots(
        self: Arc<Self>,
        request: ListSnapshotsRequest,
        deadline: Deadline,
    ) -> Result<ListSnapshotsResponse, Fault> {
        let censuses = self.censuses(&request.appliance, deadline).await?;
        let found = self.ours(&censuses)?.filter(|own| {
            let of_source = || snapshots::source(own.appliance, &own.volume.volume) == request.source;
            own.volume.slot.is_snapshot() && (request.source.is_empty() || of_source())
        });
        let (page, next_page_token) = page(found, Own::handle, request.page_size, &request.page_token)?;
        let describe = |own: Own<'_>| snapshots::describe(own.appliance, &own.volume.volume);
        Ok(ListSnapshotsResponse { snapshots: page.into_iter().map(describe).collect(), next_page_token })
    }

    pub(super) async fn get_capacity(
        self: Arc<Self>,
        request: GetCapacityRequest,
        deadline: Deadline,
    ) -> Result<GetCapacityResponse, Fault> {
        let wanted = self.wanted(&request.appliance)?;
        let alone = wanted.len() == 1;
        let mut asking = JoinSet::new();
        for appliance in wanted {
            let ask = async move { (appliance.pools(deadline).await, appliance) };
            asking.spawn(ask.in_current_span());
        }
        let (mut answer, mut seen) = (GetCapacityResponse::default(), BTreeSet::new());
        answer.minimum_volume_bytes = ByteSize::MIB.bytes();
        let mut last = None;
        for (read, appliance) in asking.join_all().await {
            let rows = match read {
                Ok(rows) => rows,
                // One appliance that is down takes its own room away, not that of the others.
                Err(error) => {
                    last = Some(unread(&appliance, error));
                    continue;
                }
            };
            let pools = capacity::pools(appliance.config(), &appliance.places(), &rows.pools);
            for pool in pools {
                if !request.directory.is_empty() && pool.directory != request.directory.trim_end_matches('/')
                {
                    continue;
                }
                let room = capacity::room(&pool);
                answer.maximum_volume_bytes = answer.maximum_volume_bytes.max(room);
                // Two folders on one pool share its room.
                if seen.insert((appliance.config().name.clone(), pool.slot.clone())) {
                    answer.available_bytes = answer.available_bytes.saturating_add(room);
                }
                answer.pools.push(pool);
            }
        }
        match last {
            Some(fault) if alone || answer.pools.is_empty() => Err(fault),
            Some(_) | None => Ok(answer),
        }
    }

    /// The configured appliances of that name; an empty one means all.
    pub(super) fn wanted(&self, name: &str) -> Result<Vec<Arc<Appliance>>, Fault> {
        let of_name = |a: &&Arc<Appliance>| name.is_empty() || a.config().name.as_str() == name;
        let wanted: Vec<_> = self.appliances.iter().filter(of_name).map(Arc::clone).collect();
        if wanted.is_empty() { Err(self.no_such_appliance(name, "the request")) } else { Ok(wanted) }
    }

    /// What every wanted appliance has now. One that does not answer is an error: a list without its volumes would say
    /// that they are gone.
    async fn censuses(
        &self,
        name: &str,
        deadline: Deadline,
    ) -> Result<Vec<(Arc<Appliance>, Arc<Census>)>, Fault> {
        let mut asking = JoinSet::new();
        for appliance in self.wanted(name)? {
            let ask = async move { (appliance.census(deadline).await, appliance) };
            asking.spawn(ask.in_current_span());
        }
        let read = asking.join_all().await.into_iter();
        read.map(|(census, appliance)| match census {
            Ok(census) => Ok((appliance, census)),
            Err(error) => Err(unread(&appliance, error)),
        })
        .collect()
    }

    /// The rows that are proven ours, of each appliance in the order of their handles.
    fn ours<'a>(
        &self,
        censuses: &'a [(Arc<Appliance>, Arc<Census>)],
    ) -> Result<impl Iterator<Item = Own<'a>>, Fault> {
        let cluster = self.cluster.id()?;
        let ours = move |(appliance, census): &'a (Arc<Appliance>, Arc<Census>)| {
            let volumes = census.ours(|disks| appliance.ours(disks, cluster));
            volumes.iter().map(move |volume| Own { appliance, volume })
        };
        Ok(censuses.iter().flat_map(ours).collect::<Vec<_>>().into_iter())
    }
}

/// A row that is proven ours, and where it is.
struct Own<'a> {
    appliance: &'a Arc<Appliance>,
    volume: &'a Listed,
}

impl<'a> Own<'a> {
    fn handle(&self) -> &'a str {
        &self.volume.handle
    }
}

/// The fault of a read of a whole appliance.
pub(super) fn unread(appliance: &Appliance, error: RunError) -> Fault {
    let config = appliance.config();
    Failure::from(error).into_fault(About {
        what: "read",
        volume: "lists",
        appliance: config.name.as_str(),
        address: &config.ssh,
    })
}
