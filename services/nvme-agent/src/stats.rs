//! Bytes and inodes in use. Nothing here hangs on a dead device: a filesystem is asked with statvfs, which answers from
//! memory, and a block volume's size is read from sysfs.

use proto::fault::Fault;
use proto::rds::node::v1 as pb;

use crate::expand::find;
use crate::failure::Failure;
use crate::fault;
use crate::node::Operation;
use crate::paths::KubeletPath;

/// Measures the volume at `path`; `None` is a path outside kubelet's folder.
pub(crate) async fn measure(
    op: &Operation,
    path: Option<&KubeletPath>,
) -> Result<pb::GetStatsResponse, Fault> {
    look(op, path).await.map_err(|failure| {
        let settled = matches!(failure, Failure::NotHere | Failure::NoSuchPath(_));
        fault::of(&failure, &op.handle.to_string(), &op.node.config.node_name, settled)
    })
}

async fn look(op: &Operation, path: Option<&KubeletPath>) -> Result<pb::GetStatsResponse, Failure> {
    let found = find(op, path).await?;
    if found.block {
        let device = found.session.and_then(|session| session.device).ok_or(Failure::NoDevice)?;
        let bytes = pb::Usage { total: device.size.bytes(), ..pb::Usage::default() };
        return Ok(pb::GetStatsResponse { bytes: Some(bytes), inodes: None });
    }
    // `find` refuses a missing path.
    let path = path.ok_or(Failure::NotHere)?;
    let space = op.host.space(path).await.map_err(Failure::kernel("measuring"))?;
    let usage =
        |[total, free, available]: [u64; 3]| pb::Usage { total, used: total.saturating_sub(free), available };
    let counts_inodes = space.inodes[0] > 0;
    Ok(pb::GetStatsResponse {
        bytes: Some(usage(space.bytes)),
        inodes: counts_inodes.then(|| usage(space.inodes)),
    })
}
