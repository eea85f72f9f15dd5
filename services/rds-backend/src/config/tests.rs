use super::*;
use clap::Parser as _;

#[test]
fn all_mistakes_come_at_once_each_with_its_option() {
    let options = Options::parse_from([
        "rds-backend",
        "--log",
        "a=b=c",
        "--trace-sample-ratio",
        "7",
        "--listen",
        "unix:///run/backend.sock",
        "--admin-listen",
        "here",
        "--appliance",
        "name=rds1",
        "--nqn-prefix",
        "iqn.x",
        "--cluster-id",
        "a b",
        "--event-relay-endpoint",
        "relay",
        "--instance",
        "",
    ]);
    let text = options.into_config().expect_err("many mistakes").to_string();
    for option in [
        "--log:",
        "--trace-sample-ratio",
        "--tls-cert",
        "--tls-key",
        "--tls-ca",
        "--listen",
        "--admin-listen",
        "--appliance: rds1: ssh",
        "--ssh-key",
        "--nqn-prefix",
        "--cluster-id",
        "--event-relay-endpoint",
        "--instance",
    ] {
        assert!(text.contains(option), "{option} in {text}");
    }
}

#[test]
fn two_appliances_may_not_share_a_name() {
    let one = "name=rds1,ssh=127.0.0.1:22,user=csi,storage=127.0.0.1:4420,dirs=/raid1/volumes,\
               host-key=SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let mut mistakes = Mistakes::new();
    assert_eq!(appliances(&[one.to_owned(), one.to_owned()], &mut mistakes).len(), 2);
    assert!(mistakes.to_string().contains("used twice"));
}
