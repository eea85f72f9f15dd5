//! Two processes and one Lease of a real API server: one changes the appliance, the other stands by.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cluster::{Cluster, TOOLS, tools};
use proto::fault::{Fault, Reason};
use proto::rds::volume::v1::volumes_client::VolumesClient;
use proto::rds::volume::v1::{EnsureVolumeResponse, GetVolumeRequest};

use crate::world::{World, answer, order, within};

/// A Lease has to end, and the next process to wait after it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A replica as a process of its own.
struct Replica<'a> {
    child: Child,
    world: &'a World,
    endpoint: String,
}

impl<'a> Replica<'a> {
    fn start(world: &'a World, cluster: &Cluster, name: &str) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = &world.config.appliances[0];
        let tls = world.identity("rds-backend");
        let path = |file: &Path| file.display().to_string();
        let child = Command::new(env!("CARGO_BIN_EXE_rds-backend"))
            .env("KUBECONFIG", cluster.kubeconfig())
            .args([
                format!("--listen=tcp://{port}"),
                "--admin-listen=".to_owned(),
                format!("--instance={name}"),
            ])
            .args(["--lease=rds/rds-backend", "--cluster-id=test", "--command-expiry=1", "--takeover-wait=4"])
            .arg(format!("--ssh-key={}", path(&world.config.ssh_key.file)))
            .arg(format!(
                "--appliance=name=rds1,ssh={},user=csi,storage={},dirs=/raid1/volumes,host-key={}",
                config.ssh,
                config.storage[0],
                world.sim.host_key_fingerprint()
            ))
            .args([
                format!("--tls-cert={}", path(&tls.cert)),
                format!("--tls-key={}", path(&tls.key)),
                format!("--tls-ca={}", path(&tls.ca)),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, world, endpoint: format!("tcp://{port}") }
    }

    async fn create(&self, name: &str) -> Result<EnsureVolumeResponse, Fault> {
        let channel = self.world.channel_to(&self.endpoint, "csi-front");
        answer(VolumesClient::new(channel).ensure_volume(within(Duration::from_secs(10), order(name))).await)
    }

    async fn can_read(&self, handle: &str) -> bool {
        let channel = self.world.channel_to(&self.endpoint, "csi-front");
        let request = GetVolumeRequest { handle: handle.to_owned() };
        VolumesClient::new(channel).get_volume(within(Duration::from_secs(5), request)).await.is_ok()
    }

    /// Creates it as soon as it may.
    async fn eventually_creates(&self, name: &str) -> String {
        let give_up = tokio::time::Instant::now() + PATIENCE;
        loop {
            match self.create(name).await {
                Ok(made) => return made.volume.unwrap().handle,
                Err(fault) => assert!(tokio::time::Instant::now() < give_up, "{fault}"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The refusal of a change, as soon as it says `text`. What is asked for exists already, so an attempt that is let
    /// through changes nothing.
    async fn eventually_refuses(&self, name: &str, text: &str) {
        let give_up = tokio::time::Instant::now() + PATIENCE;
        loop {
            match self.create(name).await {
                Err(fault) if fault.message.contains(text) => {
                    assert_eq!((fault.reason, fault.settled), (Reason::ServiceUnreachable, false), "{fault}");
                    return;
                }
                other => assert!(tokio::time::Instant::now() < give_up, "{other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn signal(&self, signal: &str) {
        let kill = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
    }
}

impl Drop for Replica<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn one_process_changes_the_appliance_and_the_next_begins_when_that_one_surely_ended() {
    let proves = "that two processes never change one appliance at the same time";
    if !tools::needs(&TOOLS, "the Lease of rds-backend", proves) {
        return;
    }
    let cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap().unwrap();
    cluster.kubectl(&["create", "namespace", "rds"], None).unwrap();
    let world = World::warm().await;
    let a = Replica::start(&world, &cluster, "replica-a");
    let handle = a.eventually_creates("pvc-1").await;
    let b = Replica::start(&world, &cluster, "replica-b");
    b.eventually_refuses("pvc-1", "replica-a holds Lease rds/rds-backend, this process stands by").await;
    assert!(b.can_read(&handle).await, "reads are answered by everybody");

    // Its node hangs, or is cut off: it cannot even say that it gives up.
    a.signal("-STOP");
    b.eventually_creates("pvc-2").await;
    a.signal("-CONT");
    // It believes in its Lease still, but its own clock does not.
    let fault = a.create("pvc-late").await.unwrap_err();
    assert_eq!((fault.reason, fault.settled), (Reason::ServiceUnreachable, false), "{fault}");
    assert_eq!(world.sim.disks().len(), 1 + 2, "the pool and two volumes");
    a.eventually_refuses("pvc-1", "replica-b holds Lease").await;

    // One that ends well lets go, and nobody waits for the end of the Lease.
    b.signal("-TERM");
    a.eventually_creates("pvc-3").await;
    let transitions = ["get", "lease", "rds-backend", "-n", "rds", "-o", "jsonpath={.spec.leaseTransitions}"];
    assert_eq!(cluster.kubectl(&transitions, None).unwrap(), "3");

    // Without the API nobody can be sure.
    drop(cluster);
    a.eventually_refuses("pvc-3", "could not be renewed for 10 s").await;
    assert!(a.can_read(&handle).await);
}
