//! How the services are set up in a world: one list of options per service, used by the tests (which parse it in their
//! own process) and by the demo (which passes it to a process) alike.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use proto::id::{NodeId, Slot};

use crate::appliance::Addresses;
use crate::pki::{Authority, IdentityFiles, SshKey};
use crate::world::World;

/// Name of the appliance in the backend's configuration.
pub const APPLIANCE: &str = "rds1";
/// Folder on the appliance that holds the images.
pub const DIRECTORY: &str = "/raid1/volumes";
/// What the names of all volumes begin with.
pub const NQN_PREFIX: &str = "nqn.2026-09.io.srvlab:rds";
/// User that the backend logs in as.
pub const SSH_USER: &str = "csi";
/// The cluster that the volumes belong to.
pub const CLUSTER: &str = "7c1ecb36-demo-cluster";

/// Files and folders of a world that the options refer to.
pub struct Settings {
    authority: Authority,
    /// State of the simulated appliance on this machine.
    pub appliance: PathBuf,
    /// The backend's user key.
    pub user_key: SshKey,
    /// File that the log sink of the relay appends Events to.
    pub events: PathBuf,
    /// Folder of unix sockets.
    pub sockets: PathBuf,
    world: PathBuf,
    /// Endpoint that traces go to, if any.
    pub otlp: Option<String>,
}

impl Settings {
    /// Makes keys, certificates and folders.
    pub fn prepare(world: &World, otlp: Option<String>) -> Result<Self> {
        let keys = world.folder("keys")?;
        let settings = Self {
            authority: Authority::new(&keys, "rds-csi development authority")?,
            appliance: world.folder("appliance")?,
            user_key: SshKey::generate(&keys.join("backend_user"))?,
            events: world.root().join("events.jsonl"),
            sockets: world.folder("sockets")?,
            world: world.root().to_owned(),
            otlp,
        };
        Ok(settings)
    }

    /// An identity of this world; `holder` tells apart who has the same role.
    pub fn identity(&self, role: &str, holder: &str) -> Result<IdentityFiles> {
        self.authority.issue(role, holder)
    }
}

/// Files and folders of one node of a world.
pub struct NodeSettings {
    /// Name of the node in Kubernetes.
    pub name: String,
    /// Kubelet's folder.
    pub kubelet: PathBuf,
    /// What the agent remembers.
    pub state: PathBuf,
    /// Socket of the agent.
    pub agent: PathBuf,
    /// Socket of the CSI driver.
    pub csi: PathBuf,
}

impl Settings {
    /// Folders of a node.
    pub fn node(&self, name: &str) -> Result<NodeSettings> {
        let make = |below: &str| -> Result<PathBuf> {
            let path = self.world.join(name).join(below);
            std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
            Ok(path)
        };
        make("kubelet/plugins_registry")?;
        make("state/loopback")?;
        make("state/journal")?;
        Ok(NodeSettings {
            name: name.to_owned(),
            kubelet: make("kubelet")?,
            state: make("state")?,
            agent: self.sockets.join(format!("agent-{name}.sock")),
            csi: self.sockets.join(format!("csi-{name}.sock")),
        })
    }

    /// Options every service has.
    fn process(&self, admin: SocketAddr, role: &str, holder: &str) -> Result<Vec<String>> {
        let mut arguments = vec![format!("--admin-listen={admin}"), "--shutdown-grace=5".to_owned()];
        arguments.extend(self.otlp.as_ref().map(|url| format!("--otlp-endpoint={url}")));
        let files = self.identity(role, holder)?;
        arguments.extend([
            format!("--tls-cert={}", files.certificate.display()),
            format!("--tls-key={}", files.key.display()),
            format!("--tls-ca={}", files.authority.display()),
        ]);
        Ok(arguments)
    }

    /// event-relay, with the log sink.
    pub fn relay(&self, listen: SocketAddr, admin: SocketAddr) -> Result<Vec<String>> {
        let mut arguments = self.process(admin, "event-relay", "event-relay")?;
        arguments.push(format!("--listen=tcp://{listen}"));
        arguments.push("--sink=log".to_owned());
        arguments.push(format!("--log-sink-file={}", self.events.display()));
        Ok(arguments)
    }

    /// nvme-agent, with the kernel of development.
    pub fn agent(
        &self,
        node: &NodeSettings,
        admin: SocketAddr,
        backend: SocketAddr,
        relay: SocketAddr,
        portal: SocketAddr,
    ) -> Result<Vec<String>> {
        let mut arguments = self.process(admin, "nvme-agent", &format!("nvme-agent-{}", node.name))?;
        arguments.extend([
            format!("--listen=unix://{}", node.agent.display()),
            format!("--node-name={}", node.name),
            "--kernel=loopback".to_owned(),
            format!("--loopback-state={}", node.state.join("loopback").display()),
            format!("--state-dir={}", node.state.join("journal").display()),
            format!("--kubelet-dir={}", node.kubelet.display()),
            format!("--nqn-prefix={NQN_PREFIX}"),
            format!("--allow-address={portal}"),
            format!("--backend-endpoint=tcp://{backend}"),
            format!("--event-relay-endpoint=tcp://{relay}"),
            format!("--appliances={APPLIANCE}=yes"),
        ]);
        Ok(arguments)
    }
}

impl Settings {
    /// routeros-sim, which writes its addresses to `ready`.
    pub fn simulator(&self, ready: &Path) -> Result<Vec<String>> {
        let keys = self.world.join("keys/authorized_keys");
        std::fs::write(&keys, format!("{}\n", self.user_key.public))
            .with_context(|| format!("cannot write {}", keys.display()))?;
        Ok(vec![
            format!("--state-dir={}", self.appliance.display()),
            format!("--user={SSH_USER}"),
            format!("--authorized-keys={}", keys.display()),
            "--growth=live".to_owned(),
            "--pool-filesystem=btrfs".to_owned(),
            "--members=4".to_owned(),
            format!("--ready-file={}", ready.display()),
        ])
    }

    /// rds-backend, with one appliance.
    pub fn backend(
        &self,
        listen: SocketAddr,
        admin: SocketAddr,
        relay: SocketAddr,
        appliance: &Addresses,
    ) -> Result<Vec<String>> {
        let mut arguments = self.process(admin, "rds-backend", "rds-backend")?;
        arguments.extend([
            format!("--listen=tcp://{listen}"),
            format!("--cluster-id={CLUSTER}"),
            format!("--nqn-prefix={NQN_PREFIX}"),
            format!("--event-relay-endpoint=tcp://{relay}"),
            format!("--ssh-key={}", self.user_key.private.display()),
            // There never was another one in this world.
            "--takeover-wait=0".to_owned(),
            format!(
                "--appliance=name={APPLIANCE},ssh={},user={SSH_USER},storage={},dirs={DIRECTORY},host-key={}",
                appliance.ssh, appliance.portal, appliance.host_key
            ),
        ]);
        Ok(arguments)
    }

    /// csi-front in controller mode.
    pub fn controller(&self, socket: &Path, admin: SocketAddr, backend: SocketAddr) -> Result<Vec<String>> {
        let mut arguments = self.process(admin, "csi-front", "csi-front-controller")?;
        arguments.extend([
            "--mode=controller".to_owned(),
            format!("--listen=unix://{}", socket.display()),
            format!("--backend-endpoint=tcp://{backend}"),
        ]);
        Ok(arguments)
    }

    /// csi-front in node mode.
    pub fn node_front(&self, node: &NodeSettings, admin: SocketAddr) -> Result<Vec<String>> {
        let mut arguments = self.process(admin, "csi-front", &format!("csi-front-{}", node.name))?;
        arguments.extend([
            "--mode=node".to_owned(),
            format!("--listen=unix://{}", node.csi.display()),
            format!("--agent-endpoint=unix://{}", node.agent.display()),
            format!("--kubelet-dir={}", node.kubelet.display()),
        ]);
        Ok(arguments)
    }

    /// Commands a person could try next: a look at the appliance, and the life of a volume by hand.
    pub fn invitations(
        &self,
        programs: &Path,
        backend: SocketAddr,
        node: &NodeSettings,
    ) -> Result<Vec<String>> {
        let files = self.identity("rdsctl", "rdsctl")?;
        let staging = node.kubelet.join("plugins/kubernetes.io/csi/try");
        std::fs::create_dir_all(&staging).with_context(|| format!("cannot make {}", staging.display()))?;
        // Neither depends on chance, so the commands can be copied as they are.
        let volume = format!("{APPLIANCE}/{}", Slot::derive(&CLUSTER.parse()?, "try"));
        let node_id = NodeId::issue(&node.name)?;
        let controller = self.sockets.join("controller.sock");
        Ok(vec![
            format!("export PATH={}:$PATH D={} V={volume}", programs.display(), self.world.display()),
            format!(
                "export C=unix://{} N=unix://{} S={}",
                controller.display(),
                node.csi.display(),
                staging.display()
            ),
            // They are read by every rdsctl that asks the backend.
            format!(
                "export RDS_BACKEND_ENDPOINT=tcp://{backend} RDS_TLS_CERT={} RDS_TLS_KEY={} RDS_TLS_CA={}",
                files.certificate.display(),
                files.key.display(),
                files.authority.display()
            ),
            "rdsctl appliance status".to_owned(),
            format!("rdsctl appliance health {APPLIANCE}"),
            // There is no cluster to compare with.
            format!("rdsctl appliance orphans {APPLIANCE} --no-cluster"),
            "rdsctl csi --socket $C create try --size 1Gi --fs xfs --pvc demo/try".to_owned(),
            format!("rdsctl csi --socket $C publish $V --node {node_id} --fs xfs > $D/publish.json"),
            "rdsctl csi --socket $N stage $V --staging $S --fs xfs --publish-context @$D/publish.json"
                .to_owned(),
            "findmnt $S".to_owned(),
            "rdsctl csi --socket $N unstage $V --staging $S".to_owned(),
            "rdsctl csi --socket $C unpublish $V".to_owned(),
            "rdsctl csi --socket $C delete $V".to_owned(),
        ])
    }
}
