use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

async fn get_page(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_admin_port_shows_metrics_life_and_readiness() {
    let listener = AdminListener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut registry = Registry::default();
    let counter = prometheus_client::metrics::counter::Counter::<u64>::default();
    registry.register("calls", "Calls", counter.clone());
    counter.inc();
    let health = Health::new();
    let condition = health.condition("appliance rds1");
    condition.not_ready("connection refused");
    let (handle, shutdown) = Shutdown::manual();
    let serving = tokio::spawn(serve(listener, Arc::new(registry), health, shutdown));

    let metrics = get_page(address, "/metrics").await;
    assert!(metrics.contains("calls_total 1") && metrics.contains("openmetrics-text"), "{metrics}");
    assert!(get_page(address, "/healthz").await.starts_with("HTTP/1.1 200"));
    let unready = get_page(address, "/readyz").await;
    assert!(unready.starts_with("HTTP/1.1 503") && unready.contains("appliance rds1: connection refused"));
    condition.ready();
    assert!(get_page(address, "/readyz").await.starts_with("HTTP/1.1 200"));
    handle.request();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let first = AdminListener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = first.local_addr().unwrap();
    let error = AdminListener::bind(address).await.unwrap_err();
    assert!(error.to_string().contains(&address.to_string()));
}
