//! Registration with kubelet.

use proto::csi::v1 as csi;
use proto::pluginregistration as kubelet;
use proto::pluginregistration::registration_client::RegistrationClient;

use crate::world::{DRIVER, World, channel, eventually};

fn entries(world: &World) -> Vec<String> {
    let folder = std::fs::read_dir(world.at("kubelet/plugins_registry")).expect("a folder");
    let names = folder.map(|entry| entry.expect("read").file_name().to_string_lossy().into_owned());
    names.filter(|name| !name.starts_with('.')).collect()
}

#[tokio::test]
async fn kubelet_hears_of_the_driver_once_the_agent_is_ready_and_never_loses_it_again() {
    let mut world = World::bare(false, true).await;
    let node = world.node().node_get_info(csi::NodeGetInfoRequest {}).await;
    assert!(node.is_err(), "the agent is not there yet");
    assert!(entries(&world).is_empty(), "so kubelet must not hear of the driver");

    world.start_agent().await;
    let name = format!("{DRIVER}-reg.sock");
    eventually("the socket appears", async || entries(&world) == [name.clone()]).await;
    let socket = world.at("kubelet/plugins_registry").join(&name);
    let mut registration = RegistrationClient::new(channel(socket.clone()));
    let info = registration.get_info(kubelet::InfoRequest {}).await.expect("answers").into_inner();
    assert_eq!((info.r#type.as_str(), info.name.as_str()), ("CSIPlugin", DRIVER));
    assert_eq!(info.endpoint, world.at("csi.sock").to_string_lossy());
    assert_eq!(info.supported_versions, ["1.0.0"]);
    let status = kubelet::RegistrationStatus { plugin_registered: true, error: String::new() };
    registration.notify_registration_status(status).await.expect("heard");
    let metrics = world.page("/metrics").await;
    assert!(metrics.contains(r#"rds_csi_registrations_total{outcome="registered"} 1"#), "{metrics}");

    world.stop_fakes();
    eventually("readiness drops", async || world.page("/readyz").await.contains("503")).await;
    registration.get_info(kubelet::InfoRequest {}).await.expect("is never withdrawn for health");
    assert!(socket.exists());
}

#[tokio::test]
async fn a_controller_does_not_register() {
    let mut world = World::bare(true, false).await;
    world.start_backend().await;
    eventually("it is ready", async || world.page("/readyz").await.contains("200 OK")).await;
    assert!(entries(&world).is_empty());
}
